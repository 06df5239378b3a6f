"""Instants as a head stores them: whole milliseconds, within what a datetime holds."""

from datetime import datetime, timedelta


def cut(instant: datetime) -> datetime:
    """The last whole millisecond that is not after *instant*: what a store keeps of it."""
    return instant - timedelta(microseconds=instant.microsecond % 1000)


def whole(instant: datetime) -> datetime:
    """The first whole millisecond that is not before *instant*.

    A head that is answered must equal the one that is read back: timers are named by their instants,
    and a name that differs by microseconds is another timer.
    """
    return instant + timedelta(microseconds=-instant.microsecond % 1000)


def after(instant: datetime, span: timedelta, limit: datetime) -> datetime:
    """*span* after *instant*, but not later than *limit*, however long *span* is."""
    return limit if span >= limit - instant else instant + span
