"""What every persistence must do with shared commits: exactly what ``apply_shared`` says.

One module, long as it is: each kind of commit is tried in each state of the head.
"""
# ruff: noqa: D102 - a test's name is its docstring

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import pytest

from workflow_engine.model.commits import (
    Cancel,
    ClaimDue,
    ClaimExpired,
    ClaimFirst,
    Extend,
    Fail,
    Finish,
    Hold,
    Refused,
    Relieve,
    Reserve,
    Shared,
    Signal,
    apply_shared,
)
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.limits import MAX_HEAD_EVENTS, MAX_KEPT_SIGNALS
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import Entry, EntryState, Head, KeptSignal, RunFailure, WaitKind
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Persistence, Rearm
from workflow_engine.testing.builders import (
    HORIZON,
    LEASE,
    LIFE,
    claim_first,
    committed,
    create,
    finish,
    leased_head,
    new_event,
    new_head,
    refused,
    rewrite,
    share,
)
from workflow_engine.testing.clock import START, FakeClock
from workflow_engine.testing.contracts.persistence_heads import record_of

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
Case: TypeAlias = Callable[[datetime], tuple[Head, Shared]]


def kept_signal(
    at: datetime, *, name: str = "approval", key: str = "k1", payload: bytes = b'{"ok":true}'
) -> KeptSignal:
    """A signal for the run of the builders."""
    return KeptSignal(RunId("run"), name, key, "h" * 26, payload, at, at + LIFE)


def waiting(at: datetime, **changes: Any) -> Entry:
    """A stage that waits for another minute."""
    entry = Entry(EntryState.WAITING, epoch=3, attempt=2, until=at + MINUTE, wait=WaitKind.POLL, suspended_epoch=3)
    return replace(entry, **changes)


def _first(at: datetime, *, base: int = 0, required: Status | None = None, **changes: Any) -> tuple[Head, Shared]:
    head = new_head(at, stages=2, **changes)
    return head, share(head, ClaimFirst(1, base, at + LEASE, "mine", required))


def _due(
    at: datetime,
    *,
    epoch: int = 3,
    now: timedelta = MINUTE,
    signal: str | None = None,
    required: Status | None = None,
    **changes: Any,
) -> tuple[Head, Shared]:
    head = leased_head(at, active=(waiting(at),), epochs=8, signals=("approval#k1",), **changes)
    claim = ClaimDue(0, epoch, at + LEASE, "mine", now=at + now, signal=signal, required_status=required)
    return head, share(head, claim)


def _expired(at: datetime, *, epoch: int = 0, after: timedelta = LEASE + SECOND) -> tuple[Head, Shared]:
    head = leased_head(at, stages=2, epochs=4)
    return head, share(head, ClaimExpired(1, epoch, at + 2 * LEASE, "mine", expired_before=at + after))


def _outcome(at: datetime, kind: type[Finish] | type[Hold], *, epoch: int = 0, ordinal: int = 1) -> tuple[Head, Shared]:
    head = leased_head(at, stages=2, events=(new_event(at, "workflow:started"),))
    entry = Entry(EntryState.DONE, epoch=epoch, signal="approval#k1") if kind is Finish else waiting(at)
    return head, share(head, kind(ordinal, epoch, entry), new_event(at, n=1), new_event(at, n=2))


def _fail(at: datetime, *, epoch: int = 0) -> tuple[Head, Shared]:
    head = leased_head(at, stages=2)
    failure = RunFailure(ErrorInfo("ValueError", "wrong", trace="trace"), StageId("count"), epoch)
    return head, share(head, Fail(0, epoch, failure, "mine", at + SECOND), new_event(at, "workflow:failed"))


def _cancel(at: datetime, *, base: int = 0, reason: str | None = "enough", **changes: Any) -> tuple[Head, Shared]:
    head = leased_head(at, **changes)
    return head, Shared(head.run_id, None, Cancel(base, reason, "mine", at + SECOND))


