"""Runs in the memory of one process: for tests, the simulator and programs that need no durability.

As careful as the adapter for DynamoDB (one lock, the same refusals, the same size limit), and fast:
it keeps the immutable values themselves, and every index is sorted. An expired item that is still
present counts as present, as it does in DynamoDB; ``forget_expired`` removes it.

One module, long as it is: the port has forty operations, and each is a line or two over one state and lock.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock
from typing import Any, TypeVar

from typing_extensions import override

from workflow_engine.adapters.memory import sizes
from workflow_engine.adapters.memory.sorted_index import Row, SortedIndex, cursor_of, row_of
from workflow_engine.model.commits import Committed, Exclusive, Refused, Shared, Signal, apply_shared
from workflow_engine.model.deliveries import Recurrence, body_of
from workflow_engine.model.ids import RunId, WorkflowId
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
    as_kept,
    riding,
)
from workflow_engine.model.steps import StepRecord, StepScope
from workflow_engine.ports.clock import Clock
from workflow_engine.ports.persistence import DuePage, DueRun, HeadSizes, Persistence, Rearm, RunPage

_Expiring = TypeVar(
    "_Expiring", StageRecord, Bundle, Winners, StepRecord, RunInput, KeptSignal, LogLine, Annotation, DeadLetter
)
_Key = TypeVar("_Key")


@dataclass(slots=True)
class _Belongings:
    """What belongs to a run beside its head; some of it is written before the head is."""

    records: dict[StageKey, StageRecord] = field(default_factory=dict)
    bundles: dict[tuple[int, int, int], Bundle] = field(default_factory=dict)
    winners: dict[tuple[int, int], Winners] = field(default_factory=dict)
    steps: dict[tuple[StepScope, str], StepRecord] = field(default_factory=dict)
    inputs: dict[str, RunInput] = field(default_factory=dict)
    spilled: dict[EventKey, PendingEvent] = field(default_factory=dict)
    letters: dict[int, DeadLetter] = field(default_factory=dict)
    signals: dict[str, KeptSignal] = field(default_factory=dict)
    logs: dict[tuple[StageKey, int], LogLine] = field(default_factory=dict)
    annotations: dict[str, Annotation] = field(default_factory=dict)


class MemoryPersistence(Persistence):
    """Stores runs in this process. *clock* says when idempotency records have expired."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._heads: dict[RunId, Head] = {}
        self._belongings: defaultdict[RunId, _Belongings] = defaultdict(_Belongings)
        self._idempotency: dict[tuple[str, str], IdempotencyRecord] = {}
        self._definitions: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._recurrences: dict[str, Recurrence] = {}
        self._kept_at: dict[tuple[str, str], datetime | None] = {}
        self._due: defaultdict[int, SortedIndex] = defaultdict(SortedIndex)
        self._listing: defaultdict[WorkflowId, SortedIndex] = defaultdict(SortedIndex)
        self._failures: defaultdict[WorkflowId, SortedIndex] = defaultdict(SortedIndex)
        self._letters: set[tuple[RunId, int]] = set()

    # The head

    @override
    def commit(self, commit: Exclusive | Shared) -> Committed | Refused:
        with self._lock:
            run_id = commit.after.run_id if isinstance(commit, Exclusive) else commit.run_id
            head = self._heads.get(run_id)
            replay = self._standing(commit.idempotency) if commit.idempotency else None
            changed = self._decided(head, commit)
            if changed is None or replay is not None:
                return Refused(head, replay)
            sizes.check_head(changed)
            changed = as_kept(changed)
            self._store(head, changed)
            self._store_beside(commit)
            return Committed(changed)

    def _decided(self, head: Head | None, commit: Exclusive | Shared) -> Head | None:
        if isinstance(commit, Exclusive):
            found = head.version if head else None
            expected = commit.before.version if commit.before else None
            return commit.after if found == expected else None
        if head is None or self._is_kept(commit):
            return None
        return apply_shared(head, commit)

    def _is_kept(self, commit: Shared) -> bool:
        change = commit.change
        return isinstance(change, Signal) and change.kept.element in self._belongings[commit.run_id].signals

    def _store(self, before: Head | None, after: Head) -> None:
        self._heads[after.run_id] = after
        if before is None:
            self._listing[after.workflow_id].add((after.created_at, after.run_id))
        for index, old, new in (
            (self._due[after.due_shard], _due_row(before), _due_row(after)),
            (self._failures[after.workflow_id], _failure_row(before), _failure_row(after)),
        ):
            if old != new:
                _move(index, old, new)

    def _store_beside(self, commit: Exclusive | Shared) -> None:
        if commit.idempotency:
            self._idempotency[_idempotency_key(commit.idempotency)] = commit.idempotency
        if isinstance(commit, Shared) and isinstance(commit.change, Signal):
            kept = commit.change.kept
            self._belongings[commit.run_id].signals[kept.element] = kept

    @override
    def load_head(self, run_id: RunId) -> Head | None:
        with self._lock:
            return self._heads.get(run_id)

    @override
    def load_heads(self, run_ids: Sequence[RunId]) -> Mapping[RunId, Head]:
        with self._lock:
            return {run_id: self._heads[run_id] for run_id in run_ids if run_id in self._heads}

    # What belongs to a run

    @override
    def put_record(self, record: StageRecord) -> None:
        sizes.check_record(record)
        with self._lock:
            self._belongings[record.run_id].records.setdefault(record.key, record)

    @override
    def correct_record(self, record: StageRecord) -> None:
        sizes.check_record(record)
        with self._lock:
            records = self._belongings[record.run_id].records
            if records.setdefault(record.key, record).by == record.by:
                records[record.key] = record

    @override
    def delete_record(self, run_id: RunId, key: StageKey) -> None:
        with self._lock:
            self._of(run_id).records.pop(key, None)

    @override
    def load_records(self, run_id: RunId, keys: Sequence[StageKey]) -> Mapping[StageKey, StageRecord]:
        with self._lock:
            return _picked(self._of(run_id).records, keys)

    @override
    def list_records(self, run_id: RunId) -> Sequence[StageRecord]:
        with self._lock:
            found = self._of(run_id)
            records = dict(found.records)
            for bundle in found.bundles.values():
                records |= {record.key: record for record in _read(bundle).records}
        return sorted(records.values(), key=lambda record: _order(record.key))

    @override
    def put_bundle(self, bundle: Bundle) -> None:
        sizes.check_item("the bundle", *map(sizes.rider_size, bundle.records))
        with self._lock:
            self._belongings[bundle.run_id].bundles.setdefault(bundle.name, bundle)

    @override
    def load_bundle(self, run_id: RunId, base: int, key: StageKey) -> Bundle | None:
        with self._lock:
            bundles = dict(self._of(run_id).bundles)
        names = [name for name in bundles if name[0] == base and name >= (base, key.group, key.epoch)]
        return _read(bundles[min(names)]) if names else None

    @override
    def head_sizes(self, head: Head) -> HeadSizes:
        return sizes.of(head)

    @override
    def put_step(self, step: StepRecord) -> StepRecord | None:
        sizes.check_step(step)
        with self._lock:
            kept = self._belongings[step.run_id].steps
            standing = kept.setdefault((step.scope, step.name), step)
            return None if standing is step else standing

    @override
    def list_steps(self, run_id: RunId, scope: StepScope | None = None) -> Sequence[StepRecord]:
        with self._lock:
            steps = list(self._of(run_id).steps.values())
        return sorted((step for step in steps if scope in (None, step.scope)), key=_step_order)

    @override
    def put_winners(self, page: Winners) -> None:
        with self._lock:
            self._belongings[page.run_id].winners.setdefault((page.base, page.through), page)

    @override
    def load_winners(self, run_id: RunId) -> Sequence[Winners]:
        with self._lock:
            return list(self._of(run_id).winners.values())

    @override
    def put_input(self, item: RunInput) -> None:
        sizes.check_item("the input", sizes.payload_size(item.payload))
        with self._lock:
            inputs = self._belongings[item.run_id].inputs
            stored = inputs.get(item.hash)
            if stored is None or stored.expires_at < item.expires_at:
                inputs[item.hash] = item

    @override
    def load_input(self, run_id: RunId, input_hash: str) -> RunInput | None:
        with self._lock:
            return self._of(run_id).inputs.get(input_hash)

    @override
    def put_spilled(self, head: Head, events: Mapping[EventKey, PendingEvent]) -> None:
        for event in events.values():
            sizes.check_item("the event", sizes.events_size([event]))
        with self._lock:
            self._belongings[head.run_id].spilled.update(events)

    @override
    def load_spilled(self, run_id: RunId, keys: Sequence[EventKey]) -> Mapping[EventKey, PendingEvent]:
        with self._lock:
            return _picked(self._of(run_id).spilled, keys)

    @override
    def delete_spilled(self, run_id: RunId, keys: Sequence[EventKey]) -> None:
        with self._lock:
            for key in keys:
                self._of(run_id).spilled.pop(key, None)

    @override
    def put_dead_letter(self, letter: DeadLetter) -> None:
        sizes.check_item("the dead letter", sizes.events_size([letter.event]), sizes.text_size(letter.reason))
        with self._lock:
            self._belongings[letter.run_id].letters.setdefault(letter.sequence, letter)
            self._letters.add((letter.run_id, letter.sequence))

    @override
    def list_dead_letters(self, *, limit: int, after: tuple[RunId, int] | None = None) -> Sequence[DeadLetter]:
        with self._lock:
            # Sorted when asked for: dead letters are few, and asked for by a person.
            keys = sorted(key for key in self._letters if after is None or key > after)[:limit]
            return [self._belongings[run_id].letters[sequence] for run_id, sequence in keys]

    @override
    def delete_dead_letter(self, run_id: RunId, sequence: int) -> None:
        with self._lock:
            self._of(run_id).letters.pop(sequence, None)
            self._letters.discard((run_id, sequence))

    @override
    def load_signal(self, run_id: RunId, element: str) -> KeptSignal | None:
        with self._lock:
            return self._of(run_id).signals.get(element)

    @override
    def put_logs(self, lines: Sequence[LogLine]) -> None:
        for line in lines:
            sizes.check_item("the log line", sizes.text_size(line.message), sizes.json_size(dict(line.fields)))
        with self._lock:
            for line in lines:
                self._belongings[line.run_id].logs[(line.key, line.index)] = line

    @override
    def list_logs(self, run_id: RunId) -> Sequence[LogLine]:
        with self._lock:
            lines = list(self._of(run_id).logs.values())
        return sorted(lines, key=lambda line: (*_order(line.key), line.index))

    @override
    def put_annotations(self, annotations: Sequence[Annotation]) -> None:
        for annotation in annotations:
            _check_annotation(annotation)
        with self._lock:
            for annotation in annotations:
                self._belongings[annotation.run_id].annotations[annotation.id] = annotation

    @override
    def put_annotation(self, annotation: Annotation) -> Annotation | None:
        _check_annotation(annotation)
        with self._lock:
            kept = self._belongings[annotation.run_id].annotations
            standing = kept.get(annotation.id)
            if standing is None:
                kept[annotation.id] = annotation
            return standing

    @override
    def list_annotations(self, run_id: RunId) -> Sequence[Annotation]:
        with self._lock:
            annotations = list(self._of(run_id).annotations.values())
        return sorted(annotations, key=lambda annotation: annotation.order)

    @override
    def extend_expiry(self, run_id: RunId, expires_at: datetime) -> None:
        with self._lock:
            found = self._of(run_id)
            _extend(found.records, expires_at)
            _extend(found.bundles, expires_at)
            _extend(found.winners, expires_at)
            _extend(found.steps, expires_at)
            _extend(found.inputs, expires_at)
            _extend(found.letters, expires_at)
            _extend(found.signals, expires_at)
            _extend(found.logs, expires_at)
            _extend(found.annotations, expires_at)

    def forget_expired(self, now: datetime) -> None:
        """Remove what has expired, as DynamoDB's TTL does some time after; nothing else ever does."""
        with self._lock:
            for found in self._belongings.values():
                _forget(found.records, now)
                _forget(found.bundles, now)
                _forget(found.steps, now)
                _forget(found.inputs, now)
                _forget(found.signals, now)
                _forget(found.logs, now)
                _forget(found.annotations, now)
            for key in [key for key, record in self._idempotency.items() if record.expires_at < now]:
                del self._idempotency[key]

    # Keys and definitions

    @override
    def load_idempotency(self, key: str, command_type: str) -> IdempotencyRecord | None:
        with self._lock:
            return self._unexpired((key, command_type))

    @override
    def put_idempotency(self, record: IdempotencyRecord) -> IdempotencyRecord | None:
        with self._lock:
            standing = self._standing(record)
            if standing is None:
                self._idempotency[_idempotency_key(record)] = record
            return standing

    @override
    def put_definition(
        self,
        workflow_id: str,
        fingerprint: str,
        structure: Mapping[str, Any],
        *,
        kept_at: datetime | None = None,
    ) -> None:
        sizes.check_item("the definition", sizes.json_size(dict(structure)))
        with self._lock:
            self._definitions[(workflow_id, fingerprint)] = structure
            self._kept_at[(workflow_id, fingerprint)] = kept_at

    @override
    def definition_kept_at(self, workflow_id: str, fingerprint: str) -> datetime | None:
        with self._lock:
            return self._kept_at.get((workflow_id, fingerprint))

    @override
    def load_definition(self, workflow_id: str, fingerprint: str) -> Mapping[str, Any] | None:
        with self._lock:
            return self._definitions.get((workflow_id, fingerprint))

    @override
    def put_recurrence(self, recurrence: Recurrence) -> None:
        sizes.check_item("the recurrence", sizes.text_size(body_of(recurrence.command)))
        with self._lock:
            self._recurrences[recurrence.name] = recurrence

    @override
    def list_recurrences(self) -> Sequence[Recurrence]:
        with self._lock:
            return [self._recurrences[name] for name in sorted(self._recurrences)]

    @override
    def delete_recurrence(self, name: str) -> bool:
        with self._lock:
            return self._recurrences.pop(name, None) is not None

    # Indexes

    @override
    def list_due(self, shard: int, *, until: datetime, limit: int, cursor: str | None = None) -> DuePage:
        with self._lock:
            rows, more = self._due[shard].ascending(until=until, limit=limit, after=row_of(cursor))
        runs = tuple(DueRun(run_id, due_at) for due_at, run_id in rows)
        return DuePage(runs, cursor_of(rows[-1]) if more else None)

    @override
    def rearm(self, wishes: Sequence[Rearm]) -> Sequence[RunId]:
        with self._lock:
            return [wish.run_id for wish in wishes if self._is_rearmed(wish)]

    def _is_rearmed(self, wish: Rearm) -> bool:
        head = self._heads.get(wish.run_id)
        if head is None or (head.version, head.due_at) != (wish.version, wish.seen):
            return False
        self._store(head, replace(head, due_at=wish.next_due))
        return True

    @override
    def list_runs(
        self,
        workflow_id: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> RunPage:
        with self._lock:
            index = self._listing[WorkflowId(workflow_id)]
            rows, more = index.descending(since=since, until=until, limit=limit, before=row_of(cursor))
        return _run_page(rows, more)

    @override
    def list_failures(
        self, workflow_id: str, *, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> RunPage:
        with self._lock:
            index = self._failures[WorkflowId(workflow_id)]
            rows, more = index.descending(since=since, until=None, limit=limit, before=row_of(cursor))
        return _run_page(rows, more)

    # Only ever called with the lock held

    def _of(self, run_id: RunId) -> _Belongings:
        # A question about a run that is not there must not leave anything behind.
        return self._belongings.get(run_id) or _Belongings()

    def _standing(self, record: IdempotencyRecord) -> IdempotencyRecord | None:
        return self._unexpired(_idempotency_key(record))

    def _unexpired(self, key: tuple[str, str]) -> IdempotencyRecord | None:
        record = self._idempotency.get(key)
        return record if record and record.expires_at > self._clock.now() else None


def _read(bundle: Bundle) -> Bundle:
    return replace(bundle, records=tuple(riding(record, bundle.expires_at) for record in bundle.records))


def _check_annotation(annotation: Annotation) -> None:
    texts = sizes.text_size(annotation.name, annotation.actor)
    sizes.check_item("the annotation", texts, sizes.json_size(annotation.value))


def _idempotency_key(record: IdempotencyRecord) -> tuple[str, str]:
    return record.key, record.command_type


def _due_row(head: Head | None) -> Row | None:
    return (head.due_at, head.run_id) if head and head.due_at else None


def _failure_row(head: Head | None) -> Row | None:
    if head is None or head.failed_at is None:
        return None
    return head.failed_at, head.run_id


def _move(index: SortedIndex, old: Row | None, new: Row | None) -> None:
    if old:
        index.discard(old)
    if new:
        index.add(new)


def _run_page(rows: Sequence[Row], more: bool) -> RunPage:
    return RunPage(tuple(run_id for _, run_id in rows), cursor_of(rows[-1]) if more else None)


def _step_order(step: StepRecord) -> tuple[int, str, int, str]:
    return step.scope.group, step.scope.stage_id, step.scope.base, step.name


def _order(key: StageKey) -> tuple[int, str, int, str]:
    return key.group, key.stage_id, key.epoch, key.part


def _picked(found: Mapping[_Key, Any], keys: Iterable[_Key]) -> dict[_Key, Any]:
    return {key: found[key] for key in keys if key in found}


def _forget(items: dict[_Key, _Expiring], now: datetime) -> None:
    for key in [key for key, item in items.items() if item.expires_at < now]:
        del items[key]


def _extend(items: dict[_Key, _Expiring], expires_at: datetime) -> None:
    for key, item in items.items():
        if item.expires_at < expires_at:
            items[key] = replace(item, expires_at=expires_at)
