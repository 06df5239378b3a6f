"""Everything beside the heads as items, and back: one pair of functions a kind."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from workflow_engine.adapters.aws.dynamodb import table, wire
from workflow_engine.adapters.aws.dynamodb.head_codec import (
    decode_epochs,
    decode_event,
    encode_epochs,
    encode_event,
)
from workflow_engine.adapters.aws.dynamodb.rider_codec import (
    STATUS_CODES,
    decode_error,
    decode_payload,
    decode_rider,
    encode_error,
    encode_payload,
    encode_rider,
)
from workflow_engine.adapters.aws.dynamodb.wire import Item, Value
from workflow_engine.errors import CorruptItemError, InvalidCommandError
from workflow_engine.model.commands import Command, parse_command
from workflow_engine.model.deliveries import Recurrence, body_of
from workflow_engine.model.ids import WorkflowId
from workflow_engine.model.limits import HEAD_OUTLIVES
from workflow_engine.model.runs import (
    SKIPPED_EPOCH,
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

_STATUSES = {code: status for status, code in STATUS_CODES.items()}


def _item(partition: str, sort_key: str, **values: Value | None) -> Item:
    found = {name: value for name, value in values.items() if value is not None}
    key = {"pk": wire.text(partition), "sk": wire.text(sort_key), "f": wire.number(wire.USUAL_FORMAT)}
    return key | found


def _of(key: StageKey, item: Item) -> Item:
    """*item* in the format that says what *key* says: code that knows no parts must not take it for the whole."""
    return {**item, "f": wire.number(wire.PARTS_FORMAT)} if key.part else item


def encode_record(record: StageRecord) -> Item:
    """One finished attempt."""
    item = _item(
        table.run_partition(record.run_id),
        table.record_key(record.key),
        st=wire.text(STATUS_CODES[record.status]),
        n=wire.number(record.attempt),
        sa=wire.instant(record.started_at),
        fa=wire.instant(record.finished_at),
        b=wire.text(record.by),
        expires_at=wire.expiry(record.expires_at),
        o=encode_payload(record.output) if record.output else None,
        x=encode_error(record.error) if record.error else None,
        m=wire.json_text(dict(record.metrics)) if record.metrics else None,
        af=wire.json_text(dict(record.artifacts)) if record.artifacts else None,
    )
    return _of(record.key, item)


def decode_record(item: Item) -> StageRecord:
    """One finished attempt."""
    with wire.reading(wire.name_of(item), item, newest=wire.PARTS_FORMAT):
        return StageRecord(
            run_id=table.run_of(item["pk"]["S"]),
            key=table.stage_key_of(item["sk"]["S"]),
            status=_STATUSES[item["st"]["S"]],
            attempt=wire.read_number(item["n"]),
            started_at=wire.read_instant(item["sa"]),
            finished_at=wire.read_instant(item["fa"]),
            by=wire.read_text(item["b"]),
            expires_at=wire.read_expiry(item["expires_at"]),
            output=wire.optional(item, "o", decode_payload),
            error=wire.optional(item, "x", decode_error),
            metrics=wire.optional(item, "m", wire.read_object) or {},
            artifacts=wire.optional(item, "af", wire.read_object) or {},
        )


def encode_bundle(bundle: Bundle) -> Item:
    """Records that have left the head together."""
    since = bundle.records[0].started_at
    item = _item(
        table.run_partition(bundle.run_id),
        table.bundle_key(*bundle.name),
        sa=wire.instant(since),
        rc={"L": [encode_rider(record, since) for record in bundle.records]},
        expires_at=wire.expiry(bundle.expires_at),
    )
    return {**item, "f": wire.number(wire.RIDING_FORMAT)}


def decode_bundle(item: Item) -> Bundle:
    """Records that have left the head together."""
    with wire.reading(wire.name_of(item), item, newest=wire.RIDING_FORMAT):
        run_id, expires_at = table.run_of(item["pk"]["S"]), wire.read_expiry(item["expires_at"])
        since = wire.read_instant(item["sa"])
        return Bundle(
            run_id=run_id,
            base=table.base_of_bundle(item["sk"]["S"]),
            records=tuple(decode_rider(value, run_id, since, expires_at) for value in item["rc"]["L"]),
            expires_at=expires_at,
        )


def encode_winners(page: Winners) -> Item:
    """Winners outside of the head."""
    item = _item(
        table.run_partition(page.run_id),
        table.winners_key(page.base, page.through),
        wn=encode_epochs(page.epochs),
        expires_at=wire.expiry(page.expires_at),
    )
    if SKIPPED_EPOCH in page.epochs.values():
        # A version that knows no choices would look for the record of a stage that never ran.
        item["f"] = wire.number(wire.CHOICE_FORMAT)
    return item


def decode_winners(item: Item) -> Winners:
    """Winners outside of the head."""
    with wire.reading(wire.name_of(item), item, newest=wire.CHOICE_FORMAT):
        _, base, through = item["sk"]["S"].split("#")
        return Winners(
            run_id=table.run_of(item["pk"]["S"]),
            base=int(base),
            through=int(through),
            epochs=decode_epochs(item["wn"]),
            expires_at=wire.read_expiry(item["expires_at"]),
        )


def encode_input(value: RunInput) -> Item:
    """A run's input."""
    return _item(
        table.run_partition(value.run_id),
        table.INPUTS + value.hash,
        o=encode_payload(value.payload),
        expires_at=wire.expiry(value.expires_at),
    )