def _signal(at: datetime, signals: tuple[str, ...], **most: int) -> tuple[Head, Shared]:
    head = leased_head(at, signals=signals)
    return head, Shared(head.run_id, None, Signal(kept_signal(at), **most))


def _siblings(at: datetime, *others: Entry, **changes: Any) -> Head:
    """A group whose first stage waits for "approval", beside *others*; two signals have come."""
    first = waiting(at, wait=WaitKind.SIGNAL, signal="approval", **changes)
    return leased_head(at, active=(first, *others), epochs=8, signals=("approval#k1", "approval#k2"))


def _claimed_beside(at: datetime, *others: Entry, siblings: int = 3) -> tuple[Head, Shared]:
    head = _siblings(at, *others)
    return head, share(head, ClaimDue(0, 3, at + LEASE, "mine", at, signal="approval#k1", siblings=siblings))


def _reserved(at: datetime, *others: Entry, signal: str = "approval#k1", **changes: Any) -> tuple[Head, Shared]:
    head = _siblings(at, *others, **{"state": EntryState.LEASED, **changes})
    return head, share(head, Reserve(0, 3, signal, siblings=3))


def _held_after(at: datetime, *used: tuple[int, str]) -> tuple[Head, Shared]:
    head = _siblings(at, HAS_TAKEN, state=EntryState.LEASED, taken="approval#k2")
    return head, share(head, Hold(0, 3, waiting(at), *used))


def _relieved(
    at: datetime, *, seen: tuple[int, int, int] = (3, 2, 1), elements: int = 2, **changes: Any
) -> tuple[Head, Shared]:
    events = tuple(new_event(at, n=number) for number in range(5))
    head = leased_head(at, stages=2, **{"told": 3, "spilled": 2, "refusals": 1, "events": events, **changes})
    return head, Shared(head.run_id, None, Relieve(seen, elements, told=7, spilled=0, refusals=0))


def _noted(at: datetime, untold: int, *, events: int = 1, case: Case) -> tuple[Head, Shared]:
    head, commit = case(at)
    kept = tuple(new_event(at, n=number) for number in range(untold))
    added = tuple(new_event(at, "stage:completed", n=number) for number in range(events))
    return replace(head, events=kept), replace(commit, events=added)


def _finish(at: datetime) -> tuple[Head, Shared]:
    return _outcome(at, Finish)


def _in_group(group: int | None, case: tuple[Head, Shared]) -> tuple[Head, Shared]:
    head, commit = case
    return replace(head, group=2), replace(commit, group=group)


def _ended(status: Status, case: tuple[Head, Shared]) -> tuple[Head, Shared]:
    return replace(case[0], status=status), case[1]


HAS_TAKEN = Entry(EntryState.LEASED, epoch=4, signal="approval", taken="approval#k1")
HAS_USED = Entry(EntryState.DONE, epoch=4, signal="approval#k1")
OTHER = Entry(EntryState.WAITING, epoch=4, wait=WaitKind.SIGNAL, signal="approval")
RERUN: Mapping[str, Any] = {"bases": ((0, 0), (1, 6)), "epochs": 7}
MANY_SIGNALS = tuple(f"other#{number}" for number in range(MAX_KEPT_SIGNALS - 1))

