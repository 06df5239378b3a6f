"""What is written of an attempt before the commit that makes it count: logs, annotations, output,
record. All of it lies under the lease's epoch, so that a ghost's is never seen."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from workflow_engine.errors import WorkflowEngineError
from workflow_engine.kernel import payloads
from workflow_engine.kernel.execution.attempt import Attempt
from workflow_engine.kernel.execution.ending import Completed, Failed, KeptState, Suspends
from workflow_engine.kernel.execution.run_data import RunData
from workflow_engine.kernel.transitions import Lease
from workflow_engine.model import plans
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import MAX_INLINE_BYTES, WRITE_UNIT_BYTES
from workflow_engine.model.payloads import Payload
from workflow_engine.model.runs import Annotation, Head, LogLine, StageKey, StageRecord, key_of
from workflow_engine.model.status import Status
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.persistence import Persistence


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes what an attempt leaves behind. *retention* is added to the run's deadline (TTL). Where
    *may_ride*, small records are left to the commit that counts them."""

    persistence: Persistence
    blobs: BlobStore
    retention: timedelta
    may_ride: bool = True

    def expiry(self, head: Head) -> datetime:
        """When what belongs to the run may go: the head goes a week later."""
        return head.deadline + self.retention

    def store(self, attempt: Attempt, lease: Lease, data: RunData, *, together: bool = False) -> StageRecord | None:
        """Store what *attempt* left; answers its record, if that is to ride in the commit that counts it. Of
        siblings, only those of one invocation are committed *together*.

        Raises:
            TransientError: the store did not answer; the same again changes nothing.
            Exception: whatever else the stores say to it.
        """
        key = _key_of(lease)
        self._store_journal(attempt, key, data.head)
        ending = attempt.ending
        if not isinstance(ending, Completed | Suspends | Failed):
            return None
        output = self._keep_output(attempt, key, data.head)
        record = self._record_of(attempt, key, data.head, output)
        alone = together or data.head.is_alone
        rides = alone and not plans.is_closing(lease.group) and self._rides(record)
        if not rides:
            self.persistence.put_record(record)
        if isinstance(ending, Completed):
            data.remember(key, ending.output)
        return record if rides else None

    def put(self, record: StageRecord) -> None:
        """Store a record that was to ride, and whose commit was refused."""
        self.persistence.put_record(record)

    def record(self, attempt: Attempt, lease: Lease, head: Head, *, correct: bool) -> None:
        """Store the record of a failed attempt alone; *correct* replaces one of the same lease."""
        put = self.persistence.correct_record if correct else self.persistence.put_record
        put(self._record_of(attempt, _key_of(lease), head, None))

    def forget_state(self, attempt: Attempt, lease: Lease, run_id: RunId) -> None:
        """Remove the state that the check of *lease* has looked at, and whose place its own answer has
        taken by a commit. The first of a stage stays, as history: a stage that is suspended ten
        thousand times leaves two. Nobody but a ghost looks for the others any more."""
        epoch, kept = lease.entry.suspended_epoch, attempt.kept
        if epoch is None or kept is None or not kept.again or not isinstance(attempt.ending, Suspends):
            return
        key = StageKey(lease.group, lease.stage_id, epoch)
        # They expire, too: what is left behind is history.
        with suppress(WorkflowEngineError):
            self.persistence.delete_record(run_id, key)
            if len(kept.dump()) > MAX_INLINE_BYTES:
                self.blobs.delete(_blob_key(run_id, key, "state"))

    def _rides(self, record: StageRecord) -> bool:
        """Whether *record* may be small enough. The state of a suspended stage is taken away again."""
        if not self.may_ride or record.status is Status.SUSPENDED:
            return False
        return record.output is None or len(record.output.inline or b"") < WRITE_UNIT_BYTES

    def _keep_output(self, attempt: Attempt, key: StageKey, head: Head) -> Payload | None:
        ending = attempt.ending
        if isinstance(ending, Suspends):
            again = attempt.kept is not None
            content, what = KeptState(ending.state, ending.poll_every, again).dump(), "state"
        elif isinstance(ending, Completed):
            content, what = ending.output, "output"
        else:
            return None
        blob_key = _blob_key(head.run_id, key, what)
        named = f"{what} of stage {key.stage_id!r}"
        return payloads.keep(content, what=named, blob_key=blob_key, blobs=self.blobs)

    def _record_of(self, attempt: Attempt, key: StageKey, head: Head, output: Payload | None) -> StageRecord:
        ending = attempt.ending
        completed = ending if isinstance(ending, Completed) else None
        error = ending.error if isinstance(ending, Failed) else None
        status = Status.COMPLETED if completed else Status.FAILED if error else Status.SUSPENDED
        return StageRecord(
            run_id=head.run_id,
            key=key,
            status=status,
            attempt=attempt.number,
            started_at=attempt.started_at,
            finished_at=attempt.finished_at,
            by=attempt.by,
            expires_at=self.expiry(head),
            output=output,
            error=error,
            metrics=completed.metrics if completed else {},
            artifacts=completed.artifacts if completed else {},
        )

    def _store_journal(self, attempt: Attempt, key: StageKey, head: Head) -> None:
        journal = attempt.journal
        if journal is None:
            return
        expiry = self.expiry(head)
        lines = [
            LogLine(
                head.run_id,
                key,
                index,
                line.at,
                line.level,
                line.message,
                line.fields,
                attempt.number,
                expiry,
            )
            for index, line in enumerate(journal.lines)
        ]
        if lines:
            self.persistence.put_logs(lines)
        notes = [
            Annotation(
                head.run_id,
                f"{key.group}.{key.stage_id}.{key.epoch}.{index}",
                note.at,
                note.key,
                note.value,
                key.stage_id,
                attempt.number,
                key,
                expiry,
            )
            for index, note in enumerate(journal.notes)
        ]
        if notes:
            self.persistence.put_annotations(notes)


def _key_of(lease: Lease) -> StageKey:
    return key_of(lease.group, lease.stage_id, lease.entry.epoch)


def _blob_key(run_id: str, key: StageKey, what: str) -> str:
    return f"{payloads.attempt_prefix(run_id, key)}{what}.json"
