"""Made-up runs and the commits that move them, for tests of adapters and kernels."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from workflow_engine.model.commits import (
    Change,
    ClaimFirst,
    Committed,
    Exclusive,
    Finish,
    Refused,
    Shared,
)
from workflow_engine.model.ids import RunId, StageId, WorkflowId
from workflow_engine.model.payloads import Payload
from workflow_engine.model.runs import Entry, EntryState, Head, PendingEvent, StageKey, StageRecord
from workflow_engine.model.status import Status

HORIZON = timedelta(minutes=16)
LEASE = timedelta(minutes=15)
LIFE = timedelta(days=30)
WORKFLOW = WorkflowId("document-analysis")


def new_head(at: datetime, *, run_id: str = "run", stages: int = 1, **changes: Any) -> Head:
    """A run as it was created at *at*, with *stages* READY in its first group. *changes* are fields
    of ``Head``."""
    head = Head(
        run_id=RunId(run_id),
        workflow_id=WORKFLOW,
        fingerprint="f" * 26,
        status=Status.PENDING,
        created_at=at,
        deadline=at + LIFE,
        expires_at=at + 2 * LIFE,
        content_hash="c" * 26,
        by="creator-0",
        active=(Entry(EntryState.READY),) * stages,
        due_at=at + HORIZON,
        input_inline=b'{"text":"a small one"}',
    )
    return replace(head, **changes)


def leased_head(at: datetime, *, run_id: str = "run", stages: int = 1, **changes: Any) -> Head:
    """A RUNNING run whose stages all are leased under epoch 0, by ``worker-<ordinal>``."""
    leases = tuple(Entry(EntryState.LEASED, until=at + LEASE, by=f"worker-{ordinal}") for ordinal in range(stages))
    return new_head(at, run_id=run_id, **{"status": Status.RUNNING, "active": leases, **changes})


def new_event(at: datetime, kind: str = "stage:failed", **data: Any) -> PendingEvent:
    """An untold event of *kind*."""
    return PendingEvent(kind, at, data)


def new_record(head: Head, *, stage_id: str = "count", group: int = 0, epoch: int = 0, **changes: Any) -> StageRecord:
    """A COMPLETED attempt. *changes* are fields of ``StageRecord``."""
    record = StageRecord(
        run_id=head.run_id,
        key=StageKey(group, StageId(stage_id), epoch),
        status=Status.COMPLETED,
        attempt=1,
        started_at=head.created_at,
        finished_at=head.created_at + timedelta(seconds=1),
        by="worker-0",
        expires_at=head.created_at + LIFE,
        output=Payload.of(b'{"count":3}'),
    )
    return replace(record, **changes)


def create(head: Head) -> Exclusive:
    """The commit that creates *head*."""
    return Exclusive(None, head)


def rewrite(head: Head, by: str = "writer-0", **changes: Any) -> Exclusive:
    """An exclusive commit by *by*. *changes* are fields of ``Head``."""
    return Exclusive(head, replace(head, version=head.version + 1, by=by, **changes))


def share(head: Head, change: Change, *events: PendingEvent, due_at: datetime | None = None) -> Shared:
    """*change* as a shared commit in the head's group."""
    return Shared(head.run_id, head.group, change, events=events, due_at=due_at)


def claim_first(head: Head, at: datetime, *, ordinal: int = 0, by: str = "worker-0") -> Shared:
    """The first lease of a stage, from *at*."""
    return share(head, ClaimFirst(ordinal, head.base, until=at + LEASE, by=by))


def finish(head: Head, ordinal: int, *events: PendingEvent, epoch: int = 0) -> Shared:
    """A sibling's outcome under *epoch*."""
    done = Entry(EntryState.DONE, epoch=epoch)
    return share(head, Finish(ordinal, epoch, done), *events)


def committed(outcome: Committed | Refused) -> Head:
    """The head that a commit left.

    Raises:
        AssertionError: it was refused.
    """
    assert isinstance(outcome, Committed), f"refused by {outcome.head} {outcome.replay}"
    return outcome.head


def refused(outcome: Committed | Refused) -> Refused:
    """The refusal of a commit.

    Raises:
        AssertionError: it was committed.
    """
    assert isinstance(outcome, Refused), f"committed {outcome.head}"
    return outcome
