"""What each run of a history costs: calls of its stages, requests, messages, and time that is lost.

Nothing here reads a store or takes time; ``allowances`` says how much of it is too much.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from workflow_engine.adapters.memory.sizes import events_size
from workflow_engine.kernel.execution.choosing import ROLE
from workflow_engine.kernel.transitions import wakes
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.commits import Extend, Shared
from workflow_engine.model.events import RunEvent
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import CLOCK_SKEW
from workflow_engine.model.runs import Entry, EntryState, Head, WaitKind
from workflow_engine.testing.simulation.troubles import run_of

if TYPE_CHECKING:
    from workflow_engine.testing.simulation.tasks import Task

MESSAGES = frozenset({"enqueue", "enqueue_parallel", "schedule"})
# Writes of the store and the blobs, each a request that is billed.
WRITES = frozenset({
    "commit", "put_record", "put_bundle", "delete_record", "put_input", "put_spilled", "delete_spilled", "put_dead_letter", "delete_dead_letter",
    "put_logs", "put_annotations", "put_annotation", "extend_expiry", "put", "delete",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """A lease, the epoch of first leases when it was taken, and which task took it *at* which time."""

    run_id: RunId
    group: int
    ordinal: int
    epoch: int
    base: int
    at: datetime
    task: "Task | None" = None


@dataclass(frozen=True, slots=True)
class Late:
    """Somebody came *at* a time for what was *due* before. *what* says what that was, *lost* is the
    lease that he took over."""

    what: str
    due: datetime
    at: datetime
    lost: Held | None = None

    @property
    def span(self) -> timedelta:
        """How late that is."""
        return self.at - self.due


@dataclass(slots=True)
class Tally:
    """What one run has cost so far.

    *calls* count a stage's function, its checks and its handlers, by stage and epoch of first leases, *asked* what
    decides whether one runs;
    *claims* are leases taken, *waits* outcomes that made a stage wait, *siblings* its largest group.
    *heartbeats* are no *writes*.
    """

    calls: Counter[tuple[str, int]] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    claims: int = 0
    lost: int = 0
    waits: int = 0
    siblings: int = 1
    commands: int = 0
    messages: int = 0
    writes: int = 0
    heartbeats: int = 0
    published: int = 0
    repeats: int = 0
    spilled: int = 0
    largest_head: int = 0


class Measures:
    """Counts by run, told of every effect. *looks* are commands that look after many runs."""

    def __init__(self) -> None:
        self.tallies: defaultdict[RunId, Tally] = defaultdict(Tally)
        self.looks = 0
        self.leases: dict[tuple[RunId, int, int, int], Held] = {}
        self._called: set[tuple[RunId, int, int, int]] = set()
        self._ready_at: dict[RunId, datetime] = {}
        self._done_at: dict[RunId, datetime] = {}
        self._free_at: dict[RunId, datetime] = {}
        self._open_since: dict[RunId, datetime] = {}
        self._signalled_at: defaultdict[RunId, dict[tuple[int, int, int], datetime]] = defaultdict(dict)
        self.seen: defaultdict[RunId, set[int]] = defaultdict(set)

    def asked(self, port: str, name: str, args: Sequence[Any]) -> None:
        """A port call takes effect."""
        if name in MESSAGES:
            self._sent(args[0])
        elif name in WRITES and (run_id := run_of(port, name, args)) is not None:
            tally = self.tallies[run_id]
            if _is_heartbeat(args[0]):
                # As many as there is time: a worker whose thread hangs in a call renews its lease all the while.
                tally.heartbeats += 1
                return
            tally.writes += 1
            if name == "put_spilled":
                tally.spilled += len(args[1])

    def commanded(self, command: object) -> None:
        """Somebody sends *command*."""
        run_id = getattr(command, "run_id", None)
        if run_id is None:
            self.looks += not isinstance(command, CreateRun)
        else:
            self.tallies[RunId(run_id)].commands += 1

    def called(self, held: Held | None, stage_id: str) -> str | None:
        """A stage's function, its check or its handler is called under a lease; answers what is wrong
        with that. Plugins are called as stages are, without a lease."""
        if stage_id.startswith(("plugin ", ROLE)):
            return None
        if held is None:
            return f"calls: stage {stage_id} is called by somebody who holds no lease"
        self.tallies[held.run_id].calls[(stage_id, held.base)] += 1
        place = (held.run_id, held.group, held.ordinal, held.epoch)
        if place in self._called:
            return f"calls: stage {stage_id} of run {held.run_id} is called under a lease that was used"
        self._called.add(place)
        return None

    def chosen(self, task: "Task", role: str) -> str | None:
        """A predicate is asked; answers what is wrong with that."""
        run_id = RunId(role.rpartition(" ")[2])
        self.tallies[run_id].asked[role] += 1
        performs = task.name.startswith("job-") or task.lease is not None
        return None if performs else f"choices: {role} is asked by {task.name}, which is no worker"

    def committed(self, before: Head | None, after: Head, task: "Task | None", at: datetime) -> Iterator[Late]:
        """A commit was applied; yields how late what it did was done."""
        tally = self.tallies[after.run_id]
        tally.siblings = max(tally.siblings, len(after.active))
        tally.largest_head = max(tally.largest_head, events_size(after.events))
        entered = before is None or before.group != after.group or before.bases != after.bases or not before.active
        yield from self._decided(before, after, at)
        if entered:
            yield from self._left(before, at)
            self._ready_at[after.run_id] = at
        yield from self._closed(before, after, at)
        # Where a run stood that is over after it was undone is kept as it was.
        active = () if entered and after.status.is_terminal else after.active
        for ordinal, entry in enumerate(active):
            old = None if entered or before is None else before.active[ordinal]
            if _is_claimed(old, entry):
                if before is not None and old is not None:
                    yield self._taken(before, ordinal, old, at)
                self._hold(after, ordinal, entry, task, at=at)
            tally.waits += old is not None and old.state is EntryState.LEASED and entry.state is EntryState.WAITING
        self._note_signals(after, at)
        if wakes.all_done(after):
            self._done_at.setdefault(after.run_id, at)
        if before is not None and before.failure is None and _has_expired(before, after):
            yield Late("the run's deadline", after.deadline, at)

    def _decided(self, before: Head | None, after: Head, at: datetime) -> Iterator[Late]:
        """What runs next is open, or was decided."""
        was_open = before is not None and before.is_undecided
        if before is not None and was_open and not after.is_undecided and not after.status.is_terminal:
            since = self._open_since[after.run_id]
            yield Late("the choice", max(since, before.enters_at or since), at)
        if after.is_undecided and not was_open:
            self._open_since[after.run_id] = at

    def emitted(self, events: Sequence[RunEvent]) -> None:
        """The sink accepted *events*."""
        for event in events:
            run_id = RunId(event.run_id)
            self.tallies[run_id].published += 1
            self.tallies[run_id].repeats += event.sequence in self.seen[run_id]
            self.seen[run_id].add(event.sequence)

    def _sent(self, commands: Any) -> None:
        for command in commands if isinstance(commands, list | tuple) else [commands]:
            run_id = getattr(command, "run_id", None)
            if run_id is not None:
                self.tallies[RunId(run_id)].messages += 1

    def _left(self, before: Head | None, at: datetime) -> Iterator[Late]:
        """A group was left: by whoever finished last, or by somebody who found it finished."""
        if before is None:
            return
        done_at = self._done_at.pop(before.run_id, None)
        if done_at is not None and not before.status.is_terminal:
            yield Late("the join", done_at, at)

    def _closed(self, before: Head | None, after: Head, at: datetime) -> Iterator[Late]:
        """A run whose end is decided goes on once no lease holds any more."""
        if before is not None and wakes.awaits_its_end(before) and not wakes.awaits_its_end(after):
            yield Late("the closing phase", self._free_at.pop(after.run_id, at), at)
        if wakes.awaits_its_end(after) and (before is None or before.active != after.active or not before.is_closing):
            held = [entry.until + CLOCK_SKEW for entry in after.active if entry.until is not None and entry.by]
            self._free_at[after.run_id] = max([at, *held])

    def _taken(self, before: Head, ordinal: int, old: Entry, at: datetime) -> Late:
        """A lease on a stage that was *old* before."""
        what = f"stage {ordinal} of group {before.group}, {old.state.name}"
        if old.state is EntryState.READY or old.until is None:
            return Late(what, self._ready_at.get(before.run_id, at), at)
        if old.state is EntryState.LEASED:
            self.tallies[before.run_id].lost += 1
            lost = self.leases.get((before.run_id, before.group, ordinal, old.epoch))
            return Late(what, old.until + CLOCK_SKEW, at, lost)
        came = (
            self._signalled_at[before.run_id].get((before.group, ordinal, old.epoch))
            if old.wait is WaitKind.SIGNAL
            else None
        )
        return Late(what, min(came or old.until, old.until), at)

    def _hold(self, head: Head, ordinal: int, entry: Entry, task: "Task | None", *, at: datetime) -> None:
        held = Held(head.run_id, head.group, ordinal, entry.epoch, head.base, at, task)
        self.leases[(head.run_id, head.group, ordinal, entry.epoch)] = held
        self.tallies[head.run_id].claims += 1
        if task is not None:
            task.lease = held
            task.leases.append(held)

    def _note_signals(self, head: Head, at: datetime) -> None:
        known = self._signalled_at[head.run_id]
        now = [(head.group, ordinal, head.active[ordinal].epoch) for ordinal in wakes.awaited_signals(head)]
        # One that a sibling has taken is awaited no more.
        self._signalled_at[head.run_id] = {place: known.get(place, at) for place in now}


def _is_claimed(old: Entry | None, entry: Entry) -> bool:
    leased = entry.state is EntryState.LEASED
    return leased and (old is None or (old.state, old.epoch) != (entry.state, entry.epoch))


def _has_expired(before: Head, after: Head) -> bool:
    ended = after.failure is not None and not before.status.is_terminal
    return ended and after.failure is not None and after.failure.error.type == "RunExpiredError"


def _is_heartbeat(commit: object) -> bool:
    return isinstance(commit, Shared) and isinstance(commit.change, Extend)


_SUMMED = (
    "claims",
    "lost",
    "waits",
    "commands",
    "messages",
    "writes",
    "heartbeats",
    "published",
    "repeats",
    "spilled",
)


def total(tallies: Mapping[RunId, Tally]) -> Tally:
    """What all runs cost together; of sizes the largest."""
    found = Tally()
    for tally in tallies.values():
        found.calls += tally.calls
        for name in _SUMMED:
            setattr(found, name, getattr(found, name) + getattr(tally, name))
        found.largest_head = max(found.largest_head, tally.largest_head)
        found.siblings = max(found.siblings, tally.siblings)
    return found
