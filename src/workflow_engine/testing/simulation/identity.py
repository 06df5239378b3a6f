"""The time of one simulated process: a clock of its own, which may be wrong."""

from collections.abc import Callable
from datetime import datetime, timedelta

from typing_extensions import override

from workflow_engine.ports.clock import Clock


class ProcessClock(Clock):
    """The world's time, off by *skew*, in whole milliseconds as heads store it."""

    def __init__(self, now: Callable[[], datetime], skew: timedelta = timedelta(0)) -> None:
        self._now, self._skew = now, skew

    @override
    def now(self) -> datetime:
        instant = self._now() + self._skew
        return instant.replace(microsecond=instant.microsecond // 1000 * 1000)
