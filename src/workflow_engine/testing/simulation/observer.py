"""Sees every effect of a simulated history, and says at once where it breaks an invariant."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from workflow_engine.adapters.memory.sizes import events_size
from workflow_engine.kernel import records
from workflow_engine.model import plans
from workflow_engine.model.commands import ExecuteJob
from workflow_engine.model.commits import Committed, Exclusive, Refused, Shared
from workflow_engine.model.events import RunEvent
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.limits import HEAD_OUTLIVES, WRITE_UNIT_BYTES
from workflow_engine.model.runs import (
    DeadLetter,
    Entry,
    EntryState,
    Head,
    PendingEvent,
    StageKey,
    StageRecord,
    key_of,
    riding,
)
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import HeadSizes, Persistence, Rearm
from workflow_engine.testing.simulation.closings import is_done
from workflow_engine.testing.simulation.invariants import Bounds, check_commit, check_listed


class Violation(AssertionError):  # noqa: N818 - the word for a broken invariant
    """An invariant does not hold. ``problem`` starts with its name."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    @property
    def invariant(self) -> str:
        """The name of the invariant, ``I2`` for example."""
        return self.problem.partition(":")[0]


class Observer:
    """Follows the heads of all runs, what was committed to be told, and what was told."""

    def __init__(self, persistence: Persistence, bounds: Bounds, measure: Callable[[Head], HeadSizes]) -> None:
        self._persistence, self._bounds, self._measure = persistence, bounds, measure
        self.rode: dict[tuple[RunId, StageKey], StageRecord] = {}
        self.heads: dict[RunId, Head] = {}
        self.events: defaultdict[RunId, list[PendingEvent]] = defaultdict(list)
        self.accepted_through: Counter[RunId] = Counter()
        self.accepted = 0
        self.dead: set[tuple[RunId, int]] = set()
        self.reruns: Counter[RunId] = Counter()
        self.finished: Counter[tuple[RunId, int, int, int]] = Counter()
        self.lost_leases: Counter[RunId] = Counter()
        self.signalled: dict[tuple[RunId, str], datetime] = {}
        self.largest_head = 0
        self._due: dict[RunId, datetime] = {}
        self._counted: Counter[tuple[RunId, int, int, str]] = Counter()
        self._leases: dict[tuple[RunId, int, int, int], str] = {}

    def committed(
        self, before: Head | None, commit: Exclusive | Shared, answer: Committed | Refused, at: datetime
    ) -> None:
        """A commit was answered."""
        run_id = commit.after.run_id if isinstance(commit, Exclusive) else commit.run_id
        after = self._persistence.load_head(run_id)
        if isinstance(answer, Refused):
            if after != before:
                raise Violation("I1: a refused commit changed the head")
            return
        if after is None or not _is_same(answer.head, after):
            raise Violation("I1: the head that was answered is not the one that is stored")
        self._note(after)
        self.largest_head = max(self.largest_head, events_size(after.events))
        for problem in check_commit(before, commit, after, at=at, bounds=self._bounds):
            raise Violation(problem)
        checks = (
            self._check_recent(after),
            self._check_events(before, after),
            self._check_leases(before, after),
        )
        for problem in chain.from_iterable(checks):
            raise Violation(problem)
        self._note_signals(before, after, at)

    def _note(self, head: Head) -> None:
        self.heads[head.run_id] = head
        if head.due_at is None:
            self._due.pop(head.run_id, None)
        else:
            self._due[head.run_id] = head.due_at

    def _check_recent(self, after: Head) -> Iterator[str]:
        """A record that rides in the head takes it past no unit."""
        new = [record for record in after.recent if (after.run_id, record.key) not in self.rode]
        self.rode.update({(after.run_id, record.key): record for record in new})
        if not new:
            return
        found = self._measure(after)
        units = -(-found.apart // WRITE_UNIT_BYTES)
        if found.apart + found.frame + sum(found.recent) > units * WRITE_UNIT_BYTES:
            yield f"I7: with what rides in it, the head of {after.run_id} takes more than {units} units"

    def rearmed(
        self, before: Mapping[RunId, Head], wishes: Sequence[Rearm], won: Sequence[RunId], at: datetime
    ) -> None:
        """A tick moved ``due_at`` of those that it *won*."""
        moved = set(won)
        for wish in wishes:
            old, new = before.get(wish.run_id), self._persistence.load_head(wish.run_id)
            if new is None or old is None:
                raise Violation("I1: a run without a head was re-armed")
            self._note(new)
            if wish.run_id not in moved and new != old:
                raise Violation("I1: a refused re-arm changed the head")
            if wish.run_id in moved:
                self._check_rearmed(old, new, wish, at)

    def _check_rearmed(self, old: Head, new: Head, wish: Rearm, at: datetime) -> None:
        if (old.version, old.due_at) != (wish.version, wish.seen):
            raise Violation("I1: a re-arm was applied to a head that had changed")
        if new.version != old.version or new.status != old.status or new.active != old.active:
            raise Violation("I1: a re-arm changed more than due_at")
        for problem in check_listed(new, at=at, bounds=self._bounds):
            raise Violation(problem)

    def _check_events(self, before: Head | None, after: Head) -> Iterator[str]:
        yield from self._check_sequence(after)
        through = self.accepted_through[after.run_id]
        if after.told > through:
            yield f"I5: {after.told} events left the head, {through} were accepted in order"
        if before is not None and after.told < before.told:
            yield "I5: told events came back"
        if after.spilled:
            wanted = range(after.told + 1, after.told + after.spilled + 1)
            if len(self._persistence.load_spilled(after.run_id, wanted)) != len(wanted):
                yield "I5: an event that lies outside of the head is not there"

    def _check_sequence(self, after: Head) -> Iterator[str]:
        """The sequence is dense, and nothing that was committed changes."""
        known, total = self.events[after.run_id], after.told + after.untold
        first = after.told + after.spilled
        if total < len(known):
            yield f"I5: {len(known)} events were committed, now there are {total}"
        for index, event in enumerate(after.events, first):
            if index == len(known):
                known.append(event)
            elif index > len(known):
                yield f"I5: no event has the sequence {len(known) + 1}"
            elif known[index] != event:
                yield f"I5: event {index + 1} was changed"

    def _check_leases(self, before: Head | None, after: Head) -> Iterator[str]:
        if before is None:
            return
        if after.bases != before.bases:
            self.reruns[after.run_id] += 1
        for ordinal, entry in enumerate(after.active):
            if entry.state is EntryState.LEASED and entry.by:
                key = (after.run_id, after.group, ordinal, entry.epoch)
                if self._leases.setdefault(key, entry.by) != entry.by:
                    yield f"I4: two leases of stage {ordinal} share epoch {entry.epoch}"
        self.lost_leases[after.run_id] = max(self.lost_leases[after.run_id], *(entry.lost for entry in after.active), 0)
        for ordinal, entry in self._ended(before, after):
            yield from self._check_record(after, before, entry)
            key = (after.run_id, after.bases[-1][1], before.group, ordinal)
            self.finished[key] += 1
            if self.finished[key] > 1:
                yield f"I4: stage {ordinal} of group {before.group} was counted twice"

    @staticmethod
    def _ended(before: Head, after: Head) -> Iterator[tuple[int, Entry]]:
        """The stages whose outcome this commit counts, with the lease they had."""
        if after.bases != before.bases or before.status.is_terminal:
            return
        for ordinal, entry in enumerate(before.active):
            if entry.state is EntryState.LEASED and is_done(before, after, ordinal):
                yield ordinal, entry

    def _check_record(self, head: Head, before: Head, lease: Entry) -> Iterator[str]:
        """The outcome that counts is in the record under its lease, and nowhere else. The siblings of an inline
        group have leases of one name: each that counts has a record under it."""
        place = (head.run_id, before.group, lease.epoch, lease.by)
        self._counted[place] += 1
        wanted = key_of(before.group, StageId(""), lease.epoch)
        found = [
            record
            for record in records.listed(head, self._persistence)
            if (record.by == lease.by or (not record.by and record.key.group == wanted.group))
            and (record.key.epoch, record.key.part) == (wanted.epoch, wanted.part)
            and record.status is Status.COMPLETED
        ]
        alone = before.is_alone
        if len(found) < self._counted[place] or (alone and len(found) > 1):
            yield f"I4: {len(found)} records hold the outcome of epoch {lease.epoch}, by {lease.by}"

    def _note_signals(self, before: Head | None, after: Head, at: datetime) -> None:
        for element in after.signals:
            if before is None or element not in before.signals:
                self.signalled[(after.run_id, element.partition("#")[0])] = at

    def emitted(self, accepted: Sequence[RunEvent]) -> None:
        """The sink accepted these events, in this order."""
        for event in accepted:
            self.accepted += 1
            run_id = RunId(event.run_id)
            known = self.events.get(run_id, [])
            if event.sequence > len(known):
                raise Violation(f"I3: event {event.event_id} was told before it was committed")
            if known[event.sequence - 1].type != event.type or event.event_id != f"{run_id}:{event.sequence}":
                raise Violation(f"I5: event {event.event_id} is not the one that was committed")
            self._told(run_id, event.sequence)

    def buried(self, letter: DeadLetter) -> None:
        """A dead letter was stored."""
        known = self.events.get(letter.run_id, [])
        if letter.sequence > len(known) or known[letter.sequence - 1] != letter.event:
            raise Violation("I5: the dead letter is no event of the run")
        self.dead.add((letter.run_id, letter.sequence))
        self._told(letter.run_id, letter.sequence)

    def _told(self, run_id: RunId, sequence: int) -> None:
        if sequence == self.accepted_through[run_id] + 1:
            self.accepted_through[run_id] = sequence

    def sent(self, command: object) -> None:
        """A job was sent, or a timer was set."""
        if not isinstance(command, ExecuteJob) or command.epoch is None:
            return
        head = self.heads.get(RunId(command.run_id))
        if head is None:
            raise Violation("I3: a job was sent for a run that is not committed")
        # A ghost may send for a group that a rerun has gone back behind, or the end of what was undone.
        closed = head.closing is not None and head.closing.base is not None and plans.is_closing(command.group or 0)
        ahead = (command.group or 0) > head.group and not self.reruns[head.run_id] and not closed
        if command.epoch >= head.epochs or ahead:
            raise Violation("I3: a job was sent for a lease that is not committed")
        if command.told_through > self.accepted_through[head.run_id]:
            raise Violation(f"I5: a job proves {command.told_through} events told, fewer were accepted")

    def next_due(self) -> datetime | None:
        """When the due index has something to look at."""
        return min(self._due.values(), default=None)


def _is_same(answered: Head, stored: Head) -> bool:
    """Whether two heads are one, but for what DynamoDB's TTL keeps of an expiry: whole seconds."""
    if abs(answered.expires_at - stored.expires_at) >= timedelta(seconds=1):
        return False
    recent = tuple(riding(record, stored.expires_at - HEAD_OUTLIVES) for record in answered.recent)
    return replace(answered, expires_at=stored.expires_at, recent=recent) == stored


def describe(value: Any) -> str:
    """*value* in one line of a history."""
    if isinstance(value, tuple | list):
        return "(" + ", ".join(describe(one) for one in value[:6]) + ")"
    if isinstance(value, int | str | bool | None):
        return str(value)[:40]
    said = _SAID.get(type(value))
    if said is not None:
        return said(value)
    return f"{value.type} {value.sequence}" if isinstance(value, RunEvent) else type(value).__name__


def _said_head(head: Head) -> str:
    stages = " ".join(f"{entry.state.name.lower()}@{entry.epoch}" for entry in head.active)
    due = head.due_at.strftime("%d %H:%M:%S") if head.due_at else "-"
    told = f"told {head.told}+{head.untold}"
    return f"v{head.version} by {head.by} {head.status} group {head.group} [{stages}] {told} due {due}"


_SAID: Mapping[type, Callable[[Any], str]] = {
    Head: _said_head,
    Committed: lambda answer: f"committed {describe(answer.head)}",
    Refused: lambda answer: f"refused {describe(answer.head) if answer.head else 'no head'}",
    Exclusive: lambda commit: f"{commit.after.run_id[:8]} exclusive",
    Shared: lambda commit: f"{commit.run_id[:8]} {type(commit.change).__name__}",
    ExecuteJob: lambda job: f"job {job.run_id[:8]} {job.stage_id} {job.claim}@{job.epoch}",
}
