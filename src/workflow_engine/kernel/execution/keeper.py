"""What came of an attempt is kept: stored and committed, whatever the stores say to it.

A store that does not answer is asked again until the lease is about to end; then the lease is given
back, and there was no attempt. Anything else that cannot be stored or committed fails the attempt,
once: its worker is alive, and the same will happen to the next one.
"""

import logging
from dataclasses import dataclass, replace

from workflow_engine.errors import StaleRunError, TransientError
from workflow_engine.kernel import records, transitions, winners
from workflow_engine.kernel.claim import holds
from workflow_engine.kernel.commit import Commit, Committing, Decide
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.execution.attempt import Attempt, failed
from workflow_engine.kernel.execution.ending import Failed, Postponed
from workflow_engine.kernel.execution.endings import decide_ending
from workflow_engine.kernel.execution.failures import bare
from workflow_engine.kernel.execution.recorder import Recorder
from workflow_engine.kernel.execution.run_data import RunData
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.outbox import Outbox
from workflow_engine.kernel.patience import Patience
from workflow_engine.kernel.relief import Relief
from workflow_engine.kernel.teller import Teller
from workflow_engine.kernel.transitions import Decision, Lease, Told
from workflow_engine.kernel.turn import Turn
from workflow_engine.model.commits import Exclusive, Shared
from workflow_engine.model.runs import Head, StageRecord
from workflow_engine.ports.persistence import Persistence

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What counts of a lease: *attempt*, if it is *ours*, and the head that says so. *added* is how many
    events a sibling's commit put at the end of it."""

    attempt: Attempt
    head: Head
    ours: bool
    added: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Keeps what comes of attempts, over the ports that it needs."""

    persistence: Persistence
    teller: Teller
    recorder: Recorder
    definitions: Definitions
    relief: Relief

    def keep(self, attempt: Attempt, lease: Lease, turn: Turn) -> Kept:
        """Store and commit what came of *lease*, as long as it is ours.

        Raises:
            TransientError, StaleRunError: not even giving the lease back got an answer.
            Exception: what the store says to each commit that would end the attempt.
        """
        keeping = _Keeping(
            keeper=self,
            lease=lease,
            data=turn.data,
            told=turn.told,
            decision=turn.decision,
            invocation=turn.invocation,
            patience=(patience := turn.invocation.patience()),
            commits=Committing(persistence=self.persistence, patience=patience),
            outbox=self.teller.outbox,
        )
        attempt = keeping.stored(attempt)
        rider = keeping.rider
        try:
            kept = keeping.committed(attempt)
        except (TransientError, StaleRunError) as error:
            kept = keeping.given_back(attempt, error)
        except Exception as error:
            kept = keeping.failed_for(error, attempt)
        if rider is not None and not (kept.ours and kept.attempt is attempt):
            keeping.put(rider)
        # The lease is over: none of the commits that were refused can happen any more.
        self.teller.outbox.tidy(turn.data.head if kept.ours else None, kept.head, turn.invocation)
        return kept


@dataclass(slots=True, kw_only=True)
class _Keeping:
    """The outcome of one lease on its way into the store. *rider* is its record, where that is to ride in
    the commit. *decision* says what runs behind it."""

    keeper: Keeper
    lease: Lease
    data: RunData
    told: Told
    invocation: Invocation
    patience: Patience
    commits: Committing
    outbox: Outbox
    rider: StageRecord | None = None
    decision: Decision | None = None

    def stored(self, attempt: Attempt) -> Attempt:
        """*attempt* as it could be stored: as it is, postponed, or failed for what was wrong with it."""
        try:
            self.rider = self.patience.answered(lambda: self.keeper.recorder.store(attempt, self.lease, self.data))
        except TransientError as error:
            return _without_attempt(attempt, error)
        except Exception as error:
            instead = self._instead(attempt, error)
            self._try_to_record(instead)
            return instead
        return attempt

    def committed(self, attempt: Attempt) -> Kept:
        head, commit = self.commits.commit(self.data.head, self._ending_of(attempt))
        return Kept(attempt=attempt, head=head, ours=commit is not None, added=_added(commit))

    def given_back(self, attempt: Attempt, error: TransientError | StaleRunError) -> Kept:
        """No time is left for another try of the commit; but of those tried, one may have happened."""
        earlier = list(self.commits.unanswered)
        self.rider = None
        without = _without_attempt(attempt, error)
        head, commit = self.commits.commit(self.data.head, self._ending_of(without))
        counts = any(commit is one for one in earlier)
        return Kept(attempt=attempt if counts else without, head=head, ours=commit is not None, added=_added(commit))

    def failed_for(self, error: Exception, attempt: Attempt) -> Kept:
        """The commit of *attempt* is refused for what it says: it fails instead, and the run with it
        where not even that can be committed."""
        instead = self._instead(attempt, error)
        self.rider = None
        if not self.commits.unanswered:
            # Where one got no answer, it may have happened, and the record is its output's.
            self._try_to_record(instead, correct=True)
        try:
            return self.committed(instead)
        except (TransientError, StaleRunError) as unanswered:
            return self.given_back(instead, unanswered)
        except Exception as again:
            _log.warning("the failure of stage %s cannot be committed: %r", self.lease.stage_id, again)
            return self._run_failed(instead, error)

    def _run_failed(self, attempt: Attempt, error: Exception) -> Kept:
        """The last resort: an exclusive commit, which can make room in a head that is full."""
        ending = attempt.ending
        assert isinstance(ending, Failed)
        failure = transitions.failure_of(self.lease.stage_id, ending.error, self.lease.entry.epoch)

        def decide(head: Head) -> Exclusive | None:
            if not holds(head, self.lease) or head.is_closing:
                return None
            self.data.head = head
            known = self.outbox.spill(head, self.told)
            return transitions.fail_run(head, failure, self.invocation.moment(), told=known)

        try:
            head, commit = self.commits.commit(self.data.head, decide)
        except Exception as again:
            raise error from again
        return Kept(attempt=attempt, head=head, ours=commit is not None)

    def _ending_of(self, attempt: Attempt) -> Decide:
        data, definitions = self.data, self.keeper.definitions
        outbox = self.outbox

        def decide(head: Head) -> Commit | None:
            if not holds(head, self.lease):
                return None
            roomy = self.keeper.relief.make_room(head, self.invocation)
            # A commit of ours that got no answer may have happened: what refuses the next one tells.
            head = roomy if holds(roomy, self.lease) else head
            data.head = head
            # A sibling's commit takes nothing out of the head: what it spilled would stay there.
            known = outbox.spill(head, self.told) if head.is_alone else self.told
            commit = decide_ending(attempt, self.lease, data, known, invocation=self.invocation, decision=self.decision)
            commit = outbox.fit(commit, head, self.lease)
            if isinstance(commit, Shared):
                return commit
            if self.rider is not None:
                commit = records.carrying(commit, self.rider)
            return definitions.adopted(winners.fitted(commit, self.keeper.persistence), data.definition)

        return decide

    def _instead(self, attempt: Attempt, error: Exception) -> Attempt:
        """*attempt*, failed: by its own error if it has one, since that says more than why it could
        not be stored."""
        stage = self.data.definition.at(self.lease.group, self.lease.ordinal)
        _log.warning("what came of stage %s cannot be stored: %r", stage.id, error)
        ending = attempt.ending
        own = Failed(bare(ending.error), ending.retryable) if isinstance(ending, Failed) else failed(error, stage)
        return replace(attempt, ending=own, journal=None)

    def put(self, rider: StageRecord) -> None:
        """Keep the record of an attempt that does not count: it is what its worker knew of it."""
        try:
            self.patience.answered(lambda: self.keeper.recorder.put(rider))
        except Exception as error:
            _log.warning("what came of stage %s is not recorded: %r", self.lease.stage_id, error)

    def _try_to_record(self, attempt: Attempt, *, correct: bool = False) -> None:
        """Store the record of a failure. Without it, the head alone says what failed."""
        recorder = self.keeper.recorder
        try:
            self.patience.answered(lambda: recorder.record(attempt, self.lease, self.data.head, correct=correct))
        except Exception as error:
            _log.warning("the failure of stage %s is not recorded: %r", self.lease.stage_id, error)


def _added(commit: Commit | None) -> int:
    return len(commit.events) if isinstance(commit, Shared) else 0


def _without_attempt(attempt: Attempt, error: TransientError | StaleRunError) -> Attempt:
    return replace(attempt, ending=Postponed(error), journal=None)
