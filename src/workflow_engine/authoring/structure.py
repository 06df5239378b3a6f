"""What identifies the shape of a workflow: a JSON-compatible description and a digest of it.

Stored once for each definition that ever started a run, so that a later deploy can say what it
changed. Retries and timeouts are not part of it: changing them breaks no run.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import override

from workflow_engine.authoring.stage_definition import Model, StageDefinition
from workflow_engine.model.ids import digest

STRUCTURE_FORMAT = 1
FINGERPRINT_LENGTH = 12
# What changes nothing about the values that a schema takes. Whether there is a default is said by
# "required"; what it is, is not.
_PROSE = ("title", "description", "examples", "default", "deprecated")
# Keywords whose keys are names that users chose: "title" may be one of them.
_NAMED = ("properties", "$defs", "patternProperties")


def structure_of(
    *, workflow_id: str, version: int, input_model: Model, groups: Sequence[Sequence[StageDefinition]]
) -> Mapping[str, Any]:
    """The structure of a workflow, as JSON-compatible values.

    The version is part of it, so that runs of one version find it again among several that are
    registered, however alike.
    """
    return {
        "format": STRUCTURE_FORMAT,
        "workflow": workflow_id,
        "version": version,
        "input": schema_digest(input_model),
        "groups": [[_stage_structure(stage) for stage in group] for group in groups],
    }


def fingerprint_of(structure: Mapping[str, Any]) -> str:
    """12 characters of ``a-z2-7`` (60 bits) that stand for *structure*."""
    canonical = json.dumps(structure, sort_keys=True, separators=(",", ":"))
    return digest("structure", canonical, length=FINGERPRINT_LENGTH)


@lru_cache(maxsize=1024)
def schema_digest(model: Model | None) -> str:
    """12 characters that stand for what *model* takes; empty for no model.

    Made from the JSON schema without its prose, so that a new docstring changes nothing.
    """
    if model is None:
        return ""
    canonical = json.dumps(_without_prose(_schema(model)), sort_keys=True, separators=(",", ":"), default=repr)
    return digest("schema", canonical, length=FINGERPRINT_LENGTH)


def required_fields(model: Model | None) -> list[str]:
    """The fields of *model* that have no default, in alphabetical order."""
    return sorted(name for name, field in model.model_fields.items() if field.is_required()) if model else []


def _stage_structure(stage: StageDefinition) -> Mapping[str, Any]:
    payload = stage.signal.payload_model if stage.signal is not None else None
    return {
        "id": stage.id,
        "kind": stage.kind,
        "input": schema_digest(stage.input_model),
        "output": schema_digest(stage.output_model),
        "config": schema_digest(stage.config_model),
        "config_required": required_fields(stage.config_model),
        "state": schema_digest(stage.state_model),
        "payload": schema_digest(payload),
    }


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
