"""Models to JSON and back, as the engine stores them.

What is written can always be read: fields go by their names whatever their aliases, computed
fields stay out, and every output is read back once before it counts. What a user sends may name
fields by alias or by name.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from workflow_engine.model.commands import problems_of
from workflow_engine.model.json_values import to_json

ModelT = TypeVar("ModelT", bound=BaseModel)
NOTHING = b"null"


class UnfitValueError(ValueError):
    """A value does not fit its model. Stays inside the layer: callers raise what the user sees."""

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


def load_object(model: type[ModelT], value: Mapping[str, Any] | BaseModel) -> ModelT:
    """The instance of *model* that a JSON-compatible object, or another model, stands for.

    It goes through JSON, so that what is accepted here is what a message may carry.

    Raises:
        UnfitValueError: *value* is not JSON or does not validate.
    """
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else dict(value)
    try:
        data = to_json(plain)
    except ValueError as error:
        raise UnfitValueError([str(error)]) from error
    loaded = load(model, data)
    assert loaded is not None
    return loaded


def dump(model: type[BaseModel] | None, value: object) -> tuple[bytes, BaseModel | None]:
    """The JSON of *value*, and what a reader of that JSON will get.

    Both, since the reader is often next in the same process: it must see the same value whether or
    not the process has changed between (a field that does not survive JSON would differ).

    Raises:
        UnfitValueError: *value* is no instance of *model*, cannot be written, or is written as
            something that does not validate.
    """
    if model is None:
        if value is not None:
            raise UnfitValueError([f"expected None, got {type(value).__name__}"])
        return NOTHING, None
    if not isinstance(value, model):
        raise UnfitValueError([f"expected {model.__name__}, got {type(value).__name__}"])
    try:
        # What the serialiser only warns of is judged by reading it back.
        data: bytes = model.__pydantic_serializer__.to_json(value, by_alias=False, round_trip=True, warnings=False)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise UnfitValueError([f"cannot be written as JSON: {type(error).__name__}"]) from error
    return data, load(model, data)
