"""Runs in one DynamoDB table: which item or index answers which question of the port."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pynamodb.expressions.operand import Path
from typing_extensions import override

from workflow_engine.adapters.aws.dynamodb import item_codecs as codecs
from workflow_engine.adapters.aws.dynamodb import table, wire
from workflow_engine.adapters.aws.dynamodb.connection import DynamoConnection
from workflow_engine.adapters.aws.dynamodb.heads import Heads
from workflow_engine.adapters.aws.dynamodb.indexes import Indexes
from workflow_engine.adapters.aws.dynamodb.items import ABSENT, PRESENT, Items, in_threads, key_of
from workflow_engine.adapters.aws.dynamodb.step_codec import decode_step, encode_step
from workflow_engine.adapters.aws.dynamodb.wire import Item
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
from workflow_engine.ports.clock import Clock, IdSource
from workflow_engine.ports.persistence import DuePage, HeadSizes, Persistence, Rearm, RunPage


class DynamoPersistence(Persistence):
    """Stores runs in *table_name*. Make one a process: it holds the client.

    *shards* is the number of shards that due runs and listings are spread over, as the kernel
    computes ``Head.due_shard``. *clock* says when idempotency records have expired; *ids* is where
    the jitter of waits comes from. *client* is botocore's for DynamoDB; without one, one is made
    with the first request, with short timeouts, from the SDK's own environment.
    """

    def __init__(
        self,
        *,
        table_name: str,
        shards: int,
        clock: Clock,
        ids: IdSource,
        client: Any = None,
    ) -> None:
        self._connection = DynamoConnection(table_name=table_name, ids=ids, client=client)
        self._clock, self._shards = clock, shards
        self._items = Items(self._connection)
        self._heads = Heads(self._connection, self._items, clock)
        self._indexes = Indexes(self._items, shards)

    # The head

    @override
    def commit(self, commit: Exclusive | Shared) -> Committed | Refused:
        if isinstance(commit, Exclusive):
            return self._heads.commit_exclusive(commit)
        return self._heads.commit_shared(commit)

    @override
    def load_head(self, run_id: RunId) -> Head | None:
        return self._heads.load(run_id)

    @override
    def load_heads(self, run_ids: Sequence[RunId]) -> Mapping[RunId, Head]:
        return self._heads.load_many(run_ids)

    @override
    def rearm(self, wishes: Sequence[Rearm]) -> Sequence[RunId]:
        return self._heads.rearm(wishes)

    # What belongs to a run

    @override
    def put_record(self, record: StageRecord) -> None:
        self._items.put_if_absent(codecs.encode_record(record), "the record")

    @override
    def correct_record(self, record: StageRecord) -> None:
        own = ABSENT | (Path(["b"]) == record.by)
        self._items.put_if_absent(codecs.encode_record(record), "the record", unless=own)

    @override
    def delete_record(self, run_id: RunId, key: StageKey) -> None:
        self._items.delete(table.run_partition(run_id), table.record_key(key))

    @override
    def load_records(self, run_id: RunId, keys: Sequence[StageKey]) -> Mapping[StageKey, StageRecord]:
        items = self._items.get_batch(_keys(run_id, map(table.record_key, keys)))
        return {record.key: record for record in map(codecs.decode_record, items)}

    @override
    def list_records(self, run_id: RunId) -> Sequence[StageRecord]:
        found: dict[StageKey, StageRecord] = {}
        # In their order, so that what is in a bundle comes behind, and counts, where it is both ways.
        for item in self._list(run_id, table.RECORDS):
            found |= {record.key: record for record in _records_of(item)}
        return sorted(found.values(), key=lambda record: _order(record.key))

    @override
    def put_bundle(self, bundle: Bundle) -> None:
        self._items.put_if_absent(codecs.encode_bundle(bundle), "the bundle")

    @override
    def load_bundle(self, run_id: RunId, base: int, key: StageKey) -> Bundle | None:
        first = table.bundle_key(base, key.group, key.epoch)
        item = self._items.first_of(table.run_partition(run_id), first, table.bundles_of(base) + "~")
        return codecs.decode_bundle(item) if item else None

    @override
    def head_sizes(self, head: Head) -> HeadSizes:
        return self._heads.sizes(head)

    @override
    def put_step(self, step: StepRecord) -> StepRecord | None:
        standing = self._items.put_if_absent(encode_step(step), "the step")
        return None if standing is None else decode_step(standing)

    @override
    def list_steps(self, run_id: RunId, scope: StepScope | None = None) -> Sequence[StepRecord]:
        prefix = table.STEPS if scope is None else table.steps_of(scope)
        return list(map(decode_step, self._list(run_id, prefix)))

    @override
    def put_winners(self, page: Winners) -> None:
        self._items.put_if_absent(codecs.encode_winners(page), "the winners")

    @override
    def load_winners(self, run_id: RunId) -> Sequence[Winners]:
        return list(map(codecs.decode_winners, self._list(run_id, table.WINNERS)))

    @override
    def put_input(self, item: RunInput) -> None:
        encoded = codecs.encode_input(item)
        # Put by a run.create that was given up, and again by the one that made the run, days later.
        shorter = ABSENT | (Path(["expires_at"]) < encoded["expires_at"])
        self._items.put_if_absent(encoded, "the input", unless=shorter)

    @override
    def load_input(self, run_id: RunId, input_hash: str) -> RunInput | None:
        item = self._items.get(table.run_partition(run_id), table.INPUTS + input_hash)
        return codecs.decode_input(item) if item else None

    @override
    def put_spilled(self, head: Head, events: Mapping[EventKey, PendingEvent]) -> None:
        items = [codecs.encode_spilled(head, key, event) for key, event in events.items()]
        self._items.write_batch(puts=items, what="the event")

    @override
    def load_spilled(self, run_id: RunId, keys: Sequence[EventKey]) -> Mapping[EventKey, PendingEvent]:
        items = self._items.get_batch(_keys(run_id, map(table.event_key, keys)))
        return dict(map(codecs.decode_spilled, items))

    @override
    def delete_spilled(self, run_id: RunId, keys: Sequence[EventKey]) -> None:
        self._items.write_batch(deletes=_keys(run_id, map(table.event_key, keys)))

    @override
    def put_dead_letter(self, letter: DeadLetter) -> None:
        item = codecs.encode_dead_letter(letter, shards=self._shards)
        self._items.put_if_absent(item, "the dead letter")

    @override
    def list_dead_letters(self, *, limit: int, after: tuple[RunId, int] | None = None) -> Sequence[DeadLetter]:
        found = self._indexes.dead_letters(limit=limit, after=after)
        keys = [key_of(key["pk"]["S"], key["sk"]["S"]) for key in found]
        letters = map(codecs.decode_dead_letter, self._items.get_batch(keys))
        return sorted(letters, key=lambda letter: (letter.run_id, letter.sequence))

    @override
    def delete_dead_letter(self, run_id: RunId, sequence: int) -> None:
        self._items.delete(table.run_partition(run_id), table.dead_letter_key(sequence))

    @override
    def load_signal(self, run_id: RunId, element: str) -> KeptSignal | None:
        item = self._items.get(table.run_partition(run_id), table.SIGNALS + element)
        return codecs.decode_signal(item) if item else None

    @override
    def put_logs(self, lines: Sequence[LogLine]) -> None:
        self._items.write_batch(puts=list(map(codecs.encode_log, lines)), what="the log line")

    @override
    def list_logs(self, run_id: RunId) -> Sequence[LogLine]:
        lines = map(codecs.decode_log, self._list(run_id, table.LOGS))
        return sorted(lines, key=lambda line: (*_order(line.key), line.index))

    @override
    def put_annotations(self, annotations: Sequence[Annotation]) -> None:
        self._items.write_batch(puts=list(map(codecs.encode_annotation, annotations)), what="the annotation")

    @override
    def put_annotation(self, annotation: Annotation) -> Annotation | None:
        standing = self._items.put_if_absent(codecs.encode_annotation(annotation), "the annotation")
        return None if standing is None else codecs.decode_annotation(standing)

    @override
    def list_annotations(self, run_id: RunId) -> Sequence[Annotation]:
        annotations = map(codecs.decode_annotation, self._list(run_id, table.ANNOTATIONS))
        return sorted(annotations, key=lambda annotation: annotation.order)

    @override
    def extend_expiry(self, run_id: RunId, expires_at: datetime) -> None:
        wanted = wire.expiry(expires_at)
        action = Path(["expires_at"]).set(wanted)
        condition = PRESENT & (Path(["expires_at"]) < wanted)

        def extend(key: Item) -> None:
            self._items.update_if(key, [action], condition)

        items = self._items.list_partition(table.run_partition(run_id))
        in_threads(extend, [key_of(item["pk"]["S"], item["sk"]["S"]) for item in items if _is_shorter(item, wanted)])

    def _list(self, run_id: RunId, prefix: str) -> Sequence[Item]:
        return list(self._items.list_partition(table.run_partition(run_id), prefix))

    # Keys and definitions

    @override
    def load_idempotency(self, key: str, command_type: str) -> IdempotencyRecord | None:
        item = self._items.get(table.idempotency_partition(key, command_type), table.KEY)
        record = codecs.decode_idempotency(item) if item else None
        return record if record and record.expires_at > self._clock.now() else None

    @override
    def put_idempotency(self, record: IdempotencyRecord) -> IdempotencyRecord | None:
        now = wire.number(wire.milliseconds(self._clock.now()) // 1000)
        # DynamoDB removes what has expired within days; until then it must not hold the key.
        free = ABSENT | (Path(["expires_at"]) <= now)
        item = codecs.encode_idempotency(record)
        standing = self._items.put_if_absent(item, "the idempotency record", unless=free)
        return codecs.decode_idempotency(standing) if standing else None

    @override
    def put_definition(
        self,
        workflow_id: str,
        fingerprint: str,
        structure: Mapping[str, Any],
        *,
        kept_at: datetime | None = None,
    ) -> None:
        item = codecs.encode_definition(workflow_id, fingerprint, structure, kept_at)
        # Whoever puts it again tells that it is still in use.
        older = ABSENT if kept_at is None else ABSENT | ~Path(["ka"]).exists() | (Path(["ka"]) < item["ka"])
        self._items.put_if_absent(item, "the definition", unless=older)

    @override
    def definition_kept_at(self, workflow_id: str, fingerprint: str) -> datetime | None:
        item = self._items.get(table.definition_partition(workflow_id), fingerprint)
        return codecs.decode_kept_at(item) if item else None

    @override
    def load_definition(self, workflow_id: str, fingerprint: str) -> Mapping[str, Any] | None:
        item = self._items.get(table.definition_partition(workflow_id), fingerprint)
        return codecs.decode_definition(item) if item else None

    @override
    def put_recurrence(self, recurrence: Recurrence) -> None:
        self._items.write_batch(puts=[codecs.encode_recurrence(recurrence)], what="the recurrence")

    @override
    def list_recurrences(self) -> Sequence[Recurrence]:
        return list(map(codecs.decode_recurrence, self._items.list_partition(table.RECURRENCES)))

    @override
    def delete_recurrence(self, name: str) -> bool:
        found = self._items.get(table.RECURRENCES, name) is not None
        self._items.delete(table.RECURRENCES, name)
        return found

    # Indexes

    @override
    def list_due(self, shard: int, *, until: datetime, limit: int, cursor: str | None = None) -> DuePage:
        return self._indexes.due(shard, until=until, limit=limit, cursor=cursor)

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
        return self._indexes.runs(workflow_id, since=since, until=until, limit=limit, cursor=cursor)

    @override
    def list_failures(
        self, workflow_id: str, *, since: datetime | None = None, limit: int = 100, cursor: str | None = None
    ) -> RunPage:
        return self._indexes.failures(workflow_id, since=since, limit=limit, cursor=cursor)


def _keys(run_id: RunId, sort_keys: Iterable[str]) -> list[Item]:
    partition = table.run_partition(run_id)
    return [key_of(partition, sort_key) for sort_key in sort_keys]


def _records_of(item: Item) -> Sequence[StageRecord]:
    if item["sk"]["S"].startswith(table.BUNDLES):
        return codecs.decode_bundle(item).records
    return (codecs.decode_record(item),)


def _order(key: StageKey) -> tuple[int, str, int, str]:
    return key.group, key.stage_id, key.epoch, key.part


def _is_shorter(item: Item, wanted: wire.Value) -> bool:
    """Whether *item*, which is not the head, expires before *wanted*."""
    return item["sk"]["S"] != table.HEAD and int(item["expires_at"]["N"]) < int(wanted["N"])
