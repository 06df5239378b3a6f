"""Read-only views of runs, for people and programs. Nothing here decides or writes anything.

Runs are found by workflow and time through the listing index, and failures through an index of
their own. Status and attributes are filtered on the heads that were read: a filter that few runs
pass reads many. What ghosts left is left out unless asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from workflow_engine.authoring.workflow_definition import WorkflowDefinition
from workflow_engine.errors import RunNotFoundError, WorkflowNotFoundError
from workflow_engine.kernel import payloads, winners
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.outbox import Outbox
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.runs import (
    Annotation,
    Entry,
    EntryState,
    Head,
    LogLine,
    StageKey,
    StageRecord,
)
from workflow_engine.model.status import Status
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.persistence import Persistence, RunPage

PAGE = 100


@dataclass(frozen=True, slots=True)
class RunList:
    """Heads, newest first; *cursor* reads on, ``None`` at the end."""

    heads: tuple[Head, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage of a run as it stands: *attempts* are its records by epoch, *counted* the one whose
    output is seen, *entry* its place in the head while its group runs."""

    group: int
    ordinal: int
    stage_id: str
    status: Status
    attempts: tuple[StageRecord, ...]
    counted: StageRecord | None = None
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with its stages in order; *definition* is ``None`` where its workflow is gone."""

    head: Head
    stages: tuple[StageView, ...]
    definition: WorkflowDefinition | None


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """Something that happened to a run. *sequence* is set while the event is not known to be told;
    told ones leave the head, and are read back from the records."""

    at: datetime
    type: str
    facts: Mapping[str, Any]
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class AnnotationFilter:
    """Which annotations to list; ``None`` does not restrict. *until* is exclusive."""

    key: str | None = None
    prefix: str | None = None
    scope: str | None = None
    actor: str | None = None
    attempt: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 1000

    def matches(self, one: Annotation) -> bool:
        """Whether *one* passes, the limit apart."""
        return (
            self.key in (None, one.name)
            and one.name.startswith(self.prefix or "")
            and self.scope in (None, one.scope)
            and self.actor in (None, one.actor)
            and self.attempt in (None, one.attempt)
            and (self.since is None or one.at >= self.since)
            and (self.until is None or one.at < self.until)
        )


@dataclass(frozen=True, slots=True)
class Queries:
    """Reads over the ports; every method raises ``TransientError`` where a store does not answer."""

    persistence: Persistence
    blobs: BlobStore
    definitions: Definitions

    def runs(
        self,
        workflow_id: str,
        *,
        status: Status | str | None = None,
        attributes: Mapping[str, Any] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunList:
        """Up to *limit* runs of a workflow that were created from *since* on and before *until*, newest
        first; FAILED ones are read through the index of failures, the last failure first.

        Raises:
            ValueError: *status* is none.
        """
        wanted = _Wanted(None if status is None else Status(status), attributes or {}, since, until)
        found: list[Head] = []
        while len(found) < limit:
            size = min(PAGE, limit - len(found)) if wanted.is_all else PAGE
            page = self._page(workflow_id, wanted, size, cursor)
            fitting = self._fitting(page, wanted, limit - len(found))
            found += [head for _, head in fitting]
            if len(found) == limit and fitting and fitting[-1][0] + 1 < len(page.run_ids):
                # More of the page may fit than were wanted: where the last one of it stood, one goes on.
                page = self._page(workflow_id, wanted, fitting[-1][0] + 1, cursor)
            cursor = page.cursor
            if cursor is None:
                break
        return RunList(tuple(found), cursor)

    def _page(self, workflow_id: str, wanted: "_Wanted", limit: int, cursor: str | None) -> RunPage:
        if wanted.status is Status.FAILED:
            # Nothing fails before it is created.
            return self.persistence.list_failures(workflow_id, since=wanted.since, limit=limit, cursor=cursor)
        since, until = wanted.since, wanted.until
        return self.persistence.list_runs(workflow_id, since=since, until=until, limit=limit, cursor=cursor)

    def _fitting(self, page: RunPage, wanted: "_Wanted", most: int) -> list[tuple[int, Head]]:
        """The first *most* heads of *page* that are wanted, each with its place in it."""
        heads = self.persistence.load_heads(page.run_ids)
        fitting: list[tuple[int, Head]] = []
        for place, run_id in enumerate(page.run_ids):
            if len(fitting) == most:
                break
            head = heads.get(run_id)
            if head is not None and wanted.takes(head) and self._has(head, wanted.attributes):
                fitting.append((place, head))
        return fitting

    def _has(self, head: Head, attributes: Mapping[str, Any]) -> bool:
        if not attributes:
            return True
        started = payloads.load_input(head, persistence=self.persistence, blobs=self.blobs)
        kept = started["attributes"]
        return all(kept.get(name) == value for name, value in attributes.items())

    def head(self, run_id: str) -> Head:
        """The head of a run.

        Raises:
            RunNotFoundError: there is no such run.
        """
        head = self.persistence.load_head(RunId(run_id))
        if head is None:
            raise RunNotFoundError(run_id=run_id)
        return head

    def run(self, run_id: str) -> RunView:
        """A run with its stages and attempts.

        Raises:
            RunNotFoundError: there is no such run.
        """
        head = self.head(run_id)
        records = self.persistence.list_records(head.run_id)
        return view_of(winners.completed(head, self.persistence), records, self.definition_of(head))

    def definition_of(self, head: Head) -> WorkflowDefinition | None:
        """The definition that describes a run best; ``None`` where its workflow is gone."""
        try:
            return self.definitions.closest(head)
        except WorkflowNotFoundError:
            return None

    def started_with(self, head: Head) -> Mapping[str, Any]:
        """What a run was given: ``input``, ``config`` and ``attributes``."""
        return payloads.load_input(head, persistence=self.persistence, blobs=self.blobs)

    def output(self, record: StageRecord) -> bytes | None:
        """The JSON that a record keeps."""
        return None if record.output is None else payloads.fetch(record.output, self.blobs)

    def events(self, run_id: str) -> Sequence[HistoryEvent]:
        """What happened to a run, oldest first: told events as the records show them, untold ones
        from the head with their sequence.

        Raises:
            RunNotFoundError: there is no such run.
        """
        view = self.run(run_id)
        head = view.head
        pending = Outbox(self.persistence).all_pending(head)
        untold = [HistoryEvent(e.at, e.type, e.data, number) for number, e in enumerate(pending, head.told + 1)]
        known = {(event.at, event.type) for event in untold}
        seen = [event for event in _history(view) if (event.at, event.type) not in known]
        return sorted([*seen, *untold], key=lambda event: (event.at, event.sequence or 0))

    def logs(self, run_id: str, *, stage_id: str | None = None, all_attempts: bool = False) -> Sequence[LogLine]:
        """The lines that the stages of a run logged, oldest first: those of the attempts that
        count, and of unfinished stages all.

        Raises:
            RunNotFoundError: there is no such run.
        """
        seen = None if all_attempts else _Seen(self.run(run_id))
        lines = [
            line
            for line in self.persistence.list_logs(RunId(run_id))
            if stage_id in (None, line.key.stage_id) and (seen is None or seen(line.key, line.attempt))
        ]
        return sorted(lines, key=lambda line: (line.at, line.key.group, line.key.stage_id, line.key.epoch, line.index))

    def annotations(
        self,
        run_id: str,
        wanted: AnnotationFilter | None = None,
        *,
        all_attempts: bool = False,
    ) -> Sequence[Annotation]:
        """The annotations of a run that pass *wanted*, oldest first: those of attempts that count.

        Raises:
            RunNotFoundError: there is no such run.
        """
        wanted = wanted or AnnotationFilter()
        seen = None if all_attempts else _Seen(self.run(run_id))
        found = [
            one
            for one in self.persistence.list_annotations(RunId(run_id))
            if wanted.matches(one) and (seen is None or one.stage is None or seen(one.stage, one.attempt or 1))
        ]
        return found[: wanted.limit]


def view_of(head: Head, records: Sequence[StageRecord], definition: WorkflowDefinition | None) -> RunView:
    """A run with its stages, as *head* and *records* show them."""
    stages = _stages(head, definition, records) if definition else _orphans(records)
    return RunView(head, tuple(stages), definition)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which runs are listed."""

    status: Status | None
    attributes: Mapping[str, Any]
    since: datetime | None
    until: datetime | None

    @property
    def is_all(self) -> bool:
        """Whether the index alone says which runs they are."""
        return self.status is None and not self.attributes

    def takes(self, head: Head) -> bool:
        """Whether *head* is one, attributes apart."""
        if self.status not in (None, head.status):
            return False
        return (self.since is None or head.created_at >= self.since) and (
            self.until is None or head.created_at < self.until
        )


