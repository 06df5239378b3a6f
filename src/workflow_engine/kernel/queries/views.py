"""Pure: how a run, its stages and its history look, from its head and its records."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from workflow_engine.authoring.workflow_definition import WorkflowDefinition
from workflow_engine.model import plans
from workflow_engine.model.ids import StageId
from workflow_engine.model.plans import Plan
from workflow_engine.model.runs import (
    SKIPPED_EPOCH,
    UNDO,
    Entry,
    EntryState,
    Head,
    StageKey,
    StageRecord,
    forward,
)
from workflow_engine.model.status import Status
from workflow_engine.model.steps import StepKind, StepRecord, StepScope


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoView:
    """How far the undoing of a stage is: PENDING, RUNNING, SUSPENDED (it is tried again), COMPLETED, or FAILED for
    good. *attempts* are its records by epoch, *entry* its place in the head while it is at it."""

    status: Status
    attempts: tuple[StageRecord, ...]
    entry: Entry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageView:
    """A stage of a run as it stands: *attempts* are its records by epoch, *counted* the one whose
    output is seen, *entry* its place in the head while its group runs, *steps* those of its body since the last
    rerun, by time, *undo* how far it is undone, where it has to be."""

    group: int
    ordinal: int
    stage_id: str
    status: Status
    attempts: tuple[StageRecord, ...]
    counted: StageRecord | None = None
    entry: Entry | None = None
    steps: tuple[StepRecord, ...] = ()
    undo: UndoView | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with its stages in order, the one that was run on a failure last; *definition* is ``None`` where its
    workflow is gone."""

    head: Head
    stages: tuple[StageView, ...]
    definition: WorkflowDefinition | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """Something that happened to a run. *sequence* is set while the event is not known to be told;
    told ones leave the head, and are read back from the records."""

    at: datetime
    type: str
    facts: Mapping[str, Any]
    sequence: int | None = None


def view_of(
    head: Head,
    records: Sequence[StageRecord],
    definition: WorkflowDefinition | None,
    steps: Sequence[StepRecord] = (),
) -> RunView:
    """A run with its stages, as *head*, *records* and *steps* show them."""
    stages = tuple(_stages(head, definition, records) if definition else _orphans(records))
    if steps:
        ordered = sorted(steps, key=lambda step: (step.finished_at, step.name))
        stages = tuple([replace(stage, steps=_steps_of(stage, head, ordered)) for stage in stages])
    return RunView(head, stages, definition)


def may_have_steps(definition: WorkflowDefinition | None) -> bool:
    """Whether a stage of the workflow can take steps: none without a context does, and nobody needs to look."""
    if definition is None:
        return True
    stages = (stage for group in definition.groups for stage in group)
    if definition.on_failure is not None and definition.on_failure.wants_context:
        return True
    return any(
        one is not None and one.wants_context
        for stage in stages
        for one in (stage, stage.check, stage.signal, stage.undo)
    )


def _steps_of(stage: StageView, head: Head, steps: Sequence[StepRecord]) -> tuple[StepRecord, ...]:
    scope = StepScope(stage.group, StageId(stage.stage_id), head.base_of(stage.group))
    return tuple([step for step in steps if step.scope == scope and step.kind is not StepKind.TRIES])


class SeenLines:
    """Whether an attempt's notes are shown: it won, or it is one of those that its unfinished stage
    has made. A ghost's, whose lease another took, are not."""

    def __init__(self, view: RunView) -> None:
        self._stages = {(stage.group, stage.stage_id): stage for stage in view.stages}

    def __call__(self, key: StageKey, attempt: int) -> bool:
        """Whether those of the lease *key* are, which was of that *attempt*."""
        stage = self._stages.get((key.group, key.stage_id))
        if stage is None or key.part:
            return True
        counted = stage.counted
        if counted is not None and stage.steps and attempt == counted.attempt:
            # Its body ran in several leases, each of which has noted what came behind the one before.
            return stage.steps[0].scope.base <= key.epoch <= counted.key.epoch
        if counted is not None:
            return key.epoch == counted.key.epoch
        return stage.entry is None or _is_seen(stage, stage.entry, key.epoch, attempt)


