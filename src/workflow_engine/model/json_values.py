"""JSON as it crosses the border: finite numbers, text that is UTF-8, bounded depth. Nothing else."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    JsonValue,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from workflow_engine.errors import UnstorableValueError
from workflow_engine.model.values import UnfitValueError, json_of

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


def written_again(value: object) -> bytes:
    """The JSON of what was read of JSON: nothing is left to check."""
    return _encode(value).encode()


def _check_depth(value: object, left: int) -> None:
    if not isinstance(value, dict | list | tuple):
        return
    if left == 0:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list | tuple):
            _check_depth(item, left - 1)


def sent(value: object) -> bytes:
    """The JSON that *value*, which may be a model or have some in it, is sent as.

    Raises:
        UnfitValueError: it is not JSON, or a model does not survive JSON.
    """
    try:
        return to_json(_with_models_as_json(value, MAX_DEPTH))
    except UnfitValueError:
        raise
    except ValueError as error:
        raise UnfitValueError([str(error)]) from error


def _with_models_as_json(value: object, left: int) -> object:
    if isinstance(value, BaseModel):
        return json_of(value)
    if left == 0:
        return value
    if isinstance(value, Mapping):
        return {key: _with_models_as_json(item, left - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_models_as_json(item, left - 1) for item in value]
    return value


def _taken(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    """What is JSON as it is; else with the models in it as JSON, so that callers need not dump them."""
    try:
        return handler(value)
    except ValidationError:
        try:
            plain = _with_models_as_json(value, MAX_DEPTH)
        except UnfitValueError as error:
            raise UnstorableValueError(what=type(value).__name__, problems=error.problems) from error
        return handler(plain)


def _checked(value: Any) -> Any:
    to_json(value)
    return value


JsonObject = Annotated[dict[str, JsonValue], WrapValidator(_taken), AfterValidator(_checked)]
AnyJson = Annotated[JsonValue, WrapValidator(_taken), AfterValidator(_checked)]
