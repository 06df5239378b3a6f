"""Pure: what a head says is still to be done, and when somebody must look at it again (I2).

Jobs are never stored. They follow from the entries of ``active`` that nobody leases, so that any
wake-up finds what a crash left untold.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from workflow_engine.model import plans
from workflow_engine.model.limits import CLOCK_SKEW, MAX_KEPT_SIGNALS, ROOM_FOR_NAMES, ROOM_FOR_WAITS, WAKE_MARGIN
from workflow_engine.model.runs import USED_UP, Entry, EntryState, Head, WaitKind

_STARTS = (WaitKind.START, WaitKind.RETRY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """A stage to be woken: how its lease is to be taken, and when (``None``: now). *siblings* says of
    how many stages one is to have *signal*, *starts* that an attempt begins with the lease (and not
    the check or the handler of one that has begun). One that claims nothing (*enter*) is of the run: what of its group
    runs is to be decided, and the group entered."""

    ordinal: int
    claim: Literal["first", "due", "expired", "enter"]
    epoch: int
    attempt: int
    signal: str | None = None
    siblings: int = 1
    at: datetime | None = None
    starts: bool = False


def awaited_signals(head: Head) -> Mapping[int, str]:
    """The kept signals that waiting stages are to be woken with, by ordinal: each answers one wait,
    the oldest first."""
    free = _free_signals(head)
    found: dict[int, str] = {}
    for ordinal, entry in enumerate(head.active if free else ()):
        kept = free.get(entry.signal or "")
        if kept and entry.state is EntryState.WAITING and entry.wait is WaitKind.SIGNAL:
            found[ordinal] = kept.popleft()
    return found


def signal_for(head: Head, entry: Entry) -> str | None:
    """The kept signal that a lease on *entry* is about: the one that it has reserved, or, where there
    are no siblings, the oldest; ``None`` while none has come."""
    return free_signal(head, entry) if head.is_alone else entry.taken


def free_signal(head: Head, entry: Entry) -> str | None:
    """The oldest kept signal that *entry* waits for and no sibling has."""
    kept = _free_signals(head).get(entry.signal) if entry.signal else None
    return kept[0] if kept else None


def signals_limit(head: Head, name: str) -> int:
    """How many elements ``Head.signals`` may list for one more signal of *name* to be kept. What is used
    up takes no place; there is room of its own for the first of a name, and for one that a stage waits
    for, so that signals that nobody waits for keep no other out."""
    used = {entry.signal for entry in head.active if entry.state is EntryState.DONE} | {USED_UP}
    names = [element.partition("#")[0] for element in head.signals if element not in used]
    limit = MAX_KEPT_SIGNALS + len(head.signals) - len(names)
    come = awaited_signals(head)
    if any(
        entry.signal == name and entry.wait is WaitKind.SIGNAL and ordinal not in come
        for ordinal, entry in enumerate(head.active)
        if entry.state is EntryState.WAITING
    ):
        return limit + ROOM_FOR_NAMES + ROOM_FOR_WAITS
    return limit if name in names else limit + ROOM_FOR_NAMES


def _free_signals(head: Head) -> dict[str, deque[str]]:
    """The kept signals that nobody has reserved or used up, by name, oldest first."""
    free: dict[str, deque[str]] = defaultdict(deque)
    if not head.signals:
        return free
    taken = {element for entry in head.active for element in (entry.taken, entry.signal)}
    for element in head.signals:
        if element != USED_UP and element not in taken:
            free[element.partition("#")[0]].append(element)
    return free


def has_expired(entry: Entry, at: datetime) -> bool:
    """Whether a lease has ended, by a margin: the clock of its holder may be behind ours."""
    return entry.state is EntryState.LEASED and entry.until is not None and entry.until + CLOCK_SKEW < at


def _is_over(entry: Entry, signal: str | None, at: datetime) -> bool:
    """Whether a wait has ended, by time or by *signal*."""
    if entry.state is not EntryState.WAITING or entry.until is None:
        return False
    return signal is not None or entry.until <= at


def wake_for(head: Head, ordinal: int, at: datetime) -> Wake | None:
    """How the stage at *ordinal* can be claimed now; ``None`` where it cannot."""
    return _wake(head, ordinal, at, awaited_signals(head).get(ordinal))


def _wake(head: Head, ordinal: int, at: datetime, signal: str | None) -> Wake | None:
    if awaits_its_end(head):
        return None
    entry = head.active[ordinal]
    if entry.state is EntryState.READY:
        return Wake(ordinal=ordinal, claim="first", epoch=entry.epoch, attempt=entry.attempt, starts=True)
    if has_expired(entry, at):
        return Wake(ordinal=ordinal, claim="expired", epoch=entry.epoch, attempt=entry.attempt)
    if _is_over(entry, signal, at):
        siblings = len(head.active) if signal and not head.is_alone else 1
        return Wake(
            ordinal=ordinal,
            claim="due",
            epoch=entry.epoch,
            attempt=entry.attempt,
            signal=signal,
            siblings=siblings,
            starts=entry.wait in _STARTS,
        )
    return None


def sendable(head: Head, at: datetime) -> list[Wake]:
    """The stages that nobody holds and that could run now: unleased, expired or due."""
    if head.status.is_terminal:
        return []
    if head.is_undecided:
        return [] if head.enters_at is not None and head.enters_at > at else [_entering(head)]
    signals = awaited_signals(head)
    wakes = (_wake(head, ordinal, at, signals.get(ordinal)) for ordinal in range(len(head.active)))
    return [wake for wake in wakes if wake is not None]


def timers(head: Head, at: datetime) -> list[Wake]:
    """The stages that wait for a time that is not there yet."""
    if head.status.is_terminal or awaits_its_end(head):
        return []
    if head.is_undecided and head.enters_at is not None and head.enters_at > at:
        return [replace(_entering(head), at=head.enters_at)]
    signals = awaited_signals(head)
    return [
        Wake(
            ordinal=ordinal,
            claim="due",
            epoch=entry.epoch,
            attempt=entry.attempt,
            at=entry.until,
            starts=entry.wait in _STARTS,
        )
        for ordinal, entry in enumerate(head.active)
        if entry.state is EntryState.WAITING and not _is_over(entry, signals.get(ordinal), at)
    ]


def _entering(head: Head) -> Wake:
    return Wake(ordinal=0, claim="enter", epoch=head.base, attempt=1)


def awaits_its_end(head: Head) -> bool:
    """Whether the run's end is decided, and what holds a lease is waited for: nothing is begun any more."""
    return head.is_closing and not plans.is_closing(head.group)


