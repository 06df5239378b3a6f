"""Decisions about a run as a whole: it begins, goes again, ends, hears a signal, and comes to rest."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from workflow_engine.kernel.transitions import closing, heads
from workflow_engine.kernel.transitions.entering import started
from workflow_engine.kernel.transitions.facts import Moment, NewRun, Rerun, Told
from workflow_engine.kernel.transitions.wakes import next_due, signals_limit
from workflow_engine.model.altering import altered
from workflow_engine.model.commits import (
    Cancel,
    Exclusive,
    Relieve,
    Shared,
    Signal,
    newest_base,
)
from workflow_engine.model.plans import Plan
from workflow_engine.model.runs import (
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

ANNOTATED = "annotation:created"
# At most so long after the last try is a refused archive tried again.
ARCHIVE_AGAIN = timedelta(hours=6)
# DynamoDB takes an expression of 4 KB, and each event that leaves is named in it.
MAX_RELIEVED = 300


def create(run: NewRun, plan: Plan, moment: Moment, *, until: datetime | None = None) -> Exclusive:
    """A run that nobody has claimed. With *start_at* ahead, its first stages wait for it. With *until* they are
    claimed in the same write. Where it is to be decided which of them run, it stands before them."""
    is_open, is_ahead = 0 in plan.conditional, run.start_at is not None and run.start_at > moment.at
    first, happened = Entry(EntryState.READY), [PendingEvent("workflow:created", moment.at, {"priority": run.priority})]
    if is_ahead:
        first = Entry(EntryState.WAITING, until=run.start_at, wait=WaitKind.START)
    elif until is not None and not is_open:
        first = Entry(EntryState.LEASED, until=until, by=moment.by)
        happened += [PendingEvent("workflow:started", moment.at), *(started(stage, moment) for stage in plan.first)]
    head = Head(
        run_id=run.run_id,
        workflow_id=run.workflow_id,
        fingerprint=run.fingerprint,
        status=Status.RUNNING if first.state is EntryState.LEASED else Status.PENDING,
        created_at=moment.at,
        deadline=run.deadline,
        expires_at=run.expires_at,
        content_hash=run.content_hash,
        by=moment.by,
        active=() if is_open else (first,) * len(plan.first),
        events=moment.events(*happened),
        due_shard=run.due_shard,
        priority=run.priority,
        input_inline=run.input_inline,
        input_hash=run.input_hash,
        closes_on=run.closes_on,
        enters_at=run.start_at if is_open and is_ahead else None,
    )
    return Exclusive(None, altered(head, due_at=next_due(head, moment.at, moment.horizon)))


def start(head: Head, moment: Moment) -> Exclusive:
    """PENDING becomes RUNNING, by one of those who try."""
    events = moment.events(PendingEvent("workflow:started", moment.at))
    return heads.exclusive(head, moment, status=Status.RUNNING, events=head.events + events)


def fail_run(head: Head, failure: RunFailure, moment: Moment, *, told: Told) -> Exclusive:
    """The run cannot go on, whatever its stages do."""
    ends = closing.decided(head, Status.FAILED, moment)
    return heads.ended(head, failure, moment, told=told, active=head.active, closing=ends)


def cancel(
    head: Head, reason: str | None, moment: Moment, record: IdempotencyRecord | None = None, *, undo: bool = True
) -> Shared:
    """End the run, whatever its stages do at that moment. Where it is not to *undo* anything, at once."""
    ends = closing.decided(head, Status.CANCELLED, moment) if undo else None
    closes = None if not undo else ends is not None
    change = Cancel(newest_base(head), reason, moment.by, moment.at, ends, closes)
    events = moment.events(heads.cancelled_event(reason, moment.at, ends))
    due = moment.at + moment.horizon
    return Shared(head.run_id, None, change, events, due_at=due, idempotency=record, due_seen=head.due_at)


def signal(head: Head, kept: KeptSignal, moment: Moment) -> Shared:
    """Keep a signal. ``due_at`` comes near, so that a stage that waits for it is woken even if the
    signal's sender dies right after this commit."""
    change = Signal(kept, signals_limit(head, kept.name))
    return Shared(head.run_id, None, change, due_at=moment.at + moment.horizon, due_seen=head.due_at)