class _Seen:
    """Whether an attempt's notes are shown: it won, or it is one of those that its unfinished stage
    has made. A ghost's, whose lease another took, are not."""

    def __init__(self, view: RunView) -> None:
        self._stages = {(stage.group, stage.stage_id): stage for stage in view.stages}

    def __call__(self, key: StageKey, attempt: int) -> bool:
        stage = self._stages.get((key.group, key.stage_id))
        if stage is None:
            return True
        if stage.counted is not None:
            return key.epoch == stage.counted.key.epoch
        return stage.entry is None or _is_seen(stage, stage.entry, key.epoch, attempt)


def _is_seen(stage: StageView, entry: Entry, epoch: int, attempt: int) -> bool:
    """Whether an unfinished stage's lease was its own. Whoever takes a lease over draws a later epoch
    for the same attempt, and so does each look of a stage that waits."""
    if attempt < entry.attempt:
        return epoch == max((one.key.epoch for one in stage.attempts if one.attempt == attempt), default=epoch)
    waits = entry.suspended_epoch is not None or entry.signal is not None
    return epoch <= entry.epoch if waits else epoch == entry.epoch


def _stages(head: Head, definition: WorkflowDefinition, records: Sequence[StageRecord]) -> Iterator[StageView]:
    by_stage: dict[tuple[int, str], list[StageRecord]] = {}
    for record in records:
        by_stage.setdefault((record.key.group, record.key.stage_id), []).append(record)
    for group, stages in enumerate(definition.plan):
        for ordinal, stage_id in enumerate(stages):
            attempts = tuple(by_stage.get((group, stage_id), ()))
            yield _stage(head, group, ordinal, stage_id, attempts)


