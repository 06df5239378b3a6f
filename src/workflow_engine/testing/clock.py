"""Time and ids that a test decides."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

from typing_extensions import override

from workflow_engine.ports.clock import Clock, IdSource

START = datetime(2030, 1, 1, tzinfo=UTC)
ID_LENGTH = 26
ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


class FakeClock(Clock):
    """A clock that stands still until it is told to move. May be read and moved by any thread."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start

    @override
    def now(self) -> datetime:
        return self._now

    def advance(self, duration: timedelta) -> datetime:
        """Move by *duration*, also backwards; answers the new time."""
        self._now += duration
        return self._now

    def set(self, instant: datetime) -> None:
        """Move to *instant*.

        Raises:
            ValueError: it has no time zone.
        """
        if instant.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        self._now = instant.astimezone(UTC)


class SequentialIds(IdSource):
    """Ids that count, in the alphabet and length of real ones: the same in every run of a test.

    Two sources in one test differ by their *seed* (0 to 2**60).
    """

    def __init__(self, seed: int = 0) -> None:
        # next() of a C iterator is atomic, so that threads share a source without a lock.
        self._numbers: Iterator[int] = count((seed << 65) + 1)

    @override
    def new_id(self) -> str:
        number, letters = next(self._numbers), ""
        while number:
            number, place = divmod(number, len(ID_LETTERS))
            letters = ID_LETTERS[place] + letters
        return letters.rjust(ID_LENGTH, ID_LETTERS[0])
