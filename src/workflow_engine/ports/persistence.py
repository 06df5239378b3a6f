"""Where runs live.

The kernel decides, an adapter stores: no adapter knows what a workflow is. Not for payloads above
the inline limit: those are blobs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from workflow_engine.model.commits import Committed, Exclusive, Refused, Shared
from workflow_engine.model.deliveries import Recurrence
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import (
    Annotation,
    Bundle,
    DeadLetter,
    EventKey,
    Head,
    IdempotencyRecord,
    KeptSignal,
    LogLine,
    PendingEvent,
    RunInput,
    StageKey,
    StageRecord,
    Winners,
)
from workflow_engine.model.steps import StepRecord, StepScope


@dataclass(frozen=True, slots=True)
class DueRun:
    """A run in the due index. The index may lag: the head decides."""

    run_id: RunId
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Rearm:
    """A wish to move a run's ``due_at`` from *seen* to *next_due*, as decided from *version*."""

    run_id: RunId
    version: int
    seen: datetime
    next_due: datetime


@dataclass(frozen=True, slots=True)
class DuePage:
    """Runs by ``due_at``, oldest first; *cursor* reads on, ``None`` at the end."""

    runs: tuple[DueRun, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class RunPage:
    """Run ids, newest first; *cursor* reads on, ``None`` at the end."""

    run_ids: tuple[RunId, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class HeadSizes:
    """The bytes of a head: *apart* is all of it but the records that ride in it, *frame* what the first of
    those takes beside its own, and *recent* what each of them takes."""

    apart: int
    frame: int
    recent: tuple[int, ...]


class Persistence(Protocol):
    """Stores runs. Adapters must pass ``testing.contracts.PersistenceContract``.

    Reads by run id see every write that was answered before them; the indexes (due, listing,
    failures) may lag by seconds. All methods raise ``TransientError`` where the store did not
    answer, ``UnsupportedFormatError`` for an item of a newer version, ``CorruptItemError`` for one
    that cannot be read, and ``PayloadTooLargeError`` before a request that would be refused for
    its size.

    Instants are kept to the millisecond at least, cut off; expiries to the second, rounded up. A
    listing raises ``ValueError`` for a cursor that no page of it gave.
    """

    def commit(self, commit: Exclusive | Shared) -> Committed | Refused:
        """Apply *commit* to the head as one write, or refuse it and change nothing.

        ``Exclusive`` applies while the stored version is ``before.version`` (``before=None``: while
        there is no head; an expired one that is still there counts). ``Shared`` applies as
        ``apply_shared`` says. An idempotency record, and the item of a ``Signal``, are written in
        the same transaction, only if absent: one that is there refuses the commit
        (``Refused.replay``). An idempotency record that has expired counts as absent, here and in
        ``put_idempotency``. ``Refused.head`` is the head as it stands.

        Raises:
            PayloadTooLargeError: the head would pass 400 KB; nothing was sent.
            TransientError: the store did not answer; the commit may have happened.
            StaleRunError: ticks kept moving ``due_at`` across the wanted time; nothing was changed.
        """
        ...

    def load_head(self, run_id: RunId) -> Head | None:
        """The head, or ``None``."""
        ...

    def load_heads(self, run_ids: Sequence[RunId]) -> Mapping[RunId, Head]:
        """The heads of those that exist, in as few requests as possible. One that cannot be read
        (newer format, corrupt) is left out."""
        ...

    def put_record(self, record: StageRecord) -> None:
        """Store *record* if its key is free; one that is there stays as it is."""
        ...

    def correct_record(self, record: StageRecord) -> None:
        """Store *record* in the place of the one that the same lease (``by``) stored under its key,
        or where the key is free; another lease's stays."""
        ...

    def delete_record(self, run_id: RunId, key: StageKey) -> None:
        """Remove a record whose place a later one has taken. An absent one is no error."""
        ...

    def load_records(self, run_id: RunId, keys: Sequence[StageKey]) -> Mapping[StageKey, StageRecord]:
        """The records of those *keys* that exist, in as few requests as possible."""
        ...

    def list_records(self, run_id: RunId) -> Sequence[StageRecord]:
        """All records of a run that lie in items, those of ghosts and those in bundles included, by group,
        stage and epoch, each once. Those that ride in the head are not among them."""
        ...

    def put_bundle(self, bundle: Bundle) -> None:
        """Store *bundle* if its name is free; one that is there holds as much, and stays as it is. ``by``
        and ``expires_at`` of its records are not kept: what is read has no ``by``, and the expiry of the
        bundle."""
        ...

    def load_bundle(self, run_id: RunId, base: int, key: StageKey) -> Bundle | None:
        """The bundle of *base* with the least name that is not below that of *key*, the only one that the
        record can be in; ``None`` where there is none."""
        ...

    def head_sizes(self, head: Head) -> HeadSizes:
        """How many bytes *head* takes, as it is billed: its own, and those of each record that rides in it.
        Nothing is sent."""
        ...

    def put_step(self, step: StepRecord) -> StepRecord | None:
        """Store *step* if its name is free in its scope; answers the one that stands in the way."""
        ...

    def list_steps(self, run_id: RunId, scope: StepScope | None = None) -> Sequence[StepRecord]:
        """The steps of *scope*, or all of a run, by group, stage, base and name."""
        ...

    def put_winners(self, page: Winners) -> None:
        """Store *page* if there is none of its run, base and ``through``; one that is there says the same."""
        ...

    def load_winners(self, run_id: RunId) -> Sequence[Winners]:
        """All winners of a run that lie outside of its head, in no order."""
        ...

    def put_input(self, item: RunInput) -> None:
        """Store a run's input under its hash. The same again changes nothing, but that it lives as
        long as the later of the two says."""
        ...

    def load_input(self, run_id: RunId, input_hash: str) -> RunInput | None:
        """A run's input, or ``None``."""
        ...

    def put_spilled(self, head: Head, events: Mapping[EventKey, PendingEvent]) -> None:
        """Store events of *head* outside of it: untold ones by sequence, and what a commit is about to
        make, which has none yet, by a name that nobody else uses. The same key again replaces."""
        ...

    def load_spilled(self, run_id: RunId, keys: Sequence[EventKey]) -> Mapping[EventKey, PendingEvent]:
        """Stored events by sequence or name, in as few requests as possible."""
        ...

    def delete_spilled(self, run_id: RunId, keys: Sequence[EventKey]) -> None:
        """Remove events that nobody looks for any more. Absent ones are no error."""
        ...

    def put_dead_letter(self, letter: DeadLetter) -> None:
        """Store an event that could not be delivered. The same again changes nothing."""
        ...

    def list_dead_letters(self, *, limit: int, after: tuple[RunId, int] | None = None) -> Sequence[DeadLetter]:
        """Dead letters, by run and sequence, through an index that may lag; with *after* those behind
        that one."""
        ...

    def delete_dead_letter(self, run_id: RunId, sequence: int) -> None:
        """Remove a dead letter that was delivered after all."""
        ...

    def load_signal(self, run_id: RunId, element: str) -> KeptSignal | None:
        """The signal that ``Head.signals`` lists as *element*, or ``None``."""
        ...

    def put_logs(self, lines: Sequence[LogLine]) -> None:
        """Store the lines of one attempt, in batches."""
        ...

    def list_logs(self, run_id: RunId) -> Sequence[LogLine]:
        """All lines of a run, those of ghosts included, by attempt and index."""
        ...

    def put_annotations(self, annotations: Sequence[Annotation]) -> None:
        """Store annotations, in batches. The same id again replaces."""
        ...

    def put_annotation(self, annotation: Annotation) -> Annotation | None:
        """Store *annotation* if its id is free; answers the one that stands in the way."""
        ...

    def list_annotations(self, run_id: RunId) -> Sequence[Annotation]:
        """All annotations of a run, those of ghosts included, oldest first."""
        ...

    def load_idempotency(self, key: str, command_type: str) -> IdempotencyRecord | None:
        """The first result under *key* for that type of command, or ``None`` (also once expired)."""
        ...

    def put_idempotency(self, record: IdempotencyRecord) -> IdempotencyRecord | None:
        """Store *record* if its key is free; answers the one that stands in the way."""
        ...

    def put_definition(
        self,
        workflow_id: str,
        fingerprint: str,
        structure: Mapping[str, Any],
        *,
        kept_at: datetime | None = None,
    ) -> None:
        """Keep the structure of a workflow for as long as runs may refer to it, and *kept_at* with it.
        Put again, it is the same structure, kept at another time."""
        ...

    def definition_kept_at(self, workflow_id: str, fingerprint: str) -> datetime | None:
        """When the structure under that fingerprint was put last; ``None`` where nobody said."""
        ...

    def load_definition(self, workflow_id: str, fingerprint: str) -> Mapping[str, Any] | None:
        """The structure under that fingerprint, or ``None``."""
        ...

    def put_recurrence(self, recurrence: Recurrence) -> None:
        """Keep *recurrence*, in place of the one of that name. It never expires."""
        ...

    def list_recurrences(self) -> Sequence[Recurrence]:
        """All recurrences that are kept, by name."""
        ...

    def delete_recurrence(self, name: str) -> bool:
        """Forget the recurrence; whether there was one."""
        ...

    def list_due(self, shard: int, *, until: datetime, limit: int, cursor: str | None = None) -> DuePage:
        """Runs of a shard of the due index with ``due_at <= until``, oldest first."""
        ...

    def rearm(self, wishes: Sequence[Rearm]) -> Sequence[RunId]:
        """Move ``due_at`` for those of *wishes* whose head still has the version and the ``due_at``
        that were seen.

        Touches nothing else, not even ``version``. Answers those that were moved: their caller
        sends, so that several ticks share the work. The version is in the condition, since a
        sibling that begins to wait while a tick decides must not find its timer behind ``due_at``.
        """
        ...

    def list_runs(
        self,
        workflow_id: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> RunPage:
        """Runs of a workflow by creation time, newest first; *since* inclusive, *until* exclusive."""
        ...

    def list_failures(
        self,
        workflow_id: str,
        *,
        since: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> RunPage:
        """FAILED runs of a workflow by the time they failed, newest first."""
        ...

    def extend_expiry(self, run_id: RunId, expires_at: datetime) -> None:
        """Let everything that belongs to a run, but its head, live until *expires_at* at least."""
        ...
