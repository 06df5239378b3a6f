"""Whether what comes back from JSON is what went in; where not, the field and why.

Equal is not enough: a model may have an ``__eq__`` of its own, ``Decimal(1) == 1.0``, and what a
subclass adds is not compared. And it is too much: two zones' datetimes of one instant may be unequal.
"""

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, JsonValue, Secret, SecretBytes, SecretStr

from workflow_engine.model.problems import problem_at

Path: TypeAlias = tuple[object, ...]

ANOTHER = "would come back as another value"
SECRET = "is a secret, which is not stored: keep it in a secret store, and pass what it is found by"
EXCLUDED = "is left out of JSON (exclude=True), and would be lost"
PRIVATE = "is a private attribute, which is not stored: make it a field, or leave it as it is made"
NOT_FINITE = "is not finite, which JSON cannot hold"
_ABSENT = object()
_SECRETS = (SecretStr, SecretBytes, Secret)
_NUMBERS = (bool, int, float)
# Not ``time``: one in a zone whose offset depends on the day is written, and equal, without its zone.
_LEAVES = frozenset(
    (str, int, float, bool, bytes, NoneType, datetime, date, timedelta, UUID, Decimal, *PurePath.__subclasses__())
)
# What holds nothing but JSON's own types, since pydantic makes them of whatever it is given.
_JSON = (JsonValue,)
# Of these and others in one union, equal values may be of two types, and which comes back is a guess.
_EQUAL_TO_OTHERS = (Decimal, set, frozenset, Enum)
# What makes two equal collections do different things.
_BESIDE = ("maxlen", "default_factory")
_CONTAINERS = (list, dict, set, frozenset, tuple)


def loss(value: object, back: object) -> str | None:
    """What *value* loses where it comes back as *back*: the field, and why; ``None`` if nothing."""
    if isinstance(value, BaseModel) and type(value) is type(back) and _is_plain(type(value)) and _equal(value, back):
        return None
    return _difference(value, back, ())


@lru_cache(maxsize=1024)
def _is_plain(model: type[BaseModel]) -> bool:
    """Whether ``==`` says all there is to say of two instances of *model*: for most it does, and is
    ten times as fast as looking at each field."""
    return _plain_model(model, set())


def _plain_model(model: type[BaseModel], seen: set[type]) -> bool:
    if model in seen:
        return True
    seen.add(model)
    if (
        model.__eq__ is not BaseModel.__eq__
        or model.__private_attributes__
        or model.model_config.get("extra") == "allow"
    ):
        return False
    return all(_plain_type(field.annotation, seen) for field in model.model_fields.values())


def _plain_type(annotation: Any, seen: set[type]) -> bool:
    if annotation is None or annotation in _LEAVES or annotation in _JSON:
        return True
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _plain_type(arguments[0], seen)
    if origin is Literal:
        return True
    if origin in (Union, UnionType):
        several = [_bare(member) for member in arguments if member is not NoneType]
        doubtful = len(several) > 1 and any(_equals_others(member) for member in several)
        return not doubtful and all(_plain_type(member, seen) for member in arguments)
    if origin in _CONTAINERS:
        return all(argument is ... or _plain_type(argument, seen) for argument in arguments)
    if not isinstance(annotation, type):
        return False
    return issubclass(annotation, Enum) or (issubclass(annotation, BaseModel) and _plain_model(annotation, seen))


def _equals_others(member: Any) -> bool:
    return isinstance(member, type) and issubclass(member, _EQUAL_TO_OTHERS)


def _bare(annotation: Any) -> Any:
    """What is constrained, or contains: ``set`` of ``set[int]``."""
    origin = get_origin(annotation)
    return _bare(get_args(annotation)[0]) if origin is Annotated else origin or annotation


def _difference(value: Any, back: Any, path: Path) -> str | None:
    if value is back:
        return None
    if isinstance(value, BaseModel) and isinstance(back, BaseModel):
        return _of_models(value, back, path)
    if type(value) is not type(back):
        return _of_types(value, back, path)
    if type(value) in _LEAVES and not isinstance(value, float | datetime):
        return None if _equal(value, back) else problem_at(path, ANOTHER)
    for kind, compare in _BY_KIND:
        if isinstance(value, kind):
            return compare(value, back, path)
    if dataclasses.is_dataclass(value) or _is_equal_to_itself_alone(type(value)):
        return _of_objects(value, back, path)
    return None if _equal(value, back) else problem_at(path, ANOTHER)


def _of_models(value: BaseModel, back: BaseModel, path: Path) -> str | None:
    given, kept = type(value), type(back)
    if given is not kept:
        if not issubclass(given, kept):
            return problem_at(path, f"is a {given.__name__} and would come back as a {kept.__name__}")
        added = [name for name in given.model_fields if name not in kept.model_fields]
        if added:
            lost = ", ".join(added)
            return problem_at(path, f"is a {given.__name__}, declared as {kept.__name__}, which does not keep {lost}")
    for name, field in kept.model_fields.items():
        one, other = value.__dict__.get(name, _ABSENT), back.__dict__.get(name, _ABSENT)
        if isinstance(one, Enum) and kept.model_config.get("use_enum_values"):
            one = one.value  # a default, which pydantic leaves as it is
        found = _difference(one, other, (*path, name))
        if found is not None:
            return problem_at((*path, name), EXCLUDED) if field.exclude else found
    found = _of_mappings(value.__pydantic_extra__ or {}, back.__pydantic_extra__ or {}, path)
    return found or _of_private(value.__pydantic_private__ or {}, back.__pydantic_private__ or {}, path)


