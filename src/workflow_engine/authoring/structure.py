"""What identifies the shape of a workflow: a JSON-compatible description and a digest of it.

Stored once for each definition that ever started a run, so that a later deploy can say what it
changed. Retries and timeouts are not part of it: changing them breaks no run.

Each model is in it twice: as the digest of its shape, which is what the fingerprint is made of, and
as the digest of its JSON schema, which is all that versions before knew. Theirs is not the same in
every process nor under every pydantic, but a process of theirs that meets a run of ours compares it.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import override

from workflow_engine.authoring.choices import Choice
from workflow_engine.authoring.shapes import shape_of
from workflow_engine.authoring.stage_definition import Model, StageDefinition
from workflow_engine.model.ids import digest
from workflow_engine.model.plans import Plan
from workflow_engine.model.status import Status

STRUCTURE_FORMAT = 1
FINGERPRINT_LENGTH = 12
# Of a stage's structure, the digests of its models' JSON schemas; its "shapes" are in this order.
MODELS = ("input", "output", "config", "state", "payload")
# What changes nothing about the values that a schema takes. Whether there is a default is said by
# "required"; what it is, is not.
_PROSE = ("title", "description", "examples", "default", "deprecated")
# Keywords whose keys are names that users chose: "title" may be one of them.
_NAMED = ("properties", "$defs", "patternProperties")


def structure_of(
    *,
    workflow_id: str,
    version: int,
    input_model: Model,
    groups: Sequence[Sequence[StageDefinition]],
    plan: Plan,
    choices: Mapping[int, Choice],
) -> Mapping[str, Any]:
    """The structure of a workflow, as JSON-compatible values: what is stored of it.

    The version is part of it, so that runs of one version find it again among several that are
    registered, however alike.
    """
    shapes = _shapes(workflow_id, version, input_model, groups, plan=plan, choices=choices)
    structures = [
        [{**shape, **_schemas(stage)} for shape, stage in zip(*both, strict=True)]
        for both in zip(shapes["groups"], groups, strict=True)
    ]
    return {**shapes, "format": STRUCTURE_FORMAT, "input": schema_digest(input_model), "groups": structures}


def fingerprint_of(
    *,
    workflow_id: str,
    version: int,
    input_model: Model,
    groups: Sequence[Sequence[StageDefinition]],
    plan: Plan,
    choices: Mapping[int, Choice],
) -> str:
    """12 characters of ``a-z2-7`` (60 bits) that stand for a workflow: the same for the same code in
    every process, under every pydantic."""
    shapes = _shapes(workflow_id, version, input_model, groups, plan=plan, choices=choices)
    canonical = json.dumps(shapes, sort_keys=True, separators=(",", ":"))
    return digest("structure", canonical, length=FINGERPRINT_LENGTH)


@lru_cache(maxsize=1024)
def shape_digest(model: Model | None) -> str:
    """12 characters that stand for what *model* takes; empty for no model."""
    if model is None:
        return ""
    canonical = json.dumps(shape_of(model), sort_keys=True, separators=(",", ":"))
    return digest("shape", canonical, length=FINGERPRINT_LENGTH)


@lru_cache(maxsize=1024)
def schema_digest(model: Model | None) -> str:
    """12 characters that stand for the JSON schema of *model*, without its prose; empty for no model."""
    if model is None:
        return ""
    canonical = json.dumps(_without_prose(_schema(model)), sort_keys=True, separators=(",", ":"), default=repr)
    return digest("schema", canonical, length=FINGERPRINT_LENGTH)


def required_fields(model: Model | None) -> list[str]:
    """The fields of *model* that have no default, in alphabetical order."""
    return sorted(name for name, field in model.model_fields.items() if field.is_required()) if model else []


def plan_of(structure: Mapping[str, Any]) -> Plan:
    """The plan of the workflow whose *structure* that is; an empty one of none."""
    groups, closes = structure.get("groups", ()), structure.get("closes", {})
    chosen = frozenset(int(group) for group in structure.get("choices", {}))
    conditional = frozenset(n for n, group in enumerate(groups) if any(stage.get("when") for stage in group))
    undos = {
        number: frozenset(ordinal for ordinal, stage in enumerate(group) if stage.get("undo"))
        for number, group in enumerate(groups)
        if any(stage.get("undo") for stage in group)
    }
    return Plan(
        (tuple(stage["id"] for stage in group) for group in groups),
        conditional=chosen | conditional,
        single=frozenset(n for n, group in enumerate(groups) if len(group) == 1 or n in chosen),
        undos=undos,
        undo_on=frozenset(map(Status, closes.get("undo_on", ()))),
        on_failure=closes.get("on_failure"),
        failure_on=frozenset(map(Status, closes.get("failure_on", ()))),
    )


def _shapes(
    workflow_id: str,
    version: int,
    input_model: Model,
    groups: Sequence[Sequence[StageDefinition]],
    *,
    plan: Plan,
    choices: Mapping[int, Choice],
) -> dict[str, Any]:
    return {
        "workflow": workflow_id,
        "version": version,
        "shape": shape_digest(input_model),
        "groups": [[_stage_shape(stage) for stage in group] for group in groups],
        **_closes(plan),
        **_choices(choices),
    }


def _closes(plan: Plan) -> Mapping[str, Any]:
    """What is done before a run ends: nothing, where nothing is, so that a workflow without it is what it was."""
    if not plan.undos and plan.on_failure is None:
        return {}
    last = {"on_failure": plan.on_failure, "failure_on": sorted(plan.failure_on)} if plan.on_failure else {}
    return {"closes": {"undo_on": sorted(plan.undo_on), **last}}


def _choices(choices: Mapping[int, Choice]) -> Mapping[str, Any]:
    """Which groups are choices, of what: nothing where none is."""
    return {"choices": {str(group): choice.facts() for group, choice in sorted(choices.items())}} if choices else {}


def _stage_shape(stage: StageDefinition) -> Mapping[str, Any]:
    undo = {"undo": True} if stage.undo is not None else {}
    when = {"when": True} if stage.when is not None else {}
    return {
        "id": stage.id,
        "kind": stage.kind,
        "config_required": required_fields(stage.config_model),
        "shapes": [shape_digest(model) for model in _models(stage)],
        **undo,
        **when,
    }


def _schemas(stage: StageDefinition) -> Mapping[str, str]:
    return {name: schema_digest(model) for name, model in zip(MODELS, _models(stage), strict=True)}


def _models(stage: StageDefinition) -> tuple[Model | None, ...]:
    payload = stage.signal.payload_model if stage.signal is not None else None
    return stage.input_model, stage.output_model, stage.config_model, stage.state_model, payload


class _QuietGenerator(GenerateJsonSchema):
    """Leaves out a default that JSON cannot hold without a warning: it is no part of the shape."""

    @override
    def emit_warning(self, kind: Any, detail: str) -> None:
        """Say nothing."""


def _schema(model: Model) -> Any:
    try:
        return model.model_json_schema(mode="validation", schema_generator=_QuietGenerator)
    except PydanticInvalidForJsonSchema:
        # A type with a validator of its own has no schema: names and annotations must do.
        return {name: str(field.annotation) for name, field in model.model_fields.items()}


def _without_prose(schema: Any, *, names: bool = False) -> Any:
    if isinstance(schema, list):
        return [_without_prose(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_prose(value, names=not names and key in _NAMED)
        for key, value in schema.items()
        if names or key not in _PROSE
    }
