"""Where the untold events of a run lie: in its head, or beside it in items of their own.

A head is billed whole with each write, and all siblings of a group write the same one. So it holds
few events, and small ones. What a commit adds beyond a limit is put under the lease's name before
the commit, which then only names it; nobody reads it before, and nobody else writes there. What is
committed has a sequence, and moves out of the head under that.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from workflow_engine.errors import WorkflowEngineError
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.patience import A_MOMENT
from workflow_engine.kernel.transitions import Lease, Told
from workflow_engine.model.altering import altered
from workflow_engine.model.commits import Exclusive, Shared
from workflow_engine.model.ids import digest
from workflow_engine.model.limits import (
    MAX_ADDED_EVENTS_BYTES,
    MAX_HEAD_EVENTS_BYTES,
    MAX_SIBLING_EVENTS_BYTES,
)
from workflow_engine.model.runs import EventKey, Head, PendingEvent
from workflow_engine.ports.persistence import Persistence

# A long outage may leave thousands of events; one look takes this many, and the next goes on.
MAX_AT_ONCE = 500
# About what an event takes that is only named: it would save nothing to put a smaller one aside.
NAMED_BYTES = 96
# What an event is about; these say it in a few bytes.
_ABOUT = ("stage_id", "attempt")


@dataclass(frozen=True, slots=True)
class Outbox:
    """Reads and moves events that are not told, for one commit. *put* is what it has put for that."""

    persistence: Persistence
    put: set[EventKey] = field(default_factory=set)

    def pending(self, head: Head, start: int) -> list[PendingEvent]:
        """The untold events beyond sequence *start*, whole: up to some hundreds, without a gap."""
        skip = start - head.told
        spilled = range(start + 1, head.told + head.spilled + 1)[:MAX_AT_ONCE]
        if not spilled:
            return self._whole(head, head.events[max(skip - head.spilled, 0) :])
        found = self._without_gap(head, spilled)
        complete = len(found) == len(spilled) and spilled[-1] == head.told + head.spilled
        return [*found, *self._whole(head, head.events)] if complete else found

    def all_pending(self, head: Head) -> list[PendingEvent]:
        """All untold events, whole, as far as they are there."""
        found: list[PendingEvent] = []
        while more := self.pending(head, head.told + len(found)):
            found += more
        return found

    def spill(self, head: Head, told: Told, *, above_bytes: int | None = None) -> Told:
        """Store what *head* has untold beyond *told* in items of their own, if that is too large.

        Their sequences are fixed, since they are committed; so storing them twice, or before a
        commit that is then refused, changes nothing.
        """
        left = head.events[max(told.through - head.told - head.spilled, 0) :]
        if events_bytes(left) <= (MAX_HEAD_EVENTS_BYTES if above_bytes is None else above_bytes):
            return told
        whole = self._whole(head, left)
        first = head.told + head.spilled + len(head.events) - len(left) + 1
        if whole:
            self._put(head, {first + i: event for i, event in enumerate(whole)})
        return replace(told, spilled=len(whole))

    def fit(self, commit: Exclusive | Shared, head: Head, lease: Lease | str) -> Exclusive | Shared:
        """*commit*, decided from *head*, with those of its own events that are too large for a head
        put aside under the name of *lease*."""
        added = events_of(commit)
        limit = MAX_ADDED_EVENTS_BYTES if head.is_alone else MAX_SIBLING_EVENTS_BYTES
        if events_bytes(added) <= limit:
            return commit
        name = lease if isinstance(lease, str) else f"{lease.group}.{lease.ordinal}.{lease.entry.epoch}"
        kept, aside = _split(added, limit, name)
        self._put(head, aside)
        if isinstance(commit, Shared):
            return replace(commit, events=kept)
        before = commit.after.events[: len(commit.after.events) - len(kept)]
        return replace(commit, after=altered(commit.after, events=before + kept))

    def tidy(self, before: Head | None, after: Head, invocation: Invocation) -> None:
        """Remove the items that nobody looks for any more, now that a commit was made or given up: of what
        it took out of *before* (``None``: it was not made), and what was put for it in vain. *after* is
        the run as it was read last."""
        named = {event.ref for event in after.events}
        keys: set[EventKey] = {
            key for key in self.put if (key <= after.told if isinstance(key, int) else key not in named)
        }
        if before is not None:
            last = min(after.told, before.told + before.spilled)
            keys.update(range(before.told + 1, last + 1))
            keys.update(event.ref for event in before.events if event.ref and event.ref not in named)
        if keys:
            # They expire. Our commit may have taken the next lease, which must not be lost for them.
            with suppress(WorkflowEngineError):
                patience = invocation.patience(A_MOMENT)
                patience.answered(lambda: self.persistence.delete_spilled(after.run_id, sorted(keys, key=str)))

    def _put(self, head: Head, events: Mapping[EventKey, PendingEvent]) -> None:
        self.put.update(events)
        self.persistence.put_spilled(head, events)

    def _whole(self, head: Head, events: Sequence[PendingEvent]) -> list[PendingEvent]:
        """*events* as they were put aside, up to the first that is not there: somebody has told it."""
        if not any(event.ref for event in events):
            return list(events)
        events = events[:MAX_AT_ONCE]
        stored = self.persistence.load_spilled(head.run_id, [event.ref for event in events if event.ref])
        found: list[PendingEvent] = []
        for event in events:
            whole = stored.get(event.ref) if event.ref else event
            if whole is None:
                break
            found.append(whole)
        return found

    def _without_gap(self, head: Head, sequences: Sequence[int]) -> list[PendingEvent]:
        stored = self.persistence.load_spilled(head.run_id, sequences)
        found: list[PendingEvent] = []
        for sequence in sequences:
            if sequence not in stored:
                break
            found.append(stored[sequence])
        return found


def passes(head: Head, added: int, limit_bytes: int) -> bool:
    """Whether the *added* events at the end took those of *head* past *limit_bytes*, or a multiple
    of it. Commits come one after the other, so of all siblings one finds that it did."""
    if not added:
        return False
    now, before = events_bytes(head.events), events_bytes(head.events[:-added])
    return now // limit_bytes > before // limit_bytes


def events_bytes(events: Sequence[PendingEvent]) -> int:
    """About what *events* take in a head."""
    return sum(map(_bytes, events))


def _bytes(event: PendingEvent) -> int:
    facts = len(json.dumps(dict(event.data), default=str)) if event.data else 0
    return len(event.type) + facts + len(event.ref) + 16


def events_of(commit: Exclusive | Shared) -> tuple[PendingEvent, ...]:
    """The events that *commit* makes."""
    if isinstance(commit, Shared):
        return commit.events
    before, after = commit.before, commit.after
    known = before.told + before.untold if before else 0
    number = after.told + after.untold - known
    return after.events[len(after.events) - number :]


def _split(
    events: Sequence[PendingEvent], limit: int, name: str
) -> tuple[tuple[PendingEvent, ...], Mapping[EventKey, PendingEvent]]:
    """*events* as the head holds them, and those that it only names."""
    kept: list[PendingEvent] = []
    aside: dict[EventKey, PendingEvent] = {}
    room = limit
    for index, event in enumerate(events):
        size = _bytes(event)
        if size > max(room, NAMED_BYTES):
            # Two commits under one lease may differ, and it may be long unknown which one happened.
            content = digest(event.type, json.dumps(dict(event.data), default=str), length=8)
            ref = f"{name}.{index}.{content}"
            aside[ref] = event
            about = {key: event.data[key] for key in _ABOUT if key in event.data}
            kept.append(PendingEvent(event.type, event.at, about, ref))
        else:
            room -= size
            kept.append(event)
    return tuple(kept), aside