CASES: Mapping[str, Case] = {
    "first claim": _first,
    "first claim of a pending run": lambda at: _first(at, required=Status.PENDING),
    "first claim where another status is required": lambda at: _first(at, required=Status.SUSPENDED),
    "first claim under another base": lambda at: _first(at, base=1),
    "first claim of what is leased": lambda at: _first(at, active=leased_head(at, stages=2).active),
    "first claim in a suspended run": lambda at: _first(at, status=Status.SUSPENDED),
    "claim of a wait that is over": _due,
    "claim of a wait in a pending run": lambda at: _due(at, required=Status.PENDING, status=Status.PENDING),
    "claim of a wait where another status is required": lambda at: _due(at, required=Status.PENDING),
    "claim of a wait that is not over": lambda at: _due(at, now=MINUTE - SECOND),
    "claim of a wait that ended under another epoch": lambda at: _due(at, epoch=2),
    "claim by a signal that came": lambda at: _due(at, now=-MINUTE, signal="approval#k1"),
    "claim by a signal that did not come": lambda at: _due(at, signal="approval#k2"),
    "claim by a signal that no sibling has": lambda at: _claimed_beside(at, OTHER, OTHER),
    "claim by a signal that a sibling has reserved": lambda at: _claimed_beside(at, OTHER, HAS_TAKEN),
    "claim by a signal that a sibling has used up": lambda at: _claimed_beside(at, HAS_USED, OTHER),
    "claim by a signal in a group of another size": lambda at: _claimed_beside(at, OTHER, siblings=100),
    "claim by a signal of a stage that has no siblings": lambda at: _claimed_beside(at, siblings=1),
    "reserve a signal": lambda at: _reserved(at, OTHER, OTHER),
    "reserve a signal that a sibling has reserved": lambda at: _reserved(at, OTHER, HAS_TAKEN),
    "reserve a signal that a sibling has used up": lambda at: _reserved(at, HAS_USED, OTHER),
    "reserve a signal that did not come": lambda at: _reserved(at, OTHER, signal="approval#k3"),
    "reserve a second signal": lambda at: _reserved(at, OTHER, taken="approval#k2"),
    "reserve a signal without a lease": lambda at: _reserved(at, OTHER, state=EntryState.WAITING),
    "claim of an expired lease": _expired,
    "claim of a lease that has not expired": lambda at: _expired(at, after=LEASE),
    "claim of an expired lease under another epoch": lambda at: _expired(at, epoch=1),
    "finish": lambda at: _outcome(at, Finish),
    "finish under another epoch": lambda at: _outcome(at, Finish, epoch=1),
    "finish of a stage that is not there": lambda at: _outcome(at, Finish, ordinal=2),
    "hold": lambda at: _outcome(at, Hold),
    "hold under another epoch": lambda at: _outcome(at, Hold, epoch=1),
    "hold that uses up a signal": lambda at: _held_after(at, (1, "approval#k2")),
    "hold that uses up a signal in another place": lambda at: _held_after(at, (0, "approval#k2")),
    "hold that uses up a signal in a place that is not there": lambda at: _held_after(at, (2, "approval#k2")),
    "fail": _fail,
    "fail under another epoch": lambda at: _fail(at, epoch=1),
    "cancel": _cancel,
    "cancel without a reason": lambda at: _cancel(at, reason=None),
    "cancel meant for before a rerun": lambda at: _cancel(at, **RERUN),
    "cancel meant for a rerun": lambda at: _cancel(at, base=6, **RERUN),
    "cancel meant for a rerun that did not happen": lambda at: _cancel(at, base=6),
    "the first signal": lambda at: _signal(at, ()),
    "another signal": lambda at: _signal(at, ("approval#k2",)),
    "a signal that is kept already": lambda at: _signal(at, ("approval#k2", "approval#k1")),
    "the last signal that is kept": lambda at: _signal(at, MANY_SIGNALS),
    "a signal too many": lambda at: _signal(at, (*MANY_SIGNALS, "other#last")),
    "a signal that there is more room for": lambda at: _signal(at, (*MANY_SIGNALS, "other#last"), most=200),
    "a signal that there is less room for": lambda at: _signal(at, ("other#1", "other#2"), most=2),
    "relieve": _relieved,
    "relieve of all": lambda at: _relieved(at, elements=5),
    "relieve of none": lambda at: _relieved(at, elements=0),
    "relieve from nothing": lambda at: _relieved(at, seen=(0, 0, 0), told=0, spilled=0, refusals=0),
    "relieve where more was told": lambda at: _relieved(at, told=4),
    "relieve where more lie outside": lambda at: _relieved(at, spilled=3),
    "relieve where none lie outside": lambda at: _relieved(at, spilled=0),
    "relieve where nothing was refused": lambda at: _relieved(at, refusals=0),
    "relieve of a failed run": lambda at: _ended(Status.FAILED, _relieved(at)),
    "finish with the last event that a head takes": lambda at: _noted(at, MAX_HEAD_EVENTS - 1, events=9, case=_finish),
    "finish with an event too many": lambda at: _noted(at, MAX_HEAD_EVENTS, case=_finish),
    "finish without an event in a full head": lambda at: _noted(at, MAX_HEAD_EVENTS, events=0, case=_finish),
    "hold with an event too many": lambda at: _noted(at, MAX_HEAD_EVENTS, case=lambda at: _outcome(at, Hold)),
    "fail with an event too many": lambda at: _noted(at, MAX_HEAD_EVENTS, case=_fail),
    "claim in a full head": lambda at: _noted(at, MAX_HEAD_EVENTS, case=_first),
    "cancel in a full head": lambda at: _noted(at, MAX_HEAD_EVENTS, case=_cancel),
    "in the group": lambda at: _in_group(2, _expired(at)),
    "in another group": lambda at: _in_group(1, _expired(at)),
    "in any group": lambda at: _in_group(None, _expired(at)),
    "first claim in a completed run": lambda at: _ended(Status.COMPLETED, _first(at)),
    "first claim in a skipped run": lambda at: _ended(Status.SKIPPED, _first(at)),
    "finish in a failed run": lambda at: _ended(Status.FAILED, _outcome(at, Finish)),
    "cancel of a completed run": lambda at: _ended(Status.COMPLETED, _cancel(at)),
    "signal to a cancelled run": lambda at: _ended(Status.CANCELLED, _signal(at, ())),
}
DUE = START + HORIZON
WAKE_UPS = {"none": None, "earlier": DUE - MINUTE, "the same": DUE, "later": DUE + MINUTE}