def all_done(head: Head) -> bool:
    """Whether the group can be joined. A function of the head, so that any look at it finds out. What failed in
    undoing holds up nothing, nor what is skipped."""
    if awaits_its_end(head):
        return False
    if not head.is_closing:
        return bool(head.active) and are_done(head.active)
    return bool(head.active) and all(entry.state in (EntryState.DONE, EntryState.FAILED) for entry in head.active)


def are_done(active: Sequence[Entry]) -> bool:
    """Whether all of a group is done, or skipped."""
    return all(entry.state in (EntryState.DONE, EntryState.SKIPPED) for entry in active)


def _entries(head: Head, at: datetime, horizon: timedelta) -> list[datetime]:
    """When a tick must look at a run that stands before its group."""
    if not head.is_undecided:
        return []
    # Its own message comes first, and asks what is to be asked: a tick at that very moment would have it asked twice.
    return [head.enters_at + WAKE_MARGIN if head.enters_at is not None and head.enters_at > at else at + horizon]


def next_due(head: Head, at: datetime, horizon: timedelta) -> datetime | None:
    """When a tick must look again; ``None`` for a run that is over and has nothing to tell.

    *horizon* is the function's timeout + 60 s. A timer's own time is enough: if its wake-up is
    lost, the tick is it.
    """
    if head.status.is_terminal:
        return at + horizon if head.untold else None
    times = [head.ends_at]
    if awaits_its_end(head):
        # What waits and names a lease is of code that was not stopped under it.
        held = [entry.until for entry in head.active if entry.until is not None and entry.by]
        # Once none holds any more, whoever sees it goes on.
        times += [until + CLOCK_SKEW for until in held] or [at + horizon]
        return min([at + horizon, *times])
    times += _entries(head, at, horizon)
    signals = awaited_signals(head)
    for ordinal, entry in enumerate(head.active):
        if entry.state is EntryState.WAITING and not _is_over(entry, signals.get(ordinal), at):
            if entry.until is not None:
                times.append(entry.until)
        elif entry.state not in (EntryState.DONE, EntryState.FAILED, EntryState.SKIPPED):
            times.append(at + horizon)
    if head.untold or all_done(head):
        times.append(at + horizon)
    return min(times)
