"""Hooks on botocore's clients that count every request, and what AWS would bill for it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from workflow_engine.costing.capacity import (
    Index,
    Item,
    index_write_units,
    query_units,
    read_units,
    table_write_units,
)
from workflow_engine.costing.usage import Usage, chunks

Params: TypeAlias = Mapping[str, Any]
_WRITE_ACTIONS = ("Put", "Update", "Delete", "ConditionCheck")


@dataclass(frozen=True, slots=True)
class Message:
    """A message that SQS was given: *due* seconds from now, or by a schedule at *fires_at*."""

    body: str
    delay: timedelta = timedelta(0)
    fires_at: datetime | None = None
    schedule: str | None = None


@dataclass(slots=True)
class ServiceMeter:
    """Counts what goes to SQS, EventBridge, Scheduler and S3, and keeps the messages that were sent."""

    usage: Usage
    on_message: Callable[[Message], None]
    on_cancel: Callable[[str], None]

    def attach(self, client: Any) -> None:
        """Count what *client* sends from now on."""
        client.meta.events.register("provide-client-params", self._asked)

    def _asked(self, params: Params, model: Any, **_: Any) -> None:
        service, operation = model.service_model.service_name, model.name
        self.usage.requests[f"{service}.{operation}"] += 1
        if service == "sqs":
            self._queue(operation, params)
        elif service == "events":
            self.usage.events += sum(chunks(_entry_size(entry)) for entry in params["Entries"])
        elif service == "scheduler":
            self._schedule(operation, params)
        elif operation in ("GetObject", "HeadObject"):
            self.usage.s3_gets += 1
        elif not operation.startswith("Delete"):
            self.usage.s3_puts += 1

    def _queue(self, operation: str, params: Params) -> None:
        sent: Sequence[Params] = params.get("Entries", ()) if operation == "SendMessageBatch" else [params]
        if not operation.startswith("SendMessage"):
            self.usage.sqs_requests += 1
            return
        self.usage.sqs_requests += chunks(sum(len(entry["MessageBody"].encode()) for entry in sent))
        for entry in sent:
            self.on_message(Message(entry["MessageBody"], timedelta(seconds=entry.get("DelaySeconds", 0))))

    def _schedule(self, operation: str, params: Params) -> None:
        if operation == "CreateSchedule":
            fires_at = _fires_at(params["ScheduleExpression"])
            self.on_message(Message(params["Target"]["Input"], fires_at=fires_at, schedule=params["Name"]))
        elif operation == "DeleteSchedule":
            self.on_cancel(params["Name"])


def _entry_size(entry: Params) -> int:
    return sum(len(str(entry.get(name, "")).encode()) for name in ("Source", "DetailType", "Detail"))


def _fires_at(expression: str) -> datetime:
    return datetime.fromisoformat(expression.removeprefix("at(").rstrip(")")).replace(tzinfo=UTC)


@dataclass(slots=True)
class _Write:
    """One item that a request writes, as it was before."""

    key: Item
    before: Item | None


@dataclass(slots=True, kw_only=True)
class DynamoMeter:
    """Counts requests and units of a client of DynamoDB.

    *look* reads an item past the meter. *trusted* says whether the emulator's own figures count.
    """

    usage: Usage
    indexes: Sequence[Index]
    look: Callable[[Item], Item | None]
    trusted: bool

    def attach(self, client: Any) -> None:
        """Count what *client* sends from now on."""
        client.meta.events.register("provide-client-params", self._asked)
        client.meta.events.register("after-call", self._answered)

    def _asked(self, params: Params, model: Any, context: dict[str, Any], **_: Any) -> Params:
        self.usage.requests[f"dynamodb.{model.name}"] += 1
        context["asked"] = params
        context["writes"] = [_Write(key, self.look(key)) for key in _written_keys(model.name, params)]
        return {**params, "ReturnConsumedCapacity": "INDEXES"}

    def _answered(self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        writes = context["writes"]
        if writes and "Error" in parsed:
            self.usage.refused_writes += 1
        if writes:
            self.usage.write_units += self._agreed(model.name, parsed, self._computed_writes(model.name, writes))
        else:
            computed = self._computed_reads(model.name, context["asked"], parsed)
            self.usage.read_units += self._agreed(model.name, parsed, computed)

    def _agreed(self, operation: str, parsed: Params, computed: float) -> float:
        """The units that count. Those of a refusal nobody says; those that DynamoDB Local says of a
        transaction (twice what it costs) and of a query that finds nothing (nothing) are wrong."""
        said = _consumed(parsed) if self.trusted and "Error" not in parsed else None
        if said is None or _is_known_wrong(operation, parsed):
            return computed
        self.usage.compared += 1
        if said != computed:
            self.usage.disagreements[f"{operation}: {said:g} for {computed:g}"] += 1
        return said

    def _computed_writes(self, operation: str, writes: Sequence[_Write]) -> float:
        factor = 2 if operation == "TransactWriteItems" else 1
        return factor * sum(self._computed_write(write) for write in writes)

    def _computed_write(self, write: _Write) -> int:
        after = self.look(write.key)
        return table_write_units(write.before, after) + index_write_units(write.before, after, self.indexes)

    def _computed_reads(self, operation: str, asked: Params, parsed: Params) -> float:
        if operation == "Query":
            return query_units(parsed.get("Items", ()), consistent=asked.get("ConsistentRead", False))
        if operation == "GetItem":
            return read_units([parsed.get("Item")], consistent=asked.get("ConsistentRead", False))
        if operation != "BatchGetItem":
            return 0.0
        [(table, wanted)] = asked["RequestItems"].items()
        found = {key_text(item): item for item in parsed.get("Responses", {}).get(table, ())}
        items = [found.get(key_text(key)) for key in wanted["Keys"]]
        return read_units(items, consistent=wanted.get("ConsistentRead", False))


def _written_keys(operation: str, params: Params) -> list[Item]:
    if operation == "PutItem":
        return [_key(params["Item"])]
    if operation in ("UpdateItem", "DeleteItem"):
        return [_key(params["Key"])]
    if operation == "TransactWriteItems":
        return [_transacted_key(action) for action in params["TransactItems"]]
    if operation == "BatchWriteItem":
        [requests] = params["RequestItems"].values()
        return [_key(_batched_item(request)) for request in requests]
    return []


def _transacted_key(action: Params) -> Item:
    [content] = [action[name] for name in _WRITE_ACTIONS if name in action]
    return _key(content.get("Key") or content["Item"])


def _batched_item(request: Params) -> Item:
    found: Item = request["PutRequest"]["Item"] if "PutRequest" in request else request["DeleteRequest"]["Key"]
    return found


def _key(item: Item) -> Item:
    return {"pk": item["pk"], "sk": item["sk"]}


def key_text(item: Item) -> str:
    """The key of *item*, to tell it from others by."""
    return json.dumps([item["pk"], item["sk"]])


def _consumed(parsed: Params) -> float | None:
    """All units of an answer, indexes included; ``None`` where it does not say."""
    said = parsed.get("ConsumedCapacity")
    if not said:
        return None
    return float(sum(part["CapacityUnits"] for part in (said if isinstance(said, list) else [said])))


def _is_known_wrong(operation: str, parsed: Params) -> bool:
    return operation == "TransactWriteItems" or (operation == "Query" and not parsed.get("Items"))
