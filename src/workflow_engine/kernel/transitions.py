"""Pure: (the head as read, what happened, the time) → a commit. No I/O, no clock, no ids.

Everything that changes a run's state is decided here. A group of one is committed exclusively; in
a larger group a sibling changes only its own entry (``Shared``), so that siblings that finish at
the same moment refuse nobody, and whoever sees all done makes the exclusive join.

One module, long as it is: whoever wonders how a head can change reads it here, and nowhere else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from workflow_engine.kernel.agenda import next_due, signals_limit
from workflow_engine.model.altering import altered
from workflow_engine.model.commits import (
    Cancel,
    Claim,
    Exclusive,
    Fail,
    Finish,
    Hold,
    Relieve,
    Shared,
    Signal,
    newest_base,
)
from workflow_engine.model.ids import RunId, StageId, WorkflowId
from workflow_engine.model.limits import MAX_KEPT_SIGNALS
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import (
    USED_UP,
    Entry,
    EntryState,
    Head,
    IdempotencyRecord,
    KeptSignal,
    PendingEvent,
    RunFailure,
    WaitKind,
)
from workflow_engine.model.status import Status

Plan: TypeAlias = Sequence[Sequence[str]]
ANNOTATED = "annotation:created"
# At most so long after the last try is a refused archive tried again.
ARCHIVE_AGAIN = timedelta(hours=6)
# DynamoDB takes an expression of 4 KB, and each event that leaves is named in it.
MAX_RELIEVED = 300


@dataclass(frozen=True, slots=True)
class Moment:
    """When and by whom: *by* names the write, *horizon* is the function's timeout + 60 s, and
    *published* are the event types that are told; others are never stored. With *archives* a run
    that is over is due until ``settle`` says that it was archived."""

    at: datetime
    by: str
    horizon: timedelta
    published: frozenset[str]
    archives: bool = False

    def events(self, *events: PendingEvent) -> tuple[PendingEvent, ...]:
        """Those of *events* that are published."""
        return tuple(event for event in events if event.type in self.published)


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of the telling: all events up to *through* were accepted, the one after it was
    *refused* in a way that counts, and *spilled* of the rest now lie in items of their own."""

    through: int = 0
    refused: bool = False
    spilled: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that this invocation holds: the entry as claimed, and where it stands."""

    group: int
    ordinal: int
    stage_id: StageId
    entry: Entry


@dataclass(frozen=True, slots=True)
class NewRun:
    """The facts of a run that is to be created."""

    run_id: RunId
    workflow_id: WorkflowId
    fingerprint: str
    content_hash: str
    deadline: datetime
    expires_at: datetime
    due_shard: int
    priority: int
    input_inline: bytes | None
    input_hash: str | None
    start_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rerun:
    """The facts of a rerun: from which group, under which definition, until when."""

    group: int
    fingerprint: str
    deadline: datetime
    expires_at: datetime
    input_inline: bytes | None
    input_hash: str | None
    notes: tuple[PendingEvent, ...] = field(default=())


def create(run: NewRun, plan: Plan, moment: Moment) -> Exclusive:
    """A run that nobody has claimed. With *start_at* ahead, its first stages wait for it."""
    waits = run.start_at is not None and run.start_at > moment.at
    first = Entry(EntryState.WAITING, until=run.start_at, wait=WaitKind.START) if waits else Entry(EntryState.READY)
    head = Head(
        run_id=run.run_id,
        workflow_id=run.workflow_id,
        fingerprint=run.fingerprint,
        status=Status.PENDING,
        created_at=moment.at,
        deadline=run.deadline,
        expires_at=run.expires_at,
        content_hash=run.content_hash,
        by=moment.by,
        active=(first,) * len(plan[0]),
        events=moment.events(PendingEvent("workflow:created", moment.at, {"priority": run.priority})),
        due_shard=run.due_shard,
        priority=run.priority,
        input_inline=run.input_inline,
        input_hash=run.input_hash,
    )
    return Exclusive(None, altered(head, due_at=next_due(head, moment.at, moment.horizon)))


def start(head: Head, moment: Moment) -> Exclusive:
    """PENDING becomes RUNNING, by one of those who try."""
    events = moment.events(PendingEvent("workflow:started", moment.at))
    return _exclusive(head, moment, status=Status.RUNNING, events=head.events + events)


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
) -> Exclusive | Shared:
    """A stage is done. In a group of one the run moves on in the same write, and with *next_until*
    the next stage is claimed in it, too."""
    done = Entry(EntryState.DONE, lease.entry.epoch, lease.entry.attempt, signal=used_signal)
    if len(head.active) == 1:
        return _moved_on(head, (done,), plan, moment, told, next_until, notes)
    return Shared(
        head.run_id,
        lease.group,
        Finish(lease.ordinal, lease.entry.epoch, done),
        tuple(notes),
        due_at=moment.at + moment.horizon if notes else None,
        due_seen=head.due_at,
    )


def join(head: Head, plan: Plan, moment: Moment, *, told: Told, next_until: datetime | None) -> Exclusive:
    """All stages of a group are done: move on."""
    return _moved_on(head, head.active, plan, moment, told, next_until, ())


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
    alone = len(head.active) == 1
    # Now and then one of them closes the gaps that used up signals leave: they must not add up.
    if not alone and head.signals.count(USED_UP) < MAX_KEPT_SIGNALS:
        wake = moment.at + moment.horizon
        due = min(entry.until or wake, wake) if notes else entry.until
        used = None if used_signal not in head.signals else (head.signals.index(used_signal), used_signal)
        change = Hold(lease.ordinal, lease.entry.epoch, entry, used)
        return Shared(head.run_id, lease.group, change, tuple(notes), due_at=due, due_seen=head.due_at)
    active = _with(head.active, lease.ordinal, entry)
    base = _after_telling(head, told)
    after = altered(
        base,
        active=active,
        events=base.events + tuple(notes),
        signals=_without(head.signals, used_signal),
    )
    if alone and entry.wait in (WaitKind.POLL, WaitKind.SIGNAL):
        first = lease.entry.suspended_epoch is None and lease.entry.signal is None
        after = _suspended(after, lease.stage_id, first=first, moment=moment)
    commit = _exclusive(head, moment, after=after)
    # With events to tell ``due_at`` would come near, to move away again once they are told.
    return _kept_due(commit, moment, None) if after.untold else commit


def fail(
    head: Head,
    lease: Lease,
    failure: RunFailure,
    moment: Moment,
    *,
    told: Told,
    notes: Sequence[PendingEvent] = (),
) -> Exclusive | Shared:
    """A stage failed for good, and the run with it, at once."""
    events = (*notes, *moment.events(_failed_event(failure, moment.at)))
    if len(head.active) > 1:
        change = Fail(lease.ordinal, lease.entry.epoch, failure, moment.by, moment.at)
        return Shared(head.run_id, lease.group, change, events, due_at=moment.at + moment.horizon, due_seen=head.due_at)
    ended = altered(lease.entry, state=EntryState.FAILED, until=None)
    return _ended(head, failure, moment, told=told, active=(ended,), events=events)


def fail_run(head: Head, failure: RunFailure, moment: Moment, *, told: Told) -> Exclusive:
    """The run cannot go on, whatever its stages do."""
    events = moment.events(_failed_event(failure, moment.at))
    return _ended(head, failure, moment, told=told, active=head.active, events=events)


def cancel(head: Head, reason: str | None, moment: Moment, record: IdempotencyRecord | None = None) -> Shared:
    """End the run, whatever its stages do at that moment."""
    change = Cancel(newest_base(head), reason, moment.by, moment.at)
    events = moment.events(PendingEvent("workflow:cancelled", moment.at, {"reason": reason}))
    due = moment.at + moment.horizon
    return Shared(head.run_id, None, change, events, due_at=due, idempotency=record, due_seen=head.due_at)


def signal(head: Head, kept: KeptSignal, moment: Moment) -> Shared:
    """Keep a signal. ``due_at`` comes near, so that a stage that waits for it is woken even if the
    signal's sender dies right after this commit."""
    change = Signal(kept, signals_limit(head, kept.name))
    return Shared(head.run_id, None, change, due_at=moment.at + moment.horizon, due_seen=head.due_at)


