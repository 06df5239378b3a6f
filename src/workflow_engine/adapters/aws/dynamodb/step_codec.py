"""The steps of a stage's body as items, and back."""

from workflow_engine.adapters.aws.dynamodb import table, wire
from workflow_engine.adapters.aws.dynamodb.rider_codec import (
    decode_error,
    decode_payload,
    encode_error,
    encode_payload,
)
from workflow_engine.adapters.aws.dynamodb.wire import Item, Value
from workflow_engine.model.steps import StepKind, StepRecord


def encode_step(step: StepRecord) -> Item:
    """The outcome of a step."""
    started = wire.milliseconds(step.started_at)
    values: dict[str, Value | None] = {
        "k": wire.text(step.kind.value),
        "e": wire.number(step.epoch),
        "sa": wire.number(started),
        "d": wire.number(wire.milliseconds(step.finished_at) - started),
        "n": wire.number(step.tries) if step.tries != 1 else None,
        "o": encode_payload(step.output) if step.output else None,
        "x": encode_error(step.error) if step.error else None,
        "g": wire.text(step.signal) if step.signal is not None else None,
        "expires_at": wire.expiry(step.expires_at),
    }
    found: Item = {name: value for name, value in values.items() if value is not None}
    key = {"pk": wire.text(table.run_partition(step.run_id)), "sk": wire.text(table.step_key(step.scope, step.name))}
    return {**key, "f": wire.number(wire.USUAL_FORMAT), **found}


def decode_step(item: Item) -> StepRecord:
    """The outcome of a step."""
    with wire.reading(wire.name_of(item), item):
        scope, name = table.step_of(item["sk"]["S"])
        started_at = wire.read_instant(item["sa"])
        return StepRecord(
            run_id=table.run_of(item["pk"]["S"]),
            scope=scope,
            name=name,
            kind=StepKind(item["k"]["S"]),
            epoch=wire.read_number(item["e"]),
            started_at=started_at,
            finished_at=started_at + wire.read_number(item["d"]) * wire.MILLISECOND,
            expires_at=wire.read_expiry(item["expires_at"]),
            tries=wire.optional(item, "n", wire.read_number) or 1,
            output=wire.optional(item, "o", decode_payload),
            error=wire.optional(item, "x", decode_error),
            signal=wire.optional(item, "g", wire.read_text),
        )
