"""Pure: what a head says is still to be done, and when somebody must look at it again (I2).

Jobs are never stored. They follow from the entries of ``active`` that nobody leases, so that any
wake-up finds what a crash left untold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from workflow_engine.model.limits import CLOCK_SKEW
from workflow_engine.model.runs import Entry, EntryState, Head, WaitKind


@dataclass(frozen=True, slots=True)
class Wake:
    """A stage to be woken: how its lease is to be taken, and when (``None``: now)."""

    ordinal: int
    claim: Literal["first", "due", "expired"]
    epoch: int
    attempt: int
    signal: str | None = None
    at: datetime | None = None


def awaited_signal(head: Head, entry: Entry) -> str | None:
    """The kept signal that *entry* waits for, the oldest first; ``None`` while none has come."""
    if entry.signal is None:
        return None
    prefix = entry.signal + "#"
    return next((element for element in head.signals if element.startswith(prefix)), None)


def has_expired(entry: Entry, at: datetime) -> bool:
    """Whether a lease has ended, by a margin: the clock of its holder may be behind ours."""
    return entry.state is EntryState.LEASED and entry.until is not None and entry.until + CLOCK_SKEW < at


def is_over(head: Head, entry: Entry, at: datetime) -> bool:
    """Whether a wait has ended, by time or by signal."""
    if entry.state is not EntryState.WAITING or entry.until is None:
        return False
    signalled = entry.wait is WaitKind.SIGNAL and awaited_signal(head, entry) is not None
    return signalled or entry.until <= at


def wake_for(head: Head, ordinal: int, at: datetime) -> Wake | None:
    """How the stage at *ordinal* can be claimed now; ``None`` where it cannot."""
    entry = head.active[ordinal]
    if entry.state is EntryState.READY:
        return Wake(ordinal, "first", entry.epoch, entry.attempt)
    if has_expired(entry, at):
        return Wake(ordinal, "expired", entry.epoch, entry.attempt)
    if is_over(head, entry, at):
        signal = awaited_signal(head, entry) if entry.wait is WaitKind.SIGNAL else None
        return Wake(ordinal, "due", entry.epoch, entry.attempt, signal=signal)
    return None


def sendable(head: Head, at: datetime) -> list[Wake]:
    """The stages that nobody holds and that could run now: unleased, expired or due."""
    if head.status.is_terminal:
        return []
    wakes = (wake_for(head, ordinal, at) for ordinal in range(len(head.active)))
    return [wake for wake in wakes if wake is not None]


def timers(head: Head, at: datetime) -> list[Wake]:
    """The stages that wait for a time that is not there yet."""
    if head.status.is_terminal:
        return []
    return [
        Wake(ordinal, "due", entry.epoch, entry.attempt, at=entry.until)
        for ordinal, entry in enumerate(head.active)
        if entry.state is EntryState.WAITING and not is_over(head, entry, at)
    ]


def all_done(active: Sequence[Entry]) -> bool:
    """Whether the group can be joined. A function of the head, so that any look at it finds out."""
    return bool(active) and all(entry.state is EntryState.DONE for entry in active)


def next_due(head: Head, at: datetime, horizon: timedelta) -> datetime | None:
    """When a tick must look again; ``None`` for a run that is over and has nothing to tell.

    *horizon* is the function's timeout + 60 s. A timer's own time is enough: if its wake-up is
    lost, the tick is it.
    """
    if head.status.is_terminal:
        return at + horizon if head.untold else None
    times = [head.deadline]
    for entry in head.active:
        if entry.state is EntryState.WAITING and not is_over(head, entry, at):
            if entry.until is not None:
                times.append(entry.until)
        elif entry.state is not EntryState.DONE:
            times.append(at + horizon)
    if head.untold or all_done(head.active):
        times.append(at + horizon)
    return min(times)
