"""Which runs ``list`` and ``rerun`` are about: the filter, how it is read, and what it lets through."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import merge
from typing import Any

from workflow_engine.cli import option_values
from workflow_engine.kernel import Kernel
from workflow_engine.local.errors import InvalidOptionError, listed
from workflow_engine.model.runs import Head
from workflow_engine.model.status import Status

PAGE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs are wanted; *workflow_id* ``None`` means those of all workflows known here."""

    workflow_id: str | None = None
    status: Status | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None


def runs(kernel: Kernel, wanted: RunFilter) -> Iterator[Head]:
    """The runs that are wanted, newest first, read as they are asked for.

    Raises:
        InvalidOptionError: no workflow is named, and none is known here.
    """
    ids = [wanted.workflow_id] if wanted.workflow_id else sorted({definition.id for definition in kernel.registry})
    if not ids:
        problem = "no workflow can be imported here, so name the one (workflow-engine check says why)"
        raise InvalidOptionError(option="WORKFLOW", problem=problem)
    listed = [_runs_of(kernel, workflow_id, wanted) for workflow_id in ids]
    yield from merge(*listed, key=lambda head: head.created_at, reverse=True)


def _runs_of(kernel: Kernel, workflow_id: str, wanted: RunFilter) -> Iterator[Head]:
    cursor: str | None = None
    while True:
        page = kernel.queries.runs(
            workflow_id,
            status=wanted.status,
            attributes=wanted.attributes,
            since=wanted.since,
            until=wanted.until,
            limit=PAGE,
            cursor=cursor,
        )
        yield from page.heads
        cursor = page.cursor
        if cursor is None:
            return


def read_run_filter(
    workflow: str | None,
    status: str | None,
    attributes: Sequence[str] | None,
    since: str | None,
    *,
    until: str | None,
    now: datetime,
) -> RunFilter:
    """Which runs are wanted.

    Raises:
        InvalidOptionError: there is no such status, or a time is none.
    """
    return RunFilter(
        workflow_id=workflow,
        status=None if status is None else _status(status),
        attributes=option_values.json_pairs("--attribute", attributes),
        since=None if since is None else option_values.instant("--since", since, now),
        until=None if until is None else option_values.instant("--until", until, now),
    )


def _status(text: str) -> Status:
    try:
        return Status(text.upper())
    except ValueError:
        problem = f"{text!r} is none of {listed(status.value for status in Status)}"
        raise InvalidOptionError(option="--status", problem=problem) from None
