"""JSON as it crosses the border: finite numbers, text that is UTF-8, bounded depth. Nothing else."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, JsonValue

MAX_DEPTH = 100
# One encoder, since json.dumps makes a new one at each call with other options than its own.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def to_json(value: object) -> bytes:
    """Canonical compact JSON of *value*.

    Raises:
        ValueError: NaN or infinity, a lone surrogate, deeper than ``MAX_DEPTH`` or not JSON at all.
    """
    _check_depth(value, MAX_DEPTH)
    try:
        return _encode(value).encode()
    except UnicodeEncodeError as error:
        raise ValueError("text holds a lone surrogate, which is not UTF-8") from error
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error


def _check_depth(value: object, left: int) -> None:
    if not isinstance(value, dict | list | tuple):
        return
    if left == 0:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list | tuple):
            _check_depth(item, left - 1)


def _dumped(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return dict(value) if isinstance(value, Mapping) else value


def _checked(value: Any) -> Any:
    to_json(value)
    return value


# A model instance is taken as its JSON form, so that callers need not dump it themselves.
JsonObject = Annotated[dict[str, JsonValue], BeforeValidator(_dumped), AfterValidator(_checked)]
AnyJson = Annotated[JsonValue, BeforeValidator(_dumped), AfterValidator(_checked)]
