"""The records of a stage's steps: read at once when one is first asked for, and put one by one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json
from typing_extensions import override

from workflow_engine.kernel import payloads
from workflow_engine.model.ids import RunId, digest
from workflow_engine.model.limits import MAX_INLINE_BYTES, MAX_INLINE_STEPS_BYTES
from workflow_engine.model.payloads import Payload
from workflow_engine.model.runs import StageKey
from workflow_engine.model.steps import StepKind, StepRecord, StepScope
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.persistence import Persistence


@dataclass(slots=True, kw_only=True)
class StepRecords:
    """The steps of *scope* as the lease under *epoch* knows them. *are_new* says that there are none yet: it is the
    first lease, and reads nothing."""

    persistence: Persistence
    blobs: BlobStore
    run_id: RunId
    scope: StepScope
    epoch: int
    expires_at: datetime
    are_new: bool
    _known: dict[str, StepRecord] | None = None
    _inline: int = 0

    def find(self, name: str) -> StepRecord | None:
        """What is stored under *name*, as far as this lease has seen it."""
        return self._all().get(name)

    def count(self) -> int:
        """How many are stored."""
        return len(self._all())

    def epochs(self) -> list[int]:
        """The leases under which they were put, the newest first."""
        return sorted({step.epoch for step in self._all().values()}, reverse=True)

    def tries(self, name: str) -> int:
        """How often the function of the step has failed before a pause for which its stage was left."""
        counted = [step for step in self._all().values() if step.kind is StepKind.TRIES]
        return max((step.tries for step in counted if step.name.rpartition("#")[0] == name), default=0)

    def put(self, record: StepRecord) -> StepRecord:
        """Store *record*; answers the one that counts, which may be another's."""
        stored = self.persistence.put_step(record) or record
        self._all()[record.name] = stored
        return stored

    def payload(self, name: str, output: bytes) -> Payload:
        """*output* as it is kept: beside its record where it and all before it are small.

        Raises:
            PayloadTooLargeError: it is above 16 MiB; nothing was stored.
        """
        self._all()
        blob_key = blob_key_of(self.run_id, self.scope, self.epoch, name)
        what = f"the result of step {name!r}"
        if self._inline + len(output) > MAX_INLINE_STEPS_BYTES and len(output) <= MAX_INLINE_BYTES:
            # All of them are read in one page.
            self.blobs.put(blob_key, output)
            return Payload(size_bytes=len(output), blob_key=blob_key)
        kept = payloads.keep(output, what=what, blob_key=blob_key, blobs=self.blobs)
        self._inline += len(kept.inline or b"")
        return kept

    def fetch(self, payload: Payload) -> bytes:
        """The bytes of a result."""
        return payloads.fetch(payload, self.blobs)

    def record(
        self, name: str, kind: StepKind, *, started: datetime, finished: datetime, output: Payload | None, tries: int
    ) -> StepRecord:
        """A record of a step of this scope, put under this lease."""
        return StepRecord(
            run_id=self.run_id,
            scope=self.scope,
            name=name,
            kind=kind,
            epoch=self.epoch,
            started_at=started,
            finished_at=max(finished, started),
            expires_at=self.expires_at,
            tries=tries,
            output=output,
        )

    def results(self) -> "Results":
        """What has come of those that have a result."""
        return Results({name: step.output for name, step in self._all().items() if step.output is not None}, self)

    def _all(self) -> dict[str, StepRecord]:
        if self._known is None:
            found = () if self.are_new else self.persistence.list_steps(self.run_id, self.scope)
            self._known = {step.name: step for step in found}
            self._inline = sum(len(step.output.inline or b"") for step in found if step.output is not None)
        return self._known


class Results(Mapping[str, Any]):
    """Results by the name of their step, as JSON-compatible values; large ones are read when asked for."""

    def __init__(self, found: Mapping[str, Payload], records: StepRecords) -> None:
        self._found, self._records = found, records

    @override
    def __getitem__(self, name: str) -> Any:
        return from_json(self._records.fetch(self._found[name]))

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    @override
    def __len__(self) -> int:
        return len(self._found)

    @override
    def __repr__(self) -> str:
        return f"Results({', '.join(self._found)})"


def blob_key_of(run_id: RunId, scope: StepScope, epoch: int, name: str) -> str:
    """Where a large result of a step lies: under the lease that put it, so that two that differ have two places."""
    key = StageKey(scope.group, scope.stage_id, epoch)
    return f"{payloads.attempt_prefix(run_id, key)}steps/{digest('step', name)}.json"
