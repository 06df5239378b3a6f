"""Brings a run to rest: ends it, tells its last events, archives it, and lets it leave the due index."""

import logging
from dataclasses import dataclass

from workflow_engine.errors import WorkflowEngineError
from workflow_engine.kernel import transitions
from workflow_engine.kernel.commit import commit_decided
from workflow_engine.kernel.execution.failures import message_of
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.patience import Patience
from workflow_engine.kernel.queries.archiver import Archiver
from workflow_engine.kernel.teller import Teller
from workflow_engine.kernel.transitions import Told
from workflow_engine.model.commits import Exclusive, Shared, newest_base
from workflow_engine.model.limits import HEAD_OUTLIVES
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.plans import Plan
from workflow_engine.model.runs import Annotation, Head, IdempotencyRecord
from workflow_engine.model.status import Status
from workflow_engine.ports.observer import Observer
from workflow_engine.ports.persistence import Persistence

_log = logging.getLogger(__name__)
_ENDS = {Status.COMPLETED: "RunsCompleted", Status.FAILED: "RunsFailed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What is written of a run that nobody carries on, over the ports that it needs."""

    persistence: Persistence
    teller: Teller
    observer: Observer
    archiver: Archiver | None = None

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
            self.observe_end(after)
        if after.status.is_terminal:
            self.end(after, Plan(), Told(), invocation)
        return after

    def give_up(self, head: Head, plan: Plan, invocation: Invocation, *, ends: bool = False) -> Head:
        """Undo no more of a run whose end is decided: its time for that is over, or it *ends* now."""
        outbox, seen = self.teller.outbox, head

        def decide(now: Head) -> Exclusive | None:
            late = ends or now.ends_at <= invocation.clock.now()
            if not now.is_closing or not late:
                return None
            nonlocal seen
            seen = now
            known = outbox.spill(now, Told())
            return transitions.closing.given_up(now, plan, invocation.moment(), told=known, ends=ends)

        after, ours = commit_decided(self.persistence, head, decide)
        outbox.tidy(seen if ours else None, after, invocation)
        if ours:
            self.observe_end(after)
            self.observe_undos(seen, after)
        if after.status.is_terminal:
            self.end(after, plan, Told(), invocation)
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
        self.settle(head, told, invocation, drop=True)
        return max(told.through - head.told, 0)

    def end(self, head: Head, plan: Plan, told: Told, invocation: Invocation) -> Told:
        """A run is over: tell its last events, forget its timers, archive it where that is wanted,
        and leave the due index."""
        told = self.teller.tell(head, plan, told)
        if head.status is not Status.COMPLETED and head.due_at is not None:
            self.teller.cancel_timers(head, invocation.clock.now())
        # Of thousands, one look tells some hundreds, and the next goes on behind them.
        self.settle(head, told, invocation, drop=True)
        return told

    def settle(self, head: Head, told: Told, invocation: Invocation, *, drop: bool = False) -> None:
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
            if commit is None or isinstance(commit, Shared) or self._archived(commit, moment):
                return commit
            return transitions.await_archive(now, moment, told=known)

        after, ours = commit_decided(self.persistence, head, decide)
        outbox.tidy(seen if ours else None, after, invocation)

    def observe_undos(self, before: Head, after: Head) -> None:
        """Count the stages that a commit of ours says could not be undone."""
        known = len(before.closing.not_undone) if before.closing is not None else 0
        lost = len(after.closing.not_undone) - known if after.closing is not None else 0
        if lost > 0:
            self.observer.happened("UndosFailed", lost)

    def observe_end(self, head: Head) -> None:
        """Count the end that a commit of ours gave the run, if it did."""
        fact = _ENDS.get(head.status)
        if fact is not None:
            self.observer.happened(fact)

    def _archived(self, commit: Exclusive, moment: transitions.Moment) -> bool:
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
            is_kept = moment.at < after.expires_at - HEAD_OUTLIVES
            self.observer.happened("ArchivesPostponed" if is_kept else "ArchivesGivenUp")
            _log.warning("the archive of run %s could not be stored: %s", after.run_id, message_of(error))
            return not is_kept
        return True