class SharedContract:
    """Shared commits, one after the other."""

    @pytest.mark.parametrize("name", CASES)
    def test_a_shared_commit_is_what_apply_shared_says(
        self, persistence: Persistence, clock: FakeClock, name: str
    ) -> None:
        head, commit = CASES[name](clock.now())
        committed(persistence.commit(create(head)))
        expected = apply_shared(head, commit)
        outcome = persistence.commit(commit)
        assert outcome.head == (expected or head)
        assert isinstance(outcome, Refused) == (expected is None)
        assert persistence.load_head(head.run_id) == outcome.head

    def test_the_cases_hold_both_answers_for_every_change(self) -> None:
        seen = {
            (type(commit.change), apply_shared(head, commit) is None)
            for head, commit in (c(START) for c in CASES.values())
        }
        changes = (ClaimFirst, ClaimDue, ClaimExpired, Finish, Hold, Fail, Cancel, Signal, Relieve)
        assert {(change, answer) for change in changes for answer in (True, False)} <= seen

    def test_a_heartbeat_moves_the_end_of_a_lease(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now(), stages=2)
        committed(persistence.commit(create(head)))
        commit = share(head, Extend(1, 0, clock.now() + 2 * LEASE))
        assert committed(persistence.commit(commit)) == apply_shared(head, commit)
        assert refused(persistence.commit(share(head, Extend(1, 4, clock.now() + 3 * LEASE)))).replay is None

    def test_a_run_that_is_not_there_refuses(self, persistence: Persistence, clock: FakeClock) -> None:
        head = new_head(clock.now())
        assert persistence.commit(claim_first(head, clock.now())) == Refused(None)
        assert persistence.load_head(head.run_id) is None

    def test_an_ordinal_below_zero_is_refused(self, persistence: Persistence, clock: FakeClock) -> None:
        head = new_head(clock.now())
        committed(persistence.commit(create(head)))
        assert persistence.commit(claim_first(head, clock.now(), ordinal=-1)) == Refused(head)

    def test_a_claim_works_on_what_a_crashed_creator_left(self, persistence: Persistence, clock: FakeClock) -> None:
        head = new_head(clock.now())
        committed(persistence.commit(create(head)))
        claimed = committed(persistence.commit(claim_first(head, clock.now(), by="mine")))
        assert claimed.status is Status.RUNNING
        assert claimed.active[0] == Entry(EntryState.LEASED, until=clock.now() + LEASE, by="mine")
        assert claimed.by == head.by

    def test_a_claim_that_is_redelivered_is_known_by_its_entry(
        self, persistence: Persistence, clock: FakeClock
    ) -> None:
        head = new_head(clock.now())
        committed(persistence.commit(create(head)))
        commit = claim_first(head, clock.now(), by="mine")
        committed(persistence.commit(commit))
        again = refused(persistence.commit(commit))
        assert again.head is not None
        assert (again.head.active[0].by, again.head.version) == ("mine", head.version + 1)
        other = refused(persistence.commit(claim_first(head, clock.now(), by="other")))
        assert other.head is not None
        assert other.head.active[0].by == "mine"

    def test_two_thieves_draw_two_epochs(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now(), stages=2, epochs=1)
        committed(persistence.commit(create(head)))
        late = clock.advance(2 * LEASE)
        first = ClaimExpired(0, 0, late + LEASE, "thief-1", expired_before=late)
        stolen = committed(persistence.commit(share(head, first)))
        assert (stolen.active[0].epoch, stolen.active[0].lost, stolen.epochs) == (1, 1, 2)
        refused(persistence.commit(share(head, replace(first, by="thief-2"))))
        later = clock.advance(2 * LEASE)
        second = ClaimExpired(0, 1, later + LEASE, "thief-2", expired_before=later)
        again = committed(persistence.commit(share(head, second)))
        assert (again.active[0].epoch, again.active[0].lost, again.epochs) == (2, 2, 3)

    @pytest.mark.parametrize("wanted", WAKE_UPS)
    def test_due_at_never_moves_later(self, persistence: Persistence, clock: FakeClock, wanted: str) -> None:
        head = new_head(clock.now())
        committed(persistence.commit(create(head)))
        commit = replace(claim_first(head, clock.now()), due_at=WAKE_UPS[wanted])
        after = committed(persistence.commit(commit))
        assert after == apply_shared(head, commit)
        assert after.due_at == min(DUE, WAKE_UPS[wanted] or DUE)

    @pytest.mark.parametrize("wanted", WAKE_UPS)
    def test_due_at_never_moves_later_after_a_tick_moved_it(
        self, persistence: Persistence, clock: FakeClock, wanted: str
    ) -> None:
        head = new_head(clock.now(), due_at=START)
        committed(persistence.commit(create(head)))
        assert persistence.rearm([Rearm(head.run_id, head.version, START, DUE)]) == [head.run_id]
        commit = replace(claim_first(head, clock.now()), due_at=WAKE_UPS[wanted])
        assert committed(persistence.commit(commit)).due_at == min(DUE, WAKE_UPS[wanted] or DUE)

    def test_a_wake_up_is_set_where_there_was_none(self, persistence: Persistence, clock: FakeClock) -> None:
        head = new_head(clock.now(), due_at=None, due_shard=1)
        committed(persistence.commit(create(head)))
        commit = replace(claim_first(head, clock.now()), due_at=DUE)
        assert committed(persistence.commit(commit)).due_at == DUE
        [due] = persistence.list_due(1, until=DUE, limit=10).runs
        assert (due.run_id, due.due_at) == (head.run_id, DUE)

    @pytest.mark.parametrize("wanted", WAKE_UPS)
    def test_a_refusal_is_a_refusal_whatever_due_at_is(
        self, persistence: Persistence, clock: FakeClock, wanted: str
    ) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        commit = replace(claim_first(head, clock.now()), due_at=WAKE_UPS[wanted])
        assert persistence.commit(commit) == Refused(head)

    def test_events_are_appended_in_order(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now(), stages=3)
        committed(persistence.commit(create(head)))
        for ordinal in range(3):
            events = [new_event(clock.now(), stage=ordinal, part=part) for part in range(2)]
            after = committed(persistence.commit(finish(head, ordinal, *events)))
        assert [dict(event.data) for event in after.events] == [
            {"stage": stage, "part": part} for stage in range(3) for part in range(2)
        ]

    def test_a_late_exclusive_commit_does_not_undo_a_shared_one(
        self, persistence: Persistence, clock: FakeClock
    ) -> None:
        head = leased_head(clock.now(), stages=2)
        committed(persistence.commit(create(head)))
        after = committed(persistence.commit(finish(head, 0)))
        assert persistence.commit(rewrite(head, told=1)) == Refused(after)


