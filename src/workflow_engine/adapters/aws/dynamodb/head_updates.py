"""Commits as DynamoDB's expressions. A shared one says exactly what ``apply_shared`` says.

No attribute of a head is a reserved word, so the expressions name them as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from workflow_engine.adapters.aws.dynamodb import wire
from workflow_engine.adapters.aws.dynamodb.closing_codec import encode_closing
from workflow_engine.adapters.aws.dynamodb.head_codec import (
    ENDING,
    encode_entry,
    encode_event,
    encode_failure,
)
from workflow_engine.adapters.aws.dynamodb.rider_codec import (
    STATUS_CODES,
)
from workflow_engine.adapters.aws.dynamodb.table import HEAD, run_partition
from workflow_engine.adapters.aws.dynamodb.wire import Item, Value
from workflow_engine.model import plans
from workflow_engine.model.commits import (
    Cancel,
    ClaimDue,
    ClaimExpired,
    ClaimFirst,
    Extend,
    Fail,
    Finish,
    Hold,
    Relieve,
    Reserve,
    Shared,
    Signal,
)
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import MAX_HEAD_EVENTS
from workflow_engine.model.runs import USED_UP, EntryState
from workflow_engine.model.status import LIVE, Status


class DueForm(Enum):
    """How an update treats ``due_at`` where the commit wants a wake-up."""

    EARLIER = "it is later than wanted: set it"
    KEEP = "it is early enough: leave it alone"


@dataclass(slots=True)
class Update:
    """The parts of an ``UpdateItem``, gathered."""

    conditions: list[str] = field(default_factory=list)
    sets: list[str] = field(default_factory=list)
    removes: list[str] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)

    def request(self, table_name: str, run_id: RunId) -> dict[str, Any]:
        """What ``UpdateItem`` and the ``Update`` of a transaction both take.

        A condition that does not hold answers with the head that it found.
        """
        removes = f" REMOVE {', '.join(self.removes)}" if self.removes else ""
        return {
            "TableName": table_name,
            "Key": head_key(run_id),
            "ConditionExpression": " AND ".join(self.conditions),
            "UpdateExpression": f"SET {', '.join(self.sets)}{removes}",
            "ExpressionAttributeValues": self.values,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }


def head_key(run_id: RunId) -> Item:
    """The key of a run's head."""
    return {"pk": wire.text(run_partition(run_id)), "sk": wire.text(HEAD)}


def exclusive_update(before: Item, after: Item) -> Update:
    """What turns the item *before* into *after*, if its version is the one that was read.

    ``due_at`` is always said: a tick may have moved it, and leaves the version alone. So is the format: that of
    what siblings have left is not that of the whole.
    """
    update = Update(conditions=["f <= :newest", "v = :seen"])
    update.values |= {":newest": wire.number(wire.FORMAT), ":seen": before["v"]}
    for name, value in after.items():
        if name in ("da", "f") or before.get(name) != value:
            update.sets.append(f"{name} = :{name}")
            update.values[f":{name}"] = value
    update.removes += [name for name in before.keys() - after.keys() if name != "da"]
    if "da" not in after:
        update.removes.append("da")
    return update


def rearm_update(*, version: int, seen: Value, next_due: Value) -> Update:
    """Moves ``due_at`` alone."""
    return Update(
        conditions=["f <= :f", "v = :v", "da = :seen"],
        sets=["da = :next"],
        values={":f": wire.number(wire.FORMAT), ":v": wire.number(version), ":seen": seen, ":next": next_due},
    )


def shared_update(commit: Shared, form: DueForm) -> Update:
    """*commit* as conditions and changes, with *form* where it wants a wake-up."""
    conditions, values = _live(commit)
    update = Update(
        conditions=["f <= :f", *conditions],
        sets=["v = v + :one"],
        values={":f": wire.number(wire.FORMAT), ":one": _ONE, **values},
    )
    if commit.group is not None:
        update.conditions.append("g = :g")
        update.values[":g"] = wire.number(commit.group)
    if commit.events:
        update.sets.append("ev = list_append(if_not_exists(ev, :none), :ev)")
        update.values |= {":none": _NONE, ":ev": {"L": [encode_event(event) for event in commit.events]}}
        if isinstance(commit.change, Finish | Hold | Fail):
            update.conditions.append("(attribute_not_exists(ev) OR size(ev) < :room)")
            update.values[":room"] = wire.number(MAX_HEAD_EVENTS)
    _wake(update, commit, form)
    _change(update, commit)
    return update