def rerun(head: Head, facts: Rerun, plan: Plan, moment: Moment, record: IdempotencyRecord | None = None) -> Exclusive:
    """A finished run goes again from a group. One epoch is drawn for all first leases after it, so
    that nothing an older attempt still writes lands where anybody looks."""
    kept_bases = tuple(base for base in head.bases if base[0] < facts.group)
    winners = {at: epoch for at, epoch in head.winners.items() if at[0] < facts.group}
    after = altered(
        head,
        status=Status.RUNNING,
        fingerprint=facts.fingerprint,
        deadline=facts.deadline,
        expires_at=max(head.expires_at, facts.expires_at),
        group=facts.group,
        active=(Entry(EntryState.READY, head.epochs),) * len(plan[facts.group]),
        bases=(*kept_bases, (facts.group, head.epochs)),
        winners=winners,
        winners_from=min(head.winners_from, facts.group),
        epochs=head.epochs + 1,
        refusals=_refusals_of_events(head),
        events=head.events + facts.notes,
        input_inline=facts.input_inline,
        input_hash=facts.input_hash,
        signals=(),
        failure=None,
        reason=None,
        ended_by="",
        ended_at=None,
    )
    return replace(_exclusive(head, moment, after=after), idempotency=record)


def settle(head: Head, moment: Moment, *, told: Told, drop: bool = False) -> Exclusive | Shared | None:
    """The write of its own that a run needs when it comes to rest: told events leave the head, and
    ``due_at`` moves on or, at the end, away. ``None`` where the next write can do that as well,
    unless *drop* asks for what was told to leave now. Where ``due_at`` stays, a group's siblings
    may commit at the same time."""
    after = _after_telling(head, told)
    due = next_due(after, moment.at, moment.horizon)
    # One that is still ahead is early enough, and to move a key of the index costs two writes more.
    overdue = head.due_at is not None and (due is None or head.due_at <= moment.at < due)
    # The refusal of another event than before may leave the number as it was: it counts all the same.
    refused = told.refused and after.untold > 0
    counted = refused or after.refusals != head.refusals or told.spilled
    dropped = drop and after.told > head.told
    if not overdue and not counted and not dropped:
        return None
    relieved = None if overdue or len(head.active) == 1 else relieve(head, told=told)
    return relieved or _exclusive(head, moment, after=after, settles=True)


