"""What a step's function answers, as JSON and back: by its annotation, or as JSON alone."""

import collections.abc
import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from workflow_engine.model.json_values import to_json
from workflow_engine.model.problems import problems_of
from workflow_engine.model.sameness import loss
from workflow_engine.model.values import UnfitValueError, dump, load

if TYPE_CHECKING:
    from pydantic import TypeAdapter

# What says nothing of the value: it is JSON, or refused.
_ANYTHING = (Any, object, inspect.Signature.empty)
_AWAITED = (collections.abc.Awaitable, collections.abc.Coroutine)


class Returned(NamedTuple):
    """What a function answers: whether that must be awaited, and the type of the value."""

    is_async: bool
    type: Any


def returned(function: Callable[..., Any]) -> Returned:
    """What *function* says of what it answers; a partial function says what its function does.

    Raises:
        ValueError: its annotations cannot be read.
    """
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function) and not isinstance(function, type):
        function = type(function).__call__
    is_async, kind = inspect.iscoroutinefunction(function), _annotated(function)
    if get_origin(kind) in _AWAITED:
        return Returned(True, get_args(kind)[-1])
    return Returned(is_async, kind)


def _annotated(function: Any) -> Any:
    if isinstance(function, type):
        return function
    found = getattr(function, "__annotations__", {}).get("return", inspect.Signature.empty)
    if isinstance(found, type) or found in _ANYTHING:
        return found
    # It may name what is defined later, in any part of it.
    try:
        return get_type_hints(function, include_extras=True)["return"]
    except Exception as error:
        raise ValueError(f"the annotations of {function!r} cannot be read ({error}): say returns=") from error


class ResultType:
    """Writes values of one type as JSON, and reads them.

    Raises:
        ValueError: pydantic knows no such type.
    """

    __slots__ = ("_adapter", "_model")

    def __init__(self, kind: Any) -> None:
        self._model: type[BaseModel] | None = None
        self._adapter: TypeAdapter[Any] | None = None
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            self._model = kind
        elif kind not in _ANYTHING and not isinstance(kind, TypeVar):
            self._adapter = _adapter_of(kind)

    def dump(self, value: object) -> tuple[bytes, Any]:
        """The JSON of *value*, and what a reader of it gets: the same.

        Raises:
            UnfitValueError: it has another type, or does not survive JSON.
        """
        if self._model is not None:
            # What an interface answers as JSON becomes the model that was asked for.
            return dump(self._model, self._read(value) if isinstance(value, dict) else value)
        data = self._written(value)
        back = self.load(data)
        lost = loss(value, back)
        if lost is not None:
            raise UnfitValueError([lost])
        return data, back

    def _read(self, value: dict[Any, Any]) -> Any:
        assert self._model is not None
        try:
            return self._model.model_validate(value)
        except ValidationError as error:
            raise UnfitValueError(problems_of(error)) from error

    def load(self, data: bytes) -> Any:
        """What *data* stands for.

        Raises:
            UnfitValueError: it is of no such type.
        """
        if self._model is not None:
            return load(self._model, data)
        try:
            return from_json(data) if self._adapter is None else self._adapter.validate_json(data)
        except ValidationError as error:
            raise UnfitValueError(problems_of(error)) from error
        except Exception as error:  # a validator of the user's
            raise UnfitValueError([f"cannot be read: {type(error).__name__}"]) from error

    def _written(self, value: object) -> bytes:
        try:
            if self._adapter is None:
                return to_json(value)
            # What the serialiser only warns of is judged by reading it back.
            data = self._adapter.dump_json(value, by_alias=False, round_trip=True, warnings=False)
            from_json(data, allow_inf_nan=False)
        except Exception as error:  # a serialiser of the user's may raise anything
            raise UnfitValueError([f"cannot be written as JSON: {error}"]) from error
        return data


def _adapter_of(kind: Any) -> "TypeAdapter[Any]":
    # Few stages have steps of such types, and the module takes time.
    from pydantic import TypeAdapter

    try:
        adapter = TypeAdapter(kind)
        adapter.rebuild(raise_errors=True)
    except Exception as error:  # a type that pydantic does not know, a name that is not defined, a type of the user's
        raise ValueError(f"{kind!r} cannot be kept as JSON: say returns=, or answer JSON ({error})") from error
    return adapter


@lru_cache(maxsize=512)
def _kept_type(kind: Any) -> ResultType:
    return ResultType(kind)


def result_type(kind: Any) -> ResultType:
    """The writer and reader of *kind*, made once.

    Raises:
        ValueError: pydantic knows no such type.
    """
    try:
        hash(kind)
    except TypeError:  # an annotation with a list in it, for instance
        return ResultType(kind)
    return _kept_type(kind)
