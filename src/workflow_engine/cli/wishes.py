"""Reads the filters of ``list`` and ``rerun``."""

from collections.abc import Sequence
from datetime import datetime

from workflow_engine.cli import texts
from workflow_engine.cli.looking import Wish
from workflow_engine.local.errors import InvalidOptionError, listed
from workflow_engine.model.status import Status


def read_wish(
    workflow: str | None,
    status: str | None,
    attributes: Sequence[str] | None,
    since: str | None,
    until: str | None,
    now: datetime,
) -> Wish:
    """Which runs are wanted.

    Raises:
        InvalidOptionError: there is no such status, or a time is none.
    """
    return Wish(
        workflow_id=workflow,
        status=None if status is None else _status(status),
        attributes=texts.json_pairs("--attribute", attributes),
        since=None if since is None else texts.instant("--since", since, now),
        until=None if until is None else texts.instant("--until", until, now),
    )


def _status(text: str) -> Status:
    try:
        return Status(text.upper())
    except ValueError:
        problem = f"{text!r} is none of {listed(status.value for status in Status)}"
        raise InvalidOptionError(option="--status", problem=problem) from None