def await_archive(head: Head, moment: Moment, *, told: Told) -> Exclusive:
    """A run that is over and whose archive could not be stored is looked at again, each time after
    twice as long: to gather it anew costs as much as the whole of it."""
    after = _after_telling(head, told)
    due = moment.at + min(moment.horizon * 2 ** min(after.refusals, 16), ARCHIVE_AGAIN)
    commit = _exclusive(head, moment, after=altered(after, refusals=after.refusals + 1), settles=True)
    return replace(commit, after=altered(commit.after, due_at=due))


def relieve(head: Head, *, told: Told) -> Shared | None:
    """Let what is told, or was stored elsewhere, leave the head while a group's siblings commit. ``None``
    where that is nothing, or more than one such commit can take."""
    after = _after_telling(head, told)
    elements = len(head.events) - len(after.events)
    if after is head or head.status.is_terminal or elements > MAX_RELIEVED:
        return None
    seen = (head.told, head.spilled, head.refusals)
    return Shared(head.run_id, None, Relieve(seen, elements, after.told, after.spilled, after.refusals))


def note(
    head: Head, facts: Mapping[str, Any], moment: Moment, record: IdempotencyRecord | None = None, *, told: Told
) -> Exclusive:
    """Something was noted about the run: an event, and nothing else."""
    event, after = PendingEvent(ANNOTATED, moment.at, facts), _after_telling(head, told)
    events = after.events + moment.events(event)
    commit = _exclusive(head, moment, after=after, events=events, refusals=_refusals_of_events(after))
    return replace(commit, idempotency=record)


def _refusals_of_events(head: Head) -> int:
    """Where there was nothing to tell, it was the archive that was refused."""
    return head.refusals if head.untold else 0


def _moved_on(
    head: Head,
    active: tuple[Entry, ...],
    plan: Plan,
    moment: Moment,
    told: Told,
    next_until: datetime | None,
    notes: Sequence[PendingEvent],
) -> Exclusive:
    base = _after_telling(head, told)
    used = {entry.signal for entry in active if entry.signal is not None}
    after = altered(
        base,
        winners=_winners(head, active),
        signals=tuple(s for s in base.signals if s not in used) if used else base.signals,
        events=base.events + tuple(notes),
    )
    if head.group + 1 == len(plan):
        return _completed(head, after, moment)
    return _entered(head, after, plan[head.group + 1], moment, next_until)


def _completed(head: Head, after: Head, moment: Moment) -> Exclusive:
    seconds = round((moment.at - head.created_at).total_seconds(), 3)
    done = PendingEvent("workflow:completed", moment.at, {"duration_seconds": seconds})
    return _kept_early_due(
        _exclusive(
            head,
            moment,
            after=after,
            status=Status.COMPLETED,
            active=(),
            events=after.events + moment.events(done),
            ended_at=moment.at,
        )
    )


