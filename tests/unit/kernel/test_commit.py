"""What a refusal means: a defeat, our own earlier write, or a head that is to be decided on again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from workflow_engine.adapters.memory import MemoryPersistence
from workflow_engine.errors import StaleRunError
from workflow_engine.kernel.commit import MAX_TRIES, commit_decided, commit_once
from workflow_engine.model.commits import (
    Cancel,
    Change,
    ClaimExpired,
    ClaimFirst,
    Committed,
    Exclusive,
    Extend,
    Fail,
    Finish,
    Hold,
    Refused,
    Shared,
)
from workflow_engine.model.ids import RunId
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import Entry, EntryState, Head, RunFailure, WaitKind
from workflow_engine.testing.builders import LEASE, committed, create, leased_head, new_head, rewrite, share
from workflow_engine.testing.clock import START, FakeClock

LATER = START + timedelta(hours=1)


@pytest.fixture
def persistence() -> MemoryPersistence:
    return MemoryPersistence(FakeClock())


def stored(persistence: MemoryPersistence, head: Head) -> Head:
    return committed(persistence.commit(create(head)))


def test_an_exclusive_commit_whose_answer_was_lost_is_found_again(persistence: MemoryPersistence) -> None:
    head = stored(persistence, new_head(START))
    commit = rewrite(head, by="me.1")
    persistence.commit(commit)
    assert isinstance(commit_once(persistence, commit), Committed)


def test_somebody_elses_exclusive_commit_is_a_defeat(persistence: MemoryPersistence) -> None:
    head = stored(persistence, new_head(START))
    persistence.commit(rewrite(head, by="you.1"))
    assert isinstance(commit_once(persistence, rewrite(head, by="me.1")), Refused)


def test_a_lost_chain_is_found_by_its_lease_when_others_wrote_since(persistence: MemoryPersistence) -> None:
    head = stored(persistence, new_head(START))
    lease = Entry(EntryState.LEASED, until=START + LEASE, by="me.1")
    commit = rewrite(head, by="me.1", group=1, active=(lease,))
    after = committed(persistence.commit(commit))
    persistence.commit(rewrite(after, by="tick.1"))
    outcome = commit_once(persistence, commit)
    assert isinstance(outcome, Committed)
    assert outcome.head.by == "tick.1"


FAILURE = RunFailure(ErrorInfo("KeyError", "k"))
DONE = Entry(EntryState.DONE)
HELD = Entry(EntryState.WAITING, until=LATER, wait=WaitKind.POLL)


@pytest.mark.parametrize(
    "change",
    [
        Finish(0, 0, DONE),
        Hold(0, 0, HELD),
        Fail(0, 0, FAILURE, "me.1", START),
        Cancel(0, None, "me.1", START),
        Extend(0, 0, LATER),
    ],
    ids=lambda change: type(change).__name__,
)
def test_a_shared_commit_that_is_sent_twice_is_ours(persistence: MemoryPersistence, change: Change) -> None:
    head = stored(persistence, leased_head(START, stages=2))
    commit = share(head, change)
    assert isinstance(commit_once(persistence, commit), Committed)
    assert isinstance(commit_once(persistence, commit), Committed)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (Finish(0, 0, DONE), Hold(0, 0, HELD)),
        (Fail(0, 0, FAILURE, "me.1", START), Cancel(0, None, "you.1", START)),
        (Cancel(0, None, "me.1", START), Cancel(0, None, "you.1", START)),
        (Finish(0, 0, DONE), ClaimExpired(0, 0, LATER, "you.1", START + 2 * LEASE)),
    ],
    ids=lambda change: type(change).__name__,
)
def test_what_another_did_first_is_a_defeat(persistence: MemoryPersistence, mine: Change, theirs: Change) -> None:
    head = stored(persistence, leased_head(START, stages=2))
    persistence.commit(share(head, theirs))
    assert isinstance(commit_once(persistence, share(head, mine)), Refused)


def test_who_holds_a_lease_is_told_by_its_name_and_not_by_its_epoch(persistence: MemoryPersistence) -> None:
    head = stored(persistence, new_head(START))
    mine = share(head, ClaimFirst(0, 0, LATER, "me.1"))
    yours = share(head, ClaimFirst(0, 0, LATER, "you.1"))
    persistence.commit(yours)
    assert isinstance(commit_once(persistence, mine), Refused)
    assert isinstance(commit_once(persistence, yours), Committed)


def test_a_decision_is_made_again_from_the_head_that_refused(persistence: MemoryPersistence) -> None:
    head = stored(persistence, new_head(START))
    persistence.commit(rewrite(head, by="you.1", reason="meanwhile"))
    after, ours = commit_decided(persistence, head, lambda seen: rewrite(seen, by="me.1", priority=9))
    assert (ours, after.reason, after.priority) == (True, "meanwhile", 9)


def test_nothing_to_do_is_no_write(persistence: MemoryPersistence) -> None:
    head = stored(persistence, new_head(START))
    assert commit_decided(persistence, head, lambda _: None) == (head, False)


def test_a_run_that_is_gone_is_not_written(persistence: MemoryPersistence) -> None:
    ghost = new_head(START, run_id="nobody")
    assert commit_decided(persistence, ghost, lambda seen: rewrite(seen)) == (ghost, False)


def test_a_run_that_changes_under_every_try_is_left_to_another(persistence: MemoryPersistence) -> None:
    head = stored(persistence, new_head(START))
    tries: list[int] = []

    def decide(seen: Head) -> Exclusive | Shared:
        tries.append(seen.version)
        persistence.commit(rewrite(seen, by=f"you.{len(tries)}"))
        return replace(rewrite(seen, by=f"me.{len(tries)}"))

    with pytest.raises(StaleRunError) as caught:
        commit_decided(persistence, head, decide)
    assert (caught.value.run_id, caught.value.retryable, len(tries)) == (RunId("run"), True, MAX_TRIES)
