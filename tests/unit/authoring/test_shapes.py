"""The same code has the same shape: in every process, and under every pydantic."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypeAlias, TypeVar
from uuid import UUID

import pytest
from annotated_types import Interval, Len, Predicate
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    AnyUrl,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Json,
    JsonValue,
    SecretStr,
    StringConstraints,
    Tag,
    UrlConstraints,
    WithJsonSchema,
    condecimal,
    conlist,
    constr,
    create_model,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypeAliasType, TypedDict

from workflow_engine.authoring.shapes import shape_of
from workflow_engine.authoring.structure import shape_digest

ItemT = TypeVar("ItemT")
Models: TypeAlias = tuple[type[BaseModel], type[BaseModel]]


class Colour(Enum):
    RED = "r"
    BLUE = "b"


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    weight: Decimal = Field(max_digits=5, decimal_places=2)


class Page(BaseModel, Generic[ItemT]):
    items: list[ItemT]


class Row(TypedDict, total=False):
    a: int
    b: NotRequired[str]


@dataclass
class Plain:
    x: int
    y: list[str] = field(default_factory=list)


@pydantic_dataclass
class Checked:
    x: int = Field(gt=0)
    z: Annotated[str, Field(min_length=2)] = "ab"


class Pair(NamedTuple):
    a: int
    b: str = "x"


class Tree(BaseModel):
    children: list["Tree"] = []


class Thing:
    """A type that pydantic knows nothing of."""


Nested = TypeAliasType("Nested", "dict[str, Nested] | int")
OrderId = NewType("OrderId", int)
Price = condecimal(max_digits=3, gt=Decimal(1))


def kept(value: Any) -> Any:
    return value


class Everything(BaseModel, arbitrary_types_allowed=True, extra="forbid"):
    literal: Literal["de", "en"]
    union: Cat | Dog | None
    told_apart: Annotated[Cat | Dog, Field(discriminator="kind")]
    tagged: Annotated[Annotated[Cat, Tag("c")] | Annotated[Dog, Tag("d")], Discriminator(kept)]
    decimal: Decimal = Decimal("1.10")
    price: Price  # type: ignore[valid-type]
    colour: Colour
    page: Page[Cat]
    row: Row
    plain: Plain
    checked: Checked
    pair: Pair
    tree: Tree
    nested: Nested
    order: OrderId = OrderId(1)
    json_value: JsonValue
    parsed: Json[list[int]]
    text: constr(pattern="^a", min_length=1)  # type: ignore[valid-type]
    stripped: Annotated[str, StringConstraints(strip_whitespace=True, max_length=3)]
    numbers: conlist(int, min_length=1)  # type: ignore[valid-type]
    few: Annotated[list[Annotated[int, Field(gt=0, description="prose")]], Len(1, 3)]
    between: Annotated[int, Interval(gt=1, lt=5), Predicate(partial(kept))]
    finite: Annotated[float, Field(allow_inf_nan=False, strict=True)]
    checked_after: Annotated[str, AfterValidator(kept), BeforeValidator(lambda value: value)]
    secret: SecretStr
    at: AwareDatetime
    pause: timedelta = timedelta(1)
    id: UUID = Field(default_factory=UUID)
    aliased: int = Field(alias="An", multiple_of=2)
    somewhere: str = Field(validation_alias=AliasChoices("one", AliasPath("two", 0)))  # type: ignore[pydantic-alias]
    thing: Thing


def test_a_shape_is_the_same_under_every_pydantic_and_python() -> None:
    # Seen with pydantic 2.11 to 2.14, whose JSON schemas of this model all differ. Where this turns
    # red, every run in flight is compared with the stored structure once, and its values are asked.
    assert shape_digest(Everything) == "d6pwijd5b6cv"


IN_ANOTHER_ORDER = """
from decimal import Decimal
from enum import Enum
from typing import Annotated, Generic, Literal, TypeVar, Union
from pydantic import AnyUrl, BaseModel, UrlConstraints, WithJsonSchema, create_model
from workflow_engine.authoring.structure import shape_digest
class A(BaseModel):
    a: int
class B(BaseModel):
    b: Decimal
T = TypeVar("T")
class Page(BaseModel, Generic[T]):
    items: list[T]
