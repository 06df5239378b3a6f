"""What was committed of each run, for what must be told of it, kept of it, and not done again."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import MAX_REFUSALS
from workflow_engine.model.runs import SKIPPED_EPOCH, DeadLetter, EntryState, Head, PendingEvent, WaitKind
from workflow_engine.model.status import Status
from workflow_engine.testing.simulation.deposits import Deposit

if TYPE_CHECKING:
    from workflow_engine.testing.simulation.tasks import Task

_ENDS = {
    Status.COMPLETED: "workflow:completed",
    Status.FAILED: "workflow:failed",
    Status.CANCELLED: "workflow:cancelled",
}


class Chronicle:
    """Told of every commit, of what the sink refuses, and of timers.

    *expected* counts the events that a run must have, by type, *begun_at* says when it was started
    last, *ended* and *answered* who ended a run or took up a signal, and with it made a timer useless.
    """

    def __init__(self) -> None:
        self.expected: defaultdict[RunId, Counter[str]] = defaultdict(Counter)
        self.begun_at: dict[RunId, datetime] = {}
        self._refused: Counter[tuple[str, int]] = Counter()
        self._ended: dict[tuple[RunId, int, int, int], Deposit] = {}
        self._answered: dict[tuple[RunId, int, int, int], Deposit] = {}
        self._set_at: dict[tuple[RunId, int, int, int], datetime] = {}
        self._signals: defaultdict[RunId, set[str]] = defaultdict(set)

    def committed(self, before: Head | None, after: Head, task: "Task | None", at: datetime) -> Iterator[str]:
        """A commit was applied; yields what is wrong with it."""
        expected = self.expected[after.run_id]
        if before is None or before.bases != after.bases:
            self.begun_at[after.run_id] = at
            self._signals[after.run_id].clear()
        if before is None:
            expected["workflow:created"] += 1
            return
        if before.status is not after.status and after.status in _ENDS:
            expected[_ENDS[after.status]] += 1
            self._note_waiting(after, Deposit(at, task))
        self._count_outcomes(before, after)
        if before.bases == after.bases:
            expected["stage:skipped"] += len(_skipped(after) - _skipped(before))
        self._note_answers(before, after, Deposit(at, task))
        for element in after.signals:
            if element and element not in before.signals and element in self._signals[after.run_id]:
                yield f"I6: signal {element} was kept twice"
            self._signals[after.run_id].add(element)

    def refused(self, run_id: str, sequence: int) -> None:
        """The sink refused an event in a way that counts."""
        self._refused[(run_id, sequence)] += 1

    def buried(self, letter: DeadLetter) -> Iterator[str]:
        """A dead letter was stored; yields what is wrong with that."""
        times = self._refused[(letter.run_id, letter.sequence)]
        if times < MAX_REFUSALS:
            yield f"I5: event {letter.sequence} of run {letter.run_id} is a dead letter, refused {times} times"

    def scheduled(self, place: tuple[RunId, int, int, int], at: datetime) -> None:
        """A timer was set for a wait."""
        self._set_at[place] = at

    def fired(self, place: tuple[RunId, int, int, int], at: datetime) -> Iterator[str]:
        """A timer fires; yields why that is of no use to anybody."""
        set_at = self._set_at.get(place, at)
        for what, useless in (("ended", self._ended.get(place)), ("was answered", self._answered.get(place))):
            # A worker that hangs may set the timer after all that has happened.
            if useless is not None and useless.at > set_at and not useless.is_explained and at > useless.at + _SOON:
                yield f"left: a timer of run {place[0]} fires for what {what} at {useless.at}"

    def check_told(self, run_id: RunId, events: list[PendingEvent], published: frozenset[str]) -> Iterator[str]:
        """Everything that was committed of a run is among its events."""
        found = Counter(event.type for event in events)
        for type_, times in self.expected[run_id].items():
            if type_ in published and found[type_] != times:
                yield f"I5: run {run_id} has {found[type_]} events {type_}, and should have {times}"

    def _count_outcomes(self, before: Head, after: Head) -> None:
        if before.bases != after.bases or before.status.is_terminal:
            return
        moved = after.group != before.group or after.status is Status.COMPLETED
        for ordinal, old in enumerate(before.active):
            new = None if moved else after.active[ordinal]
            if old.state is not EntryState.LEASED:
                continue
            if new is None or new.state is EntryState.DONE:
                self.expected[after.run_id]["stage:completed"] += 1
            elif new.state is EntryState.FAILED or new.attempt > old.attempt:
                self.expected[after.run_id]["stage:failed"] += 1

    def _note_waiting(self, ended: Head, deposit: Deposit) -> None:
        for ordinal, entry in enumerate(ended.active):
            if entry.state is EntryState.WAITING:
                self._ended[(ended.run_id, ended.group, ordinal, entry.epoch)] = deposit

    def _note_answers(self, before: Head, after: Head, deposit: Deposit) -> None:
        if before.group != after.group or before.bases != after.bases:
            return
        for ordinal, (old, new) in enumerate(zip(before.active, after.active, strict=False)):
            early = old.until is not None and deposit.at < old.until - _SOON
            if old.wait is WaitKind.SIGNAL and old.state is EntryState.WAITING and early and new.epoch != old.epoch:
                self._answered[(after.run_id, after.group, ordinal, old.epoch)] = deposit


def _skipped(head: Head) -> set[tuple[int, int]]:
    """The places of the stages that were skipped, as far as the head tells of them."""
    now = {(head.group, ordinal) for ordinal, entry in enumerate(head.active) if entry.state is EntryState.SKIPPED}
    return now | {place for place, epoch in head.winners.items() if epoch == SKIPPED_EPOCH}


# A timer that fires while its run ends is nobody's fault.
_SOON = timedelta(minutes=10)
