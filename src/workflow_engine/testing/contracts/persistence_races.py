"""Races: what must hold when several act on one run, at the same moment or too late."""
# ruff: noqa: D102 - a test's name is its docstring

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier
from typing import TypeVar

from workflow_engine.model.commits import (
    Cancel,
    ClaimDue,
    ClaimExpired,
    Committed,
    Exclusive,
    Fail,
    Hold,
    Refused,
    Shared,
    Signal,
)
from workflow_engine.model.payloads import ErrorInfo, Payload
from workflow_engine.model.runs import Entry, EntryState, Head, RunFailure, WaitKind
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Persistence, Rearm
from workflow_engine.testing.builders import (
    HORIZON,
    LEASE,
    claim_first,
    committed,
    create,
    finish,
    leased_head,
    new_event,
    new_head,
    new_record,
    refused,
    rewrite,
    share,
)
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.contracts.persistence_heads import record_of
from workflow_engine.testing.contracts.persistence_shared import kept_signal

SIBLINGS = 100
MINUTE = timedelta(minutes=1)
_A = TypeVar("_A")
_T = TypeVar("_T")


def at_once(work: Callable[[_A], _T], arguments: Sequence[_A]) -> list[_T]:
    """What *work* answers for each of *arguments*: a thread each, all started behind one barrier."""
    barrier = Barrier(len(arguments))

    def behind_barrier(argument: _A) -> _T:
        barrier.wait()
        return work(argument)

    with ThreadPoolExecutor(max_workers=len(arguments)) as threads:
        return list(threads.map(behind_barrier, arguments))


def is_all_done(head: Head) -> bool:
    """What a sibling looks at to know that it was the last."""
    return all(entry.state is EntryState.DONE for entry in head.active)


