"""Takes leases: one write, with no read before it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from workflow_engine.kernel import transitions
from workflow_engine.kernel.commit import commit_once
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.transitions import Lease, Moment
from workflow_engine.kernel.transitions.wakes import Wake, free_signal
from workflow_engine.model.commits import (
    Claim,
    ClaimDue,
    ClaimExpired,
    ClaimFirst,
    Committed,
    Reserve,
    Shared,
)
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.limits import CLOCK_SKEW
from workflow_engine.model.runs import EntryState, Head, PendingEvent
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Persistence

# No work is lost yet: what lasts longer is an outage, and the message comes again.
CLAIM_PATIENCE = timedelta(seconds=15)


def take(
    persistence: Persistence,
    run_id: RunId,
    group: int,
    stage_id: str,
    *,
    wake: Wake,
    invocation: Invocation,
) -> tuple[Head | None, Lease | None]:
    """Claim a stage as *wake* says; answers the head, and the lease if it is ours."""
    moment = invocation.moment()
    # Unanswered, it may have happened: whoever comes next would find the stage in good hands.
    patience = invocation.patience(CLAIM_PATIENCE)
    for change, events in _tries(group, stage_id, wake, moment, invocation=invocation):
        outcome = commit_once(persistence, transitions.claim(run_id, group, change, events), patience)
        head, taken = outcome.head, isinstance(outcome, Committed)
        required = None if isinstance(change, ClaimExpired) else change.required_status
        if taken or head is None or required in (None, head.status):
            break
    return head, _lease(head, group, stage_id, wake, taken=taken)


def reserve(persistence: Persistence, head: Head, lease: Lease) -> str | None:
    """Reserve a signal for a lease of a larger group that was taken without one, since the wait's time
    was over; answers it, or ``None`` where there is none, or the lease is gone."""
    while (element := free_signal(head, lease.entry)) is not None and holds(head, lease):
        change = Reserve(lease.ordinal, lease.entry.epoch, element, len(head.active))
        outcome = commit_once(persistence, Shared(head.run_id, lease.group, change))
        if isinstance(outcome, Committed):
            return element
        # A sibling was first, and the next look sees that it has it.
        head = outcome.head or head
    return None


def holds(head: Head, lease: Lease) -> bool:
    """Whether *lease* is still good in *head*: nothing but its epoch decides (I4)."""
    if head.status.is_terminal or head.group != lease.group:
        return False
    if lease.ordinal >= len(head.active):
        return False
    entry = head.active[lease.ordinal]
    return entry.state is EntryState.LEASED and entry.epoch == lease.entry.epoch


def _tries(
    group: int, stage_id: str, wake: Wake, moment: Moment, *, invocation: Invocation
) -> Iterator[tuple[Claim, tuple[PendingEvent, ...]]]:
    """The claims to be tried, one after the other, until one is not refused for the run's status."""
    change, events = _change(wake, moment, invocation), _events(stage_id, wake, moment)
    if not isinstance(change, ClaimExpired) and _starts_the_run(wake, group, moment):
        if wake.ordinal:
            # A group's messages are sent in its order: one of the others has most likely begun.
            yield replace(change, required_status=Status.RUNNING), events
        started = PendingEvent("workflow:started", moment.at)
        yield replace(change, required_status=Status.PENDING), (started, *events)
    yield change, events


def _change(wake: Wake, moment: Moment, invocation: Invocation) -> Claim:
    until = invocation.lease_end(moment.at)
    if wake.claim == "first":
        return ClaimFirst(wake.ordinal, wake.epoch, until, moment.by)
    if wake.claim == "due":
        return ClaimDue(wake.ordinal, wake.epoch, until, moment.by, moment.at, wake.signal, wake.siblings)
    return ClaimExpired(wake.ordinal, wake.epoch, until, moment.by, moment.at - CLOCK_SKEW)


def _events(stage_id: str, wake: Wake, moment: Moment) -> tuple[PendingEvent, ...]:
    if not wake.starts or "stage:started" not in moment.published:
        return ()
    facts = {"stage_id": stage_id, "attempt": wake.attempt}
    return (PendingEvent("stage:started", moment.at, facts),)


def events_of_claim(head: Head, lease: Lease) -> int:
    """How many events the claim of *lease* added to the end of *head*, which is its answer."""
    last = head.events[-1] if head.events else None
    return int(last is not None and last.type == "stage:started" and last.data.get("stage_id") == lease.stage_id)


def _starts_the_run(wake: Wake, group: int, moment: Moment) -> bool:
    """Whether this claim may be the one that makes a PENDING run RUNNING, and that is told. A blind
    claim cannot know it, so it asks for PENDING first."""
    first = wake.starts and group == 0 and wake.epoch == 0 and wake.attempt == 1
    return first and "workflow:started" in moment.published


def _lease(head: Head | None, group: int, stage_id: str, wake: Wake, *, taken: bool) -> Lease | None:
    if not taken or head is None:
        return None
    return Lease(group=group, ordinal=wake.ordinal, stage_id=StageId(stage_id), entry=head.active[wake.ordinal])
