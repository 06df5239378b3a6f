"""Read-only views of runs, for people and programs. Nothing here decides or writes anything.

Runs are found by workflow and time through the listing index, and failures through an index of
their own. Status and attributes are filtered on the heads that were read: a filter that few runs
pass reads many. What ghosts left is left out unless asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from workflow_engine.authoring.registry import Registry
from workflow_engine.authoring.workflow_definition import WorkflowDefinition
from workflow_engine.errors import RunNotFoundError, WorkflowNotFoundError
from workflow_engine.kernel import payloads, records, winners
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.outbox import Outbox
from workflow_engine.kernel.queries import archive_format
from workflow_engine.kernel.queries.archiver import Archiver
from workflow_engine.kernel.queries.live_runs import live_runs
from workflow_engine.kernel.queries.outcomes import RunOutcome, outcome_of
from workflow_engine.kernel.queries.views import HistoryEvent, RunView, SeenLines, history_of, may_have_steps, view_of
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import (
    Annotation,
    DeadLetter,
    Head,
    LogLine,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """Reads over the ports; every method raises ``TransientError`` where a store does not answer."""

    persistence: Persistence
    blobs: BlobStore
    definitions: Definitions
    due_shards: int = 1

    def find(self, run_ids: Sequence[str]) -> Mapping[RunId, Head]:
        """The heads of those of the runs that there are, read in one go."""
        return self.persistence.load_heads([RunId(run_id) for run_id in run_ids])

    def newest(self) -> RunId | None:
        """The run that was created last, of the workflows that are known here."""
        pages = (self.persistence.list_runs(name, limit=1) for name in self._workflows())
        heads = self.find([run_id for page in pages for run_id in page.run_ids])
        return max(heads.values(), key=lambda head: head.created_at).run_id if heads else None

    def beginning_with(self, prefix: str, *, most: int = 10_000) -> list[RunId]:
        """The runs whose ids begin with *prefix*, among the newest *most* of each workflow that is known here."""
        found: list[RunId] = []
        for name in self._workflows():
            cursor, read = None, 0
            while read < most:
                page = self.persistence.list_runs(name, limit=PAGE * 10, cursor=cursor)
                found += [run_id for run_id in page.run_ids if run_id.startswith(prefix)]
                cursor, read = page.cursor, read + len(page.run_ids)
                if cursor is None:
                    break
        return found

    def _workflows(self) -> list[str]:
        return sorted({definition.id for definition in self.definitions.registry})

    def live(self) -> Iterator[Head]:
        """Every run that is not over, of all workflows, in no order; read as they are asked for."""
        return live_runs(self.persistence, self.due_shards)

    def outcome(self, head: Head) -> RunOutcome:
        """How the run stands that *head* was read of; of a COMPLETED one with its output.

        Raises:
            BlobNotFoundError: the bucket has deleted the output.
            WorkflowNotFoundError, DefinitionChangedError: nobody here knows what it was made by.
        """
        return outcome_of(head, self.definitions, self.persistence, self.blobs)

    def archive_lines(self, head: Head, *, with_logs: bool = True) -> bytes:
        """The run as JSON lines, as its archive has them (``archive_format``)."""
        return Archiver(persistence=self.persistence, blobs=self.blobs, definitions=self.definitions).lines(
            head, with_logs=with_logs
        )

    def archived(self, run_id: str, *, ended_on: str | None = None) -> bytes:
        """The newest archive of a run; *ended_on* is the day (YYYY-MM-DD) on which it ended, if that is known.

        Names are read a thousand a request: a million archives take minutes, those of a day seconds.

        Raises:
            RunNotFoundError: there is none.
        """
        prefix = archive_format.PREFIX if ended_on is None else f"{archive_format.PREFIX}{ended_on}/"
        key = archive_format.find_key(self.blobs.list(prefix), run_id)
        if key is None:
            raise RunNotFoundError(run_id=run_id)
        return self.blobs.get(key)

    def definitions_of(self, registry: Registry) -> Definitions:
        """What runs would go on with if *registry* were deployed: to be asked for differences."""
        return Definitions(
            registry=registry, persistence=self.persistence, blobs=self.blobs, clock=self.definitions.clock
        )

    def dead_letters(self, *, limit: int = 100) -> Sequence[DeadLetter]:
        """Up to *limit* events that the bus refused for good."""
        return self.persistence.list_dead_letters(limit=limit)

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
        wanted = _Wanted(
            status=None if status is None else Status(status), attributes=attributes or {}, since=since, until=until
        )
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
        """A run with its stages, attempts and steps.

        Raises:
            RunNotFoundError: there is no such run.
        """
        head = self.head(run_id)
        found = records.listed(head, self.persistence)
        definition = self.definition_of(head)
        steps = self.persistence.list_steps(head.run_id) if may_have_steps(definition) else ()
        return view_of(winners.completed(head, self.persistence), found, definition, steps)

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
        untold = [
            HistoryEvent(at=e.at, type=e.type, facts=e.data, sequence=number)
            for number, e in enumerate(pending, head.told + 1)
        ]
        known = {(event.at, event.type) for event in untold}
        seen = [event for event in history_of(view) if (event.at, event.type) not in known]
        return sorted([*seen, *untold], key=lambda event: (event.at, event.sequence or 0))

    def logs(self, run_id: str, *, stage_id: str | None = None, all_attempts: bool = False) -> Sequence[LogLine]:
        """The lines that the stages of a run logged, oldest first: those of the attempts that
        count, and of unfinished stages all.

        Raises:
            RunNotFoundError: there is no such run.
        """
        seen = None if all_attempts else SeenLines(self.run(run_id))
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
        seen = None if all_attempts else SeenLines(self.run(run_id))
        found = [
            one
            for one in self.persistence.list_annotations(RunId(run_id))
            if wanted.matches(one) and (seen is None or one.stage is None or seen(one.stage, one.attempt or 1))
        ]
        return found[: wanted.limit]


@dataclass(frozen=True, slots=True, kw_only=True)
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
