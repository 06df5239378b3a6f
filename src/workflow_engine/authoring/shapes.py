"""What the values of a type look like, as a description that the same code gives everywhere.

Made from the annotations themselves: a JSON schema says the same thing otherwise in each release of
pydantic. Whatever has no order of its own (the members of a union, a Literal or an Enum, fields,
constraints) is sorted, since a set goes through its members in another order in each process. Names
of modules, prose and defaults are left out: they change no value.
"""

import dataclasses
import json
import types
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    NotRequired,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import GroupedMetadata
from pydantic import AliasChoices, AliasPath, BaseModel
from pydantic.fields import FieldInfo
from typing_extensions import is_typeddict

# Of a model's config, what decides which values it takes.
_DECIDING = (
    "extra",
    "strict",
    "str_max_length",
    "str_min_length",
    "str_strip_whitespace",
    "str_to_lower",
    "str_to_upper",
    "coerce_numbers_to_str",
    "allow_inf_nan",
)
_MARKS = (Required, NotRequired, types.MappingProxyType)
# What is said to a schema for readers: by a validator, and in pydantic's classes that say nothing else.
_PROSE = ("json_schema_input_type",)
_PROSE_ALONE = ("WithJsonSchema", "Examples", "SkipJsonSchema")
# In the text of an object that has none of its own.
_ADDRESS = " at 0x"


def shape_of(model: type[BaseModel]) -> Mapping[str, Any]:
    """The shape of *model*, as JSON-compatible values: that of its fields, and of each model in them.

    Models are named by their classes, *model* itself by nothing.
    """
    reader = _Reader(model)
    reader.named(model)
    return {name: sorted(shapes, key=_text) for name, shapes in sorted(reader.found.items())}


