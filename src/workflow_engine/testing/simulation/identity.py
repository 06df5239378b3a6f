"""Time and ids of one simulated process: its own clock, which may be wrong, and ids that repeat with
the seed."""

from collections.abc import Callable
from datetime import datetime, timedelta

from typing_extensions import override

from workflow_engine.ports.clock import Clock, IdSource

ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


class ProcessClock(Clock):
    """The world's time, off by *skew*, in whole milliseconds as heads store it."""

    def __init__(self, now: Callable[[], datetime], skew: timedelta = timedelta(0)) -> None:
        self._now, self._skew = now, skew

    @override
    def now(self) -> datetime:
        instant = self._now() + self._skew
        return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


class ProcessIds(IdSource):
    """Ids of process *number*: they differ in their first 13 characters, which name an invocation."""

    def __init__(self, number: int) -> None:
        self._number, self._count = number, 0

    @override
    def new_id(self) -> str:
        self._count += 1
        value = (self._number << 32) | self._count
        letters = ""
        for _ in range(13):
            value, place = divmod(value, 32)
            letters = ID_LETTERS[place] + letters
        return letters.ljust(26, "z")
