"""What goes in comes out as it was, or is refused with the field that would not."""

import math
import re
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag, StrEnum
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    PlainSerializer,
    PrivateAttr,
    RootModel,
    SecretBytes,
    SecretStr,
    SerializeAsAny,
    computed_field,
    field_serializer,
    field_validator,
)
from typing_extensions import TypedDict, override

from workflow_engine.errors import UnstorableValueError
from workflow_engine.model.commands import CreateRun, SignalRun
from workflow_engine.model.json_values import sent
from workflow_engine.model.values import NOTHING, UnfitValueError, dump, fixed, load


class Aliased(BaseModel):
    model_config = ConfigDict(extra="forbid")
    word_count: int = Field(alias="wordCount")
    kind: str = Field(default="k", serialization_alias="Kind", validation_alias="type")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def doubled(self) -> int:
        return 2 * self.word_count


def test_aliases_and_computed_fields_survive() -> None:
    data, back = dump(Aliased, Aliased(wordCount=3))
    assert data == b'{"word_count":3,"kind":"k"}'
    assert back == load(Aliased, data) == Aliased(wordCount=3)


def test_a_user_may_write_aliases_or_names() -> None:
    assert load(Aliased, b'{"wordCount":3,"type":"x"}') == load(Aliased, b'{"word_count":3,"kind":"x"}')


class Nested(BaseModel):
    inner: list[Aliased]
    raw: Json[list[int]]
    pause: timedelta


def test_nested_models_json_fields_and_durations_survive() -> None:
    value = Nested(inner=[Aliased(wordCount=1)], raw="[1,2]", pause=timedelta(seconds=1.5))  # type: ignore[arg-type]
    assert dump(Nested, value)[1] == value


def test_no_model_means_none() -> None:
    assert dump(None, None) == (NOTHING, None)
    assert load(None, b"anything") is None
    with pytest.raises(UnfitValueError, match="expected None, got int"):
        dump(None, 3)


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    pause: timedelta = timedelta(0)
    ratio: float = 0.0
    text: str = ""


@pytest.mark.parametrize("value", [3, None, {"pause": 1}, Nested])
def test_an_output_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(UnfitValueError, match="expected Strict, got"):
        dump(Strict, value)


