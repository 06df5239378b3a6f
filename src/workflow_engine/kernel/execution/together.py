"""Keeps what comes of stages that one invocation performs side by side: in few writes, whoever else writes.

All leases of the group were taken by the write that entered it. What has come in is committed by one exclusive
write, decided from the head as it is then: it changes only entries that are still leased under our epochs, and
leaves the others as they are, for somebody may have claimed one that is tried again. The write that completes
the group also enters the next one, and takes the small records of its stages along; where it does not complete
it, they are items of their own.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from workflow_engine.errors import StaleRunError, TransientError
from workflow_engine.kernel import records, transitions, winners
from workflow_engine.kernel.claim import holds
from workflow_engine.kernel.commit import Committing
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.execution.attempt import Attempt, failed
from workflow_engine.kernel.execution.ending import Failed, Postponed
from workflow_engine.kernel.execution.endings import ending_entry, next_lease_end
from workflow_engine.kernel.execution.failures import bare
from workflow_engine.kernel.execution.recorder import Recorder
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.outbox import Outbox
from workflow_engine.kernel.patience import Patience
from workflow_engine.kernel.teller import Teller
from workflow_engine.kernel.transitions import Lease
from workflow_engine.kernel.turn import Turn
from workflow_engine.model.commits import Exclusive
from workflow_engine.model.runs import Entry, Head, PendingEvent, RunFailure, StageRecord
from workflow_engine.ports.persistence import Persistence

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Sibling:
    """What came of one of the leases. *rider* is its record, where that may be taken along. *counts* says
    whether our write has it in."""

    lease: Lease
    attempt: Attempt
    rider: StageRecord | None = None
    counts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Keeps what comes of siblings, over the ports that it needs."""

    persistence: Persistence
    recorder: Recorder
    definitions: Definitions
    teller: Teller

    def keep(self, attempts: Sequence[tuple[Lease, Attempt]], turn: Turn) -> list[Sibling]:
        """Store and commit what came of some of the leases, as far as they are ours; *turn* has the head then.

        Raises:
            TransientError, StaleRunError: not even giving the leases back got an answer.
            Exception: what the store says to each commit that would end the attempts.
        """
        patience = turn.invocation.patience()
        keeping = _KeepingTogether(
            together=self,
            turn=turn,
            invocation=turn.invocation,
            patience=patience,
            commits=Committing(persistence=self.persistence, patience=patience),
            # One for each, as it knows what was put for its commit alone.
            outbox=self.teller.outbox,
        )
        siblings = [keeping.stored(lease, attempt) for lease, attempt in attempts]
        keeping.keep(siblings)
        for sibling in siblings:
            if sibling.rider is not None and not sibling.counts:
                keeping.put(sibling)
        keeping.outbox.tidy(keeping.committed_from, turn.head, turn.invocation)
        return siblings


