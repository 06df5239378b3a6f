"""The state of a local stack in a file, so that it is there again after the next start.

Everything is read and written through AWS's own APIs and kept as JSON. Messages that are delayed or
in flight cannot be read that way and need not be: the runs that they belong to are woken after loading.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from workflow_engine.cli.embedded.resources import RESOURCE_TYPES
from workflow_engine.cli.embedded.template import Template
from workflow_engine.cli.errors import TemplateError
from workflow_engine.wiring.aws import client

FORMAT = 1
_BATCH = 25  # BatchWriteItem takes 25 items (API reference)
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


class StackState:
    """Saves the stack of *template* to *path*, and loads it from there."""

    def __init__(self, template: Template, path: Path) -> None:
        self._path = path
        self._names = {
            kind: [resource.identity for resource in template.resources({type_})]
            for kind, type_ in RESOURCE_TYPES.items()
        }

    def save(self, *, with_messages: bool = False) -> None:
        """Write the state, whole or not at all. *with_messages* takes the messages out of their
        queues: for the last save, when nobody works any more."""
        state = {
            "format": FORMAT,
            "tables": {table.name: list(_items(table.name)) for table in self._names["tables"]},
            "buckets": {bucket.name: dict(_objects(bucket.name)) for bucket in self._names["buckets"]},
            "schedules": [schedule for group in self._names["groups"] for schedule in _schedules(group.name)],
            "queues": {queue.name: list(_drained(queue.ref)) for queue in self._names["queues"] if with_messages},
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(".new")
        unfinished.write_text(json.dumps(state, separators=(",", ":")))
        unfinished.replace(self._path)

    def load(self) -> bool:
        """Put back what was saved; whether there was anything.

        Raises:
            TemplateError: the file is none of ours, or of another version.
        """
        if not self._path.exists():
            return False
        state = self._read()
        for name, items in state["tables"].items():
            _put_items(name, items)
        for name, objects in state["buckets"].items():
            for key, data in objects.items():
                client("s3").put_object(Bucket=name, Key=key, Body=base64.b64decode(data))
        groups = [group.name for group in self._names["groups"]]
        for schedule in state["schedules"]:
            # Under another template, the group may have had another name.
            group = schedule["GroupName"] if schedule["GroupName"] in groups else groups[0]
            client("scheduler").create_schedule(**{**schedule, "GroupName": group})
        for name, bodies in state["queues"].items():
            url = client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
            for body in bodies:
                client("sqs").send_message(QueueUrl=url, MessageBody=body)
        return True

    def _read(self) -> Mapping[str, Any]:
        try:
            state: Mapping[str, Any] = json.loads(self._path.read_text())
            if state["format"] != FORMAT:
                raise TemplateError(where=str(self._path), problem=f"has format {state['format']}; remove it")
        except (ValueError, KeyError, TypeError) as error:
            raise TemplateError(where=str(self._path), problem=f"is no saved state ({error}); remove it") from error
        return state


def _items(table: str) -> Iterator[dict[str, Any]]:
    for page in client("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from ({name: _encoded(value) for name, value in item.items()} for item in page["Items"])


def _encoded(value: Mapping[str, Any]) -> dict[str, Any]:
    """An attribute value with its bytes in base64, as DynamoDB's own JSON has them."""
    ((kind, content),) = value.items()
    if kind == "B":
        return {kind: base64.b64encode(content).decode()}
    if kind == "BS":
        return {kind: [base64.b64encode(part).decode() for part in content]}
    if kind == "L":
        return {kind: [_encoded(part) for part in content]}
    if kind == "M":
        return {kind: {name: _encoded(part) for name, part in content.items()}}
    return {kind: content}


def _decoded(value: Mapping[str, Any]) -> dict[str, Any]:
    ((kind, content),) = value.items()
    if kind == "B":
        return {kind: base64.b64decode(content)}
    if kind == "BS":
        return {kind: [base64.b64decode(part) for part in content]}
    if kind == "L":
        return {kind: [_decoded(part) for part in content]}
    if kind == "M":
        return {kind: {name: _decoded(part) for name, part in content.items()}}
    return {kind: content}


def _put_items(table: str, items: list[dict[str, Any]]) -> None:
    for start in range(0, len(items), _BATCH):
        puts = [
            {"PutRequest": {"Item": {name: _decoded(value) for name, value in item.items()}}}
            for item in items[start : start + _BATCH]
        ]
        unsent: Mapping[str, Any] = {table: puts}
        while unsent:
            unsent = client("dynamodb").batch_write_item(RequestItems=unsent).get("UnprocessedItems", {})


def _objects(bucket: str) -> Iterator[tuple[str, str]]:
    for page in client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", ()):
            body = client("s3").get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
            yield entry["Key"], base64.b64encode(body).decode()


def _schedules(group: str) -> Iterable[dict[str, Any]]:
    for page in client("scheduler").get_paginator("list_schedules").paginate(GroupName=group):
        for entry in page["Schedules"]:
            found = client("scheduler").get_schedule(Name=entry["Name"], GroupName=group)
            yield {name: found[name] for name in _SCHEDULE_FIELDS if found.get(name) is not None}


def _drained(url: str) -> Iterator[str]:
    """The bodies of a queue's visible messages, which are taken out of it."""
    while (
        messages := client("sqs")
        .receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
        .get("Messages", [])
    ):
        for message in messages:
            yield message["Body"]
            client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
