"""Whether what comes before a stage is what it takes.

After a group of one, the next stage takes its output. After a larger group, the next stage's input
has a field for each output that it wants, named after the stage (hyphens become underscores).
"""

import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional, TypeAlias

from pydantic import BaseModel, ConfigDict, create_model

from workflow_engine.authoring.outcomes import is_model
from workflow_engine.authoring.signatures import union_members
from workflow_engine.authoring.stage_checks import covers, name_of
from workflow_engine.authoring.stage_definition import Model, StageDefinition
from workflow_engine.authoring.steady import varying
from workflow_engine.authoring.unions import meant, members_of, one_of


@dataclass(frozen=True, slots=True)
class Joined:
    """What a group of several stages leaves: outputs by field name, and whose each one is. Those that *may_lack* are
    ``None`` where their stage was skipped; where *all_may* be skipped, so is the whole."""

    outputs: Mapping[str, Model | None]
    stage_ids: Mapping[str, str]
    may_lack: frozenset[str] = frozenset()
    all_may: bool = False

    @classmethod
    def of(cls, group: Sequence[StageDefinition]) -> "Joined":
        """The outputs of *group*."""
        return cls(
            outputs={field_name(stage.id): _output_of(stage) for stage in group},
            stage_ids={field_name(stage.id): stage.id for stage in group},
            may_lack=frozenset(field_name(stage.id) for stage in group if stage.when is not None),
            all_may=all(stage.when is not None for stage in group),
        )

    def as_model(self) -> Model:
        """A model with all the outputs, for a stage that passes them on as they are."""
        # What cannot be a field is a problem that build() tells.
        fields: dict[str, Any] = {
            name: (Optional[output] if name in self.may_lack else output, ...)  # noqa: UP045 - of a value
            for name, output in self.outputs.items()
            if is_field(name)
        }
        with warnings.catch_warnings():
            # A stage may be called "copy" or "validate", as methods of models once were.
            warnings.filterwarnings("ignore", message="Field name .* shadows an attribute in parent")
            return create_model("JoinedOutputs", __base__=JoinedOutputs, **fields)


class Unreadable(BaseModel):
    """Stands for an output whose annotation is a problem already: whatever takes it is no news."""


class JoinedOutputs(BaseModel):
    """The outputs of a group of several stages, by field name."""

    model_config = ConfigDict(protected_namespaces=())


# What a stage finds before it: one output, several, or nothing.
Shape: TypeAlias = Model | Joined | None


def field_name(stage_id: str) -> str:
    """The field of the next stage's input that the output of *stage_id* goes to."""
    return stage_id.replace("-", "_")


def is_field(name: str) -> bool:
    """Whether a model can have a field of that *name*: not where it would hide what makes it a model."""
    return not (name.startswith("model_") and hasattr(BaseModel, name))


def shape_after(group: Sequence[StageDefinition], *, is_choice: bool = False) -> Shape:
    """What *group* leaves for the next one: of a choice, the output of the one stage that ran."""
    if len(group) > 1 and not is_choice:
        return Joined.of(group)
    outputs = [_output_of(stage) for stage in group]
    if Unreadable in outputs:
        return Unreadable
    return one_of([*outputs, None] if any(stage.when is not None for stage in group) else outputs)


def resolve_passthrough(stage: StageDefinition, before: Shape) -> StageDefinition:
    """*stage* with the models of what comes before it, if it passes its input on."""
    if not stage.passthrough:
        return stage
    model = before.as_model() if isinstance(before, Joined) else before
    if isinstance(before, Joined) and before.all_may:
        model = one_of([model, None])
    return replace(stage, input_model=model, output_model=model)


def taken_fields(stage: StageDefinition, before: Shape) -> tuple[tuple[str, str], ...]:
    """Which fields of the input of *stage* come from which stage; empty unless *before* is joined."""
    model = _only_model(stage.input_model)
    if not isinstance(before, Joined) or model is None:
        return ()
    return tuple((name, before.stage_ids[name]) for name in model.model_fields if name in before.stage_ids)


def problems_between(stage: StageDefinition, before: Shape, *, source: str) -> Iterator[str]:
    """Why the input of *stage* cannot be made of what is there; *source* names that in problems."""
    wanted = stage.input_model
    if wanted is None or stage.passthrough or before is Unreadable:
        return
    if isinstance(before, Joined):
        if before.all_may and None not in members_of(wanted):
            yield _lacks_none(stage, "all stages of the group before it")
        yield from _problems_with_joined(stage, wanted, before)
        return
    given = members_of(before)
    for member in given:
        if member is None and len(given) > 1 and None not in members_of(wanted):
            yield _lacks_none(stage, source)
        elif member is not None and issubclass(member, JoinedOutputs):
            yield from _problems_after_passthrough(stage, wanted, member)
        else:
            yield from _problems_with_one(stage, wanted, member, source=source)