class SignalContract:
    """Signals: their item and their element in one write."""

    def test_a_signal_is_kept_once(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        kept = kept_signal(clock.now(), payload="ключ \x00".encode())
        after = committed(persistence.commit(Shared(head.run_id, None, Signal(kept))))
        assert after.signals == (kept.element,)
        assert persistence.load_signal(head.run_id, kept.element) == kept
        again = kept_signal(clock.now(), payload=b"other")
        assert persistence.commit(Shared(head.run_id, None, Signal(again))) == Refused(after)
        assert persistence.load_signal(head.run_id, kept.element) == kept

    def test_a_signal_whose_item_is_there_is_refused(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        commit = Shared(head.run_id, None, Signal(kept_signal(clock.now())))
        kept = committed(persistence.commit(commit))
        cleared = committed(persistence.commit(rewrite(kept, signals=())))
        assert persistence.commit(commit) == Refused(cleared)

    def test_a_refused_signal_leaves_nothing(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now(), status=Status.COMPLETED)
        committed(persistence.commit(create(head)))
        kept = kept_signal(clock.now())
        assert persistence.commit(Shared(head.run_id, None, Signal(kept))) == Refused(head)
        assert persistence.load_signal(head.run_id, kept.element) is None

    def test_a_signal_may_carry_a_record_and_a_wake_up(self, persistence: Persistence, clock: FakeClock) -> None:
        head, record = leased_head(clock.now()), record_of(clock)
        committed(persistence.commit(create(head)))
        commit = Shared(head.run_id, None, Signal(kept_signal(clock.now())), due_at=START + SECOND, idempotency=record)
        assert committed(persistence.commit(commit)) == apply_shared(head, commit)
        assert persistence.load_idempotency(record.key, record.command_type) == record
        other = Signal(kept_signal(clock.now(), key="k2"))
        outcome = refused(persistence.commit(replace(commit, change=other)))
        assert outcome.replay == record
        assert outcome.head == persistence.load_head(head.run_id)
        assert persistence.load_signal(head.run_id, "approval#k2") is None

    @pytest.mark.parametrize("wanted", WAKE_UPS)
    def test_a_transaction_never_moves_due_at_later(
        self, persistence: Persistence, clock: FakeClock, wanted: str
    ) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        commit = Shared(head.run_id, None, Signal(kept_signal(clock.now())), due_at=WAKE_UPS[wanted])
        assert committed(persistence.commit(commit)) == apply_shared(head, commit)

    def test_a_cancel_may_carry_a_record(self, persistence: Persistence, clock: FakeClock) -> None:
        head, record = leased_head(clock.now()), record_of(clock)
        committed(persistence.commit(create(head)))
        commit = replace(_cancel(clock.now())[1], idempotency=record)
        after = committed(persistence.commit(commit))
        assert after.status is Status.CANCELLED
        assert persistence.commit(commit) == Refused(after, record)
