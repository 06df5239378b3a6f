"""Keeps what runs cost beside what went wrong for them, and says where the one does not explain the other."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from workflow_engine.model.commands import ExecuteJob
from workflow_engine.model.events import RunEvent
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import Head
from workflow_engine.testing.simulation.allowances import Allowance, check_late, check_tally, overlap
from workflow_engine.testing.simulation.chronicle import Chronicle
from workflow_engine.testing.simulation.deposits import Deposits
from workflow_engine.testing.simulation.invariants import Bounds
from workflow_engine.testing.simulation.measures import Measures
from workflow_engine.testing.simulation.observer import Violation
from workflow_engine.testing.simulation.tasks import Task
from workflow_engine.testing.simulation.troubles import Trouble, Troubles

_USUAL = Allowance()


class Ledger:
    """Told of every effect and of everything that goes wrong."""

    def __init__(self, bounds: Bounds, lease: timedelta | None = None) -> None:
        self.measures, self.troubles, self.deposits = Measures(), Troubles(), Deposits()
        self.chronicle = Chronicle()
        self.allowances: dict[RunId, Allowance] = {}
        self._bounds, self._lease = bounds, lease
        # When messages were there, and no slot was free; the last one may go on.
        self._starved: list[tuple[datetime, datetime | None]] = []

    def trouble(self, task: Task | None, run_id: RunId | None, trouble: Trouble) -> None:
        """*trouble* hit *task*; of whose run nobody says, it is that of the task's lease, and it is
        everybody's where the task looks after many."""
        if task is not None:
            task.troubles.append(trouble)
            if task.shared:
                run_id = None
            elif run_id is None and task.lease is not None:
                run_id = task.lease.run_id
        self.troubles.note(run_id, trouble)

    def starving(self, at: datetime, *, starves: bool) -> None:
        """Whether messages wait for a free slot now."""
        goes_on = bool(self._starved) and self._starved[-1][1] is None
        if starves and not goes_on:
            self._starved.append((at, None))
        elif goes_on and not starves:
            self._starved[-1] = (self._starved[-1][0], at)

    def asked(self, port: str, name: str, args: Sequence[Any], task: Task | None, *, at: datetime) -> None:
        """A port call of *task* takes effect."""
        self.measures.asked(port, name, args)
        self.deposits.asked(name, args, task, at)
        if name == "schedule" and (place := place_of(args[0])) is not None:
            self.chronicle.scheduled(place, at)

    def fired(self, command: object, at: datetime) -> None:
        """A timer fires.

        Raises:
            Violation: whoever made it useless has not forgotten it, though nothing happened to him.
        """
        place = place_of(command)
        for problem in self.chronicle.fired(place, at) if place is not None else ():
            raise Violation(problem)

    def committed(self, before: Head | None, after: Head, task: Task | None, at: datetime) -> None:
        """A commit of *task* was applied.

        Raises:
            Violation: it came too late, or took a lease from somebody to whom nothing had happened.
        """
        self.deposits.committed(before, after, task, at)
        for problem in self.chronicle.committed(before, after, task, at):
            raise Violation(problem)
        for late in self.measures.committed(before, after, task, at):
            for problem in check_late(
                late,
                after.run_id,
                troubles=self.troubles,
                allowance=self.allowances.get(after.run_id, _USUAL),
                bounds=self._bounds,
                starved=overlap(late.due, at, self._starved),
            ):
                raise Violation(problem)
        self._check_lease(after, task, at)

    def _check_lease(self, head: Head, task: Task | None, at: datetime) -> None:
        """What a worker takes, it takes for as long as it renews."""
        if self._lease is None or task is None or not task.name.startswith("job-"):
            return
        held, latest = task.lease, at + self._lease + 2 * self._bounds.skew
        if held is None or (held.run_id, held.group, held.at) != (head.run_id, head.group, at):
            return
        until = head.active[held.ordinal].until
        if until is not None and until > latest:
            raise Violation(f"lease: a worker of run {head.run_id} took one until {until}")

    def emitted(self, accepted: Sequence[RunEvent]) -> None:
        """The sink accepted these events."""
        self.measures.emitted(accepted)

    def check_end(self) -> Iterator[str]:
        """What runs cost beyond their allowance."""
        for run_id, tally in self.measures.tallies.items():
            allowance = self.allowances.get(run_id, _USUAL)
            hits = self.troubles.count(run_id)
            yield from check_tally(run_id, tally, hits=hits, looks=self.measures.looks, allowance=allowance)


def place_of(command: object) -> tuple[RunId, int, int, int] | None:
    """The wait that a job was made for: run, group, ordinal and epoch."""
    if not isinstance(command, ExecuteJob) or command.group is None:
        return None
    return RunId(command.run_id), command.group, command.ordinal or 0, command.epoch or 0
