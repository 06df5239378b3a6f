"""What an undo takes back: the stage as far as it came, found in what it left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from typing_extensions import override

from workflow_engine.authoring.stage_definition import StageDefinition
from workflow_engine.authoring.undoing import Failure, RunError, Undoes
from workflow_engine.kernel import payloads, records, winners
from workflow_engine.kernel.execution.ending import kept_state
from workflow_engine.kernel.execution.run_data import RunData
from workflow_engine.model.ids import RunId, StageId, digest
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import SKIPPED_EPOCH, UNDO, EntryState, Head, StageKey, StageRecord, forward
from workflow_engine.model.status import Status
from workflow_engine.model.steps import StepScope


@dataclass(slots=True, kw_only=True)
class Undone(Undoes):
    """*stage*, which stands at *ordinal* in *group*, and is undone."""

    data: RunData
    stage: StageDefinition
    group: int
    ordinal: int
    _head: Head = field(init=False)
    # What was read. No ``cached_property``: before Python 3.12 all threads of a process wait for the one that reads.
    _read: Sequence[StageRecord] | None = field(default=None, init=False)
    _results: Mapping[str, Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._head = forward(self.data.head)

    @property
    def base(self) -> int:
        """The epoch of the stage's first lease since it was last rerun: its keys are made of it."""
        return self._head.base_of(self.group)

    def output(self) -> BaseModel | None:
        """The stage's output, if it has one: that which counted, or that of a worker that had stored it, and did not
        come to say so.

        Raises:
            InvalidOutputError: it no longer fits the stage's model.
        """
        data = self._found(Status.COMPLETED)
        return None if data is None else self.stage.load_output(data)

    @property
    def was_skipped(self) -> bool:
        """Whether the stage never ran, so that there is nothing to be undone."""
        return self._entry_epoch() == SKIPPED_EPOCH

    @property
    @override
    def effect_key(self) -> str:
        return effect_key_of(self._head.run_id, self.stage.id, self.base)

    @override
    def key(self, name: str) -> str:
        return step_key_of(self._head.run_id, self.stage.id, self.base, name)

    @property
    @override
    def steps(self) -> Mapping[str, Any]:
        if self._results is None:
            self._results = self._stored_steps()
        return self._results

    def _stored_steps(self) -> Mapping[str, Any]:
        from workflow_engine.kernel.execution.step_records import StepRecords

        head = self._head
        return StepRecords(
            persistence=self.data.persistence,
            blobs=self.data.blobs,
            run_id=head.run_id,
            scope=StepScope(self.group, StageId(self.stage.id), self.base),
            epoch=self.base,
            expires_at=head.deadline,
            are_new=False,
        ).results()

    @property
    @override
    def state(self) -> BaseModel | None:
        if self.stage.check is None or self._found(Status.COMPLETED) is not None:
            return None
        data = self._found(Status.SUSPENDED)
        return None if data is None else self.stage.load_state(kept_state(data).state)

    @property
    @override
    def error(self) -> RunError | None:
        if self._found(Status.COMPLETED) is not None:
            return None
        failures = [record.error for record in self._records if record.error is not None]
        failure = self._head.failure
        if not failures and failure is not None and failure.stage_id == self.stage.id:
            failures = [failure.error]
        return run_error(failures[-1]) if failures else None

    def epochs(self) -> Sequence[int]:
        """The leases under which the stage may have stored something, the newest first."""
        entry = self._entry_epoch()
        known = [record.key.epoch for record in self._records] if entry is None else [entry]
        return sorted({*known, self.base}, reverse=True)

    def _found(self, status: Status) -> bytes | None:
        counted = self._entry_epoch()
        if counted is not None:
            key = StageKey(self.group, StageId(self.stage.id), counted)
            return self.data.outputs([key])[0] if status is Status.COMPLETED else None
        left = [record for record in self._records if record.status is status and record.output is not None]
        return payloads.fetch(left[-1].output, self.data.blobs) if left and left[-1].output is not None else None

    def _entry_epoch(self) -> int | None:
        """The lease whose output counted, where one did."""
        head = self._head
        if self.group < head.group:
            return winners.completed(head, self.data.persistence).winner(self.group, self.ordinal)
        entry = head.active[self.ordinal]
        return entry.epoch if entry.state is EntryState.DONE else None

    @property
    def _records(self) -> Sequence[StageRecord]:
        """What the stage left since it was last rerun, by epoch."""
        if self._read is None:
            self._read = self._listed()
        return self._read

    def _listed(self) -> Sequence[StageRecord]:
        found = records.listed(self._head, self.data.persistence)
        own = (self.group, self.stage.id, "")
        return [
            one
            for one in found
            if (one.key.group, one.key.stage_id, one.key.part) == own and one.key.epoch >= self.base
        ]


def failure_of(data: RunData) -> Failure:
    """What the stage that is run on a failure is given."""
    head, plan = data.head, data.definition.plan
    closing, failure = head.closing, head.failure
    assert closing is not None
    lost = [plan.stage(group, ordinal) for group, ordinal in closing.not_undone]
    done = [record for record in records.listed(head, data.persistence) if _is_undone(record, closing.base or 0)]
    done.sort(key=lambda record: (-record.key.group, record.finished_at))
    return Failure(
        status=closing.status,
        stage_id=None if failure is None else failure.stage_id,
        error=None if failure is None else run_error(failure.error),
        reason=head.reason,
        undone=tuple(record.key.stage_id for record in done),
        not_undone=tuple(lost),
    )


def _is_undone(record: StageRecord, base: int) -> bool:
    return record.key.part == UNDO and record.status is Status.COMPLETED and record.key.epoch >= base


def run_error(error: ErrorInfo) -> RunError:
    """*error* as an author sees it."""
    return RunError(type=error.type, message=error.message)


def effect_key_of(run_id: RunId, stage_id: str, base: int) -> str:
    """The idempotency key of what a stage does outside: the same on every attempt, another one after a rerun."""
    return digest("effect", run_id, stage_id, str(base))


def undo_key_of(run_id: RunId, stage_id: str, base: int) -> str:
    """The idempotency key of what undoes that: the same however often that is tried."""
    return digest("undo", run_id, stage_id, str(base))


def step_key_of(run_id: RunId, stage_id: str, base: int, name: str) -> str:
    """The idempotency key of what a step of a stage does outside."""
    return digest("step", run_id, stage_id, str(base), name)
