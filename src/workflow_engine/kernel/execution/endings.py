"""From what came of an attempt to the commit that says so, and to the answer of ``job.execute``."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from workflow_engine.authoring.stage_definition import StageDefinition
from workflow_engine.authoring.workflow import WorkflowDefinition
from workflow_engine.errors import InvalidOutputError, WaitExpiredError
from workflow_engine.kernel import transitions
from workflow_engine.kernel.execution.attempt import Attempt, failed
from workflow_engine.kernel.execution.ending import (
    Awaits,
    Completed,
    Failed,
    GoesOnLater,
    Postponed,
    StillWaits,
    Suspends,
    Unfit,
    WaitsInBody,
)
from workflow_engine.kernel.execution.outcome_events import (
    completed_events,
    failed_events,
    noted_events,
    wait_events,
)
from workflow_engine.kernel.execution.run_data import RunData
from workflow_engine.kernel.execution.tenure import works_until_of
from workflow_engine.kernel.invocation import COMMIT_MARGIN, Invocation
from workflow_engine.kernel.transitions import Decision, Lease, Moment, Told, wakes
from workflow_engine.model import plans
from workflow_engine.model.commits import Exclusive, Extend, Shared
from workflow_engine.model.instants import after, whole
from workflow_engine.model.limits import CLOCK_SKEW
from workflow_engine.model.results import JobExecuted
from workflow_engine.model.runs import Entry, EntryState, Head, PendingEvent, RunFailure, WaitKind

# How long a stage waits out an outage of what it needs. It is no attempt, so it does not grow.
POSTPONE = timedelta(seconds=60)


def next_lease_end(
    head: Head, definition: WorkflowDefinition, invocation: Invocation, decision: Decision | None = None
) -> datetime | None:
    """The end of a lease on the only stage that runs of the next group, or on all of an inline group, if this
    invocation can go on with it."""
    if not invocation.may_chain:
        return None
    stages = _next_undos(head, definition) if head.is_closing else _next_stages(head, definition, decision)
    if not stages:
        return None
    needed = max(stage.timeout for stage in stages) + COMMIT_MARGIN
    if needed > invocation.remaining():
        return None
    return invocation.lease_end(invocation.clock.now())


def _next_stages(head: Head, definition: WorkflowDefinition, decision: Decision | None) -> Sequence[StageDefinition]:
    """The stages that run of the next group, if one invocation may run them all."""
    behind = head.group if head.is_undecided else plans.after(head.group)
    upcoming = transitions.entering(definition.plan, behind, decision)
    if upcoming is None:
        return ()
    group, ordinals = upcoming
    stages = [definition.groups[group][ordinal] for ordinal in ordinals]
    return stages if len(stages) == 1 or group in definition.inline else ()


def _next_undos(head: Head, definition: WorkflowDefinition) -> Sequence[StageDefinition]:
    """The one stage that a run whose end is decided goes on with, if it is one."""
    upcoming = transitions.closing.upcoming(head, definition.plan)
    if upcoming is None or len(definition.plan.stages(upcoming[0])) > 1:
        return ()
    return [definition.at(upcoming[0], upcoming[1][0])]


def concluded(attempt: Attempt, lease: Lease, stage: StageDefinition, at: datetime) -> Attempt:
    """The attempt, with an ending that cannot be made a failure that says why."""
    ending, entry = attempt.ending, lease.entry
    if not isinstance(ending, StillWaits):
        return attempt
    error: Exception
    if entry.suspended_epoch is None:
        error = InvalidOutputError(stage_id=stage.id, problems=["NotReady is for a check"])
    elif entry.give_up_at is not None and entry.give_up_at <= at:
        waited_for = "what it was suspended for"
        error = WaitExpiredError(stage_id=stage.id, waited_for=waited_for, until=entry.give_up_at)
    else:
        return attempt
    return replace(attempt, ending=failed(error, stage))


def decide_ending(
    attempt: Attempt,
    lease: Lease,
    data: RunData,
    told: Told,
    *,
    invocation: Invocation,
    decision: Decision | None = None,
) -> Exclusive | Shared:
    """The commit that says what came of *lease*, decided from the head as read."""
    moment, head, ending = invocation.moment(), data.head, attempt.ending
    stage = data.definition.at(lease.group, lease.ordinal)
    notes = noted_events(attempt, lease, moment)
    if isinstance(ending, Completed):
        return transitions.finish(
            head,
            lease,
            data.definition.plan,
            moment,
            told=told,
            next_until=next_lease_end(head, data.definition, invocation, decision),
            decision=decision,
            used_signal=attempt.signal,
            notes=(*notes, *completed_events(attempt, lease, stage, moment)),
        )
    if isinstance(ending, Failed) and not _is_retried(ending, lease, stage, head):
        return _decide_failure(ending, lease, data, told, notes=notes, invocation=invocation, moment=moment)
    works_until = works_until_of(ending, lease, head, invocation)
    entry = _in_milliseconds(_waiting(attempt, lease, stage, head, at=moment.at, works_until=works_until))
    used = attempt.signal if isinstance(ending, Suspends | Awaits | Unfit | WaitsInBody | GoesOnLater) else None
    notes = (*notes, *wait_events(moment, lease, ending, entry))
    return transitions.hold(head, lease, entry, moment, told=told, used_signal=used, notes=notes)


def _decide_failure(
    ending: Failed,
    lease: Lease,
    data: RunData,
    told: Told,
    *,
    notes: tuple[PendingEvent, ...],
    invocation: Invocation,
    moment: Moment,
) -> Exclusive | Shared:
    """The commit with which a stage fails for good, and the run with it, unless its end is decided already."""
    head, plan = data.head, data.definition.plan
    works_until = works_until_of(ending, lease, head, invocation)
    notes = (*notes, *failed_events(moment, lease, ending, None))
    if not head.is_closing:
        failure = transitions.failure_of(lease.stage_id, ending.error, lease.entry.epoch)
        return transitions.fail(
            head, lease, failure, moment, plan=plan, told=told, notes=notes, works_until=works_until
        )
    if works_until is not None:
        # No answer: what its code does until its lease ends must not come behind what undoes it.
        change = Extend(lease.ordinal, lease.entry.epoch, works_until)
        return Shared(head.run_id, lease.group, change, notes, due_at=moment.at + moment.horizon, due_seen=head.due_at)
    entry = Entry(EntryState.FAILED, lease.entry.epoch, lease.entry.attempt)
    until = next_lease_end(head, data.definition, invocation)
    return transitions.settled(head, lease, entry, moment, plan=plan, told=told, next_until=until, notes=notes)


def ending_entry(
    attempt: Attempt, lease: Lease, data: RunData, moment: Moment, *, invocation: Invocation
) -> tuple[Entry, RunFailure | None, tuple[PendingEvent, ...]]:
    """What a sibling's entry becomes by what came of *lease*, why the run fails for it, if it does, and the
    events of that."""
    ending, stage = attempt.ending, data.definition.groups[lease.group][lease.ordinal]
    works_until = works_until_of(ending, lease, data.head, invocation)
    notes = noted_events(attempt, lease, moment)
    if isinstance(ending, Completed):
        done = completed_events(attempt, lease, stage, moment)
        return Entry(EntryState.DONE, lease.entry.epoch, lease.entry.attempt), None, (*notes, *done)
    if isinstance(ending, Failed) and not _is_retried(ending, lease, stage, data.head):
        failure = transitions.failure_of(lease.stage_id, ending.error, lease.entry.epoch)
        ended = replace(lease.entry, state=EntryState.FAILED, until=None)
        if works_until is not None and data.head.closes_on:
            ended = replace(lease.entry, until=works_until)
        return ended, failure, (*notes, *failed_events(moment, lease, ending, None))
    entry = _in_milliseconds(_waiting(attempt, lease, stage, data.head, at=moment.at, works_until=works_until))
    return entry, None, (*notes, *wait_events(moment, lease, ending, entry))


def outcome_of(attempt: Attempt) -> Literal["completed", "suspended", "failed"]:
    """The attempt's ending in the words of ``job.execute``."""
    if isinstance(attempt.ending, Completed):
        return "completed"
    return "failed" if isinstance(attempt.ending, Failed | Postponed) else "suspended"


