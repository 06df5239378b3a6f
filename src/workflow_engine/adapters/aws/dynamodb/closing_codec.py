"""How a run ends that is closing, or has closed, inside its head."""

from collections.abc import Mapping
from typing import Any, Final

from workflow_engine.adapters.aws.dynamodb import wire
from workflow_engine.adapters.aws.dynamodb.rider_codec import STATUS_CODES, STATUSES
from workflow_engine.adapters.aws.dynamodb.wire import Item, Value
from workflow_engine.model.runs import Closing, Entry, EntryState
from workflow_engine.model.status import Status

_STATES: Final = {state.value: state for state in EntryState}


def encode_ends(ends: frozenset[Status]) -> Value:
    """Statuses, as one text."""
    return wire.text("".join(sorted(STATUS_CODES[status] for status in ends)))


def encode_closing(closing: Closing) -> Value:
    """How a run ends that is closing, or has closed."""
    fields: Item = {
        "s": wire.text(STATUS_CODES[closing.status]),
        "t": wire.instant(closing.at),
        "u": wire.instant(closing.until),
    }
    if closing.base is not None:
        fields["e"] = wire.number(closing.base)
        fields["g"] = wire.number(closing.group)
        fields["a"] = wire.text(" ".join(map(_where_it_stood, closing.entries)))
    if closing.not_undone:
        fields["n"] = wire.text(joined(closing.not_undone))
    if closing.undone_from is not None:
        fields["o"] = wire.number(closing.undone_from)
    if closing.first is not None:
        fields["h"] = wire.number(closing.first)
    if closing.free_at is not None:
        fields["f"] = wire.instant(closing.free_at)
    if closing.asked:
        fields["k"] = wire.text(joined(closing.asked))
    return {"M": fields}


def _where_it_stood(entry: Entry) -> str:
    suspended = "" if entry.suspended_epoch is None else f".{entry.suspended_epoch}"
    return f"{entry.state.value}{entry.epoch}.{entry.attempt}{suspended}"


def decode_closing(value: Mapping[str, Any]) -> Closing:
    """How a run ends that is closing, or has closed."""
    fields: Item = value["M"]
    stood = fields["a"]["S"].split(" ") if fields.get("a", {}).get("S") else ()
    return Closing(
        status=STATUSES[fields["s"]["S"]],
        at=wire.read_instant(fields["t"]),
        until=wire.read_instant(fields["u"]),
        base=wire.optional(fields, "e", wire.read_number),
        group=wire.optional(fields, "g", wire.read_number) or 0,
        entries=tuple(map(_stood, stood)),
        not_undone=_places(fields["n"]) if "n" in fields else (),
        undone_from=wire.optional(fields, "o", wire.read_number),
        asked=wire.optional(fields, "k", _places),
        first=wire.optional(fields, "h", wire.read_number),
        free_at=wire.optional(fields, "f", wire.read_instant),
    )


def _places(value: Value) -> tuple[tuple[int, int], ...]:
    return tuple((group, ordinal) for group, ordinal in numbers(value))


def _stood(text: str) -> Entry:
    epoch, attempt, *suspended = map(int, text[1:].split("."))
    return Entry(_STATES[text[0]], epoch, attempt, suspended_epoch=suspended[0] if suspended else None)


def decode_ends(value: Mapping[str, Any]) -> frozenset[Status]:
    """The statuses in what ``encode_ends`` made."""
    return frozenset(STATUSES[code] for code in value["S"])


def joined(rows: Any) -> str:
    """Rows of small numbers as ``1.0.3 2.4.5``: half of what DynamoDB takes for lists of numbers."""
    return " ".join(".".join(map(str, row)) for row in rows)


def numbers(value: Mapping[str, Any]) -> list[tuple[int, ...]]:
    """The rows that ``joined`` made a text of."""
    return [tuple(map(int, row.split("."))) for row in value["S"].split(" ")]
