"""What stages take outside and their undos give back, and what must be true of it.

Stands for the services that a saga calls. Whoever takes or gives back does so by an idempotency key, so that a repeat
changes nothing. What is taken under a lease that is over is a ghost's: nobody can keep that from happening, and
nobody is blamed for it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from workflow_engine.kernel import records, winners
from workflow_engine.model import plans
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import CLOCK_SKEW
from workflow_engine.model.runs import EntryState, Head, forward
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Persistence
from workflow_engine.testing.simulation.invariants import Bounds
from workflow_engine.testing.simulation.ledger import Ledger
from workflow_engine.testing.simulation.measures import Held

if TYPE_CHECKING:
    from workflow_engine.testing.simulation.tasks import Task


@dataclass(frozen=True, slots=True)
class Taking:
    """Something that a stage has taken: *base* is the epoch of first leases that its key is made of."""

    run_id: RunId
    group: int
    ordinal: int
    base: int


@dataclass(frozen=True, slots=True)
class Keys:
    """What an undo gives back is named *taken*, and its own effect *own*."""

    taken: str
    own: str


@dataclass(slots=True)
class Takings:
    """Told of what is taken and given back, and of the functions that are at work."""

    persistence: Persistence
    bounds: Bounds
    ledger: Ledger
    taken: dict[str, Taking] = field(default_factory=dict)
    # What was taken once and for all: before a rerun that begins anew, or by a run that is not to undo it.
    kept: set[str] = field(default_factory=set)
    given: Counter[RunId] = field(default_factory=Counter)
    _ends: dict[tuple[RunId, int, int, int], datetime] = field(default_factory=dict)
    _at_work: list[tuple[Held, "Task"]] = field(default_factory=list)
    _undone: dict[tuple[RunId, int, int, int], int] = field(default_factory=dict)
    _keys: defaultdict[tuple[RunId, int, int, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    _calls: Counter[tuple[RunId, int, int, int]] = field(default_factory=Counter)
    _failures: Counter[RunId] = field(default_factory=Counter)
    _asked: Counter[RunId] = field(default_factory=Counter)

    def committed(self, before: Head | None, after: Head) -> None:
        """A commit was applied."""
        for ordinal, entry in enumerate(after.active):
            if entry.state is EntryState.LEASED and entry.until is not None:
                self._ends[(after.run_id, after.group, ordinal, entry.epoch)] = entry.until
        if before is None:
            return
        if before.bases != after.bases:
            mine = [key for key, one in self.taken.items() if one.run_id == after.run_id and one.group >= after.group]
            self.kept.update(mine)
        self._asked[after.run_id] += before.status.is_terminal and after.is_closing

    def is_late(self, held: Held, at: datetime) -> bool:
        """Whether the time of a lease is over, by the clock of somebody."""
        end = self._ends[(held.run_id, held.group, held.ordinal, held.epoch)]
        return at > end + CLOCK_SKEW - self.bounds.skew

    def begins(self, held: Held, task: "Task", head: Head | None, at: datetime) -> Iterator[str]:
        """A function of a stage, or its undo, is called; yields what is wrong with that."""
        self._at_work.append((held, task))
        if not plans.is_closing(held.group) or held.group == plans.ON_FAILURE:
            return
        assert head is not None
        place = plans.place_of(held.group)
        self._calls[(held.run_id, place, held.ordinal, held.epoch)] += 1
        for other, whose in self._at_work:
            goes_forward = other.run_id == held.run_id and not plans.is_closing(other.group)
            if goes_forward and other.base == head.base_of(other.group) and not self.is_late(other, at):
                yield f"undo: stage {held.ordinal} of group {place} is undone while {whose.name} is at work"

    def ends(self, task: "Task") -> None:
        """The function that *task* has called is over."""
        self._at_work[:] = [one for one in self._at_work if one[1] is not task]

    def take(self, held: Held, key: str, at: datetime) -> Iterator[str]:
        """Something is taken under *key*; yields what is wrong with that."""
        if self.is_late(held, at):
            return
        place = (held.run_id, held.group, held.ordinal, held.base)
        if place in self._undone:
            yield f"undo: stage {held.ordinal} of group {held.group} takes something after its undo has begun"
        self.taken[key] = Taking(held.run_id, held.group, held.ordinal, held.base)

    def give_back(self, held: Held, stage_id: str, head: Head, keys: Keys, *, lease: int | None) -> Iterator[str]:
        """What was taken is given back by an undo that was given the output of *lease*, or none; yields what is wrong
        with that."""
        stood, group = forward(head), plans.place_of(held.group)
        place = (held.run_id, group, held.ordinal, stood.base_of(group))
        self._undone[place] = held.epoch
        self._keys[place].add(keys.own)
        if len(self._keys[place]) > 1:
            yield f"undo: stage {held.ordinal} of group {group} is undone under {len(self._keys[place])} keys"
        self.given[held.run_id] += self.taken.pop(keys.taken, None) is not None
        known = self._known(stood, stage_id, place, held.at)
        if known is not None and known != lease:
            yield f"undo: of stage {held.ordinal} of group {group}, the output of lease {known} is there, not {lease}"

    def fail(self, run_id: RunId) -> None:
        """An undo has failed, as it may."""
        self._failures[run_id] += 1

    def _known(self, stood: Head, stage_id: str, place: tuple[RunId, int, int, int], begun_at: datetime) -> int | None:
        """The lease whose output an undo must get: the one that counted, or the newest whose worker had stored it
        before the undo was claimed."""
        _, group, ordinal, base = place
        if group < stood.group:
            return winners.completed(stood, self.persistence).winner(group, ordinal)
        entry = stood.active[ordinal]
        if entry.state is EntryState.DONE:
            return entry.epoch
        stored = (one.key for one in records.listed(stood, self.persistence) if one.status is Status.COMPLETED)
        own = [key for key in stored if (key.group, key.stage_id, key.part) == (group, stage_id, "")]
        puts = self.ledger.deposits.puts
        there = [key.epoch for key in own if (put := puts.get((stood.run_id, key))) and put.at < begun_at]
        return max((epoch for epoch in there if epoch >= base), default=None)

    def check_end(self, heads: dict[RunId, Head], without: set[RunId]) -> Iterator[str]:
        """What is wrong at the end of a history: something is taken still, or was undone too often. *without* are the
        runs that were cancelled without undo."""
        for key, one in self.taken.items():
            head = heads[one.run_id]
            listed = head.closing is not None and (one.group, one.ordinal) in head.closing.not_undone
            excused = listed or key in self.kept or (head.closing is None and one.run_id in without)
            if head.status is not Status.COMPLETED and not excused:
                yield f"undo: run {one.run_id} is {head.status}, and what group {one.group} took is still taken"
        for run_id, head in heads.items():
            if head.status is Status.COMPLETED and self.given[run_id] and not self._is_again(head):
                yield f"undo: run {run_id} is COMPLETED, and something of it was given back"
        yield from self._check_calls()

    def _is_again(self, head: Head) -> bool:
        return len(head.bases) > 1 or head.bases[0][1] > 0

    def _check_calls(self) -> Iterator[str]:
        """An undo is executed once, and once more for whatever went wrong."""
        times: Counter[tuple[RunId, int, int]] = Counter()
        for (run_id, group, ordinal, _epoch), calls in self._calls.items():
            times[(run_id, group, ordinal)] += calls
        for (run_id, group, ordinal), calls in times.items():
            hits = self.ledger.troubles.count(run_id) + self._failures[run_id]
            reruns = len(self.ledger.deposits.discarded[run_id])
            if calls > 1 + hits + reruns + self._asked[run_id]:
                yield f"undo: stage {ordinal} of group {group} of run {run_id} was undone {calls} times"
