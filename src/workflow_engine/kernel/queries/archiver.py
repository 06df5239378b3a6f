"""Gathers what belongs to a run that is over, and stores its archive. The format is in ``archive``.

``archive`` is imported when the first run is archived: most functions never do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workflow_engine.authoring.workflow_definition import WorkflowDefinition
from workflow_engine.errors import BlobNotFoundError, CorruptItemError
from workflow_engine.kernel import payloads, records, winners
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.model.payloads import Payload
from workflow_engine.model.runs import Head, StageRecord
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.persistence import Persistence

if TYPE_CHECKING:
    from workflow_engine.kernel.queries.archive_format import ArchivedRun

# Two of the largest outputs. An archive is put together in memory, where it is twice, beside the
# input (16 MiB): with this it is so in the smallest function there is, too.
MAX_OUTPUT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Archiver:
    """Stores runs that are over as JSON lines, with outputs up to *max_output_bytes* together."""

    persistence: Persistence
    blobs: BlobStore
    definitions: Definitions
    max_output_bytes: int = MAX_OUTPUT_BYTES

    def store(self, head: Head) -> str:
        """Store the archive of *head*'s run, replacing that of the same day; answers its key.

        Raises:
            TransientError: a store did not answer; nothing was stored, or all of it.
        """
        from workflow_engine.kernel.queries import archive_format

        key = archive_format.key_of(head)
        self.blobs.put(key, self.lines(head))
        return key

    def lines(self, head: Head, *, with_logs: bool = False) -> bytes:
        """What ``store`` stores; *with_logs* with what the stages logged, of all attempts."""
        from workflow_engine.kernel.queries import archive_format
        from workflow_engine.kernel.queries.runs import Queries

        definition = Queries(
            persistence=self.persistence, blobs=self.blobs, definitions=self.definitions
        ).definition_of(head)
        return archive_format.write(self.gathered(head, definition, with_logs=with_logs), definition)

    def gathered(
        self, head: Head, definition: WorkflowDefinition | None = None, *, with_logs: bool = False
    ) -> "ArchivedRun":
        """The run with everything that is kept of it. Outputs are read in the order of the records,
        up to the limit; those beyond stay blobs."""
        from workflow_engine.kernel.queries.archive_format import ArchivedRun
        from workflow_engine.kernel.queries.views import may_have_steps

        return ArchivedRun(
            head=winners.completed(head, self.persistence),
            records=self._filled(records.listed(head, self.persistence)),
            started_with=self._started_with(head),
            annotations=self.persistence.list_annotations(head.run_id),
            logs=self.persistence.list_logs(head.run_id) if with_logs else (),
            steps=self.persistence.list_steps(head.run_id) if may_have_steps(definition) else (),
        )

    def _started_with(self, head: Head) -> Mapping[str, Any]:
        try:
            return payloads.load_input(head, persistence=self.persistence, blobs=self.blobs)
        except (BlobNotFoundError, CorruptItemError):
            # What is gone comes back by no retry, and must not keep the rest from being archived.
            return {}

    def _filled(self, records: Sequence[StageRecord]) -> list[StageRecord]:
        left, filled = self.max_output_bytes, []
        for record in records:
            output = record.output
            if output is not None and output.size_bytes <= left:
                output = self._inline(output)
                left -= output.size_bytes
            filled.append(record if output is record.output else replace(record, output=output))
        return filled

    def _inline(self, output: Payload) -> Payload:
        try:
            return Payload.of(payloads.fetch(output, self.blobs))
        except BlobNotFoundError:
            return output
