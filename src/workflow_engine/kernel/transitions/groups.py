"""Decisions about a group as a whole: all of its stages are done, and the run moves on or is complete."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from workflow_engine.kernel.transitions import closing, heads
from workflow_engine.kernel.transitions.entering import onward
from workflow_engine.kernel.transitions.facts import Decision, Moment, Outcomes, Told
from workflow_engine.kernel.transitions.wakes import are_done
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


def join(
    head: Head,
    plan: Plan,
    moment: Moment,
    *,
    told: Told,
    next_until: datetime | None,
    decision: Decision | None = None,
) -> Exclusive:
    """All stages of a group are done: move on."""
    return moved_on(head, head.active, plan, moment, told=told, next_until=next_until, notes=(), decision=decision)


def merge(
    head: Head, outcomes: Outcomes, plan: Plan, moment: Moment, *, told: Told, next_until: datetime | None
) -> Exclusive:
    """What came of stages that one invocation holds together, in one write: no other entry changes. Once all
    are done, the run moves on in it, unless it is to be decided first what runs next."""
    entries = outcomes.entries
    active = tuple(entries.get(ordinal, entry) for ordinal, entry in enumerate(head.active))
    if outcomes.failure is not None and not head.is_closing:
        ends = closing.decided(head, Status.FAILED, moment, plan)
        return heads.ended(head, outcomes.failure, moment, told=told, active=active, notes=outcomes.notes, closing=ends)
    is_open = plans.after(head.group) in plan.conditional
    if not head.is_closing and not is_open and are_done(active):
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
    decision: Decision | None = None,
) -> Exclusive:
    """All stages of the group are done, as *active* says: the run enters the next one, as far as its *decision* goes,
    or is complete."""
    base = heads.after_telling(head, told)
    used = {entry.signal for entry in active if entry.signal is not None}
    after = altered(
        base,
        winners=_winners(head, active),
        signals=tuple(s for s in base.signals if s not in used) if used else base.signals,
        events=base.events + tuple(notes),
    )
    return onward(head, after, plan, moment, group=plans.after(head.group), decision=decision, next_until=next_until)


def adopting(commit: Exclusive, fingerprint: str, closes_on: frozenset[Status]) -> Exclusive:
    """*commit*, of a run that enters its next group under the compatible definition *fingerprint* and goes on as
    a run of that: compared with the old one, the group it has just entered might not be there. So does one that is
    complete by it: by another, it might have had more to do. One that is closing goes on as what it was."""
    before, after = commit.before, commit.after
    entered = before is not None and before.is_undecided and bool(after.active)
    moved = before is not None and (after.group > before.group or after.status is Status.COMPLETED or entered)
    if not moved or after.closing is not None or after.fingerprint == fingerprint:
        return commit
    return replace(commit, after=altered(after, fingerprint=fingerprint, closes_on=closes_on))


def _winners(head: Head, active: Sequence[Entry]) -> Mapping[tuple[int, int], int]:
    base = head.base
    found = {(head.group, ordinal): entry.epoch for ordinal, entry in enumerate(active) if entry.epoch != base}
    return {**head.winners, **found} if found else head.winners
