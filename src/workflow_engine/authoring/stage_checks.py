"""Whether one stage holds together: its id, its timeout, and its functions among themselves.

How stages follow each other is in ``neighbours``. Every check answers problems, none raises.
"""

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from datetime import timedelta
from typing import Any, Literal, get_origin

from pydantic import RootModel
from typing_extensions import is_typeddict

from workflow_engine.authoring.outcomes import is_model
from workflow_engine.authoring.signatures import union_members
from workflow_engine.authoring.stage_definition import Model, StageDefinition, functions_of, functions_with_undo
from workflow_engine.model.ids import is_name

# AWS Lambda, "Lambda quotas": a function runs for 900 seconds at most.
MAX_STAGE_TIMEOUT = timedelta(seconds=900)


def problems_of_stage(stage: StageDefinition) -> Iterator[str]:
    """What is wrong with *stage*, whatever stands around it."""
    if not is_name(stage.id):
        yield f"stage id {stage.id!r}: must be a letter, then up to 63 of A-Za-z0-9_-"
    yield from problems_of_timeout(f"stage {stage.id!r}", stage.timeout)
    yield from stage.problems
    yield from _undo_problems(stage)
    if stage.passthrough:
        return
    yield from _waiting_problems(stage)
    if not stage.problems:  # what an unreadable signature leads to is no news
        yield from _output_problems(stage)
        yield from _config_problems(stage)
    yield from _unfinished_models(stage)
    if stage.config_model is not None and not is_object(stage.config_model):
        yield f"stage {stage.id!r}: config is an object, and {name_of(stage.config_model)} is none"


def problems_of_timeout(what: str, timeout: timedelta) -> Iterator[str]:
    """Whether *timeout* is one that a function can keep to."""
    if not timedelta(0) < timeout <= MAX_STAGE_TIMEOUT:
        yield (
            f"{what}: timeout of {timeout.total_seconds():g} s is not between 0 and "
            f"{MAX_STAGE_TIMEOUT.total_seconds():g} s, the most a Lambda function runs"
        )


def covers(wide: Model | None, narrow: Model | None) -> bool:
    """Whether a value of model *narrow* is one of *wide*; ``None`` is the value ``None``."""
    if wide is None or narrow is None:
        return wide is narrow
    return issubclass(narrow, wide)


def name_of(model: Model | None) -> str:
    """What *model* is called in problems."""
    return "None" if model is None else model.__qualname__.rpartition("<locals>.")[2]


def _waiting_problems(stage: StageDefinition) -> Iterator[str]:
    for what, facts in functions_of(stage):
        returned = facts.returned
        if returned.suspends and stage.check is None:
            yield f"{what} may return Suspended, but the stage has no check_completion"
        if returned.waits and stage.signal is None:
            yield f"{what} may return WaitForSignal, but the stage has no on_signal"
        if returned.suspends and stage.check is not None and not covers(stage.check.state_model, returned.state):
            yield f"{what} suspends with {name_of(returned.state)}, check_completion takes {_state_of(stage)}"
        if returned.waits and stage.signal is not None and not covers(stage.signal.payload_model, returned.payload):
            taken = name_of(stage.signal.payload_model)
            yield f"{what} waits for {name_of(returned.payload)}, on_signal takes {taken}"
    if stage.check is not None and stage.check.state_model is None and not stage.check.facts.problems:
        yield f"check_completion of stage {stage.id!r} must take the state, a pydantic model, as its first parameter"


def _state_of(stage: StageDefinition) -> str:
    return name_of(stage.state_model) if stage.state_model is not None else "none"


def _output_problems(stage: StageDefinition) -> Iterator[str]:
    functions = functions_of(stage)
    if not any(facts.returned.has_output for _, facts in functions):
        yield f"stage {stage.id!r} never has an output: none of its functions returns one"
    for what, facts in functions:
        if facts.returned.has_output and not covers(stage.output_model, facts.returned.output):
            yield f"{what} returns {name_of(facts.returned.output)}, the stage {name_of(stage.output_model)}"


def _undo_problems(stage: StageDefinition) -> Iterator[str]:
    """What is wrong with how the stage is undone: by a function that is given its output, or ``None``."""
    if stage.undo is None or stage.undo.facts.problems:
        return
    role, facts = f"undo of stage {stage.id!r}", stage.undo.facts
    yield from problems_of_timeout(role, stage.undo.timeout)
    returned = facts.returned
    if returned.suspends or returned.waits or not returned.has_output or returned.output is not None:
        yield f"{role} must be annotated to return None: it can neither wait nor have an output"
    if not facts.shape.wants_value or stage.problems or stage.passthrough:
        return
    taken = name_of(facts.value_model)
    if facts.value_model is None and stage.output_model is None:
        return
    if not covers(facts.value_model, stage.output_model):
        yield f"{role} takes {taken}, and the stage answers {name_of(stage.output_model)}"
    elif not facts.may_be_none:
        yield f"{role} must take {taken} | None: it is given None where the stage has begun and never finished"


def _config_problems(stage: StageDefinition) -> Iterator[str]:
    for what, facts in functions_with_undo(stage):
        if facts.config_model is not None and not covers(facts.config_model, stage.config_model):
            yield f"{what} takes config {name_of(facts.config_model)}, the stage {name_of(stage.config_model)}"


def _unfinished_models(stage: StageDefinition) -> Iterator[str]:
    payload = stage.signal.payload_model if stage.signal is not None else None
    models = (stage.input_model, stage.output_model, stage.config_model, stage.state_model, payload)
    for model in dict.fromkeys(models):
        if model is not None and not is_complete(model):
            yield f"stage {stage.id!r}: model {name_of(model)} has fields of types that are not defined"


def is_object(model: Model) -> bool:
    """Whether JSON objects are values of *model*: of most models all are, of a RootModel only some."""
    if not issubclass(model, RootModel):
        return True
    return any(_may_be_object(member) for member in union_members(model.model_fields["root"].annotation))


def _may_be_object(annotation: Any) -> bool:
    kind = get_origin(annotation) or annotation
    if is_model(kind):
        return is_object(kind)
    if isinstance(kind, type) and kind not in (Any, object):
        return issubclass(kind, Mapping) or is_typeddict(kind) or is_dataclass(kind)
    # Of Any, aliases and type variables nobody knows.
    return kind is not Literal


def is_complete(model: Model) -> bool:
    """Whether all types that *model* names are defined by now."""
    return bool(model.__pydantic_complete__) or bool(model.model_rebuild(raise_errors=False))
