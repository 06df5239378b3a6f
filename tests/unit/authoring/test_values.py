"""What is written can be read, and a value that does not survive JSON is refused where it is made."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Json,
    computed_field,
    field_serializer,
    field_validator,
)

from workflow_engine.authoring.values import NOTHING, UnfitValueError, dump, load, load_object


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
    assert load_object(Aliased, {"wordCount": 3, "type": "x"}) == load_object(Aliased, {"word_count": 3, "kind": "x"})


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


def test_the_next_stage_gets_what_was_written_not_what_was_returned() -> None:
    words = Words()
    words.count = "3"  # type: ignore[assignment]
    assert dump(Words, words) == (b'{"count":"3"}', Words(count=3))


class Words(BaseModel):
    count: int = 0


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
        load_object(Strict, value)


def test_a_model_comes_in_as_its_json() -> None:
    assert load_object(Strict, Strict(pause=timedelta(1))) == Strict(pause=timedelta(1))