@dataclass(slots=True, kw_only=True)
class _KeepingTogether:
    together: Together
    turn: Turn
    invocation: Invocation
    patience: Patience
    commits: Committing
    outbox: Outbox
    committed_from: Head | None = None

    def stored(self, lease: Lease, attempt: Attempt) -> Sibling:
        """What could be stored of *attempt*: as it is, postponed, or failed for what was wrong with it."""
        recorder, data = self.together.recorder, self.turn.data
        try:
            rider = self.patience.answered(lambda: recorder.store(attempt, lease, data, together=True))
        except TransientError as error:
            return Sibling(lease, replace(attempt, ending=Postponed(error), journal=None))
        except Exception as error:
            return Sibling(lease, self._instead(lease, attempt, error))
        return Sibling(lease, attempt, rider)

    def keep(self, siblings: Sequence[Sibling]) -> None:
        """Commit what came of *siblings*, or that it could not be: each for itself where not all of it can be."""
        try:
            self._commit(siblings)
        except (TransientError, StaleRunError) as error:
            self._give_back(siblings, error)
        except Exception as error:
            if len(siblings) == 1 or self.commits.unanswered:
                self._fail(siblings, error)
                return
            for sibling in siblings:
                self.keep([sibling])

    def _commit(self, siblings: Sequence[Sibling]) -> Exclusive | None:
        """Commit all of *siblings* whose leases are still ours when it happens; answers what was committed."""
        head, commit = self.commits.commit(self.turn.head, lambda now: self._decided(now, siblings))
        assert commit is None or isinstance(commit, Exclusive)
        for sibling in siblings:
            sibling.counts = commit is not None and self._is_in(commit, sibling)
        if commit is not None:
            self.committed_from = commit.before
            # It is counted now. The next portion must not count it once more.
            self.turn.told = replace(self.turn.told, refused=False)
        self.turn.head = head
        return commit

    def _commit_instead(self, siblings: Sequence[Sibling], instead: Sequence[Attempt]) -> None:
        """Commit *instead* of what they came to, unless that was committed before, by a try without an answer."""
        tried = list(self.commits.unanswered)
        came_to = [(sibling.attempt, sibling.rider) for sibling in siblings]
        for sibling, attempt in zip(siblings, instead, strict=True):
            sibling.attempt, sibling.rider = attempt, None
        commit = self._commit(siblings)
        if any(commit is one for one in tried):
            for sibling, (attempt, rider) in zip(siblings, came_to, strict=True):
                sibling.attempt, sibling.rider = attempt, rider

    def _give_back(self, siblings: Sequence[Sibling], error: TransientError | StaleRunError) -> None:
        """No time is left for another try: what was tried may have happened; else there was no attempt."""
        without = [replace(sibling.attempt, ending=Postponed(error), journal=None) for sibling in siblings]
        self._commit_instead(siblings, without)

    def _fail(self, siblings: Sequence[Sibling], error: Exception) -> None:
        """What they came to cannot be committed for what it says: they fail instead, and the run with them where
        not even that can be committed."""
        # Where a commit got no answer it may have happened, and the records are its outputs'.
        records = not self.commits.unanswered
        instead = [self._instead(sibling.lease, sibling.attempt, error, records=records) for sibling in siblings]
        try:
            self._commit_instead(siblings, instead)
        except (TransientError, StaleRunError) as unanswered:
            self._give_back(siblings, unanswered)
        except Exception as again:
            _log.warning("the failure of stage %s cannot be committed: %r", siblings[0].lease.stage_id, again)
            self._fail_run(siblings, error)

    def _fail_run(self, siblings: Sequence[Sibling], error: Exception) -> None:
        """The last resort: the run ends with what was wrong, and nothing else is said."""

        def decide(head: Head) -> Exclusive | None:
            held = [sibling for sibling in siblings if holds(head, sibling.lease)]
            if not held or head.is_closing:
                return None
            ending, lease = held[0].attempt.ending, held[0].lease
            assert isinstance(ending, Failed)
            failure = transitions.failure_of(lease.stage_id, ending.error, lease.entry.epoch)
            known = self.outbox.spill(head, self.turn.told)
            return transitions.fail_run(head, failure, self.invocation.moment(), told=known)

        try:
            head, commit = self.commits.commit(self.turn.head, decide)
        except Exception as again:
            raise error from again
        for sibling in siblings:
            sibling.counts = commit is not None
        self.turn.head = head

    def put(self, sibling: Sibling) -> None:
        """Keep the record of an attempt that does not count, or rides nowhere."""
        rider, recorder = sibling.rider, self.together.recorder
        assert rider is not None
        try:
            self.patience.answered(lambda: recorder.put(rider))
        except Exception as error:
            _log.warning("what came of stage %s is not recorded: %r", sibling.lease.stage_id, error)

    def _decided(self, head: Head, siblings: Sequence[Sibling]) -> Exclusive | None:
        ours = [sibling for sibling in siblings if holds(head, sibling.lease)]
        if not ours:
            return None
        turn, moment = self.turn, self.invocation.moment()
        turn.data.head = head
        entries: dict[int, Entry] = {}
        failure: RunFailure | None = None
        notes: list[PendingEvent] = []
        for sibling in ours:
            entry, ended, said = ending_entry(
                sibling.attempt, sibling.lease, turn.data, moment, invocation=self.invocation
            )
            entries[sibling.lease.ordinal] = entry
            failure, notes = failure or ended, [*notes, *said]
        told = self.outbox.spill(head, turn.told)
        until = next_lease_end(head, turn.definition, self.invocation)
        facts = transitions.Outcomes(entries=entries, failure=failure, notes=tuple(notes))
        commit = transitions.merge(head, facts, turn.plan, moment, told=told, next_until=until)
        commit = self._with_records(commit, [sibling.rider for sibling in ours if sibling.rider is not None])
        first = ours[0].lease
        fitted = self.outbox.fit(commit, head, f"{first.group}.{first.ordinal}.{first.entry.epoch}")
        assert isinstance(fitted, Exclusive)
        return self.together.definitions.adopted(winners.fitted(fitted, self.together.persistence), turn.definition)

    def _with_records(self, commit: Exclusive, riders: Sequence[StageRecord]) -> Exclusive:
        """Where the group is complete its records may ride; a part of them, under one name, would keep the
        rest from being found."""
        head = commit.before
        complete = head is not None and (commit.after.group > head.group or not commit.after.active)
        for rider in riders:
            if complete:
                commit = records.carrying(commit, rider)
            else:
                self.together.persistence.put_record(rider)
        return commit

    def _is_in(self, commit: object, sibling: Sibling) -> bool:
        """Whether the commit was decided from a head in which the lease was ours."""
        return isinstance(commit, Exclusive) and commit.before is not None and holds(commit.before, sibling.lease)

    def _instead(self, lease: Lease, attempt: Attempt, error: Exception, *, records: bool = True) -> Attempt:
        """*attempt*, failed, by its own error if it has one; its record is an item of its own."""
        stage = self.turn.definition.at(lease.group, lease.ordinal)
        _log.warning("what came of stage %s cannot be stored: %r", stage.id, error)
        ending = attempt.ending
        own = Failed(bare(ending.error), ending.retryable) if isinstance(ending, Failed) else failed(error, stage)
        instead = replace(attempt, ending=own, journal=None)
        if not records:
            return instead
        recorder, head = self.together.recorder, self.turn.head
        try:
            self.patience.answered(lambda: recorder.record(instead, lease, head, correct=True))
        except Exception as again:
            _log.warning("the failure of stage %s is not recorded: %r", stage.id, again)
        return instead
