"""What every decision about a head shares: what leaves it when it is told, when somebody must look again, how it ends."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from workflow_engine.kernel.transitions.facts import Moment, Told
from workflow_engine.kernel.transitions.wakes import next_due
from workflow_engine.model.altering import altered
from workflow_engine.model.commits import (
    Exclusive,
)
from workflow_engine.model.ids import StageId
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import (
    USED_UP,
    Closing,
    Entry,
    Head,
    PendingEvent,
    RunFailure,
)
from workflow_engine.model.status import Status


def exclusive(
    head: Head, moment: Moment, *, after: Head | None = None, settles: bool = False, **changes: Any
) -> Exclusive:
    """The commit to *after* (default: *head*) with *changes*: its version, who wrote it, and when it is due.
    One that *settles* says of a run that is over that nothing is left to do."""
    changed = altered(after or head, **changes) if changes else after or head
    due = next_due(changed, moment.at, moment.horizon)
    if due is None and moment.archives and not settles:
        # Also where there is nothing to tell: a crash before the archive is written is made good by a tick.
        due = moment.at + moment.horizon
    if USED_UP in changed.signals and not head.status.is_terminal:
        changed = altered(changed, signals=tuple(element for element in changed.signals if element != USED_UP))
    return Exclusive(head, altered(changed, version=head.version + 1, by=moment.by, due_at=due))


def after_telling(head: Head, told: Told) -> Head:
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


def kept_due(commit: Exclusive, moment: Moment, lease_end: datetime | None) -> Exclusive:
    """Leave ``due_at`` where it is while it covers what it must: an unchanged key of the due index
    costs no index write."""
    head, after = commit.before, commit.after
    if head is None or head.due_at is None or after.due_at is None:
        return commit
    covers = (lease_end or moment.at) <= head.due_at <= after.due_at
    return replace(commit, after=altered(after, due_at=head.due_at)) if covers else commit


def kept_early_due(commit: Exclusive) -> Exclusive:
    """Leave ``due_at`` where it is for the moment between a run's end and its telling, even where it
    is past: a tick that comes in between tells the events, and the key is removed right after."""
    head, after = commit.before, commit.after
    if head is None or head.due_at is None or after.due_at is None or after.due_at < head.due_at:
        return commit
    return replace(commit, after=altered(after, due_at=head.due_at))


def ended(
    head: Head,
    failure: RunFailure,
    moment: Moment,
    *,
    told: Told,
    active: tuple[Entry, ...],
    notes: tuple[PendingEvent, ...] = (),
    closing: Closing | None = None,
    after: Head | None = None,
) -> Exclusive:
    """The commit with which a run fails: at once, or with *closing* once that is done. *after* is what else becomes of
    the head, without what is *told*."""
    after = after or after_telling(head, told)
    events = (*notes, *moment.events(failed_event(failure, moment.at, closing)))
    if closing is not None:
        return exclusive(
            head,
            moment,
            after=after,
            status=Status.RUNNING,
            active=active,
            failure=failure,
            events=after.events + events,
            ended_by=moment.by,
            closing=closing,
        )
    return kept_early_due(
        exclusive(
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


def failed_event(failure: RunFailure, at: datetime, closing: Closing | None = None) -> PendingEvent:
    """``workflow:failed``, with what is published of *failure*; or that the run is closing before it fails."""
    if closing is not None:
        return PendingEvent("workflow:closing", at, {"status": closing.status.value, **_facts_of(failure)})
    return PendingEvent("workflow:failed", at, _facts_of(failure))


def cancelled_event(reason: str | None, at: datetime, closing: Closing | None = None) -> PendingEvent:
    """``workflow:cancelled``, or that the run is closing before it is."""
    if closing is not None:
        return PendingEvent("workflow:closing", at, {"status": closing.status.value, "reason": reason})
    return PendingEvent("workflow:cancelled", at, {"reason": reason})


def end_event(head: Head, status: Status, at: datetime, *, not_undone: Sequence[str]) -> PendingEvent:
    """The last event of a run that has closed; it names what could not be undone."""
    left = {"not_undone": list(not_undone)} if not_undone else {}
    if status is Status.CANCELLED or head.failure is None:
        return PendingEvent(f"workflow:{status.lower()}", at, {"reason": head.reason, **left})
    return PendingEvent("workflow:failed", at, {**_facts_of(head.failure), **left})


def _facts_of(failure: RunFailure) -> dict[str, Any]:
    return {"error_type": failure.error.type, "error": failure.error.message, "stage_id": failure.stage_id}


def failure_of(stage_id: StageId | None, error: ErrorInfo, epoch: int = 0) -> RunFailure:
    """What the head keeps of the error that ended the run: no traceback, that is in the record."""
    return RunFailure(replace(error, trace=None), stage_id, epoch)
