"""The second step: one conditional write, and what a refusal of it means.

A refusal is not yet a defeat: the answer to our own write may have been lost, or botocore may have
sent it twice. Who did it is told by ``by``, never by an epoch; what to do next is decided from the
head that was just read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from workflow_engine.errors import StaleRunError, TransientError
from workflow_engine.kernel import records
from workflow_engine.kernel.patience import Patience
from workflow_engine.model.commits import (
    Cancel,
    Claim,
    ClaimDue,
    ClaimExpired,
    ClaimFirst,
    Committed,
    Exclusive,
    Extend,
    Fail,
    Finish,
    Hold,
    Refused,
    Relieve,
    Reserve,
    Shared,
    Signal,
)
from workflow_engine.model.runs import Entry, EntryState, Head
from workflow_engine.ports.persistence import Persistence

# Of a caller without patience, and without a pause between them.
MAX_TRIES = 20
Commit: TypeAlias = Exclusive | Shared
Decide: TypeAlias = Callable[[Head], Commit | None]


def is_ours(commit: Exclusive | Shared, head: Head) -> bool:
    """Whether *head*, which refused *commit*, shows that it had happened before."""
    if isinstance(commit, Exclusive):
        return head.by == commit.after.by or _holds_lease_of(commit, head)
    change = commit.change
    if isinstance(change, Signal):
        return change.kept.element in head.signals
    if isinstance(change, Cancel | Fail):
        return head.ended_by == change.by
    if isinstance(change, Relieve):
        # Of two who told the same, it does not matter which one of them let it go.
        return (head.told, head.spilled, head.refusals) == (change.told, change.spilled, change.refusals)
    if head.group != commit.group or change.ordinal >= len(head.active):
        return False
    return _shows(head.active[change.ordinal], change)


def _shows(entry: Entry, change: Claim | Extend | Reserve | Finish | Hold) -> bool:
    if isinstance(change, ClaimFirst | ClaimDue | ClaimExpired):
        return entry.state is EntryState.LEASED and entry.by == change.by
    if isinstance(change, Extend):
        return entry.epoch == change.epoch and entry.until == change.until
    if isinstance(change, Reserve):
        return entry.epoch == change.epoch and entry.taken == change.signal
    return entry.epoch == change.epoch and entry.state is change.entry.state


def _holds_lease_of(commit: Exclusive, head: Head) -> bool:
    """Whether the lease that a chain or a join took is there; the head's ``by`` may have been
    overwritten since, by a tick that told something."""
    after = commit.after
    if head.group != after.group or not any(entry.by == after.by for entry in after.active):
        return False
    return any(entry.state is EntryState.LEASED and entry.by == after.by for entry in head.active)


def commit_once(
    persistence: Persistence, commit: Exclusive | Shared, patience: Patience | None = None
) -> Committed | Refused:
    """Commit; a refusal by our own earlier write counts as committed. With *patience*, what got no
    answer is sent again."""
    outcome = patience.answered(lambda: persistence.commit(commit)) if patience else persistence.commit(commit)
    if isinstance(outcome, Committed) or outcome.head is None or outcome.replay is not None:
        return outcome
    return Committed(outcome.head) if is_ours(commit, outcome.head) else outcome


@dataclass(slots=True, kw_only=True)
class Committing:
    """Decides and commits until it is done, or *decide* says that there is nothing to do.

    *unanswered* are the commits of which nobody knows whether they happened: a head that refuses a
    later one tells. Without *patience*, the first that is not answered is the last.
    """

    persistence: Persistence
    patience: Patience | None = None
    unanswered: list[Commit] = field(default_factory=list)
    _refusals: int = 0

    def commit(self, head: Head, decide: Decide) -> tuple[Head, Commit | None]:
        """Commit what *decide* says of *head*, and again of the head that refuses; answers the head
        as it is then, and which commit of ours made it so.

        Raises:
            TransientError: there was no answer, for as long as there was time.
            StaleRunError: the run changed under each of many tries.
        """
        while True:
            try:
                found, commit, done = self._tried(head, decide)
            except StaleRunError:
                if self.patience is None:
                    raise
                found, commit, done = head, None, False
            except TransientError:
                if self.patience is None or not self.patience.after_silence():
                    raise
                continue
            if done:
                return found, commit
            head = found
            self._check_refusals(head)

    def _tried(self, head: Head, decide: Decide) -> tuple[Head, Commit | None, bool]:
        """One try: the head then, the commit of ours that made it so, and whether that is all."""
        commit = decide(head)
        if commit is None:
            return head, None, True
        if isinstance(commit, Exclusive):
            commit = records.fitted(commit, self.persistence)
        try:
            outcome = self.persistence.commit(commit)
        except TransientError:
            self.unanswered.append(commit)
            raise
        if isinstance(outcome, Committed):
            return outcome.head, commit, True
        if outcome.head is None or outcome.replay is not None:
            return outcome.head or head, None, True
        found = outcome.head
        ours = next((one for one in (*self.unanswered, commit) if is_ours(one, found)), None)
        return found, ours, ours is not None

    def _check_refusals(self, head: Head) -> None:
        """After one refusal more: pause, or raise if that was enough."""
        self._refusals += 1
        again = self._refusals < MAX_TRIES if self.patience is None else self.patience.after_refusal()
        if not again:
            raise StaleRunError(run_id=head.run_id, tries=self._refusals)


def commit_decided(
    persistence: Persistence, head: Head, decide: Decide, patience: Patience | None = None
) -> tuple[Head, bool]:
    """Decide and commit as ``Committing`` does; answers the head and whether we wrote it.

    Raises:
        TransientError, StaleRunError: as there.
    """
    head, commit = Committing(persistence=persistence, patience=patience).commit(head, decide)
    return head, commit is not None
