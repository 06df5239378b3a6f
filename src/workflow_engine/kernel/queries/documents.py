"""Runs as JSON documents: what ``--json`` prints. Names and shapes here are for other programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from workflow_engine.errors import BlobNotFoundError, CorruptItemError, WorkflowEngineError, facts_of
from workflow_engine.kernel import Kernel
from workflow_engine.kernel.queries.views import RunView, StageView
from workflow_engine.model import plans
from workflow_engine.model.runs import EntryState, Head, RunFailure, StageRecord, WaitKind
from workflow_engine.model.status import Status
from workflow_engine.model.steps import StepRecord


@dataclass(frozen=True, slots=True)
class Shown:
    """A run as it is shown: *output* is ``None`` until it is COMPLETED, and where it is not kept any
    more."""

    view: RunView
    output: Any = None

    @classmethod
    def of(cls, kernel: Kernel, run_id: str) -> "Shown":
        """The run as it stands.

        Raises:
            RunNotFoundError: there is none.
        """
        view = kernel.queries.run(run_id)
        if view.head.status is not Status.COMPLETED or view.definition is None:
            return cls(view)
        try:
            output = kernel.queries.outcome(view.head).output
        except BlobNotFoundError:
            # The bucket's lifecycle may delete a payload before the table's TTL deletes the run.
            return cls(view)
        return cls(view, None if output is None else from_json(output))


def run_document(shown: Shown) -> dict[str, Any]:
    """Everything about a run but what it was started with, which may be large."""
    head = shown.view.head
    return {
        **summary_document(head),
        "reason": head.reason,
        "priority": head.priority,
        "output": shown.output,
        "deadline": moment(head.deadline),
        "untold_events": head.untold,
        **_closing(shown.view),
        "stages": [_stage(shown.view, stage) for stage in shown.view.stages],
    }


def input_document(kernel: Kernel, head: Head) -> dict[str, Any]:
    """What a run was started with; empty where that is not kept any more."""
    try:
        return dict(kernel.queries.started_with(head))
    except (BlobNotFoundError, CorruptItemError):
        return {}


def summary_document(head: Head) -> dict[str, Any]:
    """A run in a list."""
    return {
        "run_id": head.run_id,
        "workflow_id": head.workflow_id,
        "status": head.status.value,
        "created_at": moment(head.created_at),
        "ended_at": moment(head.ended_at),
        "duration_seconds": _seconds(head.created_at, head.ended_at),
        "error": _failure(head.failure),
    }


def refusal_document(source: str, error: WorkflowEngineError) -> dict[str, Any]:
    """Something that was given and could not be used."""
    return {"source": source, **facts_of(error)}


def moment(at: datetime | None) -> str | None:
    """An instant in ISO 8601."""
    return None if at is None else at.isoformat()


def waiting_document(view: RunView, stage: StageView) -> dict[str, Any] | None:
    """What a stage waits for, if it does. *until* is when it is looked at again, *gives_up_at* when it fails."""
    entry = stage.entry
    if entry is None or entry.state is not EntryState.WAITING or entry.wait is None:
        return None
    return {
        "for": entry.wait.name.lower(),
        "since": moment(waiting_since(view, stage)),
        "until": moment(entry.until),
        "next_check_at": moment(entry.until) if entry.wait is WaitKind.POLL else None,
        "gives_up_at": moment(entry.give_up_at or view.head.deadline),
        "signal": entry.signal,
        "step": entry.step,
    }


def waiting_since(view: RunView, stage: StageView) -> datetime:
    """When a stage began to wait: at the end of its last attempt or step. What waits for a signal leaves no record of
    one: that was at the end of the group before, or at the run's beginning."""
    before = [record for other in view.stages if other.group < stage.group for record in other.attempts]
    ends = [step.finished_at for step in stage.steps]
    ends += [record.finished_at for record in stage.attempts or (() if ends else before)]
    return max(ends, default=view.head.created_at)


def _closing(view: RunView) -> dict[str, Any]:
    """How a run ends, or ended, that had something to undo; nothing of any other."""
    closing = view.head.closing
    if closing is None:
        return {}
    undos = [(stage.stage_id, stage.undo.status) for stage in view.stages if stage.undo is not None]
    return {
        "closing": {
            "status": closing.status.value,
            "decided_at": moment(closing.at),
            "given_up_at": moment(closing.until),
            "undone": [stage_id for stage_id, status in undos if status is Status.COMPLETED],
            "not_undone": [stage_id for stage_id, status in undos if status is Status.FAILED],
        }
    }


def _undo(stage: StageView) -> dict[str, Any]:
    if stage.undo is None:
        return {}
    attempts = [_attempt(record, counts=record.status is Status.COMPLETED) for record in stage.undo.attempts]
    until = stage.undo.entry.until if stage.undo.entry is not None else None
    return {"undo": {"status": stage.undo.status.value, "next_try_at": moment(until), "attempts": attempts}}


def _stage(view: RunView, stage: StageView) -> dict[str, Any]:
    steps = {"steps": [_step(step) for step in stage.steps]} if stage.steps else {}
    return {
        "stage_id": stage.stage_id,
        # From 1, as people count and as messages have it.
        "group": plans.number(stage.group),
        "status": stage.status.value,
        "waiting": waiting_document(view, stage),
        "attempts": [_attempt(record, counts=record == stage.counted) for record in stage.attempts],
        **steps,
        **_undo(stage),
    }


def _step(step: StepRecord) -> dict[str, Any]:
    """A step of a stage's body; *result* is there where it is small."""
    inline = step.output.inline if step.output is not None else None
    return {
        "name": step.name,
        "kind": step.kind.name.lower(),
        "status": (Status.COMPLETED if step.error is None else Status.FAILED).value,
        "started_at": moment(step.started_at),
        "finished_at": moment(step.finished_at),
        "tries": step.tries,
        "result": None if inline is None else from_json(inline),
        "result_bytes": None if step.output is None else step.output.size_bytes,
        "error": step.error and {"type": step.error.type, "message": step.error.message},
    }


def _attempt(record: StageRecord, *, counts: bool) -> dict[str, Any]:
    error = record.error
    return {
        "attempt": record.attempt,
        "epoch": record.key.epoch,
        "status": record.status.value,
        "started_at": moment(record.started_at),
        "finished_at": moment(record.finished_at),
        "counts": counts,
        "error": error and {"type": error.type, "message": error.message, "trace": error.trace},
        "metrics": dict(record.metrics),
        "artifacts": dict(record.artifacts),
    }


def _failure(failure: RunFailure | None) -> Mapping[str, Any] | None:
    if failure is None:
        return None
    return {"type": failure.error.type, "message": failure.error.message, "stage_id": failure.stage_id}


def _seconds(start: datetime, end: datetime | None) -> float | None:
    return None if end is None else round((end - start).total_seconds(), 3)
