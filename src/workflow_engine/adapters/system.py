"""The machine's own clock, and its randomness under one roof with it. The one place that reads time."""

from datetime import UTC, datetime
from time import time_ns

from typing_extensions import override

from workflow_engine.ports.clock import Clock
from workflow_engine.ports.identity import RandomIds

__all__ = ["RandomIds", "SystemClock"]


class SystemClock(Clock):
    """The time of this machine, cut to milliseconds.

    That is what a head stores, so that an instant read back equals the one that was written.
    """

    @override
    def now(self) -> datetime:
        # One object instead of two: the engine looks at the clock several times a stage.
        return datetime.fromtimestamp(time_ns() // 1_000_000 / 1000, UTC)
