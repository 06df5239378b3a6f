"""Decisions about one stage: it is claimed, done, waits, or failed for good."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from workflow_engine.kernel.transitions import closing, groups, heads
from workflow_engine.kernel.transitions.facts import Decision, Lease, Moment, Told
from workflow_engine.model import plans
from workflow_engine.model.altering import altered
from workflow_engine.model.commits import (
    Claim,
    Exclusive,
    Fail,
    Finish,
    Hold,
    Shared,
)
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import MAX_KEPT_SIGNALS
from workflow_engine.model.plans import Plan
from workflow_engine.model.runs import (
    USED_UP,
    Entry,
    EntryState,
    Head,
    PendingEvent,
    RunFailure,
    WaitKind,
)
from workflow_engine.model.status import Status


def claim(run_id: RunId, group: int, change: Claim, events: Sequence[PendingEvent]) -> Shared:
    """Take a lease. It never moves ``due_at``: what made the stage claimable has set it so that it
    is not later than now + horizon, and if it comes before the lease's end, a tick looks and
    leaves (I2)."""
    return Shared(run_id, group, change, tuple(events))


def finish(
    head: Head,
    lease: Lease,
    plan: Plan,
    moment: Moment,
    *,
    told: Told,
    next_until: datetime | None,
    used_signal: str | None = None,
    notes: Sequence[PendingEvent] = (),
    decision: Decision | None = None,
) -> Exclusive | Shared:
    """A stage is done. In a group of one the run moves on in the same write, as far as its *decision* goes, and with
    *next_until* the next stage is claimed in it, too."""
    done = Entry(EntryState.DONE, lease.entry.epoch, lease.entry.attempt, signal=used_signal)
    if head.is_closing:
        return settled(head, lease, done, moment, plan=plan, told=told, next_until=next_until, notes=notes)
    if head.is_alone:
        active = _with(head.active, lease.ordinal, done)
        return groups.moved_on(
            head, active, plan, moment, told=told, next_until=next_until, notes=notes, decision=decision
        )
    return Shared(
        head.run_id,
        lease.group,
        Finish(lease.ordinal, lease.entry.epoch, done),
        tuple(notes),
        due_at=moment.at + moment.horizon if notes else None,
        due_seen=head.due_at,
    )


def settled(
    head: Head,
    lease: Lease,
    entry: Entry,
    moment: Moment,
    *,
    plan: Plan,
    told: Told,
    next_until: datetime | None,
    notes: Sequence[PendingEvent] = (),
) -> Exclusive | Shared:
    """A stage has come to an end in a run whose own is decided: *entry* is DONE, or FAILED. What was undone in a group
    of one is followed by what is to be done next, in the same write."""
    if not head.is_alone:
        change = Finish(lease.ordinal, lease.entry.epoch, entry)
        due = moment.at + moment.horizon if notes else None
        return Shared(head.run_id, lease.group, change, tuple(notes), due_at=due, due_seen=head.due_at)
    if plans.is_closing(head.group):
        return closing.moved_on(head, (entry,), plan, moment, told=told, until=next_until, notes=notes)
    base = heads.after_telling(head, told)
    active = _with(head.active, lease.ordinal, entry)
    return heads.exclusive(head, moment, after=base, active=active, events=base.events + tuple(notes))


def hold(
    head: Head,
    lease: Lease,
    entry: Entry,
    moment: Moment,
    *,
    told: Told,
    used_signal: str | None = None,
    notes: Sequence[PendingEvent] = (),
) -> Exclusive | Shared:
    """A stage waits, as *entry* says. It and a signal that comes at that moment cannot miss each other:
    both change one item and see what they left, so whichever comes second wakes the stage."""
    alone = head.is_alone
    # Now and then one of them closes the gaps that used up signals leave: they must not add up.
    if not alone and head.signals.count(USED_UP) < MAX_KEPT_SIGNALS:
        wake = moment.at + moment.horizon
        due = min(entry.until or wake, wake) if notes else entry.until
        used = None if used_signal not in head.signals else (head.signals.index(used_signal), used_signal)
        change = Hold(lease.ordinal, lease.entry.epoch, entry, used)
        return Shared(head.run_id, lease.group, change, tuple(notes), due_at=due, due_seen=head.due_at)
    active = _with(head.active, lease.ordinal, entry)
    base = heads.after_telling(head, told)
    after = altered(
        base,
        active=active,
        events=base.events + tuple(notes),
        signals=_without(head.signals, used_signal),
    )
    if alone and not head.is_closing and entry.wait in (WaitKind.POLL, WaitKind.SIGNAL, WaitKind.SLEEP):
        before = lease.entry
        # Each wait of a body is one of its own; a check or a handler goes on with the same.
        first = entry.step != before.step if entry.step else before.suspended_epoch is None and before.signal is None
        after = _suspended(after, lease.stage_id, first=first, moment=moment)
    commit = heads.exclusive(head, moment, after=after)
    # With events to tell ``due_at`` would come near, to move away again once they are told.
    return heads.kept_due(commit, moment, None) if after.untold else commit


def fail(
    head: Head,
    lease: Lease,
    failure: RunFailure,
    moment: Moment,
    *,
    plan: Plan,
    told: Told,
    notes: Sequence[PendingEvent] = (),
    works_until: datetime | None = None,
) -> Exclusive | Shared:
    """A stage failed for good, and the run with it: at once, or after what has to be done before. Where its code may
    be at work still, its lease is not given up before *works_until*: nothing is undone under its hands."""
    ends = closing.decided(head, Status.FAILED, moment, plan)
    ended, at_work = altered(lease.entry, state=EntryState.FAILED, until=None), ends is not None and works_until
    if at_work:
        ended = altered(lease.entry, until=works_until)
    if not head.is_alone:
        entry = ended if at_work else None
        change = Fail(lease.ordinal, lease.entry.epoch, failure, moment.by, moment.at, ends, entry)
        events = (*notes, *moment.events(heads.failed_event(failure, moment.at, ends)))
        return Shared(head.run_id, lease.group, change, events, due_at=moment.at + moment.horizon, due_seen=head.due_at)
    active = _with(head.active, lease.ordinal, ended)
    return heads.ended(head, failure, moment, told=told, active=active, notes=tuple(notes), closing=ends)


def _suspended(head: Head, stage_id: str | None, *, first: bool, moment: Moment) -> Head:
    waiting = [entry for entry in head.active if entry.state is EntryState.WAITING]
    until = min((entry.until for entry in waiting if entry.until), default=None)
    names = [entry.signal for entry in waiting if entry.wait is WaitKind.SIGNAL]
    facts: Mapping[str, Any] = {
        "stage_id": stage_id,
        "resume_at": until.isoformat() if until else None,
        "waiting_for": names[0] if names else None,
    }
    event = PendingEvent("workflow:suspended", moment.at, facts)
    events = moment.events(event) if first else ()
    return altered(head, status=Status.SUSPENDED, events=head.events + events)


def _with(active: tuple[Entry, ...], ordinal: int, entry: Entry) -> tuple[Entry, ...]:
    return (*active[:ordinal], entry, *active[ordinal + 1 :])


def _without(signals: tuple[str, ...], used: str | None) -> tuple[str, ...]:
    return tuple(element for element in signals if element != used) if used else signals
