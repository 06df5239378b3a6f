"""Records inside other items, and what items of all kinds write alike: statuses, errors, payloads."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from workflow_engine.adapters.aws.dynamodb import wire
from workflow_engine.adapters.aws.dynamodb.wire import Item, Value
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.payloads import ErrorInfo, Payload
from workflow_engine.model.runs import StageKey, StageRecord
from workflow_engine.model.status import Status

STATUS_CODES: Final[Mapping[Status, str]] = {
    Status.PENDING: "P",
    Status.RUNNING: "R",
    Status.SUSPENDED: "U",
    Status.COMPLETED: "C",
    Status.FAILED: "F",
    Status.CANCELLED: "X",
    Status.SKIPPED: "K",
}
STATUSES: Final = {code: status for status, code in STATUS_CODES.items()}


def encode_rider(record: StageRecord, since: datetime) -> Value:
    """A record inside another item: what names and times it in one text, the times in milliseconds after
    *since*; its output; and what few have. Who wrote it is not said, and it expires with the item."""
    key, started = record.key, wire.milliseconds(record.started_at)
    facts = (
        key.group,
        key.epoch,
        record.attempt,
        STATUS_CODES[record.status],
        started - wire.milliseconds(since),
        wire.milliseconds(record.finished_at) - started,
    )
    name = f"{key.stage_id} {key.part}" if key.part else key.stage_id
    parts = [wire.text(f"{' '.join(map(str, facts))} {name}")]
    rest: Item = {}
    if record.error is not None:
        rest["x"] = encode_error(record.error)
    if record.metrics:
        rest["m"] = wire.json_text(dict(record.metrics))
    if record.artifacts:
        rest["af"] = wire.json_text(dict(record.artifacts))
    if record.output is not None:
        parts.append(encode_payload(record.output))
    if rest:
        parts.append({"M": rest})
    return {"L": parts}


def encode_payload(payload: Payload) -> Value:
    """Bytes, or where they lie and how many they are."""
    if payload.inline is not None:
        return wire.binary(payload.inline)
    return {"L": [wire.text(payload.blob_key or ""), wire.number(payload.size_bytes)]}


def encode_error(error: ErrorInfo) -> Value:
    """An error's type, message, whether it is retried, and the end of its traceback."""
    fields: Item = {"t": wire.text(error.type), "m": wire.text(error.message)}
    if error.retryable:
        fields["r"] = {"BOOL": True}
    if error.trace is not None:
        fields["x"] = wire.text(error.trace)
    return {"M": fields}


def decode_rider(value: Value, run_id: RunId, since: datetime, expires_at: datetime) -> StageRecord:
    """A record inside another item of *run_id*, which goes at *expires_at*."""
    text, *parts = value["L"]
    group, epoch, attempt, status, started, took, stage_id, *part = text["S"].split(" ")
    rest: Item = parts.pop()["M"] if parts and "M" in parts[-1] else {}
    started_at = since + int(started) * wire.MILLISECOND
    return StageRecord(
        run_id=run_id,
        key=StageKey(int(group), StageId(stage_id), int(epoch), *part),
        status=STATUSES[status],
        attempt=int(attempt),
        started_at=started_at,
        finished_at=started_at + int(took) * wire.MILLISECOND,
        by="",
        expires_at=expires_at,
        output=decode_payload(parts[0]) if parts else None,
        error=wire.optional(rest, "x", decode_error),
        metrics=wire.optional(rest, "m", wire.read_object) or {},
        artifacts=wire.optional(rest, "af", wire.read_object) or {},
    )


def decode_payload(value: Value) -> Payload:
    """Bytes, or where they lie and how many they are."""
    if "B" in value:
        return Payload.of(wire.read_binary(value))
    blob_key, size_bytes = value["L"]
    return Payload(size_bytes=wire.read_number(size_bytes), blob_key=wire.read_text(blob_key))


def decode_error(value: Mapping[str, Any]) -> ErrorInfo:
    """An error."""
    fields: Item = value["M"]
    return ErrorInfo(
        type=fields["t"]["S"],
        message=fields["m"]["S"],
        retryable="r" in fields,
        trace=wire.optional(fields, "x", wire.read_text),
    )
