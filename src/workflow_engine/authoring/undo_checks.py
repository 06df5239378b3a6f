"""Whether what a workflow does before a failed or cancelled run ends holds together. Answers problems, raises none."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from workflow_engine.authoring.stage_checks import name_of, problems_of_stage
from workflow_engine.authoring.stage_definition import StageDefinition
from workflow_engine.authoring.undoing import Failure
from workflow_engine.model.status import Status

_ENDS: Mapping[str, Status] = {"failed": Status.FAILED, "cancelled": Status.CANCELLED}


def ends_of(names: Collection[str]) -> frozenset[Status]:
    """The ends of a run that *names* are, those apart that are none."""
    return frozenset(_ENDS[name] for name in names if name in _ENDS)


def problems_of_ends(what: str, names: Any) -> Iterator[str]:
    """Whether *names* are names of ends of a run, the ones that are no success."""
    fits = not isinstance(names, str) and isinstance(names, Collection)
    if not fits or any(not isinstance(name, str) or name not in _ENDS for name in names):
        yield f"{what} takes some of {', '.join(map(repr, _ENDS))}, not {names!r}"


def problems_of_last(stage: StageDefinition, others: Collection[str]) -> Iterator[str]:
    """Whether *stage* can be run on a failure, in a workflow of which *others* are the stages."""
    yield from problems_of_stage(stage)
    if stage.id in others:
        yield f"stage id {stage.id!r} is there twice"
    if stage.input_model is not None and not issubclass(Failure, stage.input_model):
        yield f"stage {stage.id!r} of on_failure() takes {name_of(stage.input_model)}: it is given Failure"
    if stage.check is not None or stage.signal is not None or stage.passthrough:
        yield f"stage {stage.id!r} of on_failure() waits, and it can wait for nothing"
    if stage.undo is not None:
        yield f"stage {stage.id!r} of on_failure() has an undo, which nothing would call"
    if stage.config_model is not None:
        yield f"stage {stage.id!r} of on_failure() takes config, which a run gives to its stages alone"
    for needed in stage.requires:
        yield f"stage {stage.id!r} of on_failure() requires {needed!r}, which may not have been run: ask ctx.optional"
