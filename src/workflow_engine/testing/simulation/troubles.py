"""What went wrong in a history, when and for whom: what explains a run that is late, or costs more."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from workflow_engine.model.ids import RunId

_NOTHING = timedelta(0)
# Port calls whose first argument names a workflow, a key or a shard.
_OF_NO_RUN = frozenset({
    "put_definition", "load_definition", "definition_kept_at", "load_idempotency", "put_idempotency", "list_runs", "list_failures",
    "list_due", "list_dead_letters", "load_heads", "rearm", "dequeue", "complete", "suspend", "fail", "touch", "cancel",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that went wrong *at* a time; *costs* is how long it held somebody up by itself."""

    at: datetime
    what: str
    costs: timedelta = _NOTHING


class Troubles:
    """All of them, by run; those that no run can be named for may have hit any."""

    def __init__(self) -> None:
        self._of_runs: defaultdict[RunId, list[Trouble]] = defaultdict(list)
        self._of_all: list[Trouble] = []

    def note(self, run_id: RunId | None, trouble: Trouble) -> None:
        """Remember *trouble*; without *run_id* it is everybody's."""
        (self._of_all if run_id is None else self._of_runs[run_id]).append(trouble)

    def since(self, run_id: RunId, begin: datetime | None = None) -> list[Trouble]:
        """What may explain something of that run, from *begin* on."""
        return [*_from(self._of_runs.get(run_id, ()), begin), *_from(self._of_all, begin)]

    def count(self, run_id: RunId) -> int:
        """How many there were so far."""
        return len(self._of_runs.get(run_id, ())) + len(self._of_all)


def _from(troubles: Sequence[Trouble], begin: datetime | None) -> Sequence[Trouble]:
    if begin is None:
        return troubles
    return troubles[bisect_left(troubles, begin, key=lambda one: one.at) :]


def run_of(port: str, name: str, args: Sequence[Any]) -> RunId | None:
    """The run that a port call is about; ``None`` where it is about none, or about many."""
    if name in _OF_NO_RUN:
        return None
    subject = args[0] if args else None
    if isinstance(subject, list | tuple):
        if len({_named(one) for one in subject}) != 1:
            return None
        subject = subject[0]
    if isinstance(subject, str):
        return _in_key(subject) if port == "blobs" else RunId(subject)
    return _named(subject)


def _named(subject: object) -> RunId | None:
    named = getattr(subject, "run_id", None) or getattr(getattr(subject, "after", None), "run_id", None)
    return None if named is None else RunId(str(named))


def _in_key(key: str) -> RunId | None:
    parts = key.split("/")
    return RunId(parts[1]) if parts[0] == "runs" and len(parts) > 1 else None