def _stage(head: Head, group: int, ordinal: int, stage_id: str, attempts: tuple[StageRecord, ...]) -> StageView:
    current = head.group == group and ordinal < len(head.active)
    entry = head.active[ordinal] if current else None
    status = _status(head, group, entry)
    epoch = entry.epoch if entry is not None else head.winner(group, ordinal)
    key = StageKey(group, StageId(stage_id), epoch)
    ended = status in (Status.COMPLETED, Status.FAILED)
    counted = next((one for one in attempts if ended and one.key == key), None)
    return StageView(group, ordinal, stage_id, status, attempts, counted, entry)


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
        yield StageView(group, ordinal, stage_id, record.status, attempts, record)


def _history(view: RunView) -> Iterator[HistoryEvent]:
    head = view.head
    yield HistoryEvent(head.created_at, "workflow:created", {"priority": head.priority})
    for stage in view.stages:
        for record in stage.attempts:
            yield from _record_events(record)
    if head.ended_at is None:
        return
    facts: dict[str, Any] = {}
    if head.failure is not None:
        error = head.failure.error
        facts = {"error": f"{error.type}: {error.message}", "stage_id": head.failure.stage_id}
    elif head.reason is not None:
        facts = {"reason": head.reason}
    yield HistoryEvent(head.ended_at, f"workflow:{head.status.lower()}", facts)


def _record_events(record: StageRecord) -> Iterator[HistoryEvent]:
    facts: dict[str, Any] = {"stage_id": record.key.stage_id, "attempt": record.attempt}
    yield HistoryEvent(record.started_at, "stage:started", facts)
    if record.error is not None:
        facts = {**facts, "error": f"{record.error.type}: {record.error.message}"}
    yield HistoryEvent(record.finished_at, f"stage:{record.status.lower()}", facts)