def result_of(attempt: Attempt, head: Head, lease: Lease, *, ours: bool) -> JobExecuted:
    """What ``job.execute`` answers for this attempt."""
    ending = attempt.ending
    known = head.winners_from <= lease.group < head.group
    counted = head.winner(lease.group, lease.ordinal) if known else None
    ghost = not ours and counted != lease.entry.epoch
    if isinstance(ending, Completed):
        return JobExecuted(outcome="completed", ghost=ghost)
    waits = lease.ordinal < len(head.active) and head.group == lease.group
    until = head.active[lease.ordinal].until if waits and ours else None
    if isinstance(ending, Failed):
        error = f"{ending.error.type}: {ending.error.message}"
        return JobExecuted(
            outcome="failed",
            error=error,
            next_poll_at=until,
            ghost=ghost,
            retryable=until is not None,
        )
    if isinstance(ending, Postponed):
        return JobExecuted(
            outcome="failed",
            error=str(ending.error),
            next_poll_at=until,
            ghost=ghost,
            retryable=True,
        )
    return JobExecuted(outcome="suspended", next_poll_at=until, ghost=ghost)


def is_final(attempt: Attempt, lease: Lease, stage: StageDefinition, head: Head) -> bool:
    """Whether the run fails for it."""
    return isinstance(attempt.ending, Failed) and not _is_retried(attempt.ending, lease, stage, head)


def _is_retried(ending: Failed, lease: Lease, stage: StageDefinition, head: Head) -> bool:
    """Whether the stage is tried again: not once it is decided how the run ends, unless it takes something back."""
    if wakes.awaits_its_end(head):
        return False
    return ending.retryable and lease.entry.attempt < stage.retry.max_attempts


