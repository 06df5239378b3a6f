"""How a run leaves the group that it is in, and which leases the write took that entered the next one."""

from collections.abc import Sequence
from datetime import datetime

from workflow_engine.kernel import transitions
from workflow_engine.kernel.transitions import Decision, Lease, Moment, Told, wakes
from workflow_engine.kernel.turn import Turn
from workflow_engine.model.commits import Exclusive
from workflow_engine.model.plans import Plan
from workflow_engine.model.runs import EntryState, Head


def left(
    head: Head, plan: Plan, moment: Moment, *, told: Told, until: datetime | None, decision: Decision | None = None
) -> Exclusive:
    """The commit with which a run leaves the group that it is in, or enters the one that it stands before."""
    if head.is_undecided and decision is not None:
        return transitions.enter(head, plan, moment, told=told, decision=decision, next_until=until)
    if not head.is_closing:
        return transitions.join(head, plan, moment, told=told, next_until=until, decision=decision)
    if wakes.awaits_its_end(head):
        return transitions.closing.enter(head, plan, moment, told=told, until=until)
    return transitions.closing.moved_on(head, head.active, plan, moment, told=told, until=until)


def chained(turn: Turn, group: int | None) -> Sequence[Lease]:
    """The leases that our own commit took when it left *group* (``None``: it was in none) and entered the next one, if
    it did. One of ours that is left in *group* is that of code that could not be stopped."""
    head = turn.head
    if head.status.is_terminal or head.group == group:
        return ()
    if not head.is_alone and head.group not in turn.definition.inline:
        return ()
    return leases_by(head, turn.invocation.id + ".", turn.plan)


def leases_by(head: Head, by: str, plan: Plan) -> Sequence[Lease]:
    """The leases on all stages of the group that run, if each was taken by a write whose name begins with *by*."""
    run = [(ordinal, entry) for ordinal, entry in enumerate(head.active) if entry.state is not EntryState.SKIPPED]
    if any(entry.state is not EntryState.LEASED or not entry.by.startswith(by) for _, entry in run):
        return ()
    return [
        Lease(group=head.group, ordinal=ordinal, stage_id=plan.stage(head.group, ordinal), entry=entry)
        for ordinal, entry in run
    ]
