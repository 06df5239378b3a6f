"""Carries a run forward: performs a lease, commits what came of it, tells, and goes on.

One stage after another is chained in the same invocation while time allows; a redelivered message
whose stage has moved on, and the tick, come in through ``wake``.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime

from workflow_engine.authoring.stage_definition import StageDefinition
from workflow_engine.authoring.workflow import WorkflowDefinition
from workflow_engine.errors import (
    DefinitionChangedError,
    LeaseLostError,
    NewerDefinitionError,
    RunExpiredError,
    WorkflowEngineError,
    WorkflowNotFoundError,
)
from workflow_engine.kernel import transitions, winners
from workflow_engine.kernel.archiving import Archiver
from workflow_engine.kernel.claim import events_of_claim, holds
from workflow_engine.kernel.commit import commit_decided
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.execution.attempt import Attempt, Failed, failed, perform
from workflow_engine.kernel.execution.endings import (
    concluded,
    next_lease_end,
    outcome_of,
    postponed,
    result_of,
)
from workflow_engine.kernel.execution.failures import message_of
from workflow_engine.kernel.execution.held_leases import HeldLeases
from workflow_engine.kernel.execution.keeper import Keeper
from workflow_engine.kernel.execution.run_data import RunData
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.patience import A_MOMENT, Patience
from workflow_engine.kernel.relief import Relief
from workflow_engine.kernel.teller import Teller
from workflow_engine.kernel.transitions import Lease, Told, wakes
from workflow_engine.model.commits import Exclusive, Shared, newest_base
from workflow_engine.model.limits import HEAD_OUTLIVES, MAX_LOST_LEASES
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.plans import Plan
from workflow_engine.model.results import JobExecuted, RunTransitioned
from workflow_engine.model.runs import Annotation, EntryState, Head, IdempotencyRecord, WaitKind
from workflow_engine.model.status import Status
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.observer import Observer
from workflow_engine.ports.persistence import Persistence

_log = logging.getLogger(__name__)
_ENDS = {Status.COMPLETED: "RunsCompleted", Status.FAILED: "RunsFailed"}


@dataclass(frozen=True, slots=True)
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
    archiver: Archiver | None = None

    def work(
        self,
        head: Head,
        lease: Lease,
        definition: WorkflowDefinition,
        told: Told,
        invocation: Invocation,
    ) -> JobExecuted:
        """Perform *lease* and what can be chained after it; answers what came of the last stage."""
        claimed = events_of_claim(head, lease)
        head, told = self._relieved_in_passing(head, lease, told, invocation)
        data = RunData(head, definition, self.persistence, self.blobs)
        while True:
            with self.held.holding(head.run_id, lease):
                attempt = self._perform(lease, data, invocation)
                kept = self.keeper.keep(attempt, lease, data, told, invocation)
            head = kept.head
            result = result_of(kept.attempt, head, lease, ours=kept.ours)
            if not kept.ours:
                self.observer.happened("Ghosts")
                return result
            self._observe_end(head)
            self.keeper.recorder.forget_state(kept.attempt, lease, head.run_id)
            head, told = self._after(head, lease, definition, told, invocation, own=claimed + kept.added)
            if head.group == lease.group:
                head, told = self.relief.relieve(head, kept.added, told, invocation)
            following = _chained(head, definition, invocation)
            if following is None:
                return result
            data.head, lease = head, following

    def wake(self, head: Head, invocation: Invocation, *, send_jobs: bool) -> RunTransitioned:
        """Do what is due for a run that nobody may be looking after: tell, join, expire, and with
        *send_jobs* send what nobody holds."""
        if head.status.is_terminal:
            self.rest(head, Plan(), Told(), invocation)
            return RunTransitioned(action="noop")
        try:
            definition = self.definition_of(head, invocation)
        except (WorkflowNotFoundError, DefinitionChangedError, RunExpiredError) as error:
            self.fail_run(head, error, invocation)
            return RunTransitioned(action="failed")
        if wakes.all_done(head.active):
            return self._joined(head, definition, invocation)
        jobs = wakes.sendable(head, invocation.clock.now()) if send_jobs else []
        told = self.teller.tell(head, definition.plan, Told(), jobs=jobs)
        self._settle(head, told, invocation, drop=True)
        return RunTransitioned(action="advanced" if jobs else "noop", next_group=head.group)

    def definition_of(self, head: Head, invocation: Invocation) -> WorkflowDefinition:
        """What a run that is to go on now goes on with.

        Raises:
            WorkflowNotFoundError, DefinitionChangedError, RunExpiredError: it cannot.
            NewerDefinitionError: other code can.
        """
        # Without this look at each lease, what waits no longer than until the deadline would, once
        # that is there, be due again at once, and again, until a tick comes by.
        if head.deadline <= invocation.clock.now():
            raise RunExpiredError(run_id=head.run_id, deadline=head.deadline)
        return self.definitions.for_run(head)

    def plan_of(self, head: Head) -> Plan | None:
        """The stages that a run goes on with; ``None`` where it cannot."""
        try:
            return self.definitions.for_run(head).plan
        except (WorkflowNotFoundError, DefinitionChangedError, NewerDefinitionError):
            return None

    def give_back(self, head: Head, lease: Lease, invocation: Invocation) -> None:
        """Give a lease back under which nothing was begun: no attempt, and no lost lease."""

        def decide(now: Head) -> Exclusive | Shared | None:
            if not holds(now, lease):
                return None
            moment = invocation.moment()
            entry = postponed(lease, now, moment.at, lease.entry.taken)
            return transitions.hold(now, lease, entry, moment, told=Told())

        commit_decided(self.persistence, head, decide, invocation.patience(A_MOMENT))

    def fail_run(
        self, head: Head, error: WorkflowEngineError, invocation: Invocation, patience: Patience | None = None
    ) -> Head:
        """End a run that cannot go on, whatever its stages do, and tell it."""
        failure = transitions.failure_of(None, ErrorInfo(error.code, message_of(error), error.retryable))
        outbox, seen = self.teller.outbox, head

        def decide(now: Head) -> Exclusive | None:
            # What was wrong with the run before a rerun says nothing of the rerun.
            if now.status.is_terminal or newest_base(now) != newest_base(head):
                return None
            nonlocal seen
            seen = now
            known = outbox.spill(now, Told())
            return transitions.fail_run(now, failure, invocation.moment(), told=known)

        after, ours = commit_decided(self.persistence, head, decide, patience)
        outbox.tidy(seen if ours else None, after, invocation)
        if ours:
            self._observe_end(after)
        if after.status.is_terminal:
            self.rest(after, Plan(), Told(), invocation)
        return after

    def note(
        self, head: Head, annotation: Annotation, invocation: Invocation, record: IdempotencyRecord | None = None
    ) -> None:
        """Tell that something was noted from outside, once for *record*'s key."""
        facts = {
            "key": annotation.name,
            "value": annotation.value,
            "scope": annotation.scope,
            "actor": annotation.actor,
        }
        outbox, seen = self.teller.outbox, head

        def decide(now: Head) -> Exclusive | Shared:
            nonlocal seen
            seen = now
            commit = transitions.note(now, facts, invocation.moment(), record, told=outbox.spill(now, Told()))
            return outbox.fit(commit, now, annotation.id)

        head, ours = commit_decided(self.persistence, head, decide)
        outbox.tidy(seen if ours else None, head, invocation)
        self.flush(head, invocation)

    def flush(self, head: Head, invocation: Invocation) -> int:
        """Tell the events of a run and let them leave its head; answers how many were accepted."""
        told = self.teller.tell_events(head, Told())
        self._settle(head, told, invocation, drop=True)
        return max(told.through - head.told, 0)

    def rest(self, head: Head, plan: Plan, told: Told, invocation: Invocation) -> Told:
        """A run is over: tell its last events, forget its timers, archive it where that is wanted,
        and leave the due index."""
        told = self.teller.tell(head, plan, told)
        if head.status is not Status.COMPLETED and head.due_at is not None:
            self.teller.cancel_timers(head, invocation.clock.now())
        # Of thousands, one look tells some hundreds, and the next goes on behind them.
        self._settle(head, told, invocation, drop=True)
        return told

    def _perform(self, lease: Lease, data: RunData, invocation: Invocation) -> Attempt:
        stage = data.definition.groups[lease.group][lease.ordinal]
        at = invocation.clock.now()
        if lease.entry.lost > MAX_LOST_LEASES:
            ending = self._lost(lease, stage, data)
            return Attempt(ending, lease.entry.attempt, lease.entry.by, at, at)
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
            records = self.persistence.list_records(data.head.run_id)
        except WorkflowEngineError:
            return ending
        errors = [record.error for record in records if record.key.stage_id == stage.id and record.error is not None]
        if not errors:
            return ending
        last = errors[-1]
        message = f"{last.message} (then {ending.error.message})"
        return Failed(replace(last, message=message, retryable=False), retryable=False)

    def _observe_end(self, head: Head) -> None:
        fact = _ENDS.get(head.status)
        if fact is not None:
            self.observer.happened(fact)

    def _after(
        self,
        head: Head,
        lease: Lease,
        definition: WorkflowDefinition,
        told: Told,
        invocation: Invocation,
        *,
        own: int,
    ) -> tuple[Head, Told]:
        """Tell what our commit made, join if it was the last of its group. *own* events are of our lease."""
        if head.group == lease.group and wakes.all_done(head.active):
            head = self._join(head, definition, told, invocation, goes_on=True)
        if head.status.is_terminal:
            return head, self.rest(head, definition.plan, told, invocation)
        if head.group != lease.group:
            if _chained(head, definition, invocation) is None:
                jobs = wakes.sendable(head, invocation.clock.now())
                return head, self.teller.tell(head, definition.plan, told, jobs=jobs)
            return head, self._told_in_passing(head, told)
        return head, self._after_wait(head, lease, definition, told, invocation, own=own)

    def _relieved_in_passing(self, head: Head, lease: Lease, told: Told, invocation: Invocation) -> tuple[Head, Told]:
        """Take out what the claim made too many of: that must not cost the lease either."""
        try:
            return self.relief.relieve(head, events_of_claim(head, lease), told, invocation)
        except Exception as error:
            _log.warning("events of run %s are taken out later: %r", head.run_id, error)
            return head, told

    def _told_in_passing(self, head: Head, told: Told) -> Told:
        """Tell what can be told now, while the next lease is held: that must not be lost to it."""
        try:
            return self.teller.tell_events(head, told)
        except Exception as error:
            _log.warning("events of run %s are told later: %r", head.run_id, error)
            return told

    def _after_wait(
        self,
        head: Head,
        lease: Lease,
        definition: WorkflowDefinition,
        told: Told,
        invocation: Invocation,
        *,
        own: int,
    ) -> Told:
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
            twice = len(head.active) > 1 and told.through - start > own
        if entry.state is EntryState.WAITING and entry.epoch == lease.entry.epoch:
            at = invocation.clock.now()
            wake = wakes.wake_for(head, lease.ordinal, at)
            later = [w for w in wakes.timers(head, at) if w.ordinal == lease.ordinal]
            for timer in later:
                self.teller.send_later(head, definition.plan, timer, told, at)
            self.teller.send_jobs(head, definition.plan, [wake] if wake else [], told)
        if not busy:
            # A signal's job knows nothing of what was told before; that of any other wait does.
            self._settle(head, told, invocation, drop=twice or entry.wait is WaitKind.SIGNAL)
        return told

    def _joined(self, head: Head, definition: WorkflowDefinition, invocation: Invocation) -> RunTransitioned:
        told = self.teller.tell_events(head, Told())
        group = head.group
        head = self._join(head, definition, told, invocation, goes_on=False)
        if head.status.is_terminal:
            self.rest(head, definition.plan, told, invocation)
            return RunTransitioned(action="completed" if head.status is Status.COMPLETED else "noop")
        jobs = wakes.sendable(head, invocation.clock.now())
        self.teller.tell(head, definition.plan, told, jobs=jobs)
        return RunTransitioned(action="advanced" if head.group != group else "noop", next_group=head.group)

    def _join(
        self,
        head: Head,
        definition: WorkflowDefinition,
        told: Told,
        invocation: Invocation,
        *,
        goes_on: bool,
    ) -> Head:
        """Enter the next group. Only a caller that *goes_on* with its stage may take the lease on it:
        taken by a wake-up, which performs nothing, it would hold the run up until it ends."""
        group, outbox, seen = head.group, self.teller.outbox, head

        def decide(now: Head) -> Exclusive | None:
            if now.status.is_terminal or now.group != group or not wakes.all_done(now.active):
                return None
            until = next_lease_end(now, definition, invocation) if goes_on else None
            nonlocal seen
            seen = now
            known = outbox.spill(now, told)
            moment = invocation.moment()
            joined = transitions.join(now, definition.plan, moment, told=known, next_until=until)
            return self.definitions.adopted(winners.fitted(joined, self.persistence), definition)

        # The lease that it takes would be lost for long with the answer.
        patience = invocation.patience() if goes_on else None
        after, ours = commit_decided(self.persistence, head, decide, patience)
        outbox.tidy(seen if ours else None, after, invocation)
        if ours:
            self._observe_end(after)
        return after

    def _settle(self, head: Head, told: Told, invocation: Invocation, *, drop: bool = False) -> None:
        """The write of its own of a run that rests, if it needs one. Where somebody wrote meanwhile,
        it is left to them, but for what was told: siblings that commit all the time would keep that
        in the head for ever, to be told again at each look."""
        outbox, seen = self.teller.outbox, head

        def decide(now: Head) -> Exclusive | Shared | None:
            nonlocal seen
            if now.version != head.version and (told.through <= now.told or now.status.is_terminal):
                return None
            seen = now
            known = outbox.spill(now, told)
            moment = invocation.moment()
            commit = transitions.settle(now, moment, told=known, drop=drop)
            if commit is None or isinstance(commit, Shared) or self._archived(commit, moment.at):
                return commit
            return transitions.await_archive(now, moment, told=known)

        after, ours = commit_decided(self.persistence, head, decide)
        outbox.tidy(seen if ours else None, after, invocation)

    def _archived(self, commit: Exclusive, at: datetime) -> bool:
        """Whether *commit* may happen: one with which a finished run leaves the due index is
        preceded by its archive. Where that cannot be stored the run stays in there, whatever the
        reason, and a tick tries again, for as long as what would be archived is kept."""
        before, after = commit.before, commit.after
        leaves = after.status.is_terminal and after.due_at is None and before is not None and before.due_at is not None
        if self.archiver is None or not leaves:
            return True
        try:
            self.archiver.store(after)
        except Exception as error:
            is_kept = at < after.expires_at - HEAD_OUTLIVES
            self.observer.happened("ArchivesPostponed" if is_kept else "ArchivesGivenUp")
            _log.warning("the archive of run %s could not be stored: %s", after.run_id, message_of(error))
            return not is_kept
        return True


def _chained(head: Head, definition: WorkflowDefinition, invocation: Invocation) -> Lease | None:
    """The lease on the next stage that our own commit took, if it did."""
    if head.status.is_terminal or len(head.active) != 1:
        return None
    entry = head.active[0]
    if entry.state is not EntryState.LEASED or not entry.by.startswith(invocation.id + "."):
        return None
    return Lease(head.group, 0, definition.plan.stage(head.group, 0), entry)