CODES = {"de", "en", "fr", "es", "it"}
Languages = Literal[tuple(CODES)]
Either = Union[tuple({A, B, str, None})]
Names = Enum("Names", {code: code for code in CODES})
fields = {code: (str, ...) for code in CODES}
print(shape_digest(create_model("Made", **fields, languages=(Languages, ...), either=(Either, ...), names=(Names, ...),
    pages=(Page[Either], ...), more=(list[Page[Languages]], ...),
    link=(Annotated[AnyUrl, UrlConstraints(allowed_schemes=list(CODES))], ...),
    shown=(Annotated[str, WithJsonSchema({"enum": list(CODES)})], ...))))
"""


def test_a_shape_is_the_same_in_every_process() -> None:
    seeds = ("0", "1", "2", "3", "4")
    environments = [{**os.environ, "PYTHONHASHSEED": seed} for seed in seeds]
    command = [sys.executable, "-c", IN_ANOTHER_ORDER]
    printed = {subprocess.run(command, env=env, check=True, capture_output=True).stdout for env in environments}
    assert len(printed) == 1


def made(annotation: Any, default: Any = ...) -> type[BaseModel]:
    model: type[BaseModel] = create_model("Made", field=(annotation, default))
    return model


ALIKE: Mapping[str, Models] = {
    "literal": (made(Literal["a", "b"]), made(Literal["b", "a"])),
    "union": (made(int | str), made(str | int)),
    "constraints": (made(Annotated[int, Field(gt=0, lt=9)]), made(Annotated[int, Field(lt=9), Field(gt=0)])),
    "default": (made(int, 1), made(int, 2)),
    "prose": (made(int), made(Annotated[int, Field(description="prose", title="T", examples=[3])])),
    "schema for readers": (made(int), made(Annotated[int, WithJsonSchema({"type": "integer"})])),
    "order of choices": (
        made(Annotated[AnyUrl, UrlConstraints(allowed_schemes=["a", "b"])]),
        made(Annotated[AnyUrl, UrlConstraints(allowed_schemes=["b", "a"])]),
    ),
}


@pytest.mark.parametrize("models", ALIKE.values(), ids=list(ALIKE))
def test_what_changes_no_value_changes_no_shape(models: Models) -> None:
    assert shape_digest(models[0]) == shape_digest(models[1])


UNLIKE: Mapping[str, Models] = {
    "literal": (made(Literal["a", "b"]), made(Literal["a", "c"])),
    "type of a literal": (made(Literal[1]), made(Literal["1"])),
    "union": (made(int | str), made(int | None)),
    "default": (made(int), made(int, 1)),
    "type": (made(Decimal), made(float)),
    "bound": (made(Annotated[int, Field(gt=0)]), made(Annotated[int, Field(gt=1)])),
    "kind of bound": (made(Annotated[int, Field(gt=0)]), made(Annotated[int, Field(ge=0)])),
    "pattern": (made(Annotated[str, Field(pattern="a")]), made(Annotated[str, Field(pattern="b")])),
    "parameter": (made(Page[int]), made(Page[str])),
    "container": (made(list[int]), made(set[int])),
    "tuple": (made(tuple[int, ...]), made(tuple[int, int])),
    "alias": (made(Annotated[int, Field(alias="a")]), made(Annotated[int, Field(alias="b")])),
    "choices": (
        made(Annotated[AnyUrl, UrlConstraints(allowed_schemes=["a"])]),
        made(Annotated[AnyUrl, UrlConstraints(allowed_schemes=["b"])]),
    ),
    "model": (made(Cat), made(Dog)),
    "dataclass": (made(Plain), made(Checked)),
    "TypedDict": (made(Row), made(dict[str, int])),
    "enum": (made(Colour), made(str)),
    "extra": (create_model("M", x=(int, ...)), create_model("M", __config__=ConfigDict(extra="forbid"), x=(int, ...))),
    "name": (create_model("M", x=(int, ...)), create_model("M", y=(int, ...))),
}


@pytest.mark.parametrize("models", UNLIKE.values(), ids=list(UNLIKE))
def test_what_changes_the_values_changes_the_shape(models: Models) -> None:
    assert shape_digest(models[0]) != shape_digest(models[1])


def test_a_change_deep_inside_changes_the_shape() -> None:
    def tree(leaf: Any) -> type[BaseModel]:
        inner = create_model("Inner", leaf=(leaf, ...))
        return create_model("Outer", inner=(dict[str, list[inner | None]], ...))

    assert shape_digest(tree(int)) == shape_digest(tree(int)) != shape_digest(tree(str))


def test_two_classes_of_one_name_are_told_apart() -> None:
    first, second = create_model("Same", a=(int, ...)), create_model("Same", b=(int, ...))
    both = create_model("Both", one=(first, ...), two=(second, ...))
    assert len(shape_of(both)["Same"]) == 2