def _of_private(value: Mapping[str, Any], back: Mapping[str, Any], path: Path) -> str | None:
    for name in (*value, *(name for name in back if name not in value)):
        one, other = value.get(name, _ABSENT), back.get(name, _ABSENT)
        # A lock or a client is made anew with the model: it has no value that could be lost.
        is_made = type(one) is type(other) and _is_equal_to_itself_alone(type(one))
        if not is_made and _difference(one, other, ()) is not None:
            return problem_at((*path, name), PRIVATE)
    return None


def _of_types(value: Any, back: Any, path: Path) -> str | None:
    alike = isinstance(value, type(back)) or isinstance(back, type(value))
    numbers = isinstance(value, _NUMBERS) and isinstance(back, _NUMBERS)
    if (alike or numbers) and not isinstance(value, Enum) and _equal(value, back):
        return None
    if isinstance(value, _SECRETS):
        return problem_at(path, SECRET)
    if isinstance(value, float) and not math.isfinite(value):
        return problem_at(path, NOT_FINITE)
    if value is _ABSENT or back is _ABSENT:
        return problem_at(path, ANOTHER)
    return problem_at(path, f"is a {type(value).__name__} and would come back as a {type(back).__name__}")


def _of_floats(value: float, back: float, path: Path) -> str | None:
    if value == back or (math.isnan(value) and math.isnan(back)):
        return None
    return problem_at(path, ANOTHER)


def _of_instants(value: datetime, back: datetime, path: Path) -> str | None:
    # Aware datetimes of two zones are unequal where the hour is there twice (PEP 495).
    aware = value.tzinfo is not None and back.tzinfo is not None
    same = value.astimezone(UTC) == back.astimezone(UTC) if aware else value == back
    return None if same else problem_at(path, ANOTHER)


def _of_secrets(value: Any, back: Any, path: Path) -> str | None:
    return None if _equal(value.get_secret_value(), back.get_secret_value()) else problem_at(path, SECRET)


def _of_mappings(value: Mapping[Any, Any], back: Mapping[Any, Any], path: Path) -> str | None:
    if len(value) != len(back) or _beside(value) != _beside(back):
        return problem_at(path, ANOTHER)
    keys = {key: key for key in back}
    for key, item in value.items():
        if key not in back or _difference(key, keys[key], path) is not None:
            return problem_at((*path, key), "would come back under another key")
        found = _difference(item, back[key], (*path, key))
        if found is not None:
            return found
    return None


def _beside(value: Any) -> list[Any]:
    return [getattr(value, name, None) for name in _BESIDE]


def _of_times(value: time, back: time, path: Path) -> str | None:
    zones = (value.tzinfo is None) == (back.tzinfo is None)
    return None if zones and value == back else problem_at(path, ANOTHER)


def _of_sequences(value: Sequence[Any], back: Sequence[Any], path: Path) -> str | None:
    if len(value) != len(back) or _beside(value) != _beside(back):
        return problem_at(path, ANOTHER)
    for index, (one, other) in enumerate(zip(value, back, strict=True)):
        found = None if one is other else _difference(one, other, (*path, index))
        if found is not None:
            return found
    return None


def _of_sets(value: Set[Any], back: Set[Any], path: Path) -> str | None:
    kinds = {type(item) for item in value} == {type(item) for item in back}
    return None if kinds and value == back else problem_at(path, ANOTHER)


def _of_objects(value: Any, back: Any, path: Path) -> str | None:
    """Those that are equal to themselves alone, by what they hold."""
    one, other = _held(value), _held(back)
    if not one:
        return problem_at(path, "cannot be compared with what would come back")
    return _of_mappings(one, other, path)


def _held(value: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, _ABSENT) for field in dataclasses.fields(value)}
    slots = (name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()))
    return {**{name: getattr(value, name, _ABSENT) for name in slots}, **getattr(value, "__dict__", {})}


def _is_equal_to_itself_alone(kind: Any) -> bool:
    return bool(kind.__eq__ is object.__eq__)


def _equal(value: Any, back: Any) -> bool:
    try:
        return bool(value == back)
    except Exception:  # an __eq__ of the user's, or an array's, which answers no truth
        return False


_BY_KIND: tuple[tuple[Any, Callable[[Any, Any, Path], str | None]], ...] = (
    (list | tuple | deque, _of_sequences),
    (Mapping, _of_mappings),
    (float, _of_floats),
    (datetime, _of_instants),
    (time, _of_times),
    (_SECRETS, _of_secrets),
    (Set, _of_sets),
)