def _lacks_none(stage: StageDefinition, source: str) -> str:
    taken = name_of(stage.input_model)
    return (
        f"stage {stage.id!r} takes {taken}, but {source} may be skipped, which gives None: let it take {taken} | None"
    )


def _problems_with_one(stage: StageDefinition, wanted: Model, given: Model | None, *, source: str) -> Iterator[str]:
    """Whether the input of *stage* takes what is *given*; one of several models does, if one of them does."""
    taker = meant([member for member in members_of(wanted) if member is not None], given)
    if not any(covers(member, given) for member in members_of(wanted)):
        yield f"stage {stage.id!r} takes {name_of(wanted)}, but {source} gives {name_of(given)}"
    elif given is not None and taker is not None and (added := _forbidden(taker, given)):
        yield (
            f"stage {stage.id!r} takes {name_of(wanted)}, which forbids the fields that "
            f"{name_of(given)} adds to it: {', '.join(added)}"
        )


def _problems_with_joined(stage: StageDefinition, wanted: Model, before: Joined) -> Iterator[str]:
    model = _only_model(wanted)
    if model is None:
        yield f"stage {stage.id!r} takes {name_of(wanted)}, but the group before it gives one object of all its outputs"
    else:
        yield from _problems_with_fields(stage, model, before)


def _only_model(model: Model | None) -> Model | None:
    """The one model of which *model* takes values; ``None`` where there is none, or several."""
    models = [member for member in members_of(model) if member is not None]
    return models[0] if len(models) == 1 else None


def _problems_with_fields(stage: StageDefinition, wanted: Model, before: Joined) -> Iterator[str]:
    there = ", ".join(before.outputs)
    for name, field in wanted.model_fields.items():
        if name not in before.outputs:
            if field.is_required():
                yield (
                    f"stage {stage.id!r} takes {name_of(wanted)}, whose field {name!r} is required, but no stage "
                    f"of the group before it is called so (there are: {there})"
                )
            elif varying([(name, field)]):
                yield (
                    f"stage {stage.id!r} takes {name_of(wanted)}, whose field {name!r} would have another default at "
                    f"each attempt, and no stage of the group before it is called so (there are: {there})"
                )
        elif not _takes(field.annotation, before.outputs[name]):
            yield (
                f"stage {stage.id!r} takes {name_of(wanted)}, whose field {name!r} does not take "
                f"{name_of(before.outputs[name])}, the output of stage {before.stage_ids[name]!r}"
            )
        elif name in before.may_lack and not _takes(field.annotation, None):
            yield (
                f"stage {stage.id!r} takes {name_of(wanted)}, whose field {name!r} does not take None, which it is "
                f"where stage {before.stage_ids[name]!r} is skipped"
            )


def _problems_after_passthrough(stage: StageDefinition, wanted: Model, before: Model) -> Iterator[str]:
    models = {name: _field_models(field.annotation) for name, field in before.model_fields.items()}
    joined = Joined(
        outputs={name: members[0] for name, members in models.items()},
        stage_ids={name: name for name in before.model_fields},
        may_lack=frozenset(name for name, members in models.items() if len(members) > 1),
    )
    yield from _problems_with_joined(stage, wanted, joined)
    model = _only_model(wanted)
    unnamed = [name for name in joined.outputs if model is not None and name not in model.model_fields]
    if unnamed and model is not None and _forbids_extra(model):
        yield f"stage {stage.id!r} takes {name_of(wanted)}, which forbids what sleep passes on: {', '.join(unnamed)}"


def _output_of(stage: StageDefinition) -> Model | None:
    return stage.output_model if stage.has_output else Unreadable


def _field_models(annotation: Any) -> list[Model | None]:
    """What a field of the outputs of a group is: of a stage that may be skipped, ``None`` comes last."""
    found = [None if member in (None, types.NoneType) else member for member in union_members(annotation)]
    return [*(model for model in found if model is not None), *(None for model in found if model is None)]


def _takes(annotation: Any, output: Model | None) -> bool:
    """Whether a field so annotated takes *output*."""
    members = list(union_members(annotation))
    return all(any(_member_takes(member, one) for member in members) for one in members_of(output))


def _member_takes(member: Any, output: Model | None) -> bool:
    if member in (Any, object) or output is Unreadable:
        return True
    if output is None:
        return member in (None, types.NoneType)
    return is_model(member) and issubclass(output, member) and not _forbidden(member, output)


def _forbidden(wanted: Model, given: Model) -> list[str]:
    """The fields that subclass *given* adds to *wanted*, where that takes none but its own."""
    if not _forbids_extra(wanted):
        return []
    return [name for name in given.model_fields if name not in wanted.model_fields]


def _forbids_extra(model: Model) -> bool:
    return model.model_config.get("extra") == "forbid"
