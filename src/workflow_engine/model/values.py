"""Models to JSON and back, as the engine stores them: the one way in and out.

What is written can always be read: fields go by their names whatever their aliases, computed fields
stay out, and each value is read back once and compared before it counts. So it is carried as it is,
or refused with the field that is not. What a user sends may name fields by alias or by name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from workflow_engine.model.problems import problem_at, problems_of
from workflow_engine.model.sameness import NOT_FINITE, loss

ModelT = TypeVar("ModelT", bound=BaseModel)
NOTHING = b"null"
# Where a value is looked through for what cannot be written: an item more than this is not tried, nor
# what lies deeper, as in a model that holds itself.
MAX_TRIED, MAX_LOOKED_INTO = 1000, 100
# pydantic reads no longer ones, which have 4,300 digits.
LONGEST_INT_BITS = 14_284
_LONG = "is a number of more than 4,300 digits, which is not read from JSON"
_TEXT = "holds a lone surrogate, which is not UTF-8"
_BYTES = "holds bytes that are not UTF-8: ser_json_bytes and val_json_bytes 'base64' carry them"


class UnfitValueError(ValueError):
    """A value does not fit its model, or does not survive JSON. Stays inside: callers raise what the
    user sees."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def load(model: type[ModelT] | None, data: bytes) -> ModelT | None:
    """The instance of *model* that JSON *data* stands for; ``None`` where there is no model.

    Raises:
        UnfitValueError: *data* does not validate.
    """
    if model is None:
        return None
    try:
        # The core validator, without the wrapper: this runs once for every stage.
        loaded: ModelT = model.__pydantic_validator__.validate_json(data, by_alias=True, by_name=True)
    except ValidationError as error:
        raise UnfitValueError(problems_of(error)) from error
    except Exception as error:  # a validator of the user's, which pydantic lets through
        raise UnfitValueError([f"a validator of {model.__name__} raised {type(error).__name__}"]) from error
    return loaded


def dump(model: type[BaseModel] | None, value: object) -> tuple[bytes, BaseModel | None]:
    """The JSON of *value*, and what a reader of that JSON will get: the same.

    Raises:
        UnfitValueError: *value* is no instance of *model*, cannot be written, or would come back as
            another value.
    """
    if model is None:
        if value is not None:
            raise UnfitValueError([f"expected None, got {type(value).__name__}"])
        return NOTHING, None
    if not isinstance(value, model):
        raise UnfitValueError([f"expected {model.__name__}, got {type(value).__name__}"])
    data = _written(model, value)
    try:
        back = load(model, data)
    except UnfitValueError as error:
        raise UnfitValueError(list(_unreadable(value)) or [f"{one} (read back)" for one in error.problems]) from error
    lost = loss(value, back) if back is not None else None
    if lost is not None:
        raise UnfitValueError([lost])
    return data, back


def fixed(model: type[ModelT], data: bytes) -> tuple[bytes, ModelT]:
    """What is stored of *data* that was sent: the JSON of the value that it stands for now, defaults
    included, so that each reader gets that very value; and the value.

    Raises:
        UnfitValueError: *data* does not validate, or the value does not survive JSON.
    """
    loaded = load(model, data)
    assert loaded is not None
    return dump(model, loaded)[0], loaded


def json_of(value: BaseModel) -> Any:
    """The JSON-compatible values that a model's instance is sent as.

    Raises:
        UnfitValueError: it does not survive JSON.
    """
    return from_json(dump(type(value), value)[0])


def _written(model: type[BaseModel], value: BaseModel) -> bytes:
    try:
        # What the serialiser only warns of is judged by reading it back.
        data: bytes = model.__pydantic_serializer__.to_json(value, by_alias=False, round_trip=True, warnings=False)
        # So pydantic writes a number that is not finite where a model's config asks for "constants".
        if b"NaN" in data or b"Infinity" in data:
            from_json(data, allow_inf_nan=False)
    except Exception as error:  # a serialiser of the user's may raise anything
        problems = list(_unreadable(value)) or [_unwritable(model, value, error)]
        raise UnfitValueError(problems) from error
    return data


def _unwritable(model: type[BaseModel], value: BaseModel, error: Exception) -> str:
    """Which field cannot be written, found by writing one at a time."""
    path: list[object] = []
    current: Any = value
    while len(path) < MAX_LOOKED_INTO:
        failing = next((key for key in _keys(current) if not _writes(model, value, [*path, key])), None)
        if failing is None:
            break
        path.append(failing)
        current = _item(current, failing)
    reason = _TEXT if isinstance(current, str) else _BYTES if isinstance(current, bytes) else None
    return problem_at(path, reason or f"cannot be written as JSON: {type(error).__name__}")


def _writes(model: type[BaseModel], value: BaseModel, path: Sequence[object]) -> bool:
    include: Any = True
    for key in reversed(path):
        include = {key: include}
    try:
        model.__pydantic_serializer__.to_json(value, by_alias=False, round_trip=True, warnings=False, include=include)
    except Exception:
        return False
    return True


def _unreadable(value: object, path: tuple[object, ...] = ()) -> Iterator[str]:
    """The numbers in *value* that JSON cannot hold, or nobody reads."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        yield problem_at(path, NOT_FINITE)
    if isinstance(value, int) and value.bit_length() > LONGEST_INT_BITS:
        yield problem_at(path, _LONG)
    for key in _keys(value) if len(path) < MAX_LOOKED_INTO else ():
        yield from _unreadable(_item(value, key), (*path, key))


def _keys(value: object) -> Sequence[Any]:
    if isinstance(value, BaseModel):
        return list(type(value).model_fields)
    if is_dataclass(value):
        return [field.name for field in fields(value)]
    if isinstance(value, Mapping):
        return list(value)[:MAX_TRIED]
    return range(min(len(value), MAX_TRIED)) if isinstance(value, list | tuple) else ()


def _item(value: Any, key: Any) -> Any:
    return value[key] if isinstance(value, Mapping | list | tuple) else getattr(value, key, None)
