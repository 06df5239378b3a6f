"""About how large an item would be in DynamoDB, so that what passes here passes there.

Not exact: it counts what can grow, and leaves out names and small numbers.
"""

import json
from collections.abc import Iterable

from workflow_engine.errors import PayloadTooLargeError
from workflow_engine.model.limits import MAX_ITEM_BYTES
from workflow_engine.model.payloads import ErrorInfo, Payload
from workflow_engine.model.runs import Head, PendingEvent, StageRecord
from workflow_engine.model.steps import StepRecord
from workflow_engine.ports.persistence import HeadSizes

# One encoder, since json.dumps builds a new one at each call with other options than its own.
_encode = json.JSONEncoder(ensure_ascii=False).encode

ENTRY_BYTES = 40
FIXED_BYTES = 200
# What heads of a few stages take in DynamoDB (tests/integration/dynamodb/test_sizes.py compares).
HEAD_BYTES = 220
LEASED_BYTES = 36
EVENT_BYTES = 16
WINNER_BYTES = 8
RIDER_BYTES = 22


def check_item(what: str, *parts: int) -> None:
    """Refuse an item of these parts where DynamoDB would.

    Raises:
        PayloadTooLargeError: it is above 400 KB.
    """
    size = FIXED_BYTES + sum(parts)
    if size > MAX_ITEM_BYTES:
        raise PayloadTooLargeError(what=what, size_bytes=size, limit_bytes=MAX_ITEM_BYTES)


def check_head(head: Head) -> None:
    """Refuse a head that DynamoDB would refuse.

    Raises:
        PayloadTooLargeError: it is above 400 KB.
    """
    check_item(
        "the head",
        len(head.input_inline or b""),
        len(head.active) * ENTRY_BYTES,
        events_size(head.events),
        text_size(*head.signals, head.reason),
        error_size(head.failure.error if head.failure else None),
        *map(rider_size, head.recent),
    )


def of(head: Head) -> HeadSizes:
    """About what a head takes, and each record that rides in it."""
    return HeadSizes(head_size(head), 0, tuple([rider_size(record) for record in head.recent]))


def head_size(head: Head) -> int:
    """About what a head takes apart from the records that ride in it."""
    size = HEAD_BYTES + len(head.input_inline or b"") + len(head.active) * LEASED_BYTES
    if head.events:
        size += sum(len(event.type) + EVENT_BYTES for event in head.events) + events_size(head.events)
    if head.signals or head.reason or head.failure or head.winners:
        size += text_size(*head.signals, head.reason) + len(head.winners) * WINNER_BYTES
        size += error_size(head.failure.error if head.failure else None)
    return size


def rider_size(record: StageRecord) -> int:
    """About what a record takes in a head or a bundle."""
    inline = record.output.inline if record.output is not None else None
    size = RIDER_BYTES + len(record.key.stage_id) + (len(inline) if inline else 0)
    if record.error is None and not record.metrics and not record.artifacts:
        return size
    return size + error_size(record.error) + json_size(dict(record.metrics)) + json_size(dict(record.artifacts))


def check_record(record: StageRecord) -> None:
    """Refuse a record that DynamoDB would refuse.

    Raises:
        PayloadTooLargeError: it is above 400 KB.
    """
    check_item(
        "the record",
        payload_size(record.output),
        error_size(record.error),
        json_size(dict(record.metrics)),
        json_size(dict(record.artifacts)),
    )


def check_step(step: StepRecord) -> None:
    """Refuse a step that DynamoDB would refuse.

    Raises:
        PayloadTooLargeError: it is above 400 KB.
    """
    check_item("the step", payload_size(step.output), error_size(step.error), text_size(step.name, step.signal))


def payload_size(payload: Payload | None) -> int:
    """The bytes that *payload* keeps inline."""
    return len(payload.inline or b"") if payload else 0


def error_size(error: ErrorInfo | None) -> int:
    """The bytes of an error's texts."""
    return text_size(error.message, error.trace) if error else 0


def events_size(events: Iterable[PendingEvent]) -> int:
    """The bytes of the events' data, which must be JSON."""
    return sum(json_size(dict(event.data)) for event in events)


def text_size(*texts: str | None) -> int:
    """The bytes of *texts* as UTF-8."""
    return sum(len(text.encode()) for text in texts if text)


def json_size(value: object) -> int:
    """The bytes of *value* as JSON.

    Raises:
        TypeError: it is no JSON, and no other adapter could keep it.
    """
    return len(_encode(value).encode()) if value else 0
