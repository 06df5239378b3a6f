"""Decisions about the end of a run that has something to undo, or a stage to run on a failure.

The end is decided once, by whatever fails, expires or cancels the run. What holds a lease then may still be at
work, so the phase is entered by an exclusive commit, like a group, once none does: groups in which what was done
is undone, the last one first, then the stage that is run on a failure, then the end that was decided.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from workflow_engine.kernel.transitions import heads
from workflow_engine.kernel.transitions.facts import Moment, Told
from workflow_engine.kernel.transitions.wakes import awaits_its_end, has_expired, next_due
from workflow_engine.model import plans
from workflow_engine.model.altering import altered
from workflow_engine.model.commits import Exclusive
from workflow_engine.model.instants import whole
from workflow_engine.model.limits import CLOCK_SKEW
from workflow_engine.model.plans import Plan
from workflow_engine.model.runs import SKIPPED_EPOCH, Closing, Entry, EntryState, Head, PendingEvent, WaitKind
from workflow_engine.model.status import Status


def decided(head: Head, status: Status, moment: Moment, plan: Plan | None = None) -> Closing | None:
    """How a run ends that is to end with *status*: ``None`` for at once. With *plan*, also where nothing of it has
    anything to do."""
    if status not in head.closes_on or (plan is not None and not _has_work(head, status, plan)):
        return None
    return Closing(status=status, at=moment.at, until=whole(moment.at + moment.undo_within))


def _has_work(head: Head, status: Status, plan: Plan) -> bool:
    if status in plan.failure_on:
        return True
    return status in plan.undo_on and any(group <= head.group for group in plan.undos)


def may_enter(head: Head, at: datetime) -> bool:
    """Whether the run's end is decided, and no lease holds any more: the phase can be entered."""
    return awaits_its_end(head) and not any(_may_be_at_work(entry, at) for entry in head.active)


def _may_be_at_work(entry: Entry, at: datetime) -> bool:
    """Whether a stage's code may be at work: under a lease, or after one that it was not stopped under."""
    if entry.state is EntryState.WAITING and entry.by:
        return entry.until is not None and entry.until + CLOCK_SKEW >= at
    return entry.state is EntryState.LEASED and not has_expired(entry, at)


def enter(head: Head, plan: Plan, moment: Moment, *, told: Told, until: datetime | None) -> Exclusive:
    """No lease holds any more: begin with what is to be done first, or end. With *until* that is claimed, too."""
    return _moved(head, _begun_to_close(head, told), plan, moment, until=until)


def _begun_to_close(head: Head, told: Told) -> Head:
    """*head* in the phase, with where the run stood, and an epoch drawn for all first leases in it."""
    stood = tuple(_as_it_stands(head, entry) for entry in head.active)
    closing = replace(_closing_of(head), base=head.epochs, group=head.group, entries=stood)
    return altered(heads.after_telling(head, told), closing=closing, epochs=head.epochs + 1)


def moved_on(
    head: Head,
    active: Sequence[Entry],
    plan: Plan,
    moment: Moment,
    *,
    told: Told,
    until: datetime | None,
    notes: Sequence[PendingEvent] = (),
) -> Exclusive:
    """All that was to be done in the group is done, or cannot be done, as *active* says: on to the next, or the end."""
    closing, group = head.closing, plans.place_of(head.group)
    assert closing is not None
    if head.group != plans.ON_FAILURE:
        failed = [(group, ordinal) for ordinal, entry in enumerate(active) if entry.state is EntryState.FAILED]
        closing = replace(closing, not_undone=(*closing.not_undone, *failed))
    base = heads.after_telling(head, told)
    after = altered(base, closing=closing, events=base.events + tuple(notes))
    return _moved(head, after, plan, moment, until=until)


def given_up(head: Head, plan: Plan, moment: Moment, *, told: Told, ends: bool = False) -> Exclusive:
    """The time for undoing is over: what is not undone by then is not. The stage that is run on a failure has some
    more time, unless the run *ends* now."""
    after = heads.after_telling(head, told) if plans.is_closing(head.group) else _begun_to_close(head, told)
    closing = _closing_of(after)
    left = (*closing.not_undone, *_left(after, plan))
    closing = replace(closing, not_undone=left, free_at=_free_at(head, moment.at))
    is_last = head.group == plans.ON_FAILURE or closing.status not in plan.failure_on
    if ends or is_last:
        return _ended(head, altered(after, closing=closing), plan, moment)
    # It is to be told of what was not undone, and gets a seventh of the time for that.
    closing = replace(closing, until=whole(max(moment.at, closing.until) + moment.undo_within / 7))
    after = altered(after, closing=closing)
    return _entered(head, after, moment, group=plans.ON_FAILURE, todo=(0,), plan=plan, until=None)


