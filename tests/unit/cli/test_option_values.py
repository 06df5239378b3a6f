"""What options say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from workflow_engine.cli import option_values
from workflow_engine.errors import InvalidCommandError
from workflow_engine.local.errors import InvalidOptionError
from workflow_engine.model.commands import CancelRun

NOW = datetime(2030, 1, 2, 12, tzinfo=UTC)


def test_pairs_keep_what_is_behind_the_first_equals_sign() -> None:
    assert option_values.pairs("--x", ["a=1=2", "b="]) == {"a": "1=2", "b": ""}


def test_the_same_name_may_be_in_a_list_of_pairs_twice() -> None:
    assert option_values.pair_list("--x", ["a=1", "a=2"]) == [("a", "1"), ("a", "2")]


@pytest.mark.parametrize("text", ["abc", "=1", ""])
def test_what_is_no_pair_is_refused_with_the_option_s_name(text: str) -> None:
    with pytest.raises(InvalidOptionError, match="--x"):
        option_values.pairs("--x", [text])


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("true", True), ('{"a":1}', {"a": 1}), ("abc", "abc"), ("NaN", "NaN"), ("", "")]
)
def test_a_value_is_json_or_else_a_text(text: str, value: Any) -> None:
    assert option_values.json_pairs("--x", [f"a={text}"]) == {"a": value}


@pytest.mark.parametrize("text", ["[1]", "1", "{", "{'a': 1}"])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidOptionError):
        option_values.json_object("--config", text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("1h30m", 5400), ("1.5s", 1.5), ("250ms", 0.25), ("2w", 1209600)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert option_values.duration("--x", text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5 parsecs", "5s?", "-5s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidOptionError, match="--x"):
        option_values.duration("--x", text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2030-01-01", datetime(2030, 1, 1, tzinfo=UTC)),
        ("2030-01-01T10:00+02:00", datetime(2030, 1, 1, 8, tzinfo=UTC)),
        ("2h", NOW - timedelta(hours=2)),
    ],
)
def test_an_instant_is_a_time_or_how_long_ago(text: str, at: datetime) -> None:
    assert option_values.instant("--since", text, NOW) == at


def test_what_is_no_instant_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="--since"):
        option_values.instant("--since", "yesterday", NOW)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.35, "350 ms"),
        (1.25, "1.2 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_a_duration_is_told_in_two_units_at_most(seconds: float, text: str) -> None:
    assert option_values.took(timedelta(seconds=seconds)) == text


def test_a_name_that_is_given_twice_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="given twice"):
        option_values.json_pairs("--attribute", ["a=1", "a=2"])


@pytest.mark.parametrize("text", ["9" * 30 + "w", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "3000000d"])
def test_a_time_beyond_the_calendar_is_none(text: str) -> None:
    with pytest.raises(InvalidOptionError, match="is no time"):
        option_values.instant("--since", text, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("text", ["1e400", '{"a": [1e400]}', "[" * 10_000, '"\\ud800"', "NaN", ""])
def test_what_no_run_can_carry_is_no_json(text: str) -> None:
    with pytest.raises(InvalidOptionError, match="is no JSON"):
        option_values.json_value("PAYLOAD", text)


def test_a_command_that_cannot_be_is_one_of_our_errors() -> None:
    with pytest.raises(InvalidCommandError, match="reason"):
        option_values.valid(CancelRun, run_id="run", reason="x" * 1001)
