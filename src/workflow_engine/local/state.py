"""The state of a local stack in a file, so that it is there again after the next start.

Everything is read and written through AWS's own APIs and kept as JSON. Messages that are delayed or
in flight cannot be read that way and need not be: the runs that they belong to are woken after loading.
What the file holds is only ever replaced as a whole; how the stack is read is in ``reading.py``.
"""

import base64
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from workflow_engine.adapters.aws.errors import translating
from workflow_engine.errors import WorkflowEngineError
from workflow_engine.local.errors import StateNotSavedError, TemplateError
from workflow_engine.local.reading import Saved, StackReader, decoded
from workflow_engine.local.resources import RESOURCE_TYPES
from workflow_engine.local.template import Template

FORMAT = 1
READ_SECONDS, ATTEMPTS = 60, 2
_BATCH = 25  # BatchWriteItem takes 25 items (API reference)
_ADVICE = "move it away, or start with --fresh"


class StackState:
    """Saves the stack of *template* to *path*, and loads it from there. *client* answers the client of
    a service (default: one with more patience than the functions')."""

    def __init__(self, template: Template, path: Path, client: Callable[[str], Any] | None = None) -> None:
        self._path, self._client = path, client or _PatientClients()
        self._names = {
            kind: [resource.identity for resource in template.resources({type_})]
            for kind, type_ in RESOURCE_TYPES.items()
        }
        self._messages: dict[str, list[str]] = {}

    def save(self, *, with_messages: bool = False) -> tuple[str, ...]:
        """Write the state, whole or not at all; answers what could not be read, a line each, of which
        the file still holds what was saved before. *with_messages* takes the messages out of their
        queues: for the last save, when nobody works any more. It may be repeated.

        Raises:
            StateNotSavedError: the file cannot be written; the one from before is still there.
        """
        reader = StackReader(self._client, self._before)
        names = {kind: [one.name for one in identities] for kind, identities in self._names.items()}
        state = {
            "format": FORMAT,
            "tables": {name: reader.items(name) for name in names["tables"]},
            "buckets": {name: reader.objects(name) for name in names["buckets"]},
            "schedules": [schedule for name in names["groups"] for schedule in reader.schedules(name)],
            "queues": {},
        }
        if with_messages:
            for queue in self._names["queues"]:
                self._messages.setdefault(queue.name, []).extend(reader.drained(queue.name, queue.ref))
            state["queues"] = self._messages
        self._write(json.dumps(state, separators=(",", ":")).encode())
        return tuple(reader.unread)

    def load(self) -> bool:
        """Put back what was saved; whether there was anything. The file stays as it is.

        Raises:
            TemplateError: the file is none of ours, of another version, or of another template.
        """
        state = self._read()
        if state is None:
            return False
        with self._refusing_what_does_not_fit():
            self._put_all(state)
        return True

    def _put_all(self, state: Saved) -> None:
        for name, items in state["tables"].items():
            _put_items(self._client("dynamodb"), name, items)
        for name, objects in state["buckets"].items():
            for key, data in objects.items():
                self._client("s3").put_object(Bucket=name, Key=key, Body=base64.b64decode(data))
        for schedule in state["schedules"]:
            self._client("scheduler").create_schedule(**schedule)
        for name, bodies in state["queues"].items():
            url = self._client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
            for body in bodies:
                self._client("sqs").send_message(QueueUrl=url, MessageBody=body)

    def _read(self) -> Saved | None:
        """What the file holds; nothing where there is none."""
        with self._refusing_what_does_not_fit():
            try:
                state: Saved = json.loads(self._path.read_bytes())
            except FileNotFoundError:
                return None
            if state["format"] != FORMAT:
                problem = f"has format {state['format']!r}, and this version reads {FORMAT}; {_ADVICE}"
                raise TemplateError(where=str(self._path), problem=problem)
            for name, kind in _KINDS.items():
                if not isinstance(state[name], kind):
                    raise TypeError(f"{name} is no {kind.__name__}")
            return {**state, "schedules": [self._in_its_group(one) for one in state["schedules"]]}

    def _in_its_group(self, schedule: dict[str, Any]) -> dict[str, Any]:
        """*schedule*, in a group of this template: under another one, the group may have had another name."""
        groups = [group.name for group in self._names["groups"]]
        group = schedule["GroupName"] if schedule["GroupName"] in groups else groups[0]
        return {**schedule, "GroupName": group}

    def _before(self) -> Saved:
        """What was saved last; empty where that cannot be told."""
        with suppress(TemplateError):
            if (saved := self._read()) is not None:
                return saved
        return {name: kind() for name, kind in _KINDS.items()}

    @contextmanager
    def _refusing_what_does_not_fit(self) -> Iterator[None]:
        try:
            with translating("the local stack", "load"):
                yield
        except TemplateError:
            raise
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}; {_ADVICE}"
            raise TemplateError(where=str(self._path), problem=problem) from error
        except WorkflowEngineError as error:
            raise TemplateError(where=str(self._path), problem=f"cannot be loaded: {error}; {_ADVICE}") from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            problem = f"is no saved state ({type(error).__name__}: {error}); {_ADVICE}"
            raise TemplateError(where=str(self._path), problem=problem) from error

    def _write(self, data: bytes) -> None:
        """Replace the file by *data*: after a crash of the machine, too, it is the old one or the new."""
        unfinished = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise StateNotSavedError(path=str(self._path), problem=error.strerror or str(error)) from error


class _PatientClients:
    """Clients that wait for a whole table to be read, which takes an emulator longer than a request of the
    engine may take."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        if service not in self._made:
            from botocore.config import Config
            from botocore.session import get_session

            config = Config(read_timeout=READ_SECONDS, retries={"mode": "standard", "total_max_attempts": ATTEMPTS})
            self._made[service] = get_session().create_client(service, config=config)
        return self._made[service]


# What a saved state consists of.
_KINDS: Mapping[str, type[Any]] = {"tables": dict, "buckets": dict, "schedules": list, "queues": dict}


def _put_items(client: Any, table: str, items: list[dict[str, Any]]) -> None:
    for start in range(0, len(items), _BATCH):
        puts = [
            {"PutRequest": {"Item": {name: decoded(value) for name, value in item.items()}}}
            for item in items[start : start + _BATCH]
        ]
        unsent: Mapping[str, Any] = {table: puts}
        while unsent:
            unsent = client.batch_write_item(RequestItems=unsent).get("UnprocessedItems", {})
