"""Items by key and by index, one at a time and in batches. Not for what is in them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path

from workflow_engine.adapters.aws.dynamodb import wire
from workflow_engine.adapters.aws.dynamodb.connection import (
    OWN_TRIES,
    SERVICE,
    ConditionFailedError,
    DynamoConnection,
)
from workflow_engine.adapters.aws.dynamodb.item_size import item_size
from workflow_engine.adapters.aws.dynamodb.wire import Item
from workflow_engine.errors import PayloadTooLargeError, TransientError
from workflow_engine.model.limits import MAX_ITEM_BYTES

# API reference, BatchGetItem and BatchWriteItem: keys or items a request.
MAX_BATCH_GET = 100
MAX_BATCH_WRITE = 25
THREADS = 8

ABSENT: Condition = Path(["pk"]).does_not_exist()
PRESENT: Condition = Path(["pk"]).exists()

_T = TypeVar("_T")
_U = TypeVar("_U")


def check_size(item: Item, what: str) -> None:
    """Refuse what DynamoDB would refuse.

    Raises:
        PayloadTooLargeError: *item* is above 400 KB.
    """
    size = item_size(item)
    if size > MAX_ITEM_BYTES:
        raise PayloadTooLargeError(what=what, size_bytes=size, limit_bytes=MAX_ITEM_BYTES)


def in_threads(work: Callable[[_T], _U], arguments: Sequence[_T]) -> list[_U]:
    """*work* for each of *arguments*, a few at a time, since a request is mostly waiting."""
    if len(arguments) < 2:
        return [work(argument) for argument in arguments]
    with ThreadPoolExecutor(max_workers=min(THREADS, len(arguments))) as threads:
        return list(threads.map(work, arguments))


class Items:
    """The items of one table. Reads see every write that was answered before, but for indexes."""

    def __init__(self, connection: DynamoConnection) -> None:
        self._connection = connection
        self._table = connection.table_name

    def get(self, partition: str, sort_key: str) -> Item | None:
        """One item, or ``None``."""
        answer = self._connection.get_item(self._table, partition, sort_key, consistent_read=True)
        found: Item | None = answer.get("Item")
        return found

    def put_if_absent(self, item: Item, what: str, *, unless: Condition = ABSENT) -> Item | None:
        """Store *item* where its key is free, or *unless* lets it; answers what stands in the way.

        Raises:
            PayloadTooLargeError: it is above 400 KB; nothing was sent.
        """
        check_size(item, what)
        request = self._connection.get_operation_kwargs(
            self._table,
            item["pk"]["S"],
            range_key=item["sk"]["S"],
            key="Item",
            attributes=item,
            condition=unless,
            return_values_on_condition_failure="ALL_OLD",
        )
        try:
            self._connection.dispatch("PutItem", request)
        except ConditionFailedError as refusal:
            return refusal.items[0] or {}
        return None

    def update_if(self, key: Item, actions: Sequence[Any], condition: Condition) -> bool:
        """Change one item where *condition* holds; whether it did."""
        partition, sort_key = key["pk"]["S"], key["sk"]["S"]
        try:
            self._connection.update_item(self._table, partition, sort_key, actions=actions, condition=condition)
        except ConditionFailedError:
            return False
        return True

    def delete(self, partition: str, sort_key: str) -> None:
        """Remove an item; one that is absent is no error."""
        self._connection.delete_item(self._table, partition, sort_key)

    def get_batch(self, keys: Sequence[Item]) -> list[Item]:
        """Those of *keys* that exist, in no order. A key may stand there twice."""
        left = list({(key["pk"]["S"], key["sk"]["S"]): key for key in keys}.values())
        found: list[Item] = []
        tries = 0
        while left:
            batch, left = left[:MAX_BATCH_GET], left[MAX_BATCH_GET:]
            answer = self._connection.batch_get_item(self._table, batch, consistent_read=True)  # type: ignore[arg-type]
            items = answer.get("Responses", {}).get(self._table, [])
            missed = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            found += items
            left = missed + left
            tries = self._paused(tries, missed=bool(missed), progress=bool(items), operation="BatchGetItem")
        return found

    def write_batch(self, *, puts: Sequence[Item] = (), deletes: Sequence[Item] = (), what: str = "") -> None:
        """Put and delete, unconditionally; of puts with one key the last counts.

        Raises:
            PayloadTooLargeError: one of *puts* is above 400 KB; nothing was sent.
        """
        for item in puts:
            check_size(item, what)
        requests = {(item["pk"]["S"], item["sk"]["S"]): {"PutRequest": {"Item": item}} for item in puts}
        requests |= {(key["pk"]["S"], key["sk"]["S"]): {"DeleteRequest": {"Key": key}} for key in deletes}
        left = list(requests.values())
        tries = 0
        while left:
            batch, left = left[:MAX_BATCH_WRITE], left[MAX_BATCH_WRITE:]
            answer = self._connection.dispatch("BatchWriteItem", {"RequestItems": {self._table: batch}})
            missed = answer.get("UnprocessedItems", {}).get(self._table, [])
            left = missed + left
            progress = len(missed) < len(batch)
            tries = self._paused(tries, missed=bool(missed), progress=progress, operation="BatchWriteItem")

    def _paused(self, tries: int, *, missed: bool, progress: bool, operation: str) -> int:
        """Wait before keys that DynamoDB left over are sent again; the number of idle tries so far."""
        if not missed:
            return 0
        idle = 1 if progress else tries + 1
        if idle == OWN_TRIES:
            code = "UnprocessedKeys"
            raise TransientError(service=SERVICE, operation=operation, code=code, throttled=True)
        self._connection.wait(idle)
        return idle

    def list_partition(self, partition: str, prefix: str = "") -> Iterator[Item]:
        """The items of a partition whose sort keys begin with *prefix*, in their order."""
        condition = Path(["sk"]).startswith(prefix) if prefix else None
        return self._query({"hash_key": partition, "range_key_condition": condition, "consistent_read": True})

    def first_of(self, partition: str, first: str, last: str) -> Item | None:
        """The item of a partition with the least sort key from *first* to *last*."""
        between = Path(["sk"]).between(first, last)
        arguments = {"hash_key": partition, "range_key_condition": between, "consistent_read": True, "limit": 1}
        return next(self._query(arguments), None)

    def list_index(
        self,
        index: str,
        shard: str,
        *,
        limit: int,
        condition: Condition | None = None,
        newest_first: bool = False,
        after: Item | None = None,
    ) -> list[Item]:
        """Up to *limit* keys of one shard of an index, by its range key. It may lag."""
        arguments: dict[str, Any] = {
            "hash_key": shard,
            "range_key_condition": condition,
            "exclusive_start_key": after,
            "index_name": index,
            "limit": limit,
            "scan_index_forward": not newest_first,
        }
        return list(islice(self._query(arguments), limit))

    def _query(self, arguments: Mapping[str, Any]) -> Iterator[Item]:
        following = dict(arguments)
        while True:
            answer = self._connection.query(self._table, **following)
            yield from answer["Items"]
            following["exclusive_start_key"] = answer.get("LastEvaluatedKey")
            if following["exclusive_start_key"] is None:
                return


def key_of(partition: str, sort_key: str) -> Item:
    """The key of an item."""
    return {"pk": wire.text(partition), "sk": wire.text(sort_key)}