def wanted(head: Head, plan: Plan) -> tuple[tuple[int, int], ...]:
    """The stages of a run that is over that are to be undone, where somebody asks for that: those whose undo failed,
    or all that have begun, where none was tried."""
    if head.closing is not None and head.closing.base is not None:
        # Of those that have one still.
        return tuple((group, one) for group, one in head.closing.not_undone if one in plan.undos.get(group, ()))
    begun = _begun_to_close(altered(head, closing=_again(head, head.ended_at or head.created_at)), Told())
    return tuple(
        (group, one)
        for group in sorted(plan.undos, reverse=True)
        for one in _begun_in(begun, group, sorted(plan.undos[group]))
    )


def asked(head: Head, plan: Plan, moment: Moment, *, wanted: Sequence[tuple[int, int]], until: datetime) -> Exclusive:
    """A run that is over goes through its closing phase, once more where it has, for the stages that are *wanted*. One
    that was ended at once may have left somebody at work: nothing is undone before that lease is over."""
    begun = head if _has_closed(head) else _begun_to_close(altered(head, closing=_again(head, moment.at)), Told())
    free_at = _free_at(head, moment.at)
    closing = replace(
        _closing_of(begun),
        at=moment.at,
        until=until,
        asked=tuple(wanted),
        not_undone=(),
        first=begun.epochs,
        free_at=free_at,
    )
    after = altered(begun, closing=closing, epochs=begun.epochs + 1, ended_at=None, group=closing.group)
    return _moved(head, after, plan, moment, until=None, not_before=free_at)


def _free_at(head: Head, at: datetime) -> datetime | None:
    """When the last lease is over of a run that ends without a look at them, or has before; ``None`` where all are."""
    known = [] if head.closing is None or head.closing.free_at is None else [head.closing.free_at]
    ends = [entry.until + CLOCK_SKEW for entry in head.active if entry.until is not None and _has_holder(entry)]
    latest = max([*known, *ends], default=at)
    return whole(latest) if latest > at else None


def _has_holder(entry: Entry) -> bool:
    return entry.state is EntryState.LEASED or (entry.state is EntryState.WAITING and bool(entry.by))


def _has_closed(head: Head) -> bool:
    return head.closing is not None and head.closing.base is not None


def _again(head: Head, at: datetime) -> Closing:
    return Closing(status=head.status, at=at, until=at)


def upcoming(head: Head, plan: Plan) -> tuple[int, tuple[int, ...]] | None:
    """The group that a run whose end is decided enters next, and what is to be done in it; ``None`` for its end."""
    return _next_group(head if plans.is_closing(head.group) else _begun_to_close(head, Told()), plan)


def _next_group(head: Head, plan: Plan) -> tuple[int, tuple[int, ...]] | None:
    closing = _closing_of(head)
    if head.group == plans.ON_FAILURE:
        return None
    before = plans.place_of(head.group) if plans.is_closing(head.group) else closing.group + 1
    for group in sorted((group for group in plan.undos if group < before), reverse=True):
        todo = _begun(head, group, plan)
        if todo:
            return plans.undo_of(group), todo
    return (plans.ON_FAILURE, (0,)) if closing.status in plan.failure_on else None


def _begun(head: Head, group: int, plan: Plan) -> tuple[int, ...]:
    """The stages of *group* that are to be undone: those that have begun, whatever became of them."""
    closing = _closing_of(head)
    if closing.asked is not None:
        return tuple(ordinal for at, ordinal in closing.asked if at == group)
    return _begun_in(head, group, sorted(plan.undos[group])) if closing.status in plan.undo_on else ()


