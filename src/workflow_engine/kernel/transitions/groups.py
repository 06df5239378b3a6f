"""Decisions about a group as a whole: all of its stages are done, and the run moves on or is complete."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from workflow_engine.kernel.transitions import closing, heads
from workflow_engine.kernel.transitions.facts import Moment, Outcomes, Told
from workflow_engine.model import plans
from workflow_engine.model.altering import altered
from workflow_engine.model.commits import (
    Exclusive,
)
from workflow_engine.model.plans import Plan
from workflow_engine.model.runs import (
    Entry,
    EntryState,
    Head,
    PendingEvent,
)
from workflow_engine.model.status import Status


def join(head: Head, plan: Plan, moment: Moment, *, told: Told, next_until: datetime | None) -> Exclusive:
    """All stages of a group are done: move on."""
    return moved_on(head, head.active, plan, moment, told=told, next_until=next_until, notes=())


def merge(
    head: Head, outcomes: Outcomes, plan: Plan, moment: Moment, *, told: Told, next_until: datetime | None
) -> Exclusive:
    """What came of stages that one invocation holds together, in one write: no other entry changes. Once all
    are done, the run moves on in it."""
    entries = outcomes.entries
    active = tuple(entries.get(ordinal, entry) for ordinal, entry in enumerate(head.active))
    if outcomes.failure is not None and not head.is_closing:
        ends = closing.decided(head, Status.FAILED, moment, plan)
        return heads.ended(head, outcomes.failure, moment, told=told, active=active, notes=outcomes.notes, closing=ends)
    if not head.is_closing and all(entry.state is EntryState.DONE for entry in active):
        return moved_on(head, active, plan, moment, told=told, next_until=next_until, notes=outcomes.notes)
    base = heads.after_telling(head, told)
    commit = heads.exclusive(head, moment, after=base, active=active, events=base.events + outcomes.notes)
    held = [entry.until for entry in active if entry.state is EntryState.LEASED and entry.until is not None]
    return heads.kept_due(commit, moment, max(held, default=None))


def moved_on(
    head: Head,
    active: tuple[Entry, ...],
    plan: Plan,
    moment: Moment,
    *,
    told: Told,
    next_until: datetime | None,
    notes: Sequence[PendingEvent],
) -> Exclusive:
    """All stages of the group are done, as *active* says: the run enters the next one, or is complete."""
    base = heads.after_telling(head, told)
    used = {entry.signal for entry in active if entry.signal is not None}
    after = altered(
        base,
        winners=_winners(head, active),
        signals=tuple(s for s in base.signals if s not in used) if used else base.signals,
        events=base.events + tuple(notes),
    )
    if plan.is_last(head.group):
        return _completed(head, after, moment)
    return _entered(head, after, plan, moment, next_until=next_until)


def adopting(commit: Exclusive, fingerprint: str, closes_on: frozenset[Status]) -> Exclusive:
    """*commit*, of a run that enters its next group under the compatible definition *fingerprint* and goes on as
    a run of that: compared with the old one, the group it has just entered might not be there. So does one that is
    complete by it: by another, it might have had more to do. One that is closing goes on as what it was."""
    before, after = commit.before, commit.after
    moved = before is not None and (after.group > before.group or after.status is Status.COMPLETED)
    if not moved or after.closing is not None or after.fingerprint == fingerprint:
        return commit
    return replace(commit, after=altered(after, fingerprint=fingerprint, closes_on=closes_on))


def _completed(head: Head, after: Head, moment: Moment) -> Exclusive:
    seconds = round((moment.at - head.created_at).total_seconds(), 3)
    done = PendingEvent("workflow:completed", moment.at, {"duration_seconds": seconds})
    return heads.kept_early_due(
        heads.exclusive(
            head,
            moment,
            after=after,
            status=Status.COMPLETED,
            active=(),
            events=after.events + moment.events(done),
            ended_at=moment.at,
        )
    )


def _entered(head: Head, after: Head, plan: Plan, moment: Moment, *, next_until: datetime | None) -> Exclusive:
    group = plans.after(head.group)
    stages, base = plan.stages(group), head.base_of(group)
    events: tuple[PendingEvent, ...] = ()
    first = Entry(EntryState.READY, base)
    if next_until is not None:
        first = Entry(EntryState.LEASED, base, until=next_until, by=moment.by)
        events = moment.events(*(started(stage, moment) for stage in stages))
    commit = heads.exclusive(
        head,
        moment,
        after=after,
        status=Status.RUNNING,
        group=group,
        active=(first,) * len(stages),
        events=after.events + events,
    )
    return heads.kept_due(commit, moment, next_until)


def started(stage_id: str, moment: Moment) -> PendingEvent:
    """A first attempt begins."""
    return PendingEvent("stage:started", moment.at, {"stage_id": stage_id, "attempt": 1})


def _winners(head: Head, active: Sequence[Entry]) -> Mapping[tuple[int, int], int]:
    base = head.base
    found = {(head.group, ordinal): entry.epoch for ordinal, entry in enumerate(active) if entry.epoch != base}
    return {**head.winners, **found} if found else head.winners
