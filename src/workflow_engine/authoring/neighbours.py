"""Whether what comes before a stage is what it takes.

After a group of one, the next stage takes its output. After a larger group, the next stage's input
has a field for each output that it wants, named after the stage (hyphens become underscores).
"""

import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, create_model

from workflow_engine.authoring.outcomes import is_model
from workflow_engine.authoring.signatures import union_members
from workflow_engine.authoring.stage_checks import covers, name_of
from workflow_engine.authoring.stage_definition import Model, StageDefinition
from workflow_engine.authoring.steady import varying


@dataclass(frozen=True, slots=True)
class Joined:
    """What a group of several stages leaves: outputs by field name, and whose each one is."""

    outputs: Mapping[str, Model | None]
    stage_ids: Mapping[str, str]

    @classmethod
    def of(cls, group: Sequence[StageDefinition]) -> "Joined":
        """The outputs of *group*."""
        return cls(
            outputs={field_name(stage.id): _output_of(stage) for stage in group},
            stage_ids={field_name(stage.id): stage.id for stage in group},
        )

    def as_model(self) -> Model:
        """A model with all the outputs, for a stage that passes them on as they are."""
        # What cannot be a field is a problem that build() tells.
        fields: dict[str, Any] = {name: (output, ...) for name, output in self.outputs.items() if is_field(name)}
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


def shape_after(group: Sequence[StageDefinition]) -> Shape:
    """What *group* leaves for the next one."""
    return _output_of(group[0]) if len(group) == 1 else Joined.of(group)


def resolve_passthrough(stage: StageDefinition, before: Shape) -> StageDefinition:
    """*stage* with the models of what comes before it, if it passes its input on."""
    if not stage.passthrough:
        return stage
    model = before.as_model() if isinstance(before, Joined) else before
    return replace(stage, input_model=model, output_model=model)


def taken_fields(stage: StageDefinition, before: Shape) -> tuple[tuple[str, str], ...]:
    """Which fields of the input of *stage* come from which stage; empty unless *before* is joined."""
    if not isinstance(before, Joined) or stage.input_model is None:
        return ()
    return tuple((name, before.stage_ids[name]) for name in stage.input_model.model_fields if name in before.stage_ids)


def problems_between(stage: StageDefinition, before: Shape, *, source: str) -> Iterator[str]:
    """Why the input of *stage* cannot be made of what is there; *source* names that in problems."""
    wanted = stage.input_model
    if wanted is None or stage.passthrough or before is Unreadable:
        return
    if isinstance(before, Joined):
        yield from _problems_with_fields(stage, wanted, before)
    elif before is not None and issubclass(before, JoinedOutputs):
        yield from _problems_after_passthrough(stage, wanted, before)
    elif not covers(wanted, before):
        yield f"stage {stage.id!r} takes {name_of(wanted)}, but {source} gives {name_of(before)}"
    elif before is not None and (added := _forbidden(wanted, before)):
        yield (
            f"stage {stage.id!r} takes {name_of(wanted)}, which forbids the fields that "
            f"{name_of(before)} adds to it: {', '.join(added)}"
        )


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


def _problems_after_passthrough(stage: StageDefinition, wanted: Model, before: Model) -> Iterator[str]:
    joined = Joined(
        outputs={name: _field_model(field.annotation) for name, field in before.model_fields.items()},
        stage_ids={name: name for name in before.model_fields},
    )
    yield from _problems_with_fields(stage, wanted, joined)
    unnamed = [name for name in joined.outputs if name not in wanted.model_fields]
    if unnamed and _forbids_extra(wanted):
        yield f"stage {stage.id!r} takes {name_of(wanted)}, which forbids what sleep passes on: {', '.join(unnamed)}"


def _output_of(stage: StageDefinition) -> Model | None:
    return stage.output_model if stage.has_output else Unreadable


def _field_model(annotation: Any) -> Model | None:
    return None if annotation in (None, types.NoneType) else annotation


def _takes(annotation: Any, output: Model | None) -> bool:
    """Whether a field so annotated takes *output*."""
    return any(_member_takes(member, output) for member in union_members(annotation))


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
