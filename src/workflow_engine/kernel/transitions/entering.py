"""How a run goes on behind a group: it enters the next of which something runs, or is complete.

What of a conditional group runs was decided before, outside of here: that is data (``Decision``). Without it the run
stops before the group, and somebody who may decide is to go on. What does not run is SKIPPED in the very write that
enters its group, or goes past it; nothing decides that again.
"""

from collections.abc import Mapping
from datetime import datetime

from workflow_engine.kernel.transitions import closing, heads
from workflow_engine.kernel.transitions.facts import Decision, Moment, Told
from workflow_engine.model import plans
from workflow_engine.model.altering import altered
from workflow_engine.model.commits import Exclusive
from workflow_engine.model.plans import Plan
from workflow_engine.model.runs import SKIPPED_EPOCH, Entry, EntryState, Head, PendingEvent
from workflow_engine.model.status import Status

_SKIPPED = Entry(EntryState.SKIPPED, SKIPPED_EPOCH)


def enter(
    head: Head, plan: Plan, moment: Moment, *, told: Told, decision: Decision, next_until: datetime | None
) -> Exclusive:
    """The run enters the group that it stands before."""
    after = altered(heads.after_telling(head, told), enters_at=None)
    if head.status is Status.PENDING and decision.failure is None:
        started_now = moment.events(PendingEvent("workflow:started", moment.at))
        after = altered(after, events=after.events + started_now)
    if head.bases[-1][1] and head.bases[-1][0] == head.group:
        # As where a rerun claims nothing: were it the base, nobody would look for the steps that are kept under that.
        return onward(head, after, plan, moment, group=head.group, decision=decision, next_until=next_until, draws=True)
    return onward(head, after, plan, moment, group=head.group, decision=decision, next_until=next_until)


def entering(plan: Plan, group: int, decision: Decision | None) -> tuple[int, tuple[int, ...]] | None:
    """The first group from *group* on of which something runs, and the ordinals of what does; ``None`` where the run is
    complete, fails, or stands before a group of which nothing is decided."""
    decision = decision or Decision()
    group = _past_skipped(plan, group, decision)
    if plan.is_behind(group) or _is_open(plan, group, decision):
        return None
    skipped = decision.skipped.get(group, frozenset())
    return group, tuple(one for one in range(len(plan.stages(group))) if one not in skipped)


def onward(
    head: Head,
    after: Head,
    plan: Plan,
    moment: Moment,
    *,
    group: int,
    decision: Decision | None,
    next_until: datetime | None,
    draws: bool = False,
) -> Exclusive:
    """The commit with which a run goes on at *group*; *after* is what else becomes of its head. With *next_until* all
    that runs of what it enters is claimed. It *draws* an epoch for what it enters there, or that has the group's base."""
    decision = decision or Decision()
    first, group = group, _past_skipped(plan, group, decision)
    events = [event for past in range(first, group) for event in _skipped(plan, past, decision, moment)]
    after = altered(
        after, winners=_with_skipped(after.winners, range(first, group), plan), events=(*after.events, *events)
    )
    if plan.is_behind(group):
        return _completed(head, altered(after, group=plans.before(group) or 0), moment)
    if not _is_open(plan, group, decision):
        draws = draws and group == first
        return _entered(head, after, plan, moment, group=group, decision=decision, next_until=next_until, draws=draws)
    if decision.failure is None:
        commit = heads.exclusive(head, moment, after=after, status=Status.RUNNING, group=group, active=())
        return heads.kept_due(commit, moment, None)
    after = altered(after, group=group)
    ends = closing.decided(after, Status.FAILED, moment, plan)
    return heads.ended(head, decision.failure, moment, told=Told(), active=(), closing=ends, after=after)


def _past_skipped(plan: Plan, group: int, decision: Decision) -> int:
    """The first group from *group* on that is not skipped as a whole."""
    while not plan.is_behind(group) and len(decision.skipped.get(group, ())) == len(plan.stages(group)):
        group = plans.after(group)
    return group


def _is_open(plan: Plan, group: int, decision: Decision) -> bool:
    return group in plan.conditional and group not in decision.skipped


def _with_skipped(winners: Mapping[tuple[int, int], int], groups: range, plan: Plan) -> Mapping[tuple[int, int], int]:
    if not groups:
        return winners
    places = [(group, ordinal) for group in groups for ordinal in range(len(plan.stages(group)))]
    return {**winners, **dict.fromkeys(places, SKIPPED_EPOCH)}


def _skipped(plan: Plan, group: int, decision: Decision, moment: Moment) -> tuple[PendingEvent, ...]:
    ordinals = sorted(decision.skipped.get(group, ()))
    events = [PendingEvent("stage:skipped", moment.at, {"stage_id": plan.stage(group, one)}) for one in ordinals]
    return moment.events(*events)


def _entered(
    head: Head,
    after: Head,
    plan: Plan,
    moment: Moment,
    *,
    group: int,
    decision: Decision,
    next_until: datetime | None,
    draws: bool,
) -> Exclusive:
    stages, skipped = plan.stages(group), decision.skipped.get(group, frozenset())
    base = after.epochs if draws else after.base_of(group)
    events = _skipped(plan, group, decision, moment)
    first = Entry(EntryState.READY, base)
    if next_until is not None:
        first = Entry(EntryState.LEASED, base, until=next_until, by=moment.by)
        run = [stage for ordinal, stage in enumerate(stages) if ordinal not in skipped]
        events += moment.events(*(started(stage, moment) for stage in run))
    active = (
        tuple([_SKIPPED if one in skipped else first for one in range(len(stages))])
        if skipped
        else ((first,) * len(stages))
    )
    commit = heads.exclusive(
        head,
        moment,
        after=after,
        status=Status.RUNNING,
        group=group,
        active=active,
        epochs=after.epochs + draws,
        events=after.events + events,
    )
    return heads.kept_due(commit, moment, next_until)


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


def started(stage_id: str, moment: Moment) -> PendingEvent:
    """A first attempt begins."""
    return PendingEvent("stage:started", moment.at, {"stage_id": stage_id, "attempt": 1})
