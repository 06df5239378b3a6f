"""A head as an item, and back.

An update is billed by the whole item, so names have one or two letters, what is at its default is
absent, and nothing is stored twice: the workflow, the shard and the creation time are read from the
index keys, which every head has anyway.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from workflow_engine.adapters.aws.dynamodb import wire
from workflow_engine.adapters.aws.dynamodb.closing_codec import (
    decode_closing,
    decode_ends,
    encode_closing,
    encode_ends,
    joined,
    numbers,
)
from workflow_engine.adapters.aws.dynamodb.rider_codec import (
    STATUS_CODES,
    STATUSES,
    decode_error,
    decode_rider,
    encode_error,
    encode_rider,
)
from workflow_engine.adapters.aws.dynamodb.table import HEAD, listing_shard, run_of, run_partition
from workflow_engine.adapters.aws.dynamodb.wire import Item, Value
from workflow_engine.model.ids import StageId, WorkflowId
from workflow_engine.model.limits import HEAD_OUTLIVES
from workflow_engine.model.runs import (
    Entry,
    EntryState,
    Head,
    PendingEvent,
    RunFailure,
    StageRecord,
    WaitKind,
)
from workflow_engine.model.status import Status

_STATES: Final = {state.value: state for state in EntryState}
_WAITS: Final = {wait.value: wait for wait in WaitKind}
NO_RERUNS: Final = ((0, 0),)
USUAL_PRIORITY: Final = 5
RECENT: Final = "rc"
# The status of a run whose end is decided: none that is live, so that no lease is taken by whoever knows no better.
ENDING: Final = "E"


def encode_head(head: Head) -> Item:
    """The whole item of *head*."""
    item: Item = {
        "pk": wire.text(run_partition(head.run_id)),
        "sk": wire.text(HEAD),
        "f": wire.number(wire.USUAL_FORMAT),
        "st": wire.text(ENDING if head.is_closing else STATUS_CODES[head.status]),
        "v": wire.number(head.version),
        "wb": wire.text(head.by),
        "g": wire.number(head.group),
        "a": {"L": [encode_entry(entry) for entry in head.active]},
        "ec": wire.number(head.epochs),
        "fp": wire.text(head.fingerprint),
        "ch": wire.text(head.content_hash),
        "dl": wire.instant(head.deadline),
        "ls": wire.text(listing_shard(head.workflow_id, head.due_shard)),
        "lc": wire.text(f"{wire.sortable(head.created_at)}#{head.run_id}"),
        "ds": wire.text(str(head.due_shard)),
        "expires_at": wire.expiry(head.expires_at),
    }
    _encode_events(head, item)
    _encode_leases(head, item)
    _encode_recent(head, item)
    _encode_closing(head, item)
    _encode_choices(head, item)
    _encode_rest(head, item)
    return item


def _encode_events(head: Head, item: Item) -> None:
    if head.told:
        item["td"] = wire.number(head.told)
    if head.spilled:
        item["sp"] = wire.number(head.spilled)
    if head.events:
        item["ev"] = {"L": [encode_event(event) for event in head.events]}
    if head.refusals:
        item["rf"] = wire.number(head.refusals)


def _encode_leases(head: Head, item: Item) -> None:
    if head.due_at is not None:
        item["da"] = wire.instant(head.due_at)
    if head.bases != NO_RERUNS:
        item["bs"] = wire.text(joined(head.bases))
    if head.bases[-1][1]:
        # Beside the list, since a condition cannot name the last element of one.
        item["nb"] = wire.number(head.bases[-1][1])
    if head.winners:
        item["wn"] = encode_epochs(head.winners)
    if head.winners_from:
        item["wf"] = wire.number(head.winners_from)
        # A version that does not know where the others lie would take other records for theirs.
        item["f"] = wire.number(wire.PARTS_FORMAT)
    if head.signals:
        item["sg"] = {"L": [wire.text(element) for element in head.signals]}


def _encode_recent(head: Head, item: Item) -> None:
    if head.recent:
        item[RECENT] = {"L": [encode_rider(record, head.created_at) for record in head.recent]}
    if head.recent or head.bundled:
        # Also once nothing rides any more: a version that knows no bundles would miss what lies in them.
        item["f"] = wire.number(wire.RIDING_FORMAT)
    if any(entry.is_in_body for entry in head.active):
        # A version that knows no waits of bodies would take it for a wait of the stage, and fail the run.
        item["f"] = wire.number(wire.BODY_FORMAT)


def _encode_closing(head: Head, item: Item) -> None:
    if head.closes_on:
        item["cs"] = encode_ends(head.closes_on)
    if head.closing is not None:
        item["cl"] = encode_closing(head.closing)
    if head.closes_on or head.closing is not None:
        # A version that knows no undo would end the run at once.
        item["f"] = wire.number(wire.FORMAT)


def _encode_choices(head: Head, item: Item) -> None:
    if head.enters_at is not None:
        item["na"] = wire.instant(head.enters_at)
    if head.knows_choices:
        # A version that knows none would look for the record of a stage that never ran, or fail a run that it takes for
        # one of no stages.
        item["f"] = wire.number(wire.CHOICE_FORMAT)


def _encode_rest(head: Head, item: Item) -> None:
    if head.priority != USUAL_PRIORITY:
        item["pr"] = wire.number(head.priority)
    if head.input_inline is not None:
        item["ii"] = wire.binary(head.input_inline)
    if head.input_hash is not None:
        item["ih"] = wire.text(head.input_hash)
    _encode_end(head, item)


def _encode_end(head: Head, item: Item) -> None:
    if head.ended_by:
        item["eb"] = wire.text(head.ended_by)
    if head.failure is not None:
        item["fl"] = encode_failure(head.failure)
    if head.reason is not None:
        item["rs"] = wire.text(head.reason)
    if head.ended_at is not None:
        item["ea"] = wire.instant(head.ended_at)
    if head.failed_at is not None:
        item["fs"] = item["ls"]
        item["fc"] = wire.text(f"{wire.sortable(head.failed_at)}#{head.run_id}")


def encode_entry(entry: Entry) -> Value:
    """One stage of the group."""
    fields: Item = {"s": wire.text(entry.state.value), "e": wire.number(entry.epoch)}
    if entry.attempt != 1:
        fields["n"] = wire.number(entry.attempt)
    if entry.until is not None:
        fields["u"] = wire.instant(entry.until)
    if entry.by:
        fields["b"] = wire.text(entry.by)
    if entry.lost:
        fields["l"] = wire.number(entry.lost)
    _encode_wait(entry, fields)
    return {"M": fields}


def _encode_wait(entry: Entry, fields: Item) -> None:
    if entry.wait is not None:
        fields["w"] = wire.text(entry.wait.value)
    if entry.suspended_epoch is not None:
        fields["x"] = wire.number(entry.suspended_epoch)
    if entry.give_up_at is not None:
        fields["p"] = wire.instant(entry.give_up_at)
    if entry.signal is not None:
        fields["k"] = wire.text(entry.signal)
    if entry.taken is not None:
        fields["t"] = wire.text(entry.taken)
    if entry.step is not None:
        fields["y"] = wire.text(entry.step)


def encode_event(event: PendingEvent) -> Value:
    """One untold event: type, time, its facts where it has any, and where all of it lies, if not here.
    A version that does not know the last of these tells what is here."""
    parts = [wire.text(event.type), wire.instant(event.at)]
    if event.data or event.ref:
        parts.append(wire.json_text(dict(event.data)))
    if event.ref:
        parts.append(wire.text(event.ref))
    return {"L": parts}


def encode_failure(failure: RunFailure) -> Value:
    """Why the run failed."""
    fields: Item = {"e": encode_error(failure.error)}
    if failure.stage_id is not None:
        fields["s"] = wire.text(failure.stage_id)
    if failure.epoch:
        fields["n"] = wire.number(failure.epoch)
    return {"M": fields}


def decode_head(item: Item) -> Head:
    """The head that *item* holds.

    Raises:
        UnsupportedFormatError: a newer version wrote it.
        CorruptItemError: something is missing or of the wrong type.
    """
    with wire.reading(f"the head of {item.get('pk', {}).get('S', 'a run')}", item, newest=wire.FORMAT):
        return _decode_head(item)


def _decode_head(item: Item) -> Head:
    workflow_id, _, _ = item["ls"]["S"].rpartition("#")
    bases = wire.optional(item, "bs", numbers)
    created_at, expires_at = wire.read_sortable(item["lc"]["S"]), wire.read_expiry(item["expires_at"])
    return Head(
        run_id=run_of(item["pk"]["S"]),
        workflow_id=WorkflowId(workflow_id),
        fingerprint=item["fp"]["S"],
        status=Status.RUNNING if item["st"]["S"] == ENDING else STATUSES[item["st"]["S"]],
        created_at=created_at,
        deadline=wire.read_instant(item["dl"]),
        expires_at=expires_at,
        content_hash=item["ch"]["S"],
        version=int(item["v"]["N"]),
        by=item["wb"]["S"],
        group=int(item["g"]["N"]),
        active=tuple(decode_entry(entry) for entry in item["a"]["L"]),
        bases=NO_RERUNS if bases is None else tuple((start, epoch) for start, epoch in bases),
        winners=decode_epochs(item["wn"]) if "wn" in item else {},
        epochs=int(item["ec"]["N"]),
        due_shard=int(item["ds"]["S"]),
        due_at=wire.optional(item, "da", wire.read_instant),
        told=wire.optional(item, "td", wire.read_number) or 0,
        spilled=wire.optional(item, "sp", wire.read_number) or 0,
        events=tuple(decode_event(event) for event in item["ev"]["L"]) if "ev" in item else (),
        recent=_decode_recent(item, created_at, expires_at),
        bundled=int(item["f"]["N"]) >= wire.RIDING_FORMAT,
        **_decode_rest(item),
    )


def _decode_recent(item: Item, created_at: datetime, expires_at: datetime) -> tuple[StageRecord, ...]:
    if RECENT not in item:
        return ()
    run_id, goes_at = run_of(item["pk"]["S"]), expires_at - HEAD_OUTLIVES
    return tuple(decode_rider(value, run_id, created_at, goes_at) for value in item[RECENT]["L"])


def _decode_rest(item: Item) -> dict[str, Any]:
    """What few heads have; absent attributes keep the defaults of ``Head``."""
    found: dict[str, Any] = {}
    for name, (field, read) in _RARE.items():
        value = item.get(name)
        if value is not None:
            found[field] = read(value)
    return found


def decode_entry(value: Mapping[str, Any]) -> Entry:
    """One stage of the group."""
    fields: Item = value["M"]
    wait = fields.get("w")
    return Entry(
        state=_STATES[fields["s"]["S"]],
        epoch=int(fields["e"]["N"]),
        attempt=int(fields["n"]["N"]) if "n" in fields else 1,
        until=wire.optional(fields, "u", wire.read_instant),
        by=fields["b"]["S"] if "b" in fields else "",
        lost=int(fields["l"]["N"]) if "l" in fields else 0,
        wait=_WAITS[wait["S"]] if wait else None,
        suspended_epoch=wire.optional(fields, "x", wire.read_number),
        give_up_at=wire.optional(fields, "p", wire.read_instant),
        signal=wire.optional(fields, "k", wire.read_text),
        taken=wire.optional(fields, "t", wire.read_text),
        step=wire.optional(fields, "y", wire.read_text),
    )


def decode_event(value: Mapping[str, Any]) -> PendingEvent:
    """One untold event."""
    kind, at, *rest = value["L"]
    return PendingEvent(
        type=kind["S"],
        at=wire.read_instant(at),
        data=wire.read_json(rest[0]) if rest else {},
        ref=rest[1]["S"] if len(rest) > 1 else "",
    )


def decode_failure(value: Mapping[str, Any]) -> RunFailure:
    """Why the run failed."""
    fields: Item = value["M"]
    stage_id = wire.optional(fields, "s", wire.read_text)
    return RunFailure(
        error=decode_error(fields["e"]),
        stage_id=None if stage_id is None else StageId(stage_id),
        epoch=wire.optional(fields, "n", wire.read_number) or 0,
    )


def _read_texts(value: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(element["S"] for element in value["L"])


_RARE: Final[Mapping[str, tuple[str, Any]]] = {
    "rf": ("refusals", wire.read_number),
    "wf": ("winners_from", wire.read_number),
    "sg": ("signals", _read_texts),
    "pr": ("priority", wire.read_number),
    "ii": ("input_inline", wire.read_binary),
    "ih": ("input_hash", wire.read_text),
    "fl": ("failure", decode_failure),
    "rs": ("reason", wire.read_text),
    "eb": ("ended_by", wire.read_text),
    "ea": ("ended_at", wire.read_instant),
    "na": ("enters_at", wire.read_instant),
    "cs": ("closes_on", decode_ends),
    "cl": ("closing", decode_closing),
}


def encode_epochs(epochs: Mapping[tuple[int, int], int]) -> Value:
    """Epochs by group and ordinal."""
    return wire.text(joined((*place, epoch) for place, epoch in sorted(epochs.items())))


def decode_epochs(value: Mapping[str, Any]) -> Mapping[tuple[int, int], int]:
    """Epochs by group and ordinal."""
    return {(group, ordinal): epoch for group, ordinal, epoch in numbers(value)}