def _live(commit: Shared) -> tuple[list[str], Mapping[str, Value]]:
    """That the run is live, and that its end is not decided where *commit* asks for that."""
    change = commit.change
    if isinstance(change, ClaimFirst | ClaimDue | ClaimExpired):
        if commit.group is None or not plans.is_closing(commit.group):
            return ["st IN (:p, :r, :u)"], _LIVE_VALUES
        return ["st = :ending"], {":ending": wire.text(ENDING)}
    if isinstance(change, Fail | Cancel | Signal):
        return ["st IN (:p, :r, :u)"], _LIVE_VALUES
    return ["st IN (:p, :r, :u, :ending)"], {**_LIVE_VALUES, ":ending": wire.text(ENDING)}


def _wake(update: Update, commit: Shared, form: DueForm) -> None:
    if commit.due_at is None:
        return
    update.values[":due"] = wire.instant(commit.due_at)
    if form is DueForm.KEEP:
        update.conditions.append("da <= :due")
    else:
        update.conditions.append("(attribute_not_exists(da) OR da > :due)")
        update.sets.append("da = :due")


def _change(update: Update, commit: Shared) -> None:
    change = commit.change
    if isinstance(change, ClaimFirst | ClaimDue | ClaimExpired):
        _claim(update, change, is_undo=commit.group is not None and plans.is_closing(commit.group))
    elif isinstance(change, Cancel):
        _cancel(update, change)
    elif isinstance(change, Signal):
        _signal(update, change)
    elif isinstance(change, Relieve):
        _relieve(update, change)
    else:
        _outcome(update, commit.run_id, change)


def _claim(update: Update, claim: ClaimFirst | ClaimDue | ClaimExpired, *, is_undo: bool) -> None:
    entry = f"a[{claim.ordinal}]"
    update.sets += [f"{entry}.s = :leased", f"{entry}.u = :until", f"{entry}.b = :by"]
    if not is_undo:
        update.sets.append("st = :r")
    update.values |= {
        ":leased": _state(EntryState.LEASED),
        ":until": wire.instant(claim.until),
        ":by": wire.text(claim.by),
    }
    if not isinstance(claim, ClaimExpired) and claim.required_status is not None and not is_undo:
        update.conditions.append("st = :required")
        update.values[":required"] = wire.text(STATUS_CODES[claim.required_status])
    if isinstance(claim, ClaimFirst):
        _require(update, entry, EntryState.READY, claim.base)
        return
    # Both right sides are the counter as it was: expressions see the item before the update.
    update.sets += [f"{entry}.e = ec", "ec = ec + :one"]
    if isinstance(claim, ClaimDue):
        _claim_due(update, entry, claim)
    else:
        _require(update, entry, EntryState.LEASED, claim.epoch)
        update.conditions.append(f"{entry}.u < :expired")
        update.sets.append(f"{entry}.l = if_not_exists({entry}.l, :zero) + :one")
        update.values |= {":expired": wire.instant(claim.expired_before), ":zero": _ZERO}


def _claim_due(update: Update, entry: str, claim: ClaimDue) -> None:
    _require(update, entry, EntryState.WAITING, claim.epoch)
    if claim.signal:
        update.conditions.append(f"attribute_exists({entry}.u) AND contains(sg, :signal)")
        update.values[":signal"] = wire.text(claim.signal)
        if claim.siblings > 1:
            _reserve(update, claim)
    else:
        update.conditions.append(f"{entry}.u <= :now")
        update.values[":now"] = wire.instant(claim.now)


def _reserve(update: Update, change: ClaimDue | Reserve) -> None:
    """Take ``:signal``, unless a sibling has. A path that is not there equals nothing.

    IN takes up to 100 operands (DynamoDB, "Service, account, and table quotas"), as many as a group
    may have stages.
    """
    update.sets.append(f"a[{change.ordinal}].t = :signal")
    others = [ordinal for ordinal in range(change.siblings) if ordinal != change.ordinal]
    for name in "tk" if others else "":
        held = ", ".join(f"a[{ordinal}].{name}" for ordinal in others)
        update.conditions.append(f"NOT :signal IN ({held})")


