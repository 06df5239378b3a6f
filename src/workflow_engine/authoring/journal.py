"""What a stage notes while it runs: log lines, progress, annotations. Buffered, no I/O, bounded.

The kernel takes the whole buffer when the attempt is over and writes it in batches.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic_core import from_json, to_jsonable_python

from workflow_engine.errors import InvalidInputError, PayloadTooLargeError
from workflow_engine.model.json_values import sent, to_json
from workflow_engine.model.limits import (
    MAX_ANNOTATION_BYTES,
    MAX_LOG_MESSAGE_BYTES,
    MAX_LOGS_PER_ATTEMPT,
)
from workflow_engine.model.texts import clean, name_of
from workflow_engine.model.values import UnfitValueError

# The engine's own: annotations say how a result came about, they do not carry it.
MAX_ANNOTATIONS_PER_ATTEMPT = 1000
MAX_ANNOTATION_KEY_CHARS = 256
_LONGEST_LEVEL = 16
# Python writes no int of thousands of digits; these have few.
_SMALL_INT = 1 << 64


@dataclass(frozen=True, slots=True)
class Line:
    """A log line. *fields* is JSON-compatible, whatever the stage gave."""

    at: datetime
    level: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is: *fraction* from 0 to 1."""

    at: datetime
    fraction: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """An annotation: *value* is JSON-compatible."""

    at: datetime
    key: str
    value: Any


class Journal:
    """Collects what one attempt notes. Times come from *now*.

    A stage that got stuck in a thread may still write to it after its attempt is over: what is
    taken by then (``lines``, ``notes``) are copies.
    """

    __slots__ = ("_dropped", "_lines", "_notes", "_now", "_progress")

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lines: list[Line] = []
        self._notes: list[Note] = []
        self._progress: Progress | None = None
        self._dropped = 0

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines in order; one more at the end says how many were dropped, where some were."""
        kept = tuple(self._lines)
        if not self._dropped:
            return kept
        said = f"{self._dropped} more lines were dropped: an attempt keeps {MAX_LOGS_PER_ATTEMPT}"
        return (*kept, Line(at=self._now(), level="WARNING", message=said, fields={"dropped": self._dropped}))

    @property
    def notes(self) -> tuple[Note, ...]:
        """The annotations in order."""
        return tuple(self._notes)

    @property
    def progress(self) -> Progress | None:
        """The last progress, if any was told."""
        return self._progress

    def forget(self) -> None:
        """Drop the lines and the annotations so far: an attempt before this one has kept them."""
        self._lines, self._notes, self._dropped = [], [], 0

    def log(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        """Add a line. What cannot be kept is changed, never refused: logging fails no stage.

        The message is cut at 8 KB, and so are the *fields*; a value that is not JSON becomes its
        nearest JSON form or its ``repr``.
        """
        if len(self._lines) >= MAX_LOGS_PER_ATTEMPT:
            self._dropped += 1
            return
        line = Line(
            at=self._now(),
            level=_named(level).upper()[:_LONGEST_LEVEL],
            message=_cut(_text(message)),
            fields=_kept_fields(fields),
        )
        self._lines.append(line)

    def report(self, fraction: float, message: str) -> None:
        """Remember how far the stage is; a *fraction* beyond 0 or 1 counts as that.

        Raises:
            ValueError: *fraction* is no finite number.
        """
        try:
            number = float(fraction)
        except OverflowError:  # an int that no float holds is far beyond 0 or 1
            number = 1.0 if fraction > 0 else 0.0
        if not math.isfinite(number):
            raise ValueError(f"progress must be a number from 0 to 1, not {fraction}")
        self._progress = Progress(self._now(), min(1.0, max(0.0, number)), _cut(_text(message)))

    def annotate(self, key: str, value: Any) -> None:
        """Note *value*, a model or JSON-compatible, under *key*.

        Raises:
            InvalidInputError: *key* is empty or above 256 characters, *value* is not JSON or would not
                come back from it, or the attempt has 1,000 annotations already.
            PayloadTooLargeError: the JSON of *value* is above 16 KB.
        """
        if len(self._notes) >= MAX_ANNOTATIONS_PER_ATTEMPT:
            raise InvalidInputError(
                what=f"annotation {key!r}", problems=[f"an attempt keeps {MAX_ANNOTATIONS_PER_ATTEMPT} annotations"]
            )
        self._notes.append(Note(at=self._now(), key=_checked_key(key), value=_checked_value(key, value)))


def _checked_key(key: Any) -> str:
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_ANNOTATION_KEY_CHARS or clean(key) != key:
        raise InvalidInputError(
            what="key of an annotation", problems=[f"must be UTF-8 text of 1 to {MAX_ANNOTATION_KEY_CHARS} characters"]
        )
    return clean(key)


def _checked_value(key: str, value: Any) -> Any:
    try:
        data = sent(value)
    except UnfitValueError as error:
        raise InvalidInputError(what=f"annotation {key!r}", problems=error.problems) from error
    if len(data) > MAX_ANNOTATION_BYTES:
        raise PayloadTooLargeError(what=f"annotation {key!r}", size_bytes=len(data), limit_bytes=MAX_ANNOTATION_BYTES)
    # A copy: the stage may go on changing what it gave.
    return from_json(data)


def _kept_fields(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    kept: dict[str, Any] = {}
    room = MAX_LOG_MESSAGE_BYTES
    for name, value in fields.items():
        plain, size = _plain(value)
        size += len(name.encode("utf-8", "backslashreplace"))
        if size > room:
            plain, size = f"(left out: {size} bytes)", 0
        kept[_cut(clean(name), limit=128)] = plain
        room -= size
        if len(kept) == 100:
            break
    return kept


def _plain(value: Any) -> tuple[Any, int]:
    """The nearest JSON form of *value*, and its size in bytes."""
    # What an object says of its own class may be anything.
    kind = type(value)
    if value is None or kind is bool or (kind is int and abs(value) < _SMALL_INT):
        return value, 8
    if issubclass(kind, str):
        text = _cut(clean(value))
        return text, len(text.encode())
    try:
        plain = to_jsonable_python(_unread(value), fallback=_represented)
        return plain, len(to_json(plain))
    except Exception:  # a user's serialiser or a cycle: a log line is not worth a failed stage
        text = _cut(_represented(value))
        return text, len(text.encode())


def _unread(value: Any) -> Any:
    """*value* with a text in the place of each iterator: what is logged is not read for that."""
    kind = type(value)
    if issubclass(kind, dict):
        return {key: _unread(item) for key, item in dict.items(value)}
    if kind in (list, tuple, set, frozenset):
        return [_unread(item) for item in value]
    return _represented(value) if hasattr(kind, "__next__") else value


def _text(message: object) -> str:
    return clean(message) if issubclass(type(message), str) else _represented(message)  # type: ignore[arg-type]


def _named(level: object) -> str:
    try:
        return clean(str(level))
    except KeyboardInterrupt:
        raise
    except BaseException:  # somebody's __str__ raises, or answers no text
        return _represented(level)


def _represented(value: object) -> str:
    try:
        return clean(repr(value))
    except KeyboardInterrupt:
        raise
    except BaseException:  # somebody's __repr__ raises: the type still says something
        return clean(f"<{name_of(type(value))} without a repr>")


def _cut(text: str, *, limit: int = MAX_LOG_MESSAGE_BYTES) -> str:
    if len(text) * 4 <= limit:  # no character takes more than four bytes
        return text
    data = text.encode()
    if len(data) <= limit:
        return text
    marker = f"… (cut, {len(data)} bytes)"
    return data[: limit - len(marker.encode())].decode(errors="ignore") + marker