def _is_seen(stage: StageView, entry: Entry, epoch: int, attempt: int) -> bool:
    """Whether an unfinished stage's lease was its own. Whoever takes a lease over draws a later epoch
    for the same attempt, and so does each look of a stage that waits."""
    if attempt < entry.attempt:
        return epoch == max((one.key.epoch for one in stage.attempts if one.attempt == attempt), default=epoch)
    waits = entry.suspended_epoch is not None or entry.signal is not None or bool(stage.steps) or entry.is_in_body
    return epoch <= entry.epoch if waits else epoch == entry.epoch


def _stages(head: Head, definition: WorkflowDefinition, records: Sequence[StageRecord]) -> Iterator[StageView]:
    by_stage: dict[tuple[int, str], list[StageRecord]] = {}
    for record in records:
        by_stage.setdefault((record.key.group, record.key.stage_id), []).append(record)
    for group, stages in enumerate(definition.plan):
        for ordinal, stage_id in enumerate(stages):
            found = by_stage.get((group, stage_id), ())
            attempts = tuple([one for one in found if one.key.part != UNDO])
            undos = tuple([one for one in found if one.key.part == UNDO])
            stage = _stage(forward(head), group, ordinal, stage_id, attempts=attempts)
            yield replace(stage, undo=_undo(head, stage, undos, definition.plan))
    last = tuple(by_stage.get((plans.BEHIND_ALL, definition.plan.on_failure or ""), ()))
    if head.group == plans.ON_FAILURE or last:
        yield _last(head, definition.plan, last)


def _undo(head: Head, stage: StageView, attempts: tuple[StageRecord, ...], plan: Plan) -> UndoView | None:
    """How far *stage* is undone: ``None`` where it has not to be, or nothing has begun of it."""
    closing, place = head.closing, (stage.group, stage.ordinal)
    if closing is None or closing.base is None:
        return None
    if place in closing.not_undone:
        return UndoView(status=Status.FAILED, attempts=attempts)
    if any(one.status is Status.COMPLETED and one.key.epoch >= closing.base for one in attempts):
        return UndoView(status=Status.COMPLETED, attempts=attempts)
    is_at_it = plans.is_closing(head.group) and plans.place_of(head.group) == stage.group
    if is_at_it and stage.ordinal < len(head.active):
        entry = head.active[stage.ordinal]
        # What is DONE without a record had nothing to be undone.
        done = entry.state is EntryState.DONE
        return None if done else UndoView(status=_status(head, head.group, entry), attempts=attempts, entry=entry)
    is_ahead = head.is_closing and stage.group < plans.place_of(head.group) and head.group != plans.ON_FAILURE
    has_begun = stage.status not in (Status.PENDING, Status.SKIPPED)
    if not is_ahead or not has_begun or stage.ordinal not in plan.undos.get(stage.group, ()):
        return None
    return UndoView(status=Status.PENDING, attempts=attempts)


def _last(head: Head, plan: Plan, attempts: tuple[StageRecord, ...]) -> StageView:
    """The stage that is run on a failure."""
    entry = head.active[0] if head.group == plans.ON_FAILURE else None
    latest = attempts[-1] if attempts else None
    status = _status(head, head.group, entry) if entry is not None else latest.status if latest else Status.PENDING
    counted = latest if entry is None and latest is not None and latest.status is Status.COMPLETED else None
    return StageView(
        group=len(plan),
        ordinal=0,
        stage_id=plan.on_failure or "",
        status=status,
        attempts=attempts,
        counted=counted,
        entry=entry,
    )


