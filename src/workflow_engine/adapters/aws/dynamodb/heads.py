"""Heads in DynamoDB: the two kinds of commit, reading, and re-arming.

A refused write answers with the head that refused it, so that no read follows.
"""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from workflow_engine.adapters.aws.dynamodb import wire
from workflow_engine.adapters.aws.dynamodb.connection import (
    ConditionFailedError,
    DynamoConnection,
    ItemTooLargeError,
)
from workflow_engine.adapters.aws.dynamodb.head_codec import RECENT, decode_head, encode_head
from workflow_engine.adapters.aws.dynamodb.head_updates import (
    DueForm,
    exclusive_update,
    head_key,
    rearm_update,
    shared_update,
)
from workflow_engine.adapters.aws.dynamodb.item_codecs import (
    decode_idempotency,
    encode_idempotency,
    encode_signal,
)
from workflow_engine.adapters.aws.dynamodb.item_size import ELEMENT_BYTES, item_size, value_size
from workflow_engine.adapters.aws.dynamodb.items import Items, check_size, in_threads
from workflow_engine.adapters.aws.dynamodb.table import HEAD, run_partition
from workflow_engine.adapters.aws.dynamodb.wire import Item
from workflow_engine.errors import (
    CorruptItemError,
    PayloadTooLargeError,
    StaleRunError,
    TransientError,
    UnsupportedFormatError,
)
from workflow_engine.model.commits import Committed, Exclusive, Refused, Shared, Signal, apply_shared
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import MAX_ITEM_BYTES
from workflow_engine.model.runs import Head, IdempotencyRecord, as_kept
from workflow_engine.ports.clock import Clock
from workflow_engine.ports.persistence import HeadSizes, Rearm

# Each try follows a tick that moved due_at across the wanted time in between.
DUE_TRIES: Final = 8
# Of so many heads the items are at hand: what one of a worker's threads is at, before and after.
ENCODED: Final = 16
_OPERATIONS: Final = {"Put": "PutItem", "Update": "UpdateItem"}
_log = logging.getLogger(__name__)


def sizes_of(head: Head) -> HeadSizes:
    """What *head* takes as an item, and the records that ride in it."""
    return _sizes_of(encode_head(head))


def _sizes_of(item: Item) -> HeadSizes:
    recent = item[RECENT]["L"] if RECENT in item else ()
    riders = tuple(value_size(value) + ELEMENT_BYTES for value in recent)
    frame = _FRAME_BYTES if recent else 0
    return HeadSizes(item_size(item) - frame - sum(riders), frame, riders)


_FRAME_BYTES: Final = item_size({RECENT: {"L": []}})


