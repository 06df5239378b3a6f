from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_engine.model.commits import (
    ClaimDue,
    ClaimExpired,
    ClaimFirst,
    Extend,
    Finish,
    Hold,
    Relieve,
    Shared,
    apply_shared,
)
from workflow_engine.model.runs import Entry, EntryState, Head
from workflow_engine.model.status import TERMINAL, Status
from workflow_engine.testing.builders import LEASE, claim_first, leased_head, new_head, share
from workflow_engine.testing.clock import START
from workflow_engine.testing.contracts.persistence_shared import CASES

MINUTE = timedelta(minutes=1)
APPLIED = [name for name, case in CASES.items() if apply_shared(*case(START)) is not None]
wakes = st.none() | st.integers(-5, 5).map(lambda minutes: START + minutes * MINUTE)


def applied(head: Head, commit: Shared) -> Head:
    after = apply_shared(head, commit)
    assert after is not None
    return after


@pytest.mark.parametrize("name", APPLIED)
def test_a_shared_commit_that_is_sent_twice_takes_effect_once(name: str) -> None:
    head, commit = CASES[name](START)
    assert apply_shared(applied(head, commit), commit) is None


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_nothing_shared_changes_a_run_that_has_ended(name: str, status: Status) -> None:
    head, commit = CASES[name](START)
    assert apply_shared(replace(head, status=status), commit) is None


@pytest.mark.parametrize("name", APPLIED)
def test_a_shared_commit_leaves_what_is_not_its_own(name: str) -> None:
    head, commit = CASES[name](START)
    after = applied(head, commit)
    assert after.version == head.version + 1
    gone = commit.change.elements if isinstance(commit.change, Relieve) else 0
    assert after.events == head.events[gone:] + commit.events
    ordinal = getattr(commit.change, "ordinal", None)
    others = [number for number in range(len(head.active)) if number != ordinal]
    assert [after.active[number] for number in others] == [head.active[number] for number in others]
    own = ("version", "events", "active", "status", "epochs", "failure", "reason", "ended_by", "ended_at", "signals")
    told = ("told", "spilled", "refusals") if isinstance(commit.change, Relieve) else ()
    kept = [name for name in Head.__dataclass_fields__ if name not in (*own, *told)]
    assert [getattr(after, name) for name in kept] == [getattr(head, name) for name in kept]


@pytest.mark.parametrize("name", APPLIED)
@given(due_at=wakes, wanted=wakes)
def test_due_at_never_moves_later_and_never_goes(name: str, due_at: datetime | None, wanted: datetime | None) -> None:
    head, commit = CASES[name](START)
    after = applied(replace(head, due_at=due_at), replace(commit, due_at=wanted))
    assert after.due_at == min(filter(None, (due_at, wanted)), default=None)


def test_no_two_leases_share_an_epoch() -> None:
    head = new_head(START)
    seen = []
    head = applied(head, claim_first(head, START))
    for number in range(5):
        seen.append(head.active[0].epoch)
        late = START + (number + 1) * 2 * LEASE
        if number % 2:
            theft = ClaimExpired(0, head.active[0].epoch, late + LEASE, "thief", expired_before=late)
            head = applied(head, share(head, theft))
        else:
            wait = Entry(EntryState.WAITING, epoch=head.active[0].epoch, until=late)
            held = applied(head, share(head, Hold(0, head.active[0].epoch, wait)))
            head = applied(held, share(held, ClaimDue(0, wait.epoch, late + LEASE, "poller", now=late)))
    assert len(set(seen)) == len(seen)
    assert seen == sorted(seen)
    assert head.epochs > max(seen)


def test_a_first_claim_after_a_rerun_takes_the_epoch_of_the_rerun() -> None:
    ready = (Entry(EntryState.READY, epoch=4),)
    head = new_head(START, active=ready, bases=((0, 0), (0, 4)), epochs=5)
    assert apply_shared(head, share(head, ClaimFirst(0, 0, START + LEASE, "late"))) is None
    after = applied(head, claim_first(head, START))
    assert (after.active[0].epoch, after.epochs) == (4, 5)


def test_a_lease_that_has_ended_still_belongs_to_its_holder_until_it_is_taken() -> None:
    head = leased_head(START, stages=2)
    done = Entry(EntryState.DONE)
    assert applied(head, share(head, Finish(1, 0, done))).active[1] == done


def test_a_heartbeat_is_refused_once_the_lease_is_taken() -> None:
    head = leased_head(START)
    late = START + 2 * LEASE
    stolen = applied(head, share(head, ClaimExpired(0, 0, late + LEASE, "thief", expired_before=late)))
    assert apply_shared(stolen, share(stolen, Extend(0, 0, late + 9 * LEASE))) is None


@pytest.mark.parametrize("ordinal", [-1, 2, 100])
def test_a_stage_that_is_not_in_the_group_refuses(ordinal: int) -> None:
    head = new_head(START, stages=2)
    assert apply_shared(head, claim_first(head, START, ordinal=ordinal)) is None


def test_a_wait_without_an_end_is_not_over() -> None:
    head = leased_head(START, active=(Entry(EntryState.WAITING, epoch=1),), signals=("approval#k1",))
    for signal in (None, "approval#k1"):
        claim = ClaimDue(0, 1, START + LEASE, "mine", now=START + LEASE, signal=signal)
        assert apply_shared(head, share(head, claim)) is None