def _begun_in(head: Head, group: int, ordinals: Sequence[int]) -> tuple[int, ...]:
    closing = _closing_of(head)
    if group != closing.group:
        # A skipped one that the head does not tell of (``kernel.winners``) is found to be that when it is undone.
        skipped = {one for one in ordinals if head.winners.get((group, one)) == SKIPPED_EPOCH}
        return tuple(one for one in ordinals if one not in skipped) if group < closing.group else ()
    return tuple(one for one in ordinals if one < len(closing.entries) and _has_begun(closing.entries[one]))


def _closing_of(head: Head) -> Closing:
    assert head.closing is not None
    return head.closing


def _has_begun(entry: Entry) -> bool:
    return entry.state not in (EntryState.READY, EntryState.SKIPPED)


def _as_it_stands(head: Head, entry: Entry) -> Entry:
    """*entry* as it is kept of where the run stood: what is of use to an undo, and to whoever looks at the run."""
    state = entry.state
    if state is EntryState.WAITING and entry.wait is WaitKind.START:
        state = EntryState.READY
    failure = head.failure
    if state is EntryState.LEASED and failure is not None and failure.stage_id and entry.epoch == failure.epoch:
        # Its code was at work until now, and nobody knows what it did in that time.
        state = EntryState.FAILED
    return Entry(state, entry.epoch, entry.attempt, suspended_epoch=entry.suspended_epoch)


def _left(head: Head, plan: Plan) -> list[tuple[int, int]]:
    """What is not undone of all that was to be."""
    found: list[tuple[int, int]] = []
    if plans.is_closing(head.group) and head.group != plans.ON_FAILURE:
        place = plans.place_of(head.group)
        found += [(place, one) for one, entry in enumerate(head.active) if entry.state is not EntryState.DONE]
    left = head
    while (group := _next_group(left, plan)) is not None and group[0] != plans.ON_FAILURE:
        found += [(plans.place_of(group[0]), ordinal) for ordinal in group[1]]
        left = altered(left, group=group[0])
    return found


def _moved(
    head: Head,
    after: Head,
    plan: Plan,
    moment: Moment,
    *,
    until: datetime | None,
    not_before: datetime | None = None,
) -> Exclusive:
    group = _next_group(after, plan)
    if group is None:
        return _ended(head, after, plan, moment)
    commit = _entered(head, after, moment, group=group[0], todo=group[1], plan=plan, until=until)
    return commit if not_before is None or not_before <= moment.at else _put_off(commit, moment, not_before)


def _put_off(commit: Exclusive, moment: Moment, until: datetime) -> Exclusive:
    """*commit*, with what is to be begun waiting until then."""
    active = tuple(
        altered(entry, state=EntryState.WAITING, until=until, wait=WaitKind.RETRY)
        if entry.state is EntryState.READY
        else entry
        for entry in commit.after.active
    )
    after = altered(commit.after, active=active)
    return replace(commit, after=altered(after, due_at=next_due(after, moment.at, moment.horizon)))


def _entered(
    head: Head, after: Head, moment: Moment, *, group: int, todo: Sequence[int], plan: Plan, until: datetime | None
) -> Exclusive:
    closing = _closing_of(after)
    epoch = closing.base or 0 if closing.first is None else closing.first
    first = Entry(EntryState.READY, epoch)
    if until is not None:
        first = Entry(EntryState.LEASED, epoch, until=until, by=moment.by)
    idle = Entry(EntryState.DONE)
    active = tuple(first if ordinal in todo else idle for ordinal in range(len(plan.stages(group))))
    if group != plans.ON_FAILURE:
        place = plans.place_of(group)
        lowest = place if closing.undone_from is None else min(closing.undone_from, place)
        closing = replace(closing, undone_from=lowest)
    commit = heads.exclusive(
        head, moment, after=after, status=Status.RUNNING, group=group, active=active, closing=closing
    )
    return heads.kept_due(commit, moment, until)


def _ended(head: Head, after: Head, plan: Plan, moment: Moment) -> Exclusive:
    closing = _closing_of(after)
    names = [plan.stage(group, ordinal) for group, ordinal in closing.not_undone if plan]
    event = heads.end_event(after, closing.status, moment.at, not_undone=names)
    return heads.kept_early_due(
        heads.exclusive(
            head,
            moment,
            after=after,
            status=closing.status,
            group=closing.group,
            active=closing.entries,
            closing=replace(closing, asked=None),
            events=after.events + moment.events(event),
            ended_at=moment.at,
        )
    )
