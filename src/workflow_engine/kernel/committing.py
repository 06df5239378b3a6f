"""The second step: one conditional write, and what a refusal of it means.

A refusal is not yet a defeat: the answer to our own write may have been lost, or botocore may have
sent it twice. Who did it is told by ``by``, never by an epoch; what to do next is decided from the
head that was just read.
"""

from collections.abc import Callable
from typing import TypeAlias

from workflow_engine.errors import StaleRunError
from workflow_engine.model.commits import (
    Cancel,
    ClaimDue,
    ClaimExpired,
    ClaimFirst,
    Committed,
    Exclusive,
    Extend,
    Fail,
    Refused,
    Reserve,
    Shared,
    Signal,
)
from workflow_engine.model.runs import EntryState, Head
from workflow_engine.ports.persistence import Persistence

MAX_TRIES = 20
Decide: TypeAlias = Callable[[Head], Exclusive | Shared | None]


def is_ours(commit: Exclusive | Shared, head: Head) -> bool:
    """Whether *head*, which refused *commit*, shows that it had happened before."""
    if isinstance(commit, Exclusive):
        return head.by == commit.after.by or _holds_lease_of(commit, head)
    change = commit.change
    if isinstance(change, Signal):
        return change.kept.element in head.signals
    if isinstance(change, Cancel | Fail):
        return head.ended_by == change.by
    if head.group != commit.group or change.ordinal >= len(head.active):
        return False
    entry = head.active[change.ordinal]
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
    leased = len(after.active) == 1 and after.active[0].state is EntryState.LEASED
    if not leased or len(head.active) != 1 or head.group != after.group:
        return False
    entry = head.active[0]
    return entry.state is EntryState.LEASED and entry.by == after.by


def commit_once(persistence: Persistence, commit: Exclusive | Shared) -> Committed | Refused:
    """Commit; a refusal by our own earlier write counts as committed."""
    outcome = persistence.commit(commit)
    if isinstance(outcome, Committed) or outcome.head is None or outcome.replay is not None:
        return outcome
    return Committed(outcome.head) if is_ours(commit, outcome.head) else outcome


def commit_decided(persistence: Persistence, head: Head, decide: Decide) -> tuple[Head, bool]:
    """Decide and commit, again from the head that refused, until it is done or *decide* says that
    there is nothing to do; answers the head and whether we wrote it.

    Raises:
        StaleRunError: the run changed under each of many tries.
    """
    for _ in range(MAX_TRIES):
        commit = decide(head)
        if commit is None:
            return head, False
        outcome = commit_once(persistence, commit)
        if isinstance(outcome, Committed):
            return outcome.head, True
        if outcome.head is None:
            return head, False
        head = outcome.head
    raise StaleRunError(run_id=head.run_id, tries=MAX_TRIES)
