"""The machine's own clock, and its randomness under one roof with it. The one place that reads time."""

from datetime import UTC, datetime

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
        instant = datetime.now(UTC)
        return instant.replace(microsecond=instant.microsecond // 1000 * 1000)