def decode_input(item: Item) -> RunInput:
    """A run's input."""
    with wire.reading(wire.name_of(item), item):
        return RunInput(
            run_id=table.run_of(item["pk"]["S"]),
            hash=item["sk"]["S"].removeprefix(table.INPUTS),
            payload=decode_payload(item["o"]),
            expires_at=wire.read_expiry(item["expires_at"]),
        )


def encode_spilled(head: Head, key: EventKey, event: PendingEvent) -> Item:
    """An untold event outside the head."""
    return _item(
        table.run_partition(head.run_id),
        table.event_key(key),
        ev=encode_event(event),
        expires_at=wire.expiry(head.expires_at - HEAD_OUTLIVES),
    )


def decode_spilled(item: Item) -> tuple[EventKey, PendingEvent]:
    """The sequence or the name of an untold event, and the event."""
    with wire.reading(wire.name_of(item), item):
        return table.event_key_of(item["sk"]["S"]), decode_event(item["ev"])


def encode_signal(signal: KeptSignal) -> Item:
    """A signal that was kept."""
    return _item(
        table.run_partition(signal.run_id),
        table.SIGNALS + signal.element,
        h=wire.text(signal.content_hash),
        o=wire.binary(signal.payload),
        ra=wire.instant(signal.received_at),
        ea=None if signal.early is None else wire.json_text(list(signal.early)),
        expires_at=wire.expiry(signal.expires_at),
    )


def decode_signal(item: Item) -> KeptSignal:
    """A signal that was kept."""
    with wire.reading(wire.name_of(item), item):
        _, name, key = item["sk"]["S"].split("#", 2)
        return KeptSignal(
            run_id=table.run_of(item["pk"]["S"]),
            name=name,
            key=key,
            content_hash=wire.read_text(item["h"]),
            payload=wire.read_binary(item["o"]),
            received_at=wire.read_instant(item["ra"]),
            expires_at=wire.read_expiry(item["expires_at"]),
            early=wire.optional(item, "ea", lambda value: tuple(str(name) for name in wire.read_json(value))),
        )


def encode_log(line: LogLine) -> Item:
    """A line that a stage logged."""
    item = _item(
        table.run_partition(line.run_id),
        table.log_key(line.key, line.index),
        at=wire.instant(line.at),
        l=wire.text(line.level),
        m=wire.text(line.message),
        d=wire.json_text(dict(line.fields)) if line.fields else None,
        n=wire.number(line.attempt),
        expires_at=wire.expiry(line.expires_at),
    )
    return _of(line.key, item)


def decode_log(item: Item) -> LogLine:
    """A line that a stage logged."""
    with wire.reading(wire.name_of(item), item, newest=wire.PARTS_FORMAT):
        return LogLine(
            run_id=table.run_of(item["pk"]["S"]),
            key=table.stage_key_of(item["sk"]["S"]),
            index=int(item["sk"]["S"].rpartition("#")[2]),
            at=wire.read_instant(item["at"]),
            level=wire.read_text(item["l"]),
            message=wire.read_text(item["m"]),
            fields=wire.optional(item, "d", wire.read_object) or {},
            attempt=wire.read_number(item["n"]),
            expires_at=wire.read_expiry(item["expires_at"]),
        )


def encode_annotation(annotation: Annotation) -> Item:
    """A fact somebody noted."""
    return _item(
        table.run_partition(annotation.run_id),
        table.ANNOTATIONS + annotation.id,
        at=wire.instant(annotation.at),
        k=wire.text(annotation.name),
        o=wire.json_text(annotation.value),
        b=wire.text(annotation.actor),
        n=None if annotation.attempt is None else wire.number(annotation.attempt),
        s=wire.text(table.record_key(annotation.stage)) if annotation.stage else None,
        expires_at=wire.expiry(annotation.expires_at),
    )