def rerun(
    head: Head, facts: Rerun, plan: Plan, moment: Moment, *, record: IdempotencyRecord | None = None
) -> Exclusive:
    """A finished run goes again from a group. One epoch is drawn for all first leases after it, so
    that nothing an older attempt still writes lands where anybody looks; those of the group have another one where
    the base was drawn before, so that they look for the steps that were kept under it. Where it is to be decided which
    stages of the group run, the run stands before it."""
    active = (Entry(EntryState.READY, head.epochs),) * len(plan.stages(facts.group))
    base = head.epochs if facts.base is None else facts.base
    kept_bases = tuple(base for base in head.bases if base[0] < facts.group)
    winners = {at: epoch for at, epoch in head.winners.items() if at[0] < facts.group}
    after = altered(
        head,
        status=Status.RUNNING,
        fingerprint=facts.fingerprint,
        deadline=facts.deadline,
        expires_at=max(head.expires_at, facts.expires_at),
        group=facts.group,
        active=() if facts.group in plan.conditional else active,
        bases=(*kept_bases, (facts.group, base)),
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
        recent=(),
        closes_on=facts.closes_on,
        closing=None,
        enters_at=None,
    )
    return replace(heads.exclusive(head, moment, after=after), idempotency=record)


def draw(head: Head, moment: Moment) -> Exclusive:
    """One epoch is drawn, for whoever has done so alone."""
    return heads.exclusive(head, moment, epochs=head.epochs + 1)


def settle(head: Head, moment: Moment, *, told: Told, drop: bool = False) -> Exclusive | Shared | None:
    """The write of its own that a run needs when it comes to rest: told events leave the head, and
    ``due_at`` moves on or, at the end, away. ``None`` where the next write can do that as well,
    unless *drop* asks for what was told to leave now. Where ``due_at`` stays, a group's siblings
    may commit at the same time."""
    after = heads.after_telling(head, told)
    due = next_due(after, moment.at, moment.horizon)
    # One that is still ahead is early enough, and to move a key of the index costs two writes more.
    overdue = head.due_at is not None and (due is None or head.due_at <= moment.at < due)
    # The refusal of another event than before may leave the number as it was: it counts all the same.
    refused = told.refused and after.untold > 0
    counted = refused or after.refusals != head.refusals or told.spilled
    dropped = drop and after.told > head.told
    if not overdue and not counted and not dropped:
        return None
    relieved = None if overdue or head.is_alone else relieve(head, told=told)
    return relieved or heads.exclusive(head, moment, after=after, settles=True)


def await_archive(head: Head, moment: Moment, *, told: Told) -> Exclusive:
    """A run that is over and whose archive could not be stored is looked at again, each time after
    twice as long: to gather it anew costs as much as the whole of it."""
    after = heads.after_telling(head, told)
    due = moment.at + min(moment.horizon * 2 ** min(after.refusals, 16), ARCHIVE_AGAIN)
    commit = heads.exclusive(head, moment, after=altered(after, refusals=after.refusals + 1), settles=True)
    return replace(commit, after=altered(commit.after, due_at=due))


def relieve(head: Head, *, told: Told) -> Shared | None:
    """Let what is told, or was stored elsewhere, leave the head while a group's siblings commit. ``None``
    where that is nothing, or more than one such commit can take."""
    after = heads.after_telling(head, told)
    elements = len(head.events) - len(after.events)
    if after is head or head.status.is_terminal or elements > MAX_RELIEVED:
        return None
    seen = (head.told, head.spilled, head.refusals)
    return Shared(head.run_id, None, Relieve(seen, elements, after.told, after.spilled, after.refusals))


def note(
    head: Head, facts: Mapping[str, Any], moment: Moment, record: IdempotencyRecord | None = None, *, told: Told
) -> Exclusive:
    """Something was noted about the run: an event, and nothing else."""
    event, after = PendingEvent(ANNOTATED, moment.at, facts), heads.after_telling(head, told)
    events = after.events + moment.events(event)
    commit = heads.exclusive(head, moment, after=after, events=events, refusals=_refusals_of_events(after))
    return replace(commit, idempotency=record)


def _refusals_of_events(head: Head) -> int:
    """Where there was nothing to tell, it was the archive that was refused."""
    return head.refusals if head.untold else 0
