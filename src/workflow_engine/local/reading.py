"""Reads a local stack through AWS's own APIs, for saving it.

Between a listing and a reading anything may vanish, change or not answer: what is gone is left out, and
of what does not answer the copy that was saved before is taken.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from workflow_engine.adapters.aws.errors import code_of

Item = dict[str, Any]
Saved = Mapping[str, Any]
Value = TypeVar("Value")
_SCHEDULE_FIELDS = (
    "Name",
    "GroupName",
    "ScheduleExpression",
    "ScheduleExpressionTimezone",
    "State",
    "FlexibleTimeWindow",
    "ActionAfterCompletion",
    "Target",
)
# What services say of something that is not there: DynamoDB and Scheduler, S3, SQS in both its protocols.
_GONE = frozenset(
    {
        "ResourceNotFoundException",
        "NoSuchKey",
        "NoSuchBucket",
        "404",
        "QueueDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
    }
)


@dataclass(slots=True)
class StackReader:
    """Reads through the clients that *client* answers; *before* is what was saved last, asked for only
    where it is needed. *unread* says what did not answer, a line each."""

    client: Callable[[str], Any]
    before: Callable[[], Saved]
    unread: list[str] = field(default_factory=list)

    def items(self, table: str) -> list[Item]:
        """The items of a table."""
        return self._read(
            f"table {table}",
            lambda: list(self._scanned(table)),
            gone=[],
            before=lambda saved: saved["tables"].get(table, []),
        )

    def objects(self, bucket: str) -> dict[str, str]:
        """The objects of a bucket by key, in base64."""
        return self._read(
            f"bucket {bucket}",
            lambda: dict(self._objects(bucket)),
            gone={},
            before=lambda saved: saved["buckets"].get(bucket, {}),
        )

    def schedules(self, group: str) -> list[Item]:
        """The schedules of a group."""
        return self._read(
            f"schedule group {group}",
            lambda: list(self._schedules(group)),
            gone=[],
            before=lambda saved: [one for one in saved["schedules"] if one["GroupName"] == group],
        )

    def drained(self, queue: str, url: str) -> list[str]:
        """The bodies of a queue's visible messages, which are taken out of it."""
        bodies: list[str] = []
        self._read(f"queue {queue}", lambda: self._drain(url, bodies), gone=None, before=lambda _: None)
        return bodies

    def _read(self, what: str, read: Callable[[], Value], *, gone: Value, before: Callable[[Saved], Value]) -> Value:
        try:
            return read()
        except Exception as error:  # whatever is wrong with one of them, the rest is to be saved
            if code_of(error) in _GONE:
                return gone
            self.unread.append(f"{what}: {type(error).__name__}: {error}")
            return before(self.before())

    def _scanned(self, table: str) -> Iterator[Item]:
        for page in self.client("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            yield from ({name: encoded(value) for name, value in item.items()} for item in page["Items"])

    def _objects(self, bucket: str) -> Iterator[tuple[str, str]]:
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for key in [entry["Key"] for page in pages for entry in page.get("Contents", ())]:
            data = self._object(bucket, key)
            if data is not None:
                yield key, data

    def _object(self, bucket: str, key: str) -> str | None:
        def read() -> str | None:
            body = self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
            return base64.b64encode(body).decode()

        def before(saved: Saved) -> str | None:
            data: str | None = saved["buckets"].get(bucket, {}).get(key)
            return data

        return self._read(f"object {key}", read, gone=None, before=before)

    def _schedules(self, group: str) -> Iterator[Item]:
        pages = self.client("scheduler").get_paginator("list_schedules").paginate(GroupName=group)
        for name in [entry["Name"] for page in pages for entry in page["Schedules"]]:
            schedule = self._schedule(group, name)
            if schedule is not None:
                yield schedule

    def _schedule(self, group: str, name: str) -> Item | None:
        def read() -> Item | None:
            found = self.client("scheduler").get_schedule(Name=name, GroupName=group)
            return {name: found[name] for name in _SCHEDULE_FIELDS if found.get(name) is not None}

        def before(saved: Saved) -> Item | None:
            named = (one for one in saved["schedules"] if (one["GroupName"], one["Name"]) == (group, name))
            return next(named, None)

        return self._read(f"schedule {name}", read, gone=None, before=before)

    def _drain(self, url: str, bodies: list[str]) -> None:
        sqs = self.client("sqs")
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages"):
            for message in messages:
                bodies.append(message["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def encoded(value: Mapping[str, Any]) -> dict[str, Any]:
    """An attribute value with its bytes in base64, as DynamoDB's own JSON has them."""
    ((kind, content),) = value.items()
    if kind == "B":
        return {kind: base64.b64encode(content).decode()}
    if kind == "BS":
        return {kind: [base64.b64encode(part).decode() for part in content]}
    if kind == "L":
        return {kind: [encoded(part) for part in content]}
    if kind == "M":
        return {kind: {name: encoded(part) for name, part in content.items()}}
    return {kind: content}


def decoded(value: Mapping[str, Any]) -> dict[str, Any]:
    """The attribute value that ``encoded`` wrote."""
    ((kind, content),) = value.items()
    if kind == "B":
        return {kind: base64.b64decode(content)}
    if kind == "BS":
        return {kind: [base64.b64decode(part) for part in content]}
    if kind == "L":
        return {kind: [decoded(part) for part in content]}
    if kind == "M":
        return {kind: {name: decoded(part) for name, part in content.items()}}
    return {kind: content}
