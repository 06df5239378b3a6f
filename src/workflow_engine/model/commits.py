"""The two kinds of head commit, and what an adapter answers to them.

``apply_shared`` is the meaning of a shared commit: the memory adapter runs it, an adapter of a
database says the same in the database's own conditions, and the contract suite compares the two.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from workflow_engine.model import plans
from workflow_engine.model.altering import altered
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import MAX_HEAD_EVENTS, MAX_KEPT_SIGNALS
from workflow_engine.model.runs import (
    USED_UP,
    Closing,
    Entry,
    EntryState,
    Head,
    IdempotencyRecord,
    KeptSignal,
    PendingEvent,
    RunFailure,
)
from workflow_engine.model.status import Status


@dataclass(frozen=True, slots=True)
class Exclusive:
    """Replace the head, conditioned on ``before.version``; ``before=None`` creates it.

    ``after.version`` is one more than before, and ``after.by`` names this commit: a refused one is
    ours after all if the head that refused it carries our ``by`` (an answer may be lost, and
    botocore may send a request twice).
    """

    before: Head | None
    after: Head
    idempotency: IdempotencyRecord | None = None


@dataclass(frozen=True, slots=True)
class ClaimFirst:
    """Take the first lease of a READY stage, under the base epoch *base*; where *required_status* is
    given, of a run that has it."""

    ordinal: int
    base: int
    until: datetime
    by: str
    required_status: Status | None = None


@dataclass(frozen=True, slots=True)
class ClaimDue:
    """Take a lease on a WAITING stage whose wait under *epoch* is over: it is *now* past, or
    *signal* (an element of ``Head.signals``) has come. Draws its epoch from the counter.

    In a group of several *siblings* the lease reserves the signal, unless one of them has it. Where
    *required_status* is given, the run must have it."""

    ordinal: int
    epoch: int
    until: datetime
    by: str
    now: datetime
    signal: str | None = None
    siblings: int = 1
    required_status: Status | None = None


@dataclass(frozen=True, slots=True)
class ClaimExpired:
    """Take over a lease under *epoch* that ended before *expired_before*. Draws its epoch and
    counts one lost lease."""

    ordinal: int
    epoch: int
    until: datetime
    by: str
    expired_before: datetime


@dataclass(frozen=True, slots=True)
class Extend:
    """Move the end of a lease under *epoch* to *until*: the heartbeat of a worker host."""

    ordinal: int
    epoch: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Reserve:
    """Reserve *signal* for a lease under *epoch* that was taken without it (the wait's time was over,
    or a dead worker's lease), unless one of the *siblings* has it."""

    ordinal: int
    epoch: int
    signal: str
    siblings: int


@dataclass(frozen=True, slots=True)
class Finish:
    """A stage of a larger group is done: *entry* is its DONE entry, under the lease's epoch."""

    ordinal: int
    epoch: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Hold:
    """A stage of a larger group waits: *entry* is its WAITING entry, under the lease's epoch. *used*
    is the signal that it has used up, as ``(place in Head.signals, element)``."""

    ordinal: int
    epoch: int
    entry: Entry
    used: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """A stage of a larger group failed for good, and with it the run: at once, or with *closing* once that is done.
    *entry* is its entry then: a lease whose code may still be at work stays one."""

    ordinal: int
    epoch: int
    failure: RunFailure
    by: str
    at: datetime
    closing: Closing | None = None
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the run: at once, or with *closing* once that is done. Conditioned on *base*, the epoch of the newest rerun
    as read: a cancel that was meant for the run before a rerun does not reach the rerun. And on that the run *closes*
    on a cancel, or does not, as it was read, unless that is ``None``."""

    base: int
    reason: str | None
    by: str
    at: datetime
    closing: Closing | None = None
    closes: bool | None = False


@dataclass(frozen=True, slots=True)
class Signal:
    """Keep a signal, once: its item if absent, and its element in the head, in one transaction, while
    fewer than *most* elements are listed."""

    kept: KeptSignal
    most: int = MAX_KEPT_SIGNALS


@dataclass(frozen=True, slots=True)
class Relieve:
    """Events that were told, or now lie in items of their own, leave the head: the first *elements*.

    *seen* is what ``told``, ``spilled`` and ``refusals`` were when that was decided. While they are,
    the front of the list is as it was, whatever siblings have added to its end.
    """

    seen: tuple[int, int, int]
    elements: int
    told: int
    spilled: int
    refusals: int


Claim: TypeAlias = ClaimFirst | ClaimDue | ClaimExpired
Outcome: TypeAlias = Finish | Hold | Fail
Change: TypeAlias = Claim | Extend | Reserve | Outcome | Cancel | Signal | Relieve


@dataclass(frozen=True, slots=True)
class Shared:
    """Change one thing in the head, conditioned on that thing alone and never on ``version``.

    Applies only while the run is live and in *group* (``None``: in any). Once its end is decided, no lease is taken
    in a group that goes forward, nothing ends it again, and it keeps no signal. Adds 1 to ``version``,
    appends *events*, leaves ``by`` alone, and never moves ``due_at`` later: it becomes the earlier
    of what it is and *due_at*. An outcome with events does not apply while the head has
    ``MAX_HEAD_EVENTS`` untold ones: somebody must take them out first.

    *due_seen* is what ``due_at`` was when this was decided: no condition, but a hint at which of "it
    must come nearer" and "it is near enough" a database is to try first.
    """

    run_id: RunId
    group: int | None
    change: Change
    events: tuple[PendingEvent, ...] = ()
    due_at: datetime | None = None
    idempotency: IdempotencyRecord | None = None
    due_seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """The commit was applied; *head* is what it left."""

    head: Head


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was changed; *head* stands in the way (``None``: there is none).

    *replay* is the record of the same idempotency key, where that is why.
    """

    head: Head | None
    replay: IdempotencyRecord | None = None


def apply_shared(head: Head, commit: Shared) -> Head | None:
    """The head after *commit*, or ``None`` where its condition does not hold."""
    if head.status.is_terminal or (commit.group is not None and head.group != commit.group):
        return None
    if not _fits(head, commit):
        return None
    if commit.events and isinstance(commit.change, Finish | Hold | Fail) and is_full(head):
        return None
    changed = _changed(head, commit.change)
    if changed is None:
        return None
    return altered(
        changed,
        version=head.version + 1,
        events=changed.events + commit.events,
        due_at=_earlier(head.due_at, commit.due_at),
    )


def _fits(head: Head, commit: Shared) -> bool:
    """Whether *commit* applies to a run that goes forward, or to one whose end is decided: there what holds a lease
    goes on, and undos are claimed."""
    change = commit.change
    if isinstance(change, ClaimFirst | ClaimDue | ClaimExpired):
        is_undo = commit.group is not None and plans.is_closing(commit.group)
        return is_undo == head.is_closing
    return not head.is_closing or not isinstance(change, Fail | Cancel | Signal)


def is_full(head: Head) -> bool:
    """Whether the head has so many untold events that no sibling's outcome may add to them."""
    return len(head.events) >= MAX_HEAD_EVENTS


def newest_base(head: Head) -> int:
    """The epoch that the newest rerun drew; 0 before the first."""
    return head.bases[-1][1]


def _earlier(current: datetime | None, wanted: datetime | None) -> datetime | None:
    if current is None or wanted is None:
        return current or wanted
    return min(current, wanted)


def _changed(head: Head, change: Change) -> Head | None:
    if isinstance(change, Cancel):
        return _cancelled(head, change)
    if isinstance(change, Signal):
        return _signalled(head, change)
    if isinstance(change, Relieve):
        return _relieved(head, change)
    if not 0 <= change.ordinal < len(head.active):
        return None
    entry = head.active[change.ordinal]
    if isinstance(change, ClaimFirst | ClaimDue | ClaimExpired):
        return _claimed(head, entry, change)
    if entry.state is not EntryState.LEASED or entry.epoch != change.epoch:
        return None
    return _changed_under_lease(head, entry, change)


def _changed_under_lease(head: Head, entry: Entry, change: Extend | Reserve | Outcome) -> Head | None:
    if isinstance(change, Extend):
        return _with_entry(head, change.ordinal, altered(entry, until=change.until))
    if isinstance(change, Fail):
        return _failed(head, entry, change)
    if isinstance(change, Reserve):
        free = entry.taken is None and change.signal in head.signals and not _is_spoken_for(head, change)
        return _with_entry(head, change.ordinal, altered(entry, taken=change.signal)) if free else None
    changed = _with_entry(head, change.ordinal, change.entry)
    if change.entry.is_in_body:
        changed = altered(changed, bundled=True)
    return _used_up(changed, change.used) if isinstance(change, Hold) and change.used else changed


def _used_up(head: Head, used: tuple[int, str]) -> Head | None:
    place, element = used
    if head.signals[place : place + 1] != (element,):
        return None
    return altered(head, signals=(*head.signals[:place], USED_UP, *head.signals[place + 1 :]))


def _is_spoken_for(head: Head, change: ClaimDue | Reserve) -> bool:
    """Whether a sibling has reserved the signal, or used it up (``Entry.signal``, once DONE)."""
    others = [entry for ordinal, entry in enumerate(head.active[: change.siblings]) if ordinal != change.ordinal]
    return any(change.signal in (entry.taken, entry.signal) for entry in others)


def _claimed(head: Head, entry: Entry, claim: Claim) -> Head | None:
    if not _claimable(head, entry, claim):
        return None
    first = isinstance(claim, ClaimFirst)
    leased = altered(
        entry,
        state=EntryState.LEASED,
        epoch=claim.base if isinstance(claim, ClaimFirst) else head.epochs,
        until=claim.until,
        by=claim.by,
        lost=entry.lost + isinstance(claim, ClaimExpired),
        taken=claim.signal if isinstance(claim, ClaimDue) and _reserves(claim) else entry.taken,
    )
    epochs = head.epochs if first else head.epochs + 1
    return altered(_with_entry(head, claim.ordinal, leased), status=Status.RUNNING, epochs=epochs)


def _reserves(claim: ClaimDue) -> bool:
    return bool(claim.signal) and claim.siblings > 1


def _claimable(head: Head, entry: Entry, claim: Claim) -> bool:
    if not isinstance(claim, ClaimExpired) and claim.required_status not in (None, head.status):
        return False
    if isinstance(claim, ClaimFirst):
        return entry.state is EntryState.READY and entry.epoch == claim.base
    if entry.epoch != claim.epoch or entry.until is None:
        return False
    if isinstance(claim, ClaimDue):
        over = claim.signal in head.signals if claim.signal else entry.until <= claim.now
        free = not (_reserves(claim) and _is_spoken_for(head, claim))
        return entry.state is EntryState.WAITING and over and free
    return entry.state is EntryState.LEASED and entry.until < claim.expired_before


def _failed(head: Head, entry: Entry, change: Fail) -> Head:
    ended = change.entry or altered(entry, state=EntryState.FAILED, until=None)
    return altered(
        _with_entry(head, change.ordinal, ended),
        status=Status.RUNNING if change.closing else Status.FAILED,
        failure=change.failure,
        ended_by=change.by,
        ended_at=None if change.closing else change.at,
        closing=change.closing,
    )


def _cancelled(head: Head, change: Cancel) -> Head | None:
    if newest_base(head) != change.base or change.closes not in (None, Status.CANCELLED in head.closes_on):
        return None
    return altered(
        head,
        status=Status.RUNNING if change.closing else Status.CANCELLED,
        reason=change.reason,
        ended_by=change.by,
        ended_at=None if change.closing else change.at,
        closing=change.closing,
    )


def _signalled(head: Head, change: Signal) -> Head | None:
    if change.kept.element in head.signals or len(head.signals) >= change.most:
        return None
    return altered(head, signals=(*head.signals, change.kept.element))


def _relieved(head: Head, change: Relieve) -> Head | None:
    if (head.told, head.spilled, head.refusals) != change.seen:
        return None
    return altered(
        head,
        told=change.told,
        spilled=change.spilled,
        refusals=change.refusals,
        events=head.events[change.elements :],
    )


def _with_entry(head: Head, ordinal: int, entry: Entry) -> Head:
    active = (*head.active[:ordinal], entry, *head.active[ordinal + 1 :])
    return altered(head, active=active)