def _stage(head: Head, group: int, ordinal: int, stage_id: str, *, attempts: tuple[StageRecord, ...]) -> StageView:
    current = head.group == group and ordinal < len(head.active)
    entry = head.active[ordinal] if current else None
    epoch = entry.epoch if entry is not None else head.winner(group, ordinal)
    status = Status.SKIPPED if epoch == SKIPPED_EPOCH else _status(head, group, entry)
    key = StageKey(group, StageId(stage_id), epoch)
    ended = status in (Status.COMPLETED, Status.FAILED)
    counted = next((one for one in attempts if ended and one.key == key), None)
    return StageView(
        group=group, ordinal=ordinal, stage_id=stage_id, status=status, attempts=attempts, counted=counted, entry=entry
    )


def _status(head: Head, group: int, entry: Entry | None) -> Status:
    if entry is None:
        done = group < head.group or head.status is Status.COMPLETED
        return Status.COMPLETED if done else Status.PENDING
    if entry.state is EntryState.DONE:
        return Status.COMPLETED
    if entry.state is EntryState.FAILED:
        return Status.FAILED
    if head.status.is_terminal:
        return Status.CANCELLED
    waiting = {EntryState.WAITING: Status.SUSPENDED, EntryState.LEASED: Status.RUNNING}
    return waiting.get(entry.state, Status.PENDING)


def _orphans(records: Sequence[StageRecord]) -> Iterator[StageView]:
    """Stages as their records show them, where nobody knows the workflow any more."""
    last = {(record.key.group, record.key.stage_id): record for record in records}
    for ordinal, ((group, stage_id), record) in enumerate(last.items()):
        attempts = tuple(r for r in records if r.key.stage_id == stage_id)
        yield StageView(
            group=group, ordinal=ordinal, stage_id=stage_id, status=record.status, attempts=attempts, counted=record
        )


def history_of(view: RunView) -> Iterator[HistoryEvent]:
    """What has happened to the run, in no order."""
    head = view.head
    yield HistoryEvent(at=head.created_at, type="workflow:created", facts={"priority": head.priority})
    for stage in view.stages:
        yield from _skipped_event(view, stage)
        for record in stage.attempts:
            yield from _record_events(record)
        for record in stage.undo.attempts if stage.undo is not None else ():
            yield _undo_event(record)
    if head.closing is not None:
        yield HistoryEvent(at=head.closing.at, type="workflow:closing", facts={"status": head.closing.status.value})
    if head.ended_at is None:
        return
    facts: dict[str, Any] = {}
    if head.failure is not None:
        error = head.failure.error
        facts = {"error": f"{error.type}: {error.message}", "stage_id": head.failure.stage_id}
    elif head.reason is not None:
        facts = {"reason": head.reason}
    yield HistoryEvent(at=head.ended_at, type=f"workflow:{head.status.lower()}", facts=facts)


def _skipped_event(view: RunView, stage: StageView) -> Iterator[HistoryEvent]:
    """Of a skipped stage, about when that was: it leaves no record, and comes right behind what was done before."""
    if stage.status is not Status.SKIPPED:
        return
    before = [one.finished_at for other in view.stages if other.group < stage.group for one in other.attempts]
    at = max(before, default=view.head.created_at)
    yield HistoryEvent(at=at, type="stage:skipped", facts={"stage_id": stage.stage_id})


def _undo_event(record: StageRecord) -> HistoryEvent:
    facts: dict[str, Any] = {"stage_id": record.key.stage_id, "attempt": record.attempt}
    if record.error is None:
        return HistoryEvent(at=record.finished_at, type="stage:undone", facts=facts)
    error = f"{record.error.type}: {record.error.message}"
    return HistoryEvent(at=record.finished_at, type="stage:failed", facts={**facts, "undoing": True, "error": error})


def _record_events(record: StageRecord) -> Iterator[HistoryEvent]:
    facts: dict[str, Any] = {"stage_id": record.key.stage_id, "attempt": record.attempt}
    yield HistoryEvent(at=record.started_at, type="stage:started", facts=facts)
    if record.error is not None:
        facts = {**facts, "error": f"{record.error.type}: {record.error.message}"}
    yield HistoryEvent(at=record.finished_at, type=f"stage:{record.status.lower()}", facts=facts)