@pytest.mark.parametrize(
    "value",
    [
        Strict(ratio=float("nan")),
        Strict(text="\ud800"),
        Strict.model_construct(text=3),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_an_output_that_does_not_survive_json_is_refused(value: Strict) -> None:
    with pytest.raises(UnfitValueError):
        dump(Strict, value)


class Lossy(BaseModel):
    day: int

    @field_serializer("day")
    def show(self, day: int) -> str:
        return f"day {day}"


def test_an_output_that_is_written_as_something_else_is_refused() -> None:
    with pytest.raises(UnfitValueError, match="day: Input should be a valid integer"):
        dump(Lossy, Lossy(day=3))


class Broken(BaseModel):
    key: str

    @field_validator("key")
    @classmethod
    def look_up(cls, key: str) -> str:
        known: dict[str, str] = {}
        return known[key]


def test_a_validator_that_breaks_is_no_crash_and_shows_no_value() -> None:
    with pytest.raises(UnfitValueError) as refused:
        load(Broken, b'{"key":"secret"}')
    assert str(refused.value) == "a validator of Broken raised KeyError"


@pytest.mark.parametrize("value", [{"ratio": float("inf")}, {"text": "\ud800"}, {"text": {1}}])
def test_what_is_not_json_does_not_come_in(value: dict[str, Any]) -> None:
    with pytest.raises(UnfitValueError):
        sent(value)


def test_a_model_comes_in_as_its_json_wherever_it_is() -> None:
    assert sent({"a": [Strict(pause=timedelta(1))], "b": 1}) == b'{"a":[{"pause":"P1D","ratio":0.0,"text":""}],"b":1}'


ItemT = TypeVar("ItemT")


class Language(StrEnum):
    DE = "de"


class Level(IntEnum):
    LOW = 1


class Colour(Enum):
    RED = "r"


class Mode(IntFlag):
    A = 1
    B = 2


@dataclass
class Point:
    x: float
    tags: list[str] = field(default_factory=list)


class Pair(NamedTuple):
    a: int
    b: str


class Row(TypedDict):
    n: int


class Page(BaseModel, Generic[ItemT]):
    items: list[ItemT]


class Ids(RootModel[list[int]]):
    pass


class Anything(BaseModel):
    value: Any


def holding(annotation: Any, value: Any, **config: Any) -> BaseModel:
    class Holder(BaseModel):
        model_config = ConfigDict(**config)  # type: ignore[typeddict-item]
        value: annotation

    return Holder(value=value)


BERLIN = ZoneInfo("Europe/Berlin")
CARRIED: dict[str, BaseModel] = {
    "int beyond 2**53": holding(int, 2**80 + 1),
    "negative zero": holding(float, -0.0),
    "smallest float": holding(float, 5e-324),
    "int in a float": holding(int | float, 1),
    "float in an int or float": holding(int | float, 1.0),
    "bytes": holding(bytes, b"abc"),
    "any bytes as base64": holding(bytes, b"\xff\x00", ser_json_bytes="base64", val_json_bytes="base64"),
    "decimal": holding(Decimal, Decimal("1.100")),
    "decimal or none": holding(Decimal | None, Decimal("1e30")),
    "infinity as text": holding(float, math.inf, ser_json_inf_nan="strings"),
    "nan as text": holding(float, math.nan, ser_json_inf_nan="strings"),
    "zone": holding(datetime, datetime(2026, 7, 1, 12, tzinfo=BERLIN)),
    "an hour that is there twice": holding(datetime, datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)),
    "odd offset": holding(datetime, datetime(1890, 1, 1, tzinfo=timezone(timedelta(minutes=53)))),
    "naive": holding(datetime, datetime(2026, 1, 1, 1, 1, 1, 123456, tzinfo=UTC).replace(tzinfo=None)),
    "date or datetime": holding(date | datetime, datetime(2026, 1, 1, 1, tzinfo=UTC)),
    "time": holding(time, time(1, 2, 3, 4)),
    "time in a zone": holding(time, time(1, tzinfo=timezone(timedelta(hours=2)))),
    "negative duration": holding(timedelta, timedelta(days=-3, microseconds=1)),
    "set": holding(set[int], {3, 1}),
    "frozenset of tuples": holding(frozenset[tuple[int, str]], frozenset({(1, "a")})),
    "tuple": holding(tuple[int, ...], (1, 2)),
    "dict by int": holding(dict[int, str], {1: "a"}),
    "dict by enum": holding(dict[Colour, UUID], {Colour.RED: UUID(int=1)}),
    "enum": holding(Colour | None, Colour.RED),
    "flags": holding(Mode, Mode.A | Mode.B),
    "literal": holding(Literal["a", 1], 1),
    "dataclass": holding(Point, Point(1.5, ["a"])),
    "named tuple": holding(Pair, Pair(1, "a")),
    "typed dict": holding(Row, {"n": 1}),
    "generic": holding(Page[Decimal], Page[Decimal](items=[Decimal(1)])),
    "root": Ids([1, 2]),
    "path": holding(Path, Path("/a/b")),
    "pattern": holding(re.Pattern[str], re.compile("a+")),
    "counter": holding(Counter[str], Counter("aab")),
    "deque": holding(deque[int], deque([1, 2])),
    "anything that is JSON": Anything(value={"a": [1, None, "x", {"b": 1.5}], "": True}),
    "control characters": holding(str, "\x00\u2028\ufffe\U0001f600"),
}


@pytest.mark.parametrize("value", CARRIED.values(), ids=list(CARRIED))
def test_it_comes_out_as_it_was(value: BaseModel) -> None:
    data, back = dump(type(value), value)
    assert repr(load(type(value), data)) == repr(back)
    assert back is not None
    assert dump(type(value), back)[0] == data


class Flags(BaseModel):
    shown: int = 1
    hidden: str = Field(default="", exclude=True)


class Caching(BaseModel):
    n: int = 1
    _cache: dict[str, int] = PrivateAttr(default_factory=dict)
    _lock: Any = PrivateAttr(default_factory=Lock)


class Mine(BaseModel):
    id: int
    text: str = Field(default="", exclude=True)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mine) and other.id == self.id

    __hash__ = None  # type: ignore[assignment]


class Base(BaseModel):
    n: int = 0


class Extended(Base):
    more: str = "m"


class Renamed(Base):
    """Adds nothing that could be lost."""


class Open(BaseModel, extra="allow"):
    n: int = 0


class Crossed(BaseModel):
    model_config = ConfigDict(validate_by_name=True)
    a: int = Field(alias="b")
    b: int = Field(alias="a")


