"""Instants as a head stores them: whole milliseconds."""

from datetime import datetime, timedelta


def whole(instant: datetime) -> datetime:
    """The first whole millisecond that is not before *instant*.

    A head that is answered must equal the one that is read back: timers are named by their instants,
    and a name that differs by microseconds is another timer.
    """
    return instant + timedelta(microseconds=-instant.microsecond % 1000)