def _waiting(
    attempt: Attempt, lease: Lease, stage: StageDefinition, head: Head, *, at: datetime, works_until: datetime | None
) -> Entry:
    """The entry of a stage that waits: for a retry, a check, a signal, or the end of an outage."""
    ending, before = attempt.ending, lease.entry
    epoch, limit = before.epoch, head.ends_at
    taken = None if head.is_alone else attempt.taken
    if isinstance(ending, WaitsInBody | GoesOnLater) or (isinstance(ending, Unfit) and before.step is not None):
        return _in_body(ending, before, limit, taken)
    if isinstance(ending, Postponed):
        return postponed(lease, head, at, taken)
    if isinstance(ending, Failed):
        until = after(at, _pause(lease, stage, head), limit)
        return _apart(_for_retry(before, before.attempt + 1, until, taken), works_until, before, stage)
    if isinstance(ending, Awaits):
        until = limit if ending.timeout is None else after(at, ending.timeout, limit)
        return _for_signal(epoch, ending.name, until)
    if isinstance(ending, Unfit):
        return _for_signal(epoch, before.signal or "", before.give_up_at or limit)
    if isinstance(ending, Suspends):
        give_up = None if ending.give_up_after is None else after(at, ending.give_up_after, limit)
        return _for_check(epoch, epoch, after(at, ending.poll_every, limit), give_up, limit=limit)
    every = attempt.kept.poll_every if attempt.kept else POSTPONE
    if isinstance(ending, StillWaits) and ending.next_check_in is not None:
        every = ending.next_check_in
    return _for_check(epoch, before.suspended_epoch, after(at, every, limit), before.give_up_at, limit=limit)


def postponed(lease: Lease, head: Head, at: datetime, taken: str | None) -> Entry:
    """The entry of a stage whose lease is given back without an attempt, and which keeps the signal
    that it has *taken*."""
    until = after(at, POSTPONE, head.ends_at)
    return _in_milliseconds(_for_retry(lease.entry, lease.entry.attempt, until, taken))


def _for_retry(before: Entry, attempt: int, until: datetime, taken: str | None) -> Entry:
    return Entry(
        EntryState.WAITING,
        before.epoch,
        attempt,
        until=until,
        wait=WaitKind.RETRY,
        suspended_epoch=before.suspended_epoch,
        give_up_at=before.give_up_at,
        signal=before.signal,
        taken=taken,
        step=before.step,
    )


def _apart(entry: Entry, works_until: datetime | None, before: Entry, stage: StageDefinition) -> Entry:
    """*entry*, of a retry that is not made beside code that could not be stopped, where something undoes what that
    does: nothing is taken back under its hands."""
    if works_until is None or stage.undo is None or entry.until is None:
        return entry
    return replace(entry, until=max(entry.until, works_until + CLOCK_SKEW), by=before.by)


def _in_milliseconds(entry: Entry) -> Entry:
    """*entry* as it will be read back: pauses with jitter, and a user's intervals, have microseconds."""
    until, give_up_at = entry.until, entry.give_up_at
    return replace(entry, until=until and whole(until), give_up_at=give_up_at and whole(give_up_at))


def _in_body(ending: WaitsInBody | GoesOnLater | Unfit, before: Entry, limit: datetime, taken: str | None) -> Entry:
    """The entry of a stage whose body waits, or goes on in another invocation. Neither is an attempt."""
    if isinstance(ending, GoesOnLater):
        entry = replace(before, state=EntryState.WAITING, wait=WaitKind.CONTINUES, until=ending.until, by="")
        entry = replace(entry, lost=0 if ending.is_ahead else before.lost, taken=taken)
        return replace(entry, step=None, give_up_at=None, signal=None, taken=None) if ending.has_answer else entry
    if isinstance(ending, Unfit):
        return replace(before, state=EntryState.WAITING, wait=WaitKind.SIGNAL, until=before.give_up_at or limit, by="")
    return Entry(
        EntryState.WAITING,
        before.epoch,
        before.attempt,
        until=limit if ending.until is None else min(ending.until, limit),
        wait=ending.kind,
        give_up_at=ending.give_up_at,
        signal=ending.signal,
        step=ending.step,
    )


def _for_signal(epoch: int, name: str, until: datetime) -> Entry:
    return Entry(
        EntryState.WAITING,
        epoch,
        until=until,
        wait=WaitKind.SIGNAL,
        give_up_at=until,
        signal=name,
    )


def _for_check(
    epoch: int,
    suspended_epoch: int | None,
    next_check: datetime,
    give_up_at: datetime | None,
    *,
    limit: datetime,
) -> Entry:
    return Entry(
        EntryState.WAITING,
        epoch,
        until=min(next_check, give_up_at or limit, limit),
        wait=WaitKind.POLL,
        suspended_epoch=suspended_epoch,
        give_up_at=give_up_at,
    )


def _pause(lease: Lease, stage: StageDefinition, head: Head) -> timedelta:
    """The policy's pause. Its jitter comes from the lease's name, not from chance: the same
    history gives the same pause."""
    name = f"{head.run_id}/{lease.stage_id}/{lease.entry.epoch}".encode()
    spread = int.from_bytes(hashlib.sha256(name).digest()[:4], "big") / 2**32
    return stage.retry.delay(lease.entry.attempt, spread)
