"""The events of what came of an attempt: of its ending, and of what its stage noted on the way."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from workflow_engine.authoring.stage_definition import StageDefinition
from workflow_engine.kernel.execution.attempt import Attempt
from workflow_engine.kernel.execution.ending import Awaits, Failed, Suspends, WaitsInBody
from workflow_engine.kernel.transitions import Lease, Moment
from workflow_engine.model import plans
from workflow_engine.model.runs import Entry, PendingEvent


def completed_events(
    attempt: Attempt, lease: Lease, stage: StageDefinition, moment: Moment
) -> tuple[PendingEvent, ...]:
    """A stage is done, or what it did is taken back."""
    type_ = "stage:completed" if stage.undoes is None else "stage:undone"
    seconds = (attempt.finished_at - attempt.started_at).total_seconds()
    return _event(moment, lease, type_, duration_seconds=seconds)


def _event(moment: Moment, lease: Lease, type_: str, **facts: Any) -> tuple[PendingEvent, ...]:
    if type_ not in moment.published:
        return ()
    named = {"stage_id": lease.stage_id, "attempt": lease.entry.attempt, **facts}
    return (PendingEvent(type_, moment.at, named),)


def failed_events(moment: Moment, lease: Lease, ending: Failed, retry_at: datetime | None) -> tuple[PendingEvent, ...]:
    """An attempt failed; the next one is due at *retry_at*, if there is one."""
    return _event(
        moment,
        lease,
        "stage:failed",
        error_type=ending.error.type,
        error=ending.error.message,
        retry_at=retry_at.isoformat() if retry_at else None,
        **({"undoing": True} if plans.is_closing(lease.group) and lease.group != plans.ON_FAILURE else {}),
    )


def wait_events(moment: Moment, lease: Lease, ending: object, entry: Entry) -> tuple[PendingEvent, ...]:
    """A stage waits, as *entry* says, or is tried again."""
    if isinstance(ending, Failed):
        return failed_events(moment, lease, ending, entry.until)
    if not (isinstance(ending, Suspends | Awaits) or (isinstance(ending, WaitsInBody) and ending.begins)):
        return ()
    until = entry.until.isoformat() if entry.until else None
    return _event(moment, lease, "stage:suspended", resume_at=until, waiting_for=entry.signal)


def noted_events(attempt: Attempt, lease: Lease, moment: Moment) -> tuple[PendingEvent, ...]:
    """What the stage said on its way, as far as it is published."""
    journal = attempt.journal
    if journal is None:
        return ()
    found: list[PendingEvent] = []
    if journal.progress is not None:
        progress = journal.progress
        facts = {"fraction": progress.fraction, "message": progress.message}
        found += _event(moment, lease, "stage:progress", **facts)
    if "annotation:created" in moment.published:
        found += _annotated(journal.notes, lease)
    return tuple(found)


def _annotated(notes: Sequence[Any], lease: Lease) -> list[PendingEvent]:
    return [
        PendingEvent(
            "annotation:created",
            note.at,
            {
                "key": note.key,
                "value": note.value,
                "scope": lease.stage_id,
                "actor": lease.stage_id,
            },
        )
        for note in notes
    ]