def decode_annotation(item: Item) -> Annotation:
    """A fact somebody noted."""
    with wire.reading(wire.name_of(item), item):
        return Annotation(
            run_id=table.run_of(item["pk"]["S"]),
            id=item["sk"]["S"].removeprefix(table.ANNOTATIONS),
            at=wire.read_instant(item["at"]),
            name=wire.read_text(item["k"]),
            value=wire.read_json(item["o"]),
            actor=wire.read_text(item["b"]),
            attempt=wire.optional(item, "n", wire.read_number),
            stage=wire.optional(item, "s", _decode_stage),
            expires_at=wire.read_expiry(item["expires_at"]),
        )


def _decode_stage(value: Value) -> StageKey:
    return table.stage_key_of(wire.read_text(value))


def encode_dead_letter(letter: DeadLetter, *, shards: int) -> Item:
    """An event that could not be delivered; the failures index lists it."""
    return _item(
        table.run_partition(letter.run_id),
        table.dead_letter_key(letter.sequence),
        fs=wire.text(table.dead_shard(letter.run_id, shards)),
        fc=wire.text(table.dead_letter_order(letter.run_id, letter.sequence)),
        w=wire.text(letter.workflow_id),
        ev=encode_event(letter.event),
        rs=wire.text(letter.reason),
        at=wire.instant(letter.died_at),
        expires_at=wire.expiry(letter.expires_at),
    )


def decode_dead_letter(item: Item) -> DeadLetter:
    """An event that could not be delivered."""
    with wire.reading(wire.name_of(item), item):
        return DeadLetter(
            run_id=table.run_of(item["pk"]["S"]),
            workflow_id=WorkflowId(wire.read_text(item["w"])),
            sequence=table.sequence_of(item["sk"]["S"]),
            event=decode_event(item["ev"]),
            reason=wire.read_text(item["rs"]),
            died_at=wire.read_instant(item["at"]),
            expires_at=wire.read_expiry(item["expires_at"]),
        )


def encode_idempotency(record: IdempotencyRecord) -> Item:
    """The first result of a command."""
    return _item(
        table.idempotency_partition(record.key, record.command_type),
        table.KEY,
        k=wire.text(record.key),
        c=wire.text(record.command_type),
        h=wire.text(record.content_hash),
        r=wire.text(record.result),
        expires_at=wire.expiry(record.expires_at),
    )


def decode_idempotency(item: Item) -> IdempotencyRecord:
    """The first result of a command."""
    with wire.reading(wire.name_of(item), item):
        return IdempotencyRecord(
            key=wire.read_text(item["k"]),
            command_type=wire.read_text(item["c"]),
            content_hash=wire.read_text(item["h"]),
            result=wire.read_text(item["r"]),
            expires_at=wire.read_expiry(item["expires_at"]),
        )


def encode_definition(
    workflow_id: str, fingerprint: str, structure: Mapping[str, Any], kept_at: datetime | None = None
) -> Item:
    """The structure of a workflow. It has no expiry: a run may refer to it for as long as it lives."""
    when = {} if kept_at is None else {"ka": wire.instant(kept_at)}
    return _item(table.definition_partition(workflow_id), fingerprint, d=wire.json_text(dict(structure)), **when)


def decode_kept_at(item: Item) -> datetime | None:
    """When it was put last; versions before this one did not say."""
    with wire.reading(wire.name_of(item), item):
        return wire.read_instant(item["ka"]) if "ka" in item else None


def decode_definition(item: Item) -> Mapping[str, Any]:
    """The structure of a workflow."""
    with wire.reading(wire.name_of(item), item):
        return wire.read_object(item["d"])


def encode_recurrence(recurrence: Recurrence) -> Item:
    """A recurring start. It has no expiry: it fires until somebody deletes it."""
    return _item(
        table.RECURRENCES,
        recurrence.name,
        e=wire.text(recurrence.expression),
        z=wire.text(recurrence.timezone),
        c=wire.text(body_of(recurrence.command)),
        p={"BOOL": True} if recurrence.paused else None,
    )


def decode_recurrence(item: Item) -> Recurrence:
    """A recurring start."""
    with wire.reading(wire.name_of(item), item):
        return Recurrence(
            name=wire.read_text(item["sk"]),
            expression=wire.read_text(item["e"]),
            command=_read_command(wire.name_of(item), wire.read_text(item["c"])),
            timezone=wire.read_text(item["z"]),
            paused="p" in item,
        )


def _read_command(what: str, text: str) -> Command:
    try:
        return parse_command(text)
    except InvalidCommandError as error:
        raise CorruptItemError(what=what, problem=str(error)) from error