class Defaulted(BaseModel):
    """pydantic leaves the default a member, and reads values."""

    model_config = ConfigDict(use_enum_values=True)
    colour: Colour = Colour.RED
    language: Language | str = Language.DE
    more: Any = None


class Left(BaseModel):
    n: int = 0


class Right(BaseModel):
    n: int = 0
    m: int = 0


def changed(value: BaseModel, name: str, to: Any) -> BaseModel:
    """*value* with a field that nobody validated."""
    setattr(value, name, to)
    return value


COUNTER = count()
Numbered = Annotated[int, AfterValidator(lambda value: value + next(COUNTER) + 1)]
Rounded = Annotated[float, PlainSerializer(lambda value: round(value, 2))]
Folded = Annotated[str, AfterValidator(str.casefold)]

REFUSED: dict[str, tuple[BaseModel, str]] = {
    "secret": (holding(SecretStr, "hunter2"), "value: is a secret"),
    "secret bytes, deep inside": (holding(dict[str, list[SecretBytes]], {"k": [b"hunter2"]}), "value.k.0: is a secret"),
    "nan": (holding(float, math.nan), "value: is not finite"),
    "nan or none": (holding(float | None, math.nan), "value: is not finite"),
    "infinity in a list": (holding(list[float | None], [1.0, -math.inf]), "value.1: is not finite"),
    "nan as a constant": (holding(float, math.nan, ser_json_inf_nan="constants"), "value: is not finite"),
    "nan in anything": (Anything(value={"a": [math.nan]}), "value.a.0: is not finite"),
    "excluded": (Flags(hidden="x"), "hidden: is left out of JSON (exclude=True), and would be lost"),
    "excluded, in a model with an eq of its own": (Mine(id=1, text="x"), "text: is left out of JSON"),
    "private": (changed(Caching(), "_cache", {"a": 1}), "_cache: is a private attribute"),
    "subclass": (Extended(), "value: is a Extended, declared as Base, which does not keep more"),
    "subclass inside": (holding(list[Base], [Base(), Extended()]), "value.1: is a Extended, declared as Base"),
    "another member": (
        holding(Annotated[Left | Right, Field(union_mode="left_to_right")], Right()),
        "value: is a Right",
    ),
    "date in anything": (
        Anything(value={"at": [date(2026, 1, 1)]}),
        "value.at.0: is a date and would come back as a str",
    ),
    "tuple in anything": (Anything(value=(1, 2)), "value: is a tuple and would come back as a list"),
    "int as a key of anything": (Anything(value={1: 2}), "value.1: would come back under another key"),
    "model in anything": (Anything(value=Base()), "value: is a Base and would come back as a dict"),
    "decimal or text": (holding(str | Decimal, Decimal("1.5")), "value: is a Decimal and would come back as a str"),
    "extra": (Open(at=date(2026, 1, 1)), "at: is a date and would come back as a str"),  # type: ignore[call-arg]
    "crossed aliases": (Crossed(a=1, b=2), "a: would come back as another value"),
    "lone surrogate": (holding(list[str], ["a", "\ud800"]), "value.1: holds a lone surrogate"),
    "bytes that are no text": (holding(bytes, b"\xff"), "value: holds bytes that are not UTF-8"),
    "object": (Anything(value={"a": object()}), "value.a: cannot be written as JSON"),
    "rounded": (holding(Rounded, 1.234), "value: would come back as another value"),
    "validator that adds": (holding(Numbered, 1), "value: would come back as another value"),
    "never validated": (changed(Base(), "n", "3"), "n: is a str and would come back as a int"),
    "serialised as any": (holding(SerializeAsAny[Base], Extended()), "value: is a Extended, declared as Base"),
    "flags of a pattern": (holding(re.Pattern[str], re.compile("a", re.I)), "value: would come back as another value"),
    "dataclass": (holding(Point, Point(math.nan)), "value.x: is not finite"),
    "enum or text": (holding(Language | str, Language.DE), "value: is a Language and would come back as a str"),
    "enum or int": (holding(int | Level, Level.LOW), "value: is a Level and would come back as a int"),
    "enum in anything": (Anything(value={"a": Language.DE}), "value.a: is a Language and would come back as a str"),
    "enum as a key of anything": (Anything(value={Language.DE: 1}), "value.de: would come back under another key"),
    "time in a zone with summers": (holding(time, time(1, tzinfo=BERLIN)), "value: would come back as another value"),
    "deque with an end": (holding(deque[int], deque([1], maxlen=2)), "value: would come back as another value"),
    "defaults of one's own": (
        holding(defaultdict[str, list[int]], defaultdict(lambda: [7])),
        "value: would come back as another value",
    ),
    "signalling nan": (changed(holding(Decimal, 1), "value", Decimal("sNaN")), "value: Input should be a finite"),
    "number that nobody reads": (holding(list[int], [1, 10**4300]), "value.1: is a number of more than 4,300 digits"),
}


