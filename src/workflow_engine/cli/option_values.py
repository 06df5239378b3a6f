"""Reads what options say: NAME=VALUE, JSON, durations, times. Pure."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from workflow_engine.errors import InvalidCommandError
from workflow_engine.local.errors import InvalidOptionError, shortened
from workflow_engine.model.json_values import to_json
from workflow_engine.model.problems import problems_of

Model = TypeVar("Model", bound=BaseModel)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def pairs(option: str, texts: Sequence[str] | None) -> dict[str, str]:
    """``NAME=VALUE`` texts by name.

    Raises:
        InvalidOptionError: one has no name, or no ``=``, or a name is there twice.
    """
    found: dict[str, str] = {}
    for name, value in pair_list(option, texts):
        if name in found:
            raise InvalidOptionError(option=option, problem=f"{shortened(name)} is given twice")
        found[name] = value
    return found


def pair_list(option: str, texts: Sequence[str] | None) -> list[tuple[str, str]]:
    """``NAME=VALUE`` texts in their order; a name may be there twice.

    Raises:
        InvalidOptionError: one has no name, or no ``=``.
    """
    found: list[tuple[str, str]] = []
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidOptionError(option=option, problem=f"{shortened(text)} is not NAME=VALUE")
        found.append((name, value))
    return found


def json_pairs(option: str, texts: Sequence[str] | None) -> dict[str, Any]:
    """``NAME=JSON`` texts by name; a value that is no JSON is a text."""
    return {name: json_or_text(value) for name, value in pairs(option, texts).items()}


def json_or_text(text: str) -> Any:
    """The value that *text* is in JSON, or else *text* itself: ``3`` is a number, ``abc`` a text."""
    try:
        return _json(text)
    except ValueError:
        return text


def json_value(option: str, text: str) -> Any:
    """The value that *text* is in JSON.

    Raises:
        InvalidOptionError: it is no JSON, or none that a run can carry: a number beyond all bounds.
    """
    try:
        return _json(text)
    except ValueError as error:
        raise InvalidOptionError(option=option, problem=f"is no JSON: {error}") from error


def _json(text: str) -> Any:
    value = from_json(text, allow_inf_nan=False)
    # 1e400 is read as infinity all the same.
    to_json(value)
    return value


def json_object(option: str, text: str | None) -> dict[str, Any]:
    """The object that *text* is in JSON; empty for none.

    Raises:
        InvalidOptionError: it is no JSON, or no object.
    """
    value = {} if text is None else json_value(option, text)
    if not isinstance(value, dict):
        raise InvalidOptionError(option=option, problem="is no JSON object")
    return value


def duration(option: str, text: str) -> timedelta:
    """``90s``, ``15m``, ``2h``, ``7d``, or several together: ``1h30m``.

    Raises:
        InvalidOptionError: it is none.
    """
    squeezed = text.strip()
    total, end = timedelta(0), 0
    try:
        for match in _DURATION.finditer(squeezed):
            if match.start() != end:
                break
            total, end = total + float(match[1]) * _UNITS[match[2]], match.end()
    except OverflowError:  # beyond 2.7 million years
        end = 0
    if end == 0 or end != len(squeezed):
        raise InvalidOptionError(option=option, problem=f"{shortened(text)} is no duration such as 90s, 15m, 2h, 7d")
    return total


def instant(option: str, text: str, now: datetime) -> datetime:
    """An ISO time (without a zone: UTC), or how long ago: ``2h``.

    Raises:
        InvalidOptionError: it is neither.
    """
    try:
        return _time(text) or now - duration(option, text)
    except (InvalidOptionError, OverflowError):  # before the year 1, after 9999
        problem = f"{shortened(text)} is no time such as 2026-01-31T12:00, and no duration such as 2h"
        raise InvalidOptionError(option=option, problem=problem) from None


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def valid(model: type[Model], **fields: Any) -> Model:
    """The command of *fields*.

    Raises:
        InvalidCommandError: a field is too long, has letters that it may not have, and so on.
    """
    try:
        return model(**fields)
    except ValidationError as error:
        raise InvalidCommandError(problems=problems_of(error)) from error


def took(span: timedelta) -> str:
    """A duration as a reader takes it: ``350 ms``, ``1.2 s``, ``3 min 5 s``, ``2 h 10 min``."""
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"


def one_or_many(run: str | None, workflow: str | None, rate: float) -> None:
    """Refuse what is neither one *run* nor many of a *workflow*, *rate* a second.

    Raises:
        InvalidOptionError: it is both, or neither, or the rate is no number.
    """
    if (run is None) == (workflow is None):
        raise InvalidOptionError(option="RUN", problem="name one run, or choose many with --workflow")
    if not rate > 0:  # nan is neither above nor below
        raise InvalidOptionError(option="--rate", problem="is no number")
