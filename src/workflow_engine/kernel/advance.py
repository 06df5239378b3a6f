"""Carries a run forward: performs a lease, commits what came of it, tells, and goes on.

One stage after another is chained in the same invocation while time allows; a redelivered message
whose stage has moved on, and the tick, come in through ``wake``; a run of which it is to be decided what runs
next comes in through ``enter``.

Long as it is: what a run goes through between two messages is read as one.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from workflow_engine.authoring.stage_definition import StageDefinition
from workflow_engine.authoring.workflow import WorkflowDefinition
from workflow_engine.errors import (
    DefinitionChangedError,
    InvocationOverError,
    LeaseLostError,
    NewerDefinitionError,
    RunExpiredError,
    WorkflowEngineError,
    WorkflowNotFoundError,
)
from workflow_engine.kernel import deciding, records, transitions, winners
from workflow_engine.kernel.claim import events_of_claim, holds
from workflow_engine.kernel.commit import commit_decided
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.execution.attempt import Attempt, failed, perform
from workflow_engine.kernel.execution.ending import Failed
from workflow_engine.kernel.execution.endings import (
    concluded,
    next_lease_end,
    outcome_of,
    postponed,
    result_of,
)
from workflow_engine.kernel.execution.held_leases import HeldLeases
from workflow_engine.kernel.execution.keeper import Keeper
from workflow_engine.kernel.execution.run_data import RunData
from workflow_engine.kernel.execution.together import Sibling
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.leaving import chained, left
from workflow_engine.kernel.patience import A_MOMENT, Patience
from workflow_engine.kernel.relief import Relief
from workflow_engine.kernel.rest import Rest
from workflow_engine.kernel.siblings import Siblings
from workflow_engine.kernel.teller import Teller
from workflow_engine.kernel.transitions import Lease, Told, wakes
from workflow_engine.kernel.turn import Turn
from workflow_engine.model import plans
from workflow_engine.model.commits import Exclusive, Shared, newest_base
from workflow_engine.model.limits import MAX_CHOICE_TIME, MAX_LOST_LEASES
from workflow_engine.model.plans import Plan
from workflow_engine.model.results import JobExecuted, RunTransitioned
from workflow_engine.model.runs import EntryState, Head, WaitKind, key_of
from workflow_engine.model.status import Status
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.observer import Observer
from workflow_engine.ports.persistence import Persistence

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advancer:
    """Everything that moves a run, over the ports that it needs."""

    persistence: Persistence
    blobs: BlobStore
    teller: Teller
    definitions: Definitions
    held: HeldLeases
    observer: Observer
    keeper: Keeper
    relief: Relief
    rest: Rest
    siblings: Siblings

    def work(
        self,
        head: Head,
        leases: Sequence[Lease],
        definition: WorkflowDefinition,
        told: Told,
        *,
        invocation: Invocation,
    ) -> JobExecuted:
        """Perform *leases*, one or all of an inline group, and what can be chained after them; answers what
        came of the last stage."""
        return self._worked(self._turn(head, definition, invocation, told), leases)

    def _worked(self, turn: Turn, leases: Sequence[Lease]) -> JobExecuted:
        own = events_of_claim(turn.head, leases[0]) if len(leases) == 1 else 0
        self._relieved_in_passing(turn, own)
        while True:
            if len(leases) == 1:
                result, leases = self._alone(turn, leases[0], own)
            else:
                result, error = self.siblings.perform(turn, leases, self._after_portion)
                leases = self._after_group(turn, leases[0].group)
                if error is not None and not leases:
                    # The message comes again. A lease that was taken meanwhile must not be lost for it.
                    raise error
            if not leases:
                return result

    def _alone(self, turn: Turn, lease: Lease, own: int) -> tuple[JobExecuted, Sequence[Lease]]:
        """What came of *lease*, and the leases that its commit took."""
        with self.held.holding(turn.head.run_id, lease):
            attempt = self._perform(turn, lease)
            deciding.decide_behind(attempt, lease, turn)
            before = turn.head
            kept = self.keeper.keep(attempt, lease, turn)
        turn.head = kept.head
        result = result_of(kept.attempt, kept.head, lease, ours=kept.ours)
        if not kept.ours:
            self.observer.happened("Ghosts")
            return result, ()
        self.rest.observe_end(kept.head)
        self.rest.observe_undos(before, kept.head)
        self.keeper.recorder.forget_state(kept.attempt, lease, kept.head.run_id)
        following = self._after(turn, lease, own=own + kept.added)
        if turn.head.group == lease.group:
            turn.head, turn.told = self.relief.relieve(turn.head, kept.added, turn.told, turn.invocation)
        return result, following

    def wake(self, head: Head, invocation: Invocation, *, send_jobs: bool) -> RunTransitioned:
        """Do what is due for a run that nobody may be looking after: tell, join, expire, and with
        *send_jobs* send what nobody holds."""
        if head.status.is_terminal:
            self.rest.end(head, Plan(), Told(), invocation)
            return RunTransitioned(action="noop")
        try:
            definition = self.definition_of(head, invocation)
        except (WorkflowNotFoundError, DefinitionChangedError, RunExpiredError) as error:
            return self.fail_run(head, error, invocation)
        if self._may_move(head, invocation):
            return self._joined(self._turn(head, definition, invocation, Told()))
        jobs = wakes.sendable(head, invocation.clock.now()) if send_jobs else []
        told = self.teller.tell(head, definition.plan, Told(), jobs=jobs)
        self.rest.settle(head, told, invocation, drop=True)
        return RunTransitioned(action="advanced" if jobs else "noop", next_group=_group_of(head))

    def enter(self, head: Head, invocation: Invocation) -> RunTransitioned:
        """Decide what runs of the group that a run stands before, enter it, and perform what can be performed now. For
        a worker alone.

        Raises:
            InvocationOverError: too little time is left; nothing is decided.
            TransientError: a store did not answer; the same again, or a tick, goes on.
        """
        if not invocation.may_begin(MAX_CHOICE_TIME):
            raise InvocationOverError(stage_id=str(head.group))
        try:
            definition = self.definition_of(head, invocation)
        except (WorkflowNotFoundError, DefinitionChangedError, RunExpiredError) as error:
            return self.fail_run(head, error, invocation)
        turn, at = self._turn(head, definition, invocation, Told()), invocation.clock.now()
        if ahead := wakes.timers(head, at):
            self.teller.tell(head, turn.plan, turn.told, timers=ahead)
            return RunTransitioned(action="noop", next_group=head.group)
        self._told_in_passing(turn)
        deciding.decide_entry(turn)
        self._join(turn, goes_on=True)
        leases = self._after_entry(turn)
        if leases:
            self._worked(turn, leases)
        status = turn.head.status
        action: Literal["advanced", "completed", "failed"] = "completed" if status is Status.COMPLETED else "advanced"
        return RunTransitioned(action="failed" if status is Status.FAILED else action, next_group=_group_of(turn.head))

    def _after_entry(self, turn: Turn) -> Sequence[Lease]:
        """Tell what entering a group has made; answers the leases, if it took them."""
        self._tell_decision(turn)
        if self._may_move(turn.head, turn.invocation):
            self._join(turn, goes_on=True)
        head, invocation = turn.head, turn.invocation
        if head.status.is_terminal:
            turn.told = self.rest.end(head, turn.plan, turn.told, invocation)
            return ()
        following = chained(turn, None)
        if following:
            self._told_in_passing(turn)
        else:
            turn.told = self.teller.tell(head, turn.plan, turn.told, jobs=wakes.sendable(head, invocation.clock.now()))
        return following

    def fail_run(
        self, head: Head, error: WorkflowEngineError, invocation: Invocation, patience: Patience | None = None
    ) -> RunTransitioned:
        """End a run that cannot go on. One whose end is decided is left to code that can undo what it did, until its
        time for that is over."""
        if not head.is_closing:
            after = self.rest.fail_run(head, error, invocation, patience)
            self.close(after, invocation)
            return RunTransitioned(action="failed")
        if isinstance(error, RunExpiredError):
            self.rest.give_up(head, self.definitions.known_plan(head), invocation)
            return RunTransitioned(action="failed")
        _log.warning("what run %s did is not undone yet: %s", head.run_id, error)
        self.observer.happened("UndosPostponed")
        self.rest.flush(head, invocation)
        return RunTransitioned(action="noop")

    def close(self, head: Head, invocation: Invocation) -> None:
        """Go on with a run whose end was decided just now, if it has something to do before it."""
        if not wakes.awaits_its_end(head):
            return
        self.teller.cancel_timers(head, invocation.clock.now())
        try:
            self.wake(head, invocation, send_jobs=True)
        except NewerDefinitionError:
            # The end is decided, whoever asked for it; a tick of the code that knows how goes on with it.
            self.rest.flush(head, invocation)

    def _may_move(self, head: Head, invocation: Invocation) -> bool:
        """Whether the group can be left: all of it is done, or the run's end is decided and nothing is at work."""
        return wakes.all_done(head) or transitions.closing.may_enter(head, invocation.clock.now())

    def _may_leave(self, turn: Turn, group: int) -> bool:
        """Whether *group* can be left now; or the one that the run stands before, which it fails for."""
        head = turn.head
        return (head.group == group or not head.active) and self._may_move(head, turn.invocation)

    def tell_in_passing(self, head: Head, told: Told) -> Told:
        """Tell what can be told now, while a lease is held: that must not be lost to it."""
        try:
            return self.teller.tell_events(head, told)
        except Exception as error:
            _log.warning("events of run %s are told later: %r", head.run_id, error)
            return told

    def definition_of(self, head: Head, invocation: Invocation) -> WorkflowDefinition:
        """What a run that is to go on now goes on with.

        Raises:
            WorkflowNotFoundError, DefinitionChangedError, RunExpiredError: it cannot.
            NewerDefinitionError: other code can.
        """
        # Without this look at each lease, what waits no longer than until the deadline would, once
        # that is there, be due again at once, and again, until a tick comes by.
        if head.ends_at <= invocation.clock.now():
            raise RunExpiredError(run_id=head.run_id, deadline=head.ends_at)
        return self.definitions.for_run(head)

    def plan_of(self, head: Head) -> Plan | None:
        """The stages that a run goes on with; ``None`` where it cannot."""
        try:
            return self.definitions.for_run(head).plan
        except (WorkflowNotFoundError, DefinitionChangedError, NewerDefinitionError):
            return None

    def give_back(self, head: Head, lease: Lease, invocation: Invocation, *, at_work: bool = False) -> Head:
        """Give a lease back under which nothing was begun: no attempt, and no lost lease; answers the head then. Where
        its code is *at_work* still, in a process that ends, nothing is undone for the minute in which nobody takes the
        stage on."""

        def decide(now: Head) -> Exclusive | Shared | None:
            if not holds(now, lease):
                return None
            moment = invocation.moment()
            entry = postponed(lease, now, moment.at, lease.entry.taken)
            if at_work and now.closes_on:
                entry = replace(entry, by=lease.entry.by)
            return transitions.hold(now, lease, entry, moment, told=Told())

        return commit_decided(self.persistence, head, decide, invocation.patience(A_MOMENT))[0]

    def observe_claim(self, wake: wakes.Wake) -> None:
        """Count a lease that was taken from a worker who lost it."""
        if wake.claim == "expired":
            self.observer.happened("LeasesLost")

    def _turn(self, head: Head, definition: WorkflowDefinition, invocation: Invocation, told: Told) -> Turn:
        data = RunData(head=head, definition=definition, persistence=self.persistence, blobs=self.blobs)
        return Turn(data=data, invocation=invocation, told=told)

    def _perform(self, turn: Turn, lease: Lease) -> Attempt:
        data, invocation = turn.data, turn.invocation
        stage = data.definition.at(lease.group, lease.ordinal)
        at = invocation.clock.now()
        if lease.entry.lost > MAX_LOST_LEASES:
            ending = self._lost(lease, stage, data)
            return Attempt(ending=ending, number=lease.entry.attempt, by=lease.entry.by, started_at=at, finished_at=at)
        head, number = data.head, lease.entry.attempt
        self.observer.stage_started(head.run_id, head.workflow_id, stage.id, number)
        attempt = perform(lease, stage, data, invocation)
        attempt = concluded(attempt, lease, stage, attempt.finished_at)
        seconds = (attempt.finished_at - attempt.started_at).total_seconds()
        self.observer.stage_ended(head.workflow_id, stage.id, outcome_of(attempt), seconds)
        return attempt

    def _lost(self, lease: Lease, stage: StageDefinition, data: RunData) -> Failed:
        """The budget of killed processes is used up; the stage's own last error, if it has one, is
        what the user must see."""
        ending = failed(LeaseLostError(stage_id=stage.id, lost=lease.entry.lost), stage)
        try:
            found = records.listed(data.head, self.persistence)
        except WorkflowEngineError:
            return ending
        # Of what undoes a stage, not the stage's own.
        part = key_of(lease.group, lease.stage_id, 0).part
        own = [one for one in found if (one.key.stage_id, one.key.part) == (stage.id, part)]
        errors = [one.error for one in own if one.error is not None]
        if not errors:
            return ending
        last = errors[-1]
        message = f"{last.message} (then {ending.error.message})"
        return Failed(replace(last, message=message, retryable=False), retryable=False)

    def _after_portion(self, turn: Turn, kept: Sequence[Sibling]) -> None:
        """Tell what the commit of some siblings made: that the run is over, or what wakes those that wait."""
        if not any(sibling.counts for sibling in kept):
            return
        if turn.head.status.is_terminal:
            self.rest.observe_end(turn.head)
            turn.told = self.rest.end(turn.head, turn.plan, turn.told, turn.invocation)
            return
        self._tell_decision(turn)
        for sibling in kept:
            if sibling.counts and turn.head.group == sibling.lease.group:
                self._send_wakes(turn, sibling.lease)

    def _after_group(self, turn: Turn, group: int) -> Sequence[Lease]:
        """Go on behind an inline *group*; answers the next leases, if a commit of ours took them."""
        if turn.head.status.is_terminal:
            return ()
        if self._may_leave(turn, group):
            deciding.decide_join(turn)
            self._join(turn, goes_on=True)
        head, invocation = turn.head, turn.invocation
        if head.status.is_terminal:
            turn.told = self.rest.end(head, turn.plan, turn.told, invocation)
            return ()
        following = chained(turn, group)
        if following:
            self._told_in_passing(turn)
        elif head.group != group:
            jobs = wakes.sendable(head, invocation.clock.now())
            turn.told = self.teller.tell(head, turn.plan, turn.told, jobs=jobs)
        else:
            turn.told = self.teller.tell_events(head, turn.told)
            self.rest.settle(head, turn.told, invocation, drop=False)
        return following

    def _after(self, turn: Turn, lease: Lease, *, own: int) -> Sequence[Lease]:
        """Tell what our commit made, join if it was the last of its group. *own* events are of our lease.
        Answers the next leases, if our commit took them."""
        self._tell_decision(turn)
        if self._may_leave(turn, lease.group):
            deciding.decide_join(turn)
            self._join(turn, goes_on=True)
        head, invocation = turn.head, turn.invocation
        if head.status.is_terminal:
            turn.told = self.rest.end(head, turn.plan, turn.told, invocation)
            return ()
        following = chained(turn, lease.group)
        if head.group == lease.group:
            turn.told = self._after_wait(turn, lease, own=own)
        elif not following:
            jobs = wakes.sendable(head, invocation.clock.now())
            turn.told = self.teller.tell(head, turn.plan, turn.told, jobs=jobs)
        else:
            self._told_in_passing(turn)
        return following

    def _tell_decision(self, turn: Turn) -> None:
        """Tell that the run is closing, if a commit of ours has just decided that, and forget what waited."""
        head, invocation = turn.head, turn.invocation
        if wakes.awaits_its_end(head) and head.ended_by.startswith(invocation.id + "."):
            self.teller.cancel_timers(head, invocation.clock.now())
            self._told_in_passing(turn)

    def _relieved_in_passing(self, turn: Turn, added: int) -> None:
        """Take out what the claim made too many of: that must not cost the lease either."""
        try:
            turn.head, turn.told = self.relief.relieve(turn.head, added, turn.told, turn.invocation)
        except Exception as error:
            _log.warning("events of run %s are taken out later: %r", turn.head.run_id, error)

    def _told_in_passing(self, turn: Turn) -> None:
        """Tell what can be told now, while the next lease is held: that must not be lost to it."""
        turn.told = self.tell_in_passing(turn.head, turn.told)

    def _after_wait(self, turn: Turn, lease: Lease, *, own: int) -> Told:
        head, told, invocation = turn.head, turn.told, turn.invocation
        entry = head.active[lease.ordinal]
        busy = any(other.state in (EntryState.LEASED, EntryState.READY) for other in head.active)
        twice = False
        if not busy:
            # While siblings run or are about to, the group's events wait for the last of them: were
            # each sibling to tell all that is untold, a group of n would publish n² events.
            start = max(told.through, head.told)
            told = self.teller.tell_events(head, told)
            # Siblings that come back one by one, from waits of hours, have jobs that were sent before:
            # none knows what the others told, and each would tell all of it again.
            twice = not head.is_alone and told.through - start > own
        turn.told = told
        self._send_wakes(turn, lease)
        if not busy:
            # A signal's job knows nothing of what was told before; that of any other wait does.
            self.rest.settle(head, told, invocation, drop=twice or entry.wait is WaitKind.SIGNAL)
        return told

    def _send_wakes(self, turn: Turn, lease: Lease) -> None:
        """Send what wakes the stage of *lease*, if our commit left it waiting."""
        head, told, at = turn.head, turn.told, turn.invocation.clock.now()
        entry = head.active[lease.ordinal]
        if entry.state is not EntryState.WAITING or entry.epoch != lease.entry.epoch:
            return
        wake = wakes.wake_for(head, lease.ordinal, at)
        for timer in wakes.timers(head, at):
            if timer.ordinal == lease.ordinal:
                self.teller.send_later(head, turn.plan, timer, told, at=at)
        self.teller.send_jobs(head, turn.plan, [wake] if wake else [], told)

    def _joined(self, turn: Turn) -> RunTransitioned:
        turn.told = self.teller.tell_events(turn.head, turn.told)
        group, invocation = turn.head.group, turn.invocation
        self._join(turn, goes_on=False)
        head = turn.head
        if head.status.is_terminal:
            self.rest.end(head, turn.plan, turn.told, invocation)
            return RunTransitioned(action="completed" if head.status is Status.COMPLETED else "noop")
        jobs = wakes.sendable(head, invocation.clock.now())
        self.teller.tell(head, turn.plan, turn.told, jobs=jobs)
        return RunTransitioned(action="advanced" if head.group != group else "noop", next_group=_group_of(head))

    def _join(self, turn: Turn, *, goes_on: bool) -> None:
        """Enter the next group. Only a caller that *goes_on* with its stage may take the lease on it:
        taken by a wake-up, which performs nothing, it would hold the run up until it ends."""
        definition, invocation = turn.definition, turn.invocation
        group, outbox, seen, base = turn.head.group, self.teller.outbox, turn.head, newest_base(turn.head)

        def may_go_on(now: Head) -> bool:
            # What was decided before a rerun says nothing of the rerun.
            enters = now.is_undecided and turn.decision is not None and newest_base(now) == base
            return enters or self._may_move(now, invocation)

        def decide(now: Head) -> Exclusive | None:
            if now.status.is_terminal or now.group != group or not may_go_on(now):
                return None
            until = next_lease_end(now, definition, invocation, turn.decision) if goes_on else None
            nonlocal seen
            seen = now
            known = outbox.spill(now, turn.told)
            moment = invocation.moment()
            joined = left(now, definition.plan, moment, told=known, until=until, decision=turn.decision)
            return self.definitions.adopted(winners.fitted(joined, self.persistence), definition)

        # The lease that it takes would be lost for long with the answer.
        patience = invocation.patience() if goes_on else None
        turn.head, ours = commit_decided(self.persistence, seen, decide, patience)
        outbox.tidy(seen if ours else None, turn.head, invocation)
        if ours:
            self.rest.observe_end(turn.head)
            self.rest.observe_undos(seen, turn.head)


def _group_of(head: Head) -> int | None:
    """The group that a run is in while it goes forward."""
    return None if plans.is_closing(head.group) else head.group