@pytest.mark.parametrize(("value", "problem"), REFUSED.values(), ids=list(REFUSED))
def test_it_is_refused_with_the_field_that_would_not(value: BaseModel, problem: str) -> None:
    model = Base if isinstance(value, Base) else type(value)
    with pytest.raises(UnfitValueError) as refused:
        dump(model, value)
    assert refused.value.problems[0].startswith(problem)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "value",
    [
        Renamed(n=3),
        holding(list[Base], [Renamed(n=3)]),
        Flags(),
        Mine(id=1),
        Caching(),
        holding(SecretStr, ""),
        Open(more=[1, {"a": None}]),  # type: ignore[call-arg]
        holding(Folded, "ABC"),
        changed(holding(float, 1.0), "value", 1),
        changed(holding(str, ""), "value", Language.DE),
        Defaulted(),
    ],
    ids=str,
)
def test_what_loses_nothing_is_carried(value: BaseModel) -> None:
    model = Base if isinstance(value, Base) else type(value)
    assert dump(model, value)[1] is not None


def test_a_serialiser_that_reveals_a_secret_carries_it() -> None:
    class Account(BaseModel):
        password: SecretStr

        @field_serializer("password")
        def reveal(self, password: SecretStr) -> str:
            return password.get_secret_value()

    data, back = dump(Account, Account(password=SecretStr("hunter2")))
    assert data == b'{"password":"hunter2"}'
    assert back == Account(password=SecretStr("hunter2"))


def test_a_class_of_ones_own_is_compared_by_what_it_holds() -> None:
    class Money:
        def __init__(self, cents: int) -> None:
            self.cents = cents

    read = BeforeValidator(lambda value: value if isinstance(value, Money) else Money(value))
    exact = Annotated[Money, read, PlainSerializer(lambda money: money.cents)]
    lossy = Annotated[Money, read, PlainSerializer(lambda money: money.cents // 100 * 100)]
    carried = holding(exact, Money(199), arbitrary_types_allowed=True)
    assert dump(type(carried), carried)[0] == b'{"value":199}'
    refused = holding(lossy, Money(199), arbitrary_types_allowed=True)
    with pytest.raises(UnfitValueError, match=r"value\.cents: would come back as another value"):
        dump(type(refused), refused)


class Tree(BaseModel):
    branches: list["Tree"] = []


def test_a_value_that_holds_itself_is_refused() -> None:
    tree = Tree()
    tree.branches.append(tree)
    with pytest.raises(UnfitValueError, match=r"branches\.0\.branches"):
        dump(Tree, tree)


def test_numbers_that_cannot_be_compared_are_refused() -> None:
    value = holding(Annotated[Decimal, Field(allow_inf_nan=True)], 1)
    with pytest.raises(UnfitValueError, match="value: would come back as another value"):
        dump(type(value), changed(value, "value", Decimal("sNaN")))


class Stamped(BaseModel):
    number: int = Field(default_factory=lambda: next(COUNTER))


def test_what_is_sent_is_fixed_with_the_defaults_of_that_moment() -> None:
    data, value = fixed(Stamped, b"{}")
    assert load(Stamped, data) == load(Stamped, data) == value


def test_a_model_in_a_command_is_carried_or_refused() -> None:
    config: Any = {"a": Base(n=1)}
    command = CreateRun(workflow_id="w", input=Aliased(wordCount=3), config=config)  # type: ignore[arg-type]
    assert (command.input, command.config) == ({"word_count": 3, "kind": "k"}, {"a": {"n": 1}})
    for value in (Anything(value=math.nan), holding(SecretStr, "hunter2")):
        with pytest.raises(UnstorableValueError, match="value: ") as refused:
            SignalRun(run_id="r", name="n", payload=value)  # type: ignore[arg-type]
        assert "hunter2" not in str(refused.value)