def _entered(head: Head, after: Head, stages: Sequence[str], moment: Moment, next_until: datetime | None) -> Exclusive:
    base = head.base_of(head.group + 1)
    events: tuple[PendingEvent, ...] = ()
    first = Entry(EntryState.READY, base)
    if next_until is not None and len(stages) == 1:
        first = Entry(EntryState.LEASED, base, until=next_until, by=moment.by)
        events = moment.events(PendingEvent("stage:started", moment.at, {"stage_id": stages[0], "attempt": 1}))
    commit = _exclusive(
        head,
        moment,
        after=after,
        status=Status.RUNNING,
        group=head.group + 1,
        active=(first,) * len(stages),
        events=after.events + events,
    )
    return _kept_due(commit, moment, next_until)


def _kept_due(commit: Exclusive, moment: Moment, lease_end: datetime | None) -> Exclusive:
    """Leave ``due_at`` where it is while it covers what it must: an unchanged key of the due index
    costs no index write."""
    head, after = commit.before, commit.after
    if head is None or head.due_at is None or after.due_at is None:
        return commit
    covers = (lease_end or moment.at) <= head.due_at <= after.due_at
    return replace(commit, after=altered(after, due_at=head.due_at)) if covers else commit


def _kept_early_due(commit: Exclusive) -> Exclusive:
    """Leave ``due_at`` where it is for the moment between a run's end and its telling, even where it
    is past: a tick that comes in between tells the events, and the key is removed right after."""
    head, after = commit.before, commit.after
    if head is None or head.due_at is None or after.due_at is None or after.due_at < head.due_at:
        return commit
    return replace(commit, after=altered(after, due_at=head.due_at))


def _ended(
    head: Head,
    failure: RunFailure,
    moment: Moment,
    *,
    told: Told,
    active: tuple[Entry, ...],
    events: tuple[PendingEvent, ...],
) -> Exclusive:
    after = _after_telling(head, told)
    return _kept_early_due(
        _exclusive(
            head,
            moment,
            after=after,
            status=Status.FAILED,
            active=active,
            failure=failure,
            events=after.events + events,
            ended_by=moment.by,
            ended_at=moment.at,
        )
    )


def _exclusive(
    head: Head, moment: Moment, *, after: Head | None = None, settles: bool = False, **changes: Any
) -> Exclusive:
    changed = altered(after or head, **changes) if changes else after or head
    due = next_due(changed, moment.at, moment.horizon)
    if due is None and moment.archives and not settles:
        # Also where there is nothing to tell: a crash before the archive is written is made good by a tick.
        due = moment.at + moment.horizon
    if USED_UP in changed.signals and not head.status.is_terminal:
        changed = altered(changed, signals=tuple(element for element in changed.signals if element != USED_UP))
    return Exclusive(head, altered(changed, version=head.version + 1, by=moment.by, due_at=due))


def _after_telling(head: Head, told: Told) -> Head:
    """The head without the events that are told, those that were stored elsewhere counted, and
    with a refusal of the first one that is left."""
    dropped = min(max(told.through - head.told, 0), head.untold)
    if not dropped and not told.refused and not told.spilled:
        return head
    from_items = min(dropped, head.spilled)
    events = head.events[dropped - from_items :]
    refusals = 0 if dropped else head.refusals
    return altered(
        head,
        told=head.told + dropped,
        spilled=head.spilled - from_items + told.spilled,
        events=events[told.spilled :],
        refusals=refusals + 1 if told.refused and head.untold > dropped else refusals,
    )


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


def _failed_event(failure: RunFailure, at: datetime) -> PendingEvent:
    facts = {
        "error_type": failure.error.type,
        "error": failure.error.message,
        "stage_id": failure.stage_id,
    }
    return PendingEvent("workflow:failed", at, facts)


def _winners(head: Head, active: Sequence[Entry]) -> Mapping[tuple[int, int], int]:
    base = head.base
    found = {(head.group, ordinal): entry.epoch for ordinal, entry in enumerate(active) if entry.epoch != base}
    return {**head.winners, **found} if found else head.winners


def _with(active: tuple[Entry, ...], ordinal: int, entry: Entry) -> tuple[Entry, ...]:
    return (*active[:ordinal], entry, *active[ordinal + 1 :])


def _without(signals: tuple[str, ...], used: str | None) -> tuple[str, ...]:
    return tuple(element for element in signals if element != used) if used else signals


def failure_of(stage_id: StageId | None, error: ErrorInfo, epoch: int = 0) -> RunFailure:
    """What the head keeps of the error that ended the run: no traceback, that is in the record."""
    return RunFailure(replace(error, trace=None), stage_id, epoch)