class _Reader:
    """Describes types, and once each what may refer to itself."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._seen: set[int] = set()
        self.found: dict[str, list[Any]] = {}

    def named(self, described: Any) -> Any:
        """A reference to a class with fields, or to an alias; its shape is among those found."""
        name = "" if described is self._root else self._name(described)
        if id(described) not in self._seen:
            self._seen.add(id(described))
            shapes = self.found.setdefault(name, [])
            shapes.append(self._fields(described))
        return {"is": name}

    def annotation(self, annotation: Any) -> Any:
        """The shape of what is so annotated."""
        if annotation is None or annotation is types.NoneType:
            return "None"
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self._constrained(self.annotation(arguments[0]), arguments[1:])
        if origin is Literal:
            return {"literal": _sorted(_plain(value) for value in arguments)}
        if origin in (Union, types.UnionType):
            return {"union": _sorted(self.annotation(member) for member in _members(annotation))}
        if origin in _MARKS:
            return self.annotation(arguments[0])
        if origin is not None and not _has_fields(annotation):
            return {"of": [self.annotation(origin), [self._argument(argument) for argument in arguments]]}
        return self._class(annotation)

    def _name(self, described: Any) -> str:
        """What a class is called; a parametrised model by its parameters' shapes, since its own name
        has the members of a union in the order that a set gave."""
        generic = getattr(described, "__pydantic_generic_metadata__", None) or {}
        if generic.get("origin") is None:
            return str(described.__name__)
        return f"{generic['origin'].__name__}{_text([self.annotation(argument) for argument in generic['args']])}"

    def _class(self, annotation: Any) -> Any:
        if isinstance(annotation, TypeVar):
            return self.annotation(annotation.__bound__ or Any)
        if isinstance(annotation, NewType):
            return self.annotation(annotation.__supertype__)
        if hasattr(annotation, "__value__"):  # a `type` statement, or what pydantic writes so
            return _name_of(annotation) if _is_pydantic(annotation) else self.named(annotation)
        if isinstance(annotation, type) and issubclass(annotation, Enum):
            return {"enum": _sorted(_plain(member.value) for member in annotation)}
        return self.named(annotation) if _has_fields(annotation) else _name_of(annotation)

    def _argument(self, argument: Any) -> Any:
        if argument is ...:
            return "..."
        return [self.annotation(one) for one in argument] if isinstance(argument, list) else self.annotation(argument)

    def _constrained(self, shape: Any, metadata: Iterable[Any]) -> Any:
        constraints = _sorted(_constraint(one) for one in _leaves(metadata))
        return {"constrained": [shape, constraints]} if constraints else shape

    def _fields(self, described: Any) -> Any:
        if hasattr(described, "__value__"):
            return self.annotation(described.__value__)
        config = getattr(described, "model_config", None) or getattr(described, "__pydantic_config__", None) or {}
        deciding = {key: _plain(config[key]) for key in _DECIDING if key in config}
        # A model and a pydantic dataclass have these; whatever else has fields has annotations.
        fields = getattr(described, "__pydantic_fields__", None)
        if fields is not None:
            return {"config": deciding, "fields": {name: self._field(field) for name, field in fields.items()}}
        hints = {name: self.annotation(hint) for name, hint in _hints(described).items()}
        return {"config": deciding, "fields": hints, "required": _required(described)}

    def _field(self, field: FieldInfo) -> Any:
        shape = self._constrained(self.annotation(field.annotation), field.metadata)
        found: dict[str, Any] = {"type": shape, "required": field.is_required()}
        if field.validation_alias is not None:
            found["alias"] = _alias(field.validation_alias)
        if field.discriminator is not None:
            found["discriminator"] = _plain(field.discriminator)
        return found


def _has_fields(annotation: Any) -> bool:
    if not isinstance(annotation, type):
        return False
    if issubclass(annotation, BaseModel) or is_typeddict(annotation) or dataclasses.is_dataclass(annotation):
        return True
    return issubclass(annotation, tuple) and hasattr(annotation, "_fields")


def _hints(described: Any) -> Mapping[str, Any]:
    try:
        return get_type_hints(described, include_extras=True)
    except Exception:  # an annotation is evaluated: it may raise anything
        return {name: str(hint) for name, hint in getattr(described, "__annotations__", {}).items()}


def _required(described: Any) -> list[str]:
    """Which fields of a TypedDict, a dataclass or a named tuple must be there."""
    if is_typeddict(described):
        return sorted(described.__required_keys__)
    if dataclasses.is_dataclass(described):
        missing = dataclasses.MISSING
        fields = dataclasses.fields(described)
        return sorted(field.name for field in fields if field.default is missing and field.default_factory is missing)
    return [name for name in described._fields if name not in described._field_defaults]


def _members(union: Any) -> Iterable[Any]:
    for member in get_args(union):
        if get_origin(member) in (Union, types.UnionType):
            yield from _members(member)
        else:
            yield member


def _leaves(metadata: Iterable[Any]) -> Iterable[Any]:
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from _leaves(one.metadata)
            if one.discriminator is not None:
                yield {"discriminator": one.discriminator}
        elif isinstance(one, GroupedMetadata):
            yield from _leaves(one)
        elif one is not None and not _is_prose(one):
            yield one


def _is_prose(one: Any) -> bool:
    return type(one).__name__ in _PROSE_ALONE and _is_pydantic(type(one))


def _constraint(one: Any) -> Any:
    """A constraint by its facts: how it is shown has addresses in it. Its class counts where it has a
    function, or nothing else to say: pydantic gives a pattern and the like another in each release."""
    if isinstance(one, dict):
        return {key: _plain(value) for key, value in one.items()}
    facts = {key: _fact(value) for key, value in _facts(one).items() if value is not None and key not in _PROSE}
    named = not facts or any(callable(value) for value in _facts(one).values())
    return [type(one).__name__ if named else "", facts]


def _fact(value: Any) -> Any:
    """What a constraint holds; several of it are choices (the schemes of a URL), in whatever order."""
    return _plain(frozenset(value) if _are_choices(value) else value)


def _are_choices(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str | int) for item in value)


def _facts(one: Any) -> Mapping[str, Any]:
    if isinstance(one, type) or callable(one):
        return {"is": one}
    if dataclasses.is_dataclass(one):
        return {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    return {key: value for key, value in getattr(one, "__dict__", {}).items() if not key.startswith("_")}


def _plain(value: Any) -> Any:
    """*value*, or what says as much of it, as JSON-compatible values."""
    if isinstance(value, Enum):
        return [type(value).__name__, value.name]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return _sorted(_plain(item) for item in value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, type | types.FunctionType | types.MethodType | types.BuiltinFunctionType):
        return _name_of(value)
    # Of anything else its text, unless that is the usual one, with an address in it.
    text = str(value)
    return [type(value).__name__, "" if _ADDRESS in text else text]


def _alias(alias: str | AliasPath | AliasChoices) -> Any:
    if isinstance(alias, AliasChoices):
        return [_alias(choice) for choice in alias.choices]
    return list(alias.path) if isinstance(alias, AliasPath) else alias


def _name_of(described: Any) -> str:
    name = getattr(described, "__qualname__", None) or getattr(described, "__name__", None)
    if isinstance(name, str):
        return name
    text = str(described)
    return type(described).__name__ if _ADDRESS in text else text


def _is_pydantic(described: Any) -> bool:
    return str(getattr(described, "__module__", "")).partition(".")[0] == "pydantic"


def _sorted(shapes: Iterable[Any]) -> list[Any]:
    """Each once, in an order of their own."""
    return [json.loads(text) for text in sorted({_text(shape) for shape in shapes})]


def _text(shape: Any) -> str:
    return json.dumps(shape, sort_keys=True, separators=(",", ":"))
