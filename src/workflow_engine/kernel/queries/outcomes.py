"""How a run stands: what it has come to, with its output."""

from dataclasses import dataclass

from workflow_engine.kernel import payloads, records
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.model.ids import StageId
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import SKIPPED_EPOCH, Head, StageKey
from workflow_engine.model.status import Status
from workflow_engine.model.values import NOTHING
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.persistence import Persistence


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run stands: *output* is the JSON of its last group's output, once COMPLETED (of a
    parallel group: an object with a field for each stage)."""

    run_id: str
    status: Status
    output: bytes | None = None
    error: ErrorInfo | None = None


def outcome_of(head: Head, definitions: Definitions, persistence: Persistence, blobs: BlobStore) -> RunOutcome:
    """The outcome that *head* and its records show."""
    error = head.failure.error if head.failure else None
    if head.status is not Status.COMPLETED:
        return RunOutcome(head.run_id, head.status, error=error)
    definition = definitions.for_run(head)
    # Not the definition's last: after a rollback, this code may know a group more than the run had, or less.
    last = head.group
    if last >= len(definition.groups):
        return RunOutcome(head.run_id, head.status, _unknown(head, persistence, blobs))
    keys = {
        stage.id: StageKey(last, StageId(stage.id), epoch)
        for ordinal, stage in enumerate(definition.groups[last])
        if (epoch := head.winner(last, ordinal)) != SKIPPED_EPOCH
    }
    if not keys:
        return RunOutcome(head.run_id, head.status, NOTHING)
    found = records.loaded(head, list(keys.values()), persistence)
    outputs = {
        stage_id: payloads.fetch(record.output, blobs)
        for stage_id, key in keys.items()
        if (record := found.get(key)) is not None and record.output is not None
    }
    output = definition.join_outputs(last, outputs) if outputs else None
    return RunOutcome(head.run_id, head.status, output)


def _unknown(head: Head, persistence: Persistence, blobs: BlobStore) -> bytes | None:
    """The output of a last group that this code does not know: what its one stage left. Of several stages
    nobody here can say which fields they are."""
    left = [record for record in records.listed(head, persistence) if record.key.group == head.group]
    stages = {record.key.stage_id for record in left}
    winner = head.winner(head.group, 0)
    outputs = [record.output for record in left if record.key.epoch == winner and record.output is not None]
    return payloads.fetch(outputs[0], blobs) if len(stages) == 1 and outputs else None