def _outcome(update: Update, run_id: RunId, change: Extend | Reserve | Finish | Hold | Fail) -> None:
    entry = f"a[{change.ordinal}]"
    _require(update, entry, EntryState.LEASED, change.epoch)
    if isinstance(change, Extend):
        update.sets.append(f"{entry}.u = :until")
        update.values[":until"] = wire.instant(change.until)
    elif isinstance(change, Fail):
        _fail(update, entry, run_id, change)
    elif isinstance(change, Reserve):
        update.conditions.append(f"attribute_not_exists({entry}.t) AND contains(sg, :signal)")
        update.values[":signal"] = wire.text(change.signal)
        _reserve(update, change)
    else:
        update.sets.append(f"{entry} = :entry")
        update.values[":entry"] = encode_entry(change.entry)
        if change.entry.is_in_body:
            # As the codec writes it; the next exclusive commit takes it back.
            update.sets.append("f = :f")
        if isinstance(change, Hold) and change.used:
            place, element = change.used
            update.conditions.append(f"sg[{place}] = :used")
            update.sets.append(f"sg[{place}] = :gone")
            update.values |= {":used": wire.text(element), ":gone": wire.text(USED_UP)}


def _fail(update: Update, entry: str, run_id: RunId, change: Fail) -> None:
    update.sets += ["fl = :fl", "fs = ls", "fc = :fc"]
    if change.entry is not None:
        update.sets.append(f"{entry} = :ended")
        update.values[":ended"] = encode_entry(change.entry)
    else:
        update.sets.append(f"{entry}.s = :ended")
        update.removes.append(f"{entry}.u")
        update.values[":ended"] = _state(EntryState.FAILED)
    update.values |= {
        ":fl": encode_failure(change.failure),
        ":fc": wire.text(f"{wire.sortable(change.at)}#{run_id}"),
    }
    _end(update, Status.FAILED, change)


def _cancel(update: Update, change: Cancel) -> None:
    if change.base:
        update.conditions.append("nb = :base")
        update.values[":base"] = wire.number(change.base)
    else:
        update.conditions.append("attribute_not_exists(nb)")
    if change.closes is not None:
        closes = wire.text(STATUS_CODES[Status.CANCELLED])
        update.conditions.append("contains(cs, :closes)" if change.closes else "NOT contains(cs, :closes)")
        update.values[":closes"] = closes
    if change.reason is None:
        update.removes.append("rs")
    else:
        update.sets.append("rs = :reason")
        update.values[":reason"] = wire.text(change.reason)
    _end(update, Status.CANCELLED, change)


def _end(update: Update, status: Status, change: Fail | Cancel) -> None:
    update.sets += ["st = :status", "eb = :by"]
    update.values |= {":status": wire.text(STATUS_CODES[status]), ":by": wire.text(change.by)}
    if change.closing is None:
        update.sets.append("ea = :at")
        update.values[":at"] = wire.instant(change.at)
    else:
        update.sets.append("cl = :closing")
        update.values |= {":status": wire.text(ENDING), ":closing": encode_closing(change.closing)}


def _signal(update: Update, change: Signal) -> None:
    update.conditions.append("(attribute_not_exists(sg) OR (size(sg) < :most AND NOT contains(sg, :element)))")
    update.sets.append("sg = list_append(if_not_exists(sg, :none), :elements)")
    element = wire.text(change.kept.element)
    update.values |= {
        ":most": wire.number(change.most),
        ":none": _NONE,
        ":element": element,
        ":elements": {"L": [element]},
    }


def _relieve(update: Update, change: Relieve) -> None:
    after = (change.told, change.spilled, change.refusals)
    for name, seen, value in zip(("td", "sp", "rf"), change.seen, after, strict=True):
        update.values[f":{name}"] = wire.number(seen)
        update.conditions.append(f"{name} = :{name}" if seen else f"(attribute_not_exists({name}) OR {name} = :{name})")
        if value != seen:
            update.sets.append(f"{name} = :new_{name}")
            update.values[f":new_{name}"] = wire.number(value)
    # Each path names the list as it was before the update.
    update.removes += [f"ev[{index}]" for index in range(change.elements)]


def _require(update: Update, entry: str, state: EntryState, epoch: int) -> None:
    update.conditions += [f"{entry}.s = :state", f"{entry}.e = :epoch"]
    update.values |= {":state": _state(state), ":epoch": wire.number(epoch)}


def _state(state: EntryState) -> Value:
    return wire.text(state.value)


_ZERO, _ONE = wire.number(0), wire.number(1)
_NONE: Value = {"L": []}
_LIVE_VALUES: Mapping[str, Value] = {
    f":{STATUS_CODES[status].lower()}": wire.text(STATUS_CODES[status]) for status in sorted(LIVE)
}