class Heads:
    """The heads of one table. *clock* says whether an idempotency record has expired."""

    def __init__(self, connection: DynamoConnection, items: Items, clock: Clock) -> None:
        self._connection, self._items, self._clock = connection, items, clock
        self._table = connection.table_name
        # A head is measured, written, and changed by the next write of the same invocation.
        self._encoded: deque[tuple[Head, Item]] = deque(maxlen=ENCODED)

    def sizes(self, head: Head) -> HeadSizes:
        """What *head* takes, and the records that ride in it."""
        return _sizes_of(self._item_of(head))

    def _item_of(self, head: Head) -> Item:
        for known, item in list(self._encoded):
            if known is head:
                return item
        item = encode_head(head)
        self._encoded.append((head, item))
        return item

    def load(self, run_id: RunId) -> Head | None:
        """The head, or ``None``."""
        item = self._items.get(run_partition(run_id), HEAD)
        return decode_head(item) if item else None

    def load_many(self, run_ids: Sequence[RunId]) -> Mapping[RunId, Head]:
        """The heads of those that exist and can be read."""
        items = self._items.get_batch([head_key(run_id) for run_id in run_ids])
        heads = (self._readable(item) for item in items)
        return {head.run_id: head for head in heads if head}

    def _readable(self, item: Item) -> Head | None:
        try:
            return decode_head(item)
        except (CorruptItemError, UnsupportedFormatError) as error:
            _log.warning("left out: %s", error)
            return None

    def commit_exclusive(self, commit: Exclusive) -> Committed | Refused:
        """Replace the head where its version is the one that was read."""
        after = self._item_of(commit.after)
        check_size(after, "the head")
        beside = self._beside(commit.idempotency)
        try:
            if commit.before is None:
                self._write("Put", self._create_request(after), beside)
            else:
                update = exclusive_update(self._item_of(commit.before), after)
                self._write("Update", update.request(self._table, commit.after.run_id), beside)
        except ConditionFailedError as refusal:
            return self._refused(commit.after.run_id, refusal, commit.idempotency)
        kept = as_kept(commit.after)
        self._encoded.append((kept, after))
        return Committed(kept)

    def _create_request(self, item: Item) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def commit_shared(self, commit: Shared) -> Committed | Refused:
        """Change one thing in the head where its own condition holds.

        Raises:
            StaleRunError: ticks kept moving ``due_at`` back and forth across the wanted time.
        """
        if getattr(commit.change, "ordinal", 0) < 0:
            # No path can say it, so DynamoDB would call the request invalid rather than refuse it.
            return Refused(self.load(commit.run_id))
        form = _form_for(commit.due_seen, commit.due_at)
        for _ in range(DUE_TRIES):
            try:
                return Committed(self._send_shared(commit, form))
            except ConditionFailedError as refusal:
                refused = self._refused(commit.run_id, refusal, commit.idempotency)
                other = _form_for(refused.head.due_at if refused.head else None, commit.due_at)
                if other is form or not _only_head_refused(refusal) or not _applies(refused.head, commit):
                    return refused
                form = other
        raise StaleRunError(run_id=commit.run_id, tries=DUE_TRIES)

    def _send_shared(self, commit: Shared, form: DueForm) -> Head:
        update = shared_update(commit, form)
        change_bytes = sum(map(value_size, update.values.values()))
        if change_bytes > MAX_ITEM_BYTES:
            raise _too_large(change_bytes)
        beside = self._beside(commit.idempotency)
        if isinstance(commit.change, Signal):
            beside.append(self._put_if_absent(encode_signal(commit.change.kept), "the signal"))
        try:
            request = update.request(self._table, commit.run_id)
            answer = self._write("Update", request, beside)
        except ItemTooLargeError as error:
            raise _too_large(self._size_after(commit)) from error
        return decode_head(answer["Attributes"]) if answer else self._existing(commit.run_id)

    def _write(self, action: str, request: dict[str, Any], beside: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        """One write, or one transaction; the answer of the former where it is an update."""
        if beside:
            actions = [{action: request}, *({"Put": put} for put in beside)]
            # botocore adds a token, so that a transaction it sends twice takes effect once.
            self._connection.dispatch("TransactWriteItems", {"TransactItems": actions})
            return None
        if action == "Update":
            request["ReturnValues"] = "ALL_NEW"
        return self._connection.dispatch(_OPERATIONS[action], request)

    def _beside(self, record: IdempotencyRecord | None) -> list[dict[str, Any]]:
        if record is None:
            return []
        put = self._put_if_absent(encode_idempotency(record), "the idempotency record")
        put["ConditionExpression"] += " OR expires_at <= :now"
        put["ExpressionAttributeValues"] = {":now": wire.number(wire.milliseconds(self._clock.now()) // 1000)}
        return [put]

    def _put_if_absent(self, item: Item, what: str) -> dict[str, Any]:
        check_size(item, what)
        return self._create_request(item)

    def _refused(self, run_id: RunId, refusal: ConditionFailedError, record: IdempotencyRecord | None) -> Refused:
        item = refusal.items[0]
        # In a transaction, a head that was not at fault is not in the answer.
        head = decode_head(item) if item else None if refusal.failed[0] else self.load(run_id)
        standing = refusal.items[1] if record and len(refusal.items) > 1 and refusal.failed[1] else None
        return Refused(head, decode_idempotency(standing) if standing else None)

    def _existing(self, run_id: RunId) -> Head:
        head = self.load(run_id)
        if head is None:
            raise CorruptItemError(what=f"the head of {run_id}", problem="it is gone after its commit")
        return head

    def _size_after(self, commit: Shared) -> int:
        head = self.load(commit.run_id)
        changed = apply_shared(head, commit) if head else None
        return item_size(encode_head(changed)) if changed else MAX_ITEM_BYTES

    def rearm(self, wishes: Sequence[Rearm]) -> Sequence[RunId]:
        """Move ``due_at`` where version and ``due_at`` are as seen; answers those that were moved.

        Raises:
            TransientError: none could be moved, and DynamoDB did not answer for one at least.
        """
        results = in_threads(self._rearm_one, wishes)
        moved = [wish.run_id for wish, result in zip(wishes, results, strict=True) if result is True]
        failures = [result for result in results if isinstance(result, TransientError)]
        # Those that were moved must be sent by this caller; the others are due still.
        if failures and not moved:
            raise failures[0]
        return moved

    def _rearm_one(self, wish: Rearm) -> bool | TransientError:
        update = rearm_update(version=wish.version, seen=wire.instant(wish.seen), next_due=wire.instant(wish.next_due))
        try:
            self._connection.dispatch("UpdateItem", update.request(self._table, wish.run_id))
        except ConditionFailedError:
            return False
        except TransientError as error:
            return error
        return True


def _form_for(current: datetime | None, wanted: datetime | None) -> DueForm:
    if current is None or wanted is None:
        return DueForm.EARLIER
    return DueForm.EARLIER if wire.milliseconds(current) > wire.milliseconds(wanted) else DueForm.KEEP


def _only_head_refused(refusal: ConditionFailedError) -> bool:
    return refusal.failed[0] and not any(refusal.failed[1:])


def _applies(head: Head | None, commit: Shared) -> bool:
    return head is not None and apply_shared(head, commit) is not None


def _too_large(size_bytes: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(what="the head", size_bytes=size_bytes, limit_bytes=MAX_ITEM_BYTES)
