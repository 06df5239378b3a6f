"""Who put what where, and who has to take it away again: what a census needs to tell a leftover of
something that went wrong from one of the engine."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import Bundle, Head, StageKey

if TYPE_CHECKING:
    from workflow_engine.testing.simulation.tasks import Task


@dataclass(frozen=True, slots=True)
class Deposit:
    """Something was put *at* a time, or became *task*'s to take away."""

    at: datetime
    task: "Task | None"

    @property
    def is_explained(self) -> bool:
        """Whether something happened to whoever should have taken it away."""
        # That an event was refused keeps nobody from taking anything away.
        return self.task is None or any(trouble.what != "PARTIAL emit" for trouble in self.task.troubles)


class Deposits:
    """Told of every effect. *puts* are by blob key, by (run, attempt) for what an attempt wrote,
    or by (run, sequence or name) for events outside of a head;
    *released* are spilled events that left a head, *discarded* the reruns of a run, and *notes* the
    attempts that noted something."""

    def __init__(self) -> None:
        self.puts: dict[object, Deposit] = {}
        self.released: dict[tuple[RunId, int], Deposit] = {}
        self.discarded: defaultdict[RunId, list[Deposit]] = defaultdict(list)
        self.notes: defaultdict[RunId, set[StageKey]] = defaultdict(set)
        self.extended_at: dict[RunId, datetime] = {}
        self.inputs: defaultdict[RunId, set[str]] = defaultdict(set)
        self.signals: defaultdict[RunId, set[str]] = defaultdict(set)

    def asked(self, name: str, args: Sequence[Any], task: "Task | None", at: datetime) -> None:
        """A port call takes effect."""
        if name == "put":
            self.puts[args[0]] = Deposit(at, task)
        elif name == "extend_expiry":
            self.extended_at[args[0]] = at
        elif name == "put_spilled":
            for key in args[1]:
                self.puts[(args[0].run_id, key)] = Deposit(at, task)
        elif name in _ATTEMPTS:
            for one in _each(args[0]):
                self.puts[(one.run_id, getattr(one, _ATTEMPTS[name]))] = Deposit(at, task)
                if name == "put_annotations" and one.stage is not None:
                    self.notes[one.run_id].add(one.stage)

    def committed(self, before: Head | None, after: Head, task: "Task | None", at: datetime) -> None:
        """A commit was applied."""
        if after.input_hash is not None:
            self.inputs[after.run_id].add(after.input_hash)
        self.signals[after.run_id].update(after.signals)
        for record in after.recent[len(before.recent) if before else 0 :]:
            self.puts.setdefault((after.run_id, record.key), Deposit(at, task))
        if before is None:
            return
        last = min(after.told, before.told + before.spilled)
        for sequence in range(before.told + 1, last + 1):
            self.released[(after.run_id, sequence)] = Deposit(at, task)
        if before.bases != after.bases:
            self.discarded[after.run_id].append(Deposit(at, task))


_ATTEMPTS: Mapping[str, str] = {
    "put_record": "key",
    "put_bundle": "key",
    "put_logs": "key",
    "put_annotations": "stage",
}


def _each(given: Any) -> Sequence[Any]:
    """What an attempt wrote in one request: the one thing, several, or the records of a bundle."""
    if isinstance(given, Bundle):
        return given.records
    return given if isinstance(given, list) else [given]
