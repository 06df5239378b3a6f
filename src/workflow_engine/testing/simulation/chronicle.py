"""What was committed of each run, for what must be told of it, kept of it, and not done again."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from workflow_engine.model import plans
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import MAX_REFUSALS
from workflow_engine.model.runs import SKIPPED_EPOCH, DeadLetter, EntryState, Head, PendingEvent, WaitKind
from workflow_engine.model.status import Status
from workflow_engine.testing.simulation.closings import is_done
from workflow_engine.testing.simulation.deposits import Deposit

if TYPE_CHECKING:
    from workflow_engine.testing.simulation.tasks import Task

_UNSAID = ("stage:failed", "stage:completed")
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
        # How many outcomes a run may have told that its heads do not say.
        self._unsaid: Counter[RunId] = Counter()
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
        if before.closing is None and after.is_closing and after.closing is not None and after.closing.asked is None:
            expected["workflow:closing"] += 1
            self._note_waiting(after, Deposit(at, task))
        if before.status is not after.status and after.status in _ENDS:
            expected[_ENDS[after.status]] += 1
            self._note_waiting(before if before.is_closing else after, Deposit(at, task))
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
        unsaid = self._unsaid[run_id]
        for type_, times in self.expected[run_id].items():
            more = unsaid if type_ in _UNSAID else 0
            if type_ in published and not times <= found[type_] <= times + more:
                yield f"I5: run {run_id} has {found[type_]} events {type_}, and should have {times}"

    def _count_outcomes(self, before: Head, after: Head) -> None:
        if before.bases != after.bases or before.status.is_terminal:
            return
        expected, failed = self.expected[after.run_id], EntryState.FAILED
        is_undo = plans.is_closing(before.group) and before.group != plans.ON_FAILURE
        for ordinal, old in enumerate(before.active):
            if old.state is not EntryState.LEASED:
                continue
            if is_done(before, after, ordinal):
                expected["stage:undone" if is_undo else "stage:completed"] += 1
            elif after.group == before.group and not (before.is_closing and after.status.is_terminal):
                new = after.active[ordinal]
                expected["stage:failed"] += new.state is failed or new.attempt > old.attempt
            elif plans.is_closing(before.group):
                # It failed, or was given up, or was the stage that is run on a failure: the head does not say.
                self._unsaid[after.run_id] += 1
            # Code that could not be stopped has failed, and keeps its lease.
            self._unsaid[after.run_id] += after.closing is not None and _keeps(before, after, ordinal)

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


def _keeps(before: Head, after: Head, ordinal: int) -> bool:
    """Whether a commit that tells something leaves a stage its lease."""
    if ordinal >= len(after.active) or after.told + after.untold == before.told + before.untold:
        return False
    old, new = before.active[ordinal], after.active[ordinal]
    return (new.state, new.epoch) == (old.state, old.epoch)