class RaceContract:
    """Several writers."""

    def test_siblings_that_finish_at_once_refuse_nobody(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now(), stages=SIBLINGS)
        committed(persistence.commit(create(head)))
        commits = [finish(head, ordinal, new_event(clock.now(), n=ordinal)) for ordinal in range(SIBLINGS)]
        outcomes = at_once(persistence.commit, commits)
        seen = [committed(outcome) for outcome in outcomes]
        final = persistence.load_head(head.run_id)
        assert final is not None
        assert sorted(event.data["n"] for event in final.events) == list(range(SIBLINGS))
        assert [is_all_done(head) for head in seen].count(True) == 1
        assert sorted(head.version for head in seen) == list(range(2, SIBLINGS + 2))
        assert is_all_done(final)

    def test_one_of_many_exclusive_commits_wins(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        commits = [rewrite(head, f"writer-{number}", told=number) for number in range(16)]
        outcomes = at_once(persistence.commit, commits)
        [winner] = [outcome.head for outcome in outcomes if isinstance(outcome, Committed)]
        assert persistence.load_head(head.run_id) == winner
        assert all(outcome.head == winner for outcome in outcomes)

    def test_one_of_many_creators_wins(self, persistence: Persistence, clock: FakeClock) -> None:
        heads = [new_head(clock.now(), by=f"creator-{number}") for number in range(16)]
        outcomes = at_once(persistence.commit, [create(head) for head in heads])
        [winner] = [outcome.head for outcome in outcomes if isinstance(outcome, Committed)]
        assert persistence.load_head(winner.run_id) == winner

    def test_one_of_many_claims_wins(self, persistence: Persistence, clock: FakeClock) -> None:
        head = new_head(clock.now())
        committed(persistence.commit(create(head)))
        claims = [claim_first(head, clock.now(), by=f"worker-{number}") for number in range(16)]
        outcomes = at_once(persistence.commit, claims)
        [winner] = [outcome.head for outcome in outcomes if isinstance(outcome, Committed)]
        assert all(outcome.head == winner for outcome in outcomes)
        assert persistence.load_head(head.run_id) == winner

    def test_one_of_two_thieves_wins(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        late = clock.advance(2 * LEASE)
        thefts = [
            share(head, ClaimExpired(0, 0, late + LEASE, f"thief-{number}", expired_before=late)) for number in range(2)
        ]
        outcomes = at_once(persistence.commit, thefts)
        assert sorted(isinstance(outcome, Refused) for outcome in outcomes) == [False, True]
        assert {outcome.head.active[0].epoch for outcome in outcomes if outcome.head} == {1}

    def test_one_of_many_signals_of_one_key_is_kept(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        signals = [kept_signal(clock.now(), payload=str(number).encode()) for number in range(8)]
        outcomes = at_once(persistence.commit, [Shared(head.run_id, None, Signal(kept)) for kept in signals])
        assert [isinstance(outcome, Committed) for outcome in outcomes].count(True) == 1
        final = persistence.load_head(head.run_id)
        assert final is not None
        assert final.signals == ("approval#k1",)

    def test_one_of_many_commits_of_one_key_wins(self, persistence: Persistence, clock: FakeClock) -> None:
        heads = [leased_head(clock.now(), run_id=f"run-{number}") for number in range(8)]
        for head in heads:
            committed(persistence.commit(create(head)))
        commits = [
            replace(rewrite(head), idempotency=record_of(clock, result=str(number)))
            for number, head in enumerate(heads)
        ]
        outcomes = at_once(persistence.commit, commits)
        [winner] = [outcome for outcome in outcomes if isinstance(outcome, Committed)]
        standing = persistence.load_idempotency("order-17", "run.cancel")
        assert standing is not None
        assert heads[int(standing.result)].run_id == winner.head.run_id
        assert {refused(outcome).replay for outcome in outcomes if outcome is not winner} == {standing}

    def test_a_joiner_is_alone(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now(), stages=2)
        committed(persistence.commit(create(head)))
        committed(persistence.commit(finish(head, 0)))
        done = committed(persistence.commit(finish(head, 1)))
        ready = (Entry(EntryState.READY),)
        joins = [rewrite(done, f"joiner-{number}", group=1, active=ready) for number in range(2)]
        outcomes = at_once(persistence.commit, joins)
        assert sorted(isinstance(outcome, Refused) for outcome in outcomes) == [False, True]
        assert {outcome.head.group for outcome in outcomes if outcome.head} == {1}


class GhostContract:
    """Writers that come too late."""

    def test_a_ghost_of_a_stolen_lease_is_refused(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now(), stages=2)
        committed(persistence.commit(create(head)))
        late = clock.advance(2 * LEASE)
        theft = share(head, ClaimExpired(0, 0, late + LEASE, "thief", expired_before=late))
        stolen = committed(persistence.commit(theft))
        for ghost in self._outcomes(head, clock, epoch=0):
            assert persistence.commit(ghost) == Refused(stolen)
        after = committed(persistence.commit(finish(head, 0, epoch=stolen.active[0].epoch)))
        assert persistence.commit(finish(head, 0, epoch=0)) == Refused(after)

    def test_a_ghost_of_the_lease_before_a_poll_is_refused(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now(), stages=2)
        committed(persistence.commit(create(head)))
        wait = Entry(EntryState.WAITING, until=clock.now() + MINUTE, wait=WaitKind.POLL, suspended_epoch=0)
        held = committed(persistence.commit(share(head, Hold(0, 0, wait))))
        for ghost in self._outcomes(head, clock, epoch=0):
            assert persistence.commit(ghost) == Refused(held)
        later = clock.advance(MINUTE)
        poll = share(head, ClaimDue(0, 0, later + LEASE, "poller", now=later))
        polled = committed(persistence.commit(poll))
        assert (polled.active[0].epoch, polled.active[0].suspended_epoch) == (1, 0)
        for ghost in self._outcomes(head, clock, epoch=0):
            assert persistence.commit(ghost) == Refused(polled)

    def test_a_ghost_of_the_run_before_a_rerun_is_refused(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now(), stages=2)
        committed(persistence.commit(create(head)))
        cancelled = committed(persistence.commit(share(head, Cancel(0, None, "user", clock.now()))))
        ready = Entry(EntryState.READY, epoch=1)
        rerun = rewrite(
            cancelled,
            "rerunner",
            status=Status.RUNNING,
            active=(ready, ready),
            bases=((0, 0), (0, 1)),
            epochs=2,
            ended_by="",
            ended_at=None,
        )
        again = committed(persistence.commit(rerun))
        for ghost in self._outcomes(head, clock, epoch=0):
            assert persistence.commit(ghost) == Refused(again)
        claimed = committed(persistence.commit(claim_first(again, clock.now(), by="worker-1")))
        for ghost in self._outcomes(head, clock, epoch=0):
            assert persistence.commit(ghost) == Refused(claimed)

    def test_a_ghosts_record_lies_where_nobody_looks(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now())
        winner = new_record(head, epoch=1, output=Payload.of(b'"of the thief"'), by="thief")
        ghost = new_record(head, epoch=0, output=Payload.of(b'"of the ghost"'), by="ghost")
        persistence.put_record(winner)
        persistence.put_record(ghost)
        assert persistence.load_records(head.run_id, [winner.key]) == {winner.key: winner}
        persistence.put_record(replace(ghost, key=winner.key))
        assert persistence.load_records(head.run_id, [winner.key]) == {winner.key: winner}

    def test_an_outcome_after_a_cancel_is_refused(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now(), stages=2)
        committed(persistence.commit(create(head)))
        cancelled = committed(persistence.commit(share(head, Cancel(0, "enough", "user", clock.now()))))
        for late in self._outcomes(head, clock, epoch=0):
            assert persistence.commit(late) == Refused(cancelled)
        chain = rewrite(head, group=1, active=(Entry(EntryState.READY),))
        assert persistence.commit(chain) == Refused(cancelled)

    def test_a_claim_after_a_cancel_is_refused(self, persistence: Persistence, clock: FakeClock) -> None:
        head = new_head(clock.now())
        committed(persistence.commit(create(head)))
        cancelled = committed(persistence.commit(share(head, Cancel(0, "enough", "user", clock.now()))))
        assert persistence.commit(claim_first(head, clock.now())) == Refused(cancelled)

    def test_a_cancel_between_claim_and_commit_is_seen_by_one(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        cancel = share(head, Cancel(0, "enough", "user", clock.now()))
        complete = rewrite(head, "worker-0", status=Status.COMPLETED, active=(Entry(EntryState.DONE),), due_at=None)
        either: list[Exclusive | Shared] = [cancel, complete]
        cancelled, completed = at_once(persistence.commit, either)
        assert isinstance(cancelled, Committed) != isinstance(completed, Committed)
        expected = Status.CANCELLED if isinstance(cancelled, Committed) else Status.COMPLETED
        final = persistence.load_head(head.run_id)
        assert final is not None
        assert final.status is expected

    def test_a_clear_and_a_rerun_do_not_undo_each_other(self, persistence: Persistence, clock: FakeClock) -> None:
        event = new_event(clock.now(), "workflow:completed")
        head = leased_head(clock.now(), status=Status.COMPLETED, events=(event,))
        committed(persistence.commit(create(head)))
        clear = rewrite(head, "teller", events=(), told=1, due_at=None)
        rerun = rewrite(head, "rerunner", status=Status.RUNNING, due_at=clock.now() + HORIZON)
        cleared, reran = at_once(persistence.commit, [clear, rerun])
        assert isinstance(cleared, Committed) != isinstance(reran, Committed)
        winner = clear.after if isinstance(cleared, Committed) else rerun.after
        assert persistence.load_head(head.run_id) == winner
        assert cleared.head == reran.head == winner

    def _outcomes(self, head: Head, clock: FakeClock, *, epoch: int) -> list[Shared]:
        failure = RunFailure(ErrorInfo("ValueError", "late"), epoch=epoch)
        wait = Entry(EntryState.WAITING, epoch=epoch, until=clock.now() + MINUTE, wait=WaitKind.RETRY)
        return [
            finish(head, 0, new_event(clock.now()), epoch=epoch),
            share(head, Hold(0, epoch, wait), new_event(clock.now())),
            share(head, Fail(0, epoch, failure, "ghost", clock.now()), new_event(clock.now())),
        ]


class RearmContract:
    """Ticks, which move ``due_at`` and nothing else."""

    def test_a_rearm_moves_due_at_alone(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        later = clock.now() + 2 * HORIZON
        assert persistence.rearm([self._wish(head, later)]) == [head.run_id]
        assert persistence.load_head(head.run_id) == replace(head, due_at=later)

    def test_one_of_several_ticks_moves_a_run(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        wishes = [self._wish(head, clock.now() + HORIZON + number * MINUTE) for number in range(1, 9)]
        moved = at_once(persistence.rearm, [[wish] for wish in wishes])
        assert sorted(map(len, moved)) == [0] * 7 + [1]

    def test_a_rearm_of_a_run_that_moved_on_does_nothing(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        after = committed(persistence.commit(rewrite(head, told=1)))
        later = clock.now() + 2 * HORIZON
        assert persistence.rearm([self._wish(head, later)]) == []
        assert persistence.rearm([self._wish(replace(after, due_at=clock.now()), later)]) == []
        assert persistence.rearm([self._wish(new_head(clock.now(), run_id="nobody"), later)]) == []
        assert persistence.load_head(head.run_id) == after

    def test_a_rearm_answers_those_it_moved(self, persistence: Persistence, clock: FakeClock) -> None:
        heads = [leased_head(clock.now(), run_id=f"run-{number}") for number in range(30)]
        for head in heads:
            committed(persistence.commit(create(head)))
        for head in heads[::3]:
            committed(persistence.commit(rewrite(head, told=1)))
        later = clock.now() + 2 * HORIZON
        moved = persistence.rearm([self._wish(head, later) for head in heads])
        assert list(moved) == [head.run_id for number, head in enumerate(heads) if number % 3]
        assert persistence.rearm([]) == []

    def test_a_commit_and_a_rearm_at_once_leave_what_the_commit_says(
        self, persistence: Persistence, clock: FakeClock
    ) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        commit = rewrite(head, due_at=clock.now() + MINUTE)
        later = clock.now() + 2 * HORIZON
        wish = self._wish(head, later)
        actions: list[Callable[[], object]] = [lambda: persistence.commit(commit), lambda: persistence.rearm([wish])]
        at_once(lambda action: action(), actions)
        assert persistence.load_head(head.run_id) == commit.after

    def test_claims_and_ticks_at_once_leave_the_earliest_wake_up(
        self, persistence: Persistence, clock: FakeClock
    ) -> None:
        head = leased_head(clock.now(), stages=8)
        committed(persistence.commit(create(head)))
        wake_ups = [clock.now() + number * MINUTE for number in range(1, 9)]
        commits = [replace(finish(head, ordinal), due_at=wake_up) for ordinal, wake_up in enumerate(reversed(wake_ups))]
        outcomes = at_once(persistence.commit, commits)
        for outcome, commit in zip(outcomes, commits, strict=True):
            due_at = committed(outcome).due_at
            assert due_at is not None
            assert commit.due_at is not None
            assert due_at <= commit.due_at
        final = persistence.load_head(head.run_id)
        assert final is not None
        assert final.due_at == wake_ups[0]

    def _wish(self, head: Head, next_due: datetime) -> Rearm:
        assert head.due_at is not None
        return Rearm(head.run_id, head.version, head.due_at, next_due)
