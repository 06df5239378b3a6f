"""What a stage notes is kept, bounded, and never forges or fails anything."""

import json
from datetime import UTC, datetime
from typing import Any, NoReturn
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr
from typing_extensions import override

from workflow_engine import InvalidInputError, PayloadTooLargeError
from workflow_engine.authoring.journal import MAX_ANNOTATIONS_PER_ATTEMPT, Journal
from workflow_engine.model.json_values import to_json
from workflow_engine.model.limits import (
    MAX_ANNOTATION_BYTES,
    MAX_LOG_MESSAGE_BYTES,
    MAX_LOGS_PER_ATTEMPT,
)
from workflow_engine.testing.clock import START, FakeClock


@pytest.fixture
def journal() -> Journal:
    return Journal(FakeClock().now)


def logged_fields(journal: Journal, **fields: Any) -> Any:
    journal.log("info", "m", fields)
    return journal.lines[-1].fields


def test_a_line_says_when_how_bad_what_and_the_rest(journal: Journal) -> None:
    journal.log("warning", "slow", {"seconds": 3})
    (line,) = journal.lines
    assert (line.at, line.level, line.message, line.fields) == (START, "WARNING", "slow", {"seconds": 3})


def test_a_message_with_line_breaks_stays_one_line_of_data(journal: Journal) -> None:
    journal.log("info", 'ok"}\n{"level": "ERROR"', {})
    (line,) = journal.lines
    assert b"\n" not in to_json(line.message)
    assert json.loads(to_json(line.message)) == line.message


def test_a_long_message_is_cut_and_says_so(journal: Journal) -> None:
    journal.log("info", "ä" * MAX_LOG_MESSAGE_BYTES, {})
    (line,) = journal.lines
    assert len(line.message.encode()) <= MAX_LOG_MESSAGE_BYTES
    assert line.message.endswith(f"(cut, {2 * MAX_LOG_MESSAGE_BYTES} bytes)")


def test_a_message_of_just_the_limit_is_not_cut(journal: Journal) -> None:
    journal.log("info", "a" * MAX_LOG_MESSAGE_BYTES, {})
    assert journal.lines[0].message == "a" * MAX_LOG_MESSAGE_BYTES


def test_a_message_that_is_no_text_is_shown_as_what_it_is(journal: Journal) -> None:
    message: Any = ValueError("x")
    journal.log("info", message, {})
    assert journal.lines[0].message == "ValueError('x')"


class Plain(BaseModel):
    a: int = 1


class Unspeakable:
    @override
    def __repr__(self) -> NoReturn:
        raise RuntimeError


def test_fields_become_their_nearest_json(journal: Journal) -> None:
    loop: list[Any] = []
    loop.append(loop)
    fields = logged_fields(
        journal,
        model=Plain(),
        when=datetime(2030, 1, 1, tzinfo=UTC),
        id=UUID(int=0),
        nan=float("nan"),
        thing=object,
        mute=Unspeakable(),
        loop=loop,
        surrogate="\ud800",
        data=b"\xff",
    )
    assert fields["model"] == {"a": 1}
    assert fields["when"] == "2030-01-01T00:00:00Z"
    assert fields["id"] == str(UUID(int=0))
    assert fields["nan"] == "nan"
    assert fields["thing"] == "<class 'object'>"
    assert fields["mute"] == "<Unspeakable without a repr>"
    assert fields["surrogate"] == "\\ud800"
    to_json(dict(fields))


@pytest.mark.parametrize("number", [10**5000, -(10**5000), [10**5000]], ids=["endless", "below", "inside"])
def test_numbers_that_no_store_keeps_fail_no_stage_that_logs_them(journal: Journal, number: Any) -> None:
    fields = logged_fields(journal, number=number)
    assert isinstance(fields["number"], str)


def test_what_is_logged_is_not_read_for_that(journal: Journal) -> None:
    rows = (number for number in range(3))
    fields = logged_fields(journal, rows=rows, nested={"rows": [rows]}, pairs=zip([1], strict=True))
    assert list(rows) == [0, 1, 2]
    assert "generator" in fields["rows"]
    assert "generator" in fields["nested"]["rows"][0]
    assert "zip object" in fields["pairs"]


def look_up(_: object) -> NoReturn:
    raise SystemExit


# What it stands for is looked up at each access, and is not there now.
Proxy: Any = type("Proxy", (), {"__class__": property(look_up), "__repr__": look_up, "__str__": look_up})


class Odd(int):
    @override
    def __abs__(self) -> NoReturn:
        raise RuntimeError


def test_a_thing_that_says_nothing_of_itself_fails_no_stage_that_logs_it(journal: Journal) -> None:
    thing = Proxy()
    journal.log(thing, thing, {"thing": thing, "odd": Odd(3)})
    journal.report(0.5, thing)
    (line,) = journal.lines
    said = "<Proxy without a repr>"
    assert (line.level, line.message, line.fields) == (said[:16].upper(), said, {"thing": said, "odd": 3})


class Shy(int):
    @override
    def __str__(self) -> NoReturn:
        raise RuntimeError


def test_a_level_that_says_nothing_fails_no_stage(journal: Journal) -> None:
    level: Any = Shy(20)
    journal.log(level, "m", {})
    assert journal.lines[0].level == "20"


@given(st.dictionaries(st.text(), st.text() | st.binary() | st.floats() | st.lists(st.integers()), max_size=20))
def test_whatever_the_fields_are_they_are_json_of_bounded_size(fields: dict[str, Any]) -> None:
    journal = Journal(FakeClock().now)
    journal.log("info", "m", fields)
    assert len(to_json(dict(journal.lines[0].fields))) < 3 * MAX_LOG_MESSAGE_BYTES


def test_fields_beyond_8_kb_are_left_out_by_name(journal: Journal) -> None:
    fields = logged_fields(journal, first="a" * 5000, second=["b" * 5000], third=3)
    assert fields["first"] == "a" * 5000
    assert fields["second"].startswith("(left out: 50")
    assert fields["third"] == 3


def test_a_line_keeps_a_hundred_fields(journal: Journal) -> None:
    assert len(logged_fields(journal, **{f"f{number}": number for number in range(101)})) == 100


def test_lines_beyond_the_limit_are_counted_and_dropped(journal: Journal) -> None:
    for number in range(MAX_LOGS_PER_ATTEMPT + 7):
        journal.log("info", str(number), {})
    assert len(journal.lines) == MAX_LOGS_PER_ATTEMPT + 1
    assert journal.lines[-2].message == str(MAX_LOGS_PER_ATTEMPT - 1)
    assert journal.lines[-1].fields == {"dropped": 7}


def test_the_last_progress_counts(journal: Journal) -> None:
    journal.report(0.2, "reading")
    journal.report(0.5, "writing")
    assert journal.progress is not None
    assert (journal.progress.fraction, journal.progress.message) == (0.5, "writing")


@pytest.mark.parametrize(("told", "kept"), [(-1, 0.0), (1.0000001, 1.0), (1, 1.0), (10**400, 1.0), (-(10**400), 0.0)])
def test_progress_beyond_the_ends_is_the_end(journal: Journal, told: float, kept: float) -> None:
    journal.report(told, "")
    assert journal.progress is not None
    assert journal.progress.fraction == kept


def test_progress_that_is_no_number_is_refused(journal: Journal) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        journal.report(float("nan"), "")


def test_an_annotation_is_a_copy_of_what_was_given(journal: Journal) -> None:
    sources = ["a"]
    journal.annotate("sources", sources)
    sources.append("b")
    assert [(note.key, note.value) for note in journal.notes] == [("sources", ["a"])]


def test_a_model_is_annotated_as_its_json(journal: Journal) -> None:
    journal.annotate("model", Plain())
    assert journal.notes[0].value == {"a": 1}


class Login(BaseModel):
    password: SecretStr


@pytest.mark.parametrize("value", [Login(password=SecretStr("x")), {"logins": [Login(password=SecretStr("x"))]}])
def test_a_model_that_would_not_come_back_is_no_annotation(journal: Journal, value: Any) -> None:
    with pytest.raises(InvalidInputError, match="password"):
        journal.annotate("login", value)


def test_models_within_an_annotation_are_their_json(journal: Journal) -> None:
    journal.annotate("models", {"all": [Plain(), Plain(a=2)]})
    assert journal.notes[0].value == {"all": [{"a": 1}, {"a": 2}]}


def test_an_annotation_of_just_the_limit_is_kept_and_one_byte_more_is_refused(journal: Journal) -> None:
    journal.annotate("big", "a" * (MAX_ANNOTATION_BYTES - 2))
    with pytest.raises(PayloadTooLargeError) as refused:
        journal.annotate("bigger", "a" * (MAX_ANNOTATION_BYTES - 1))
    assert refused.value.size_bytes == MAX_ANNOTATION_BYTES + 1
    assert [note.key for note in journal.notes] == ["big"]


@pytest.mark.parametrize("value", [object(), float("nan"), "\ud800", {1, 2}])
def test_an_annotation_that_is_not_json_is_refused(journal: Journal, value: Any) -> None:
    with pytest.raises(InvalidInputError):
        journal.annotate("key", value)


@pytest.mark.parametrize("key", ["", "a" * 257, "\ud800", 3, None])
def test_a_key_that_cannot_be_stored_is_refused(journal: Journal, key: Any) -> None:
    with pytest.raises(InvalidInputError):
        journal.annotate(key, 1)


def test_an_attempt_keeps_a_bounded_number_of_annotations(journal: Journal) -> None:
    for _ in range(MAX_ANNOTATIONS_PER_ATTEMPT):
        journal.annotate("key", 1)
    with pytest.raises(InvalidInputError, match="1000"):
        journal.annotate("key", 1)
