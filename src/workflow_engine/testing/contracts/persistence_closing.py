"""What every persistence must do with runs whose end is decided, and which have something to do before it."""
# ruff: noqa: D102 - a test's name is its docstring

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from workflow_engine.model import plans
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
    Shared,
    Signal,
    apply_shared,
)
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import Closing, Entry, EntryState, Head, RunFailure, WaitKind
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Persistence
from workflow_engine.testing.builders import LEASE, committed, create, leased_head, new_event, rewrite, share
from workflow_engine.testing.clock import START, FakeClock
from workflow_engine.testing.contracts.persistence_shared import Case, kept_signal

SECOND, WEEK = timedelta(seconds=1), timedelta(days=7)
BOTH = frozenset({Status.FAILED, Status.CANCELLED})
UNDO = plans.undo_of(2)


def decided(at: datetime, status: Status = Status.FAILED, **changes: Any) -> Closing:
    """The end of a run that is decided, and has not begun to be undone."""
    return replace(Closing(status=status, at=at, until=at + WEEK), **changes)


def awaiting(at: datetime, **changes: Any) -> Head:
    """A run of two stages that waits for what holds a lease."""
    return leased_head(at, stages=2, group=2, **{"closes_on": BOTH, "closing": decided(at), **changes})


def undoing(at: datetime, *active: Entry, **changes: Any) -> Head:
    """A run in whose third group two stages are undone."""
    stood = (Entry(EntryState.FAILED, 3, 2), Entry(EntryState.WAITING, 4, suspended_epoch=1))
    closing = decided(at, base=5, group=2, entries=stood, not_undone=((3, 0),), undone_from=2)
    entries = active or (Entry(EntryState.READY, 5), Entry(EntryState.DONE))
    facts: dict[str, Any] = {"active": entries, "group": UNDO, "epochs": 6, "closing": closing}
    return leased_head(at, **{**facts, "closes_on": BOTH, **changes})


def _fail(at: datetime, *, entry: Entry | None = None, **changes: Any) -> tuple[Head, Shared]:
    head = leased_head(at, stages=2, **{"closes_on": BOTH, **changes})
    failure = RunFailure(ErrorInfo("ValueError", "wrong"), StageId("count"), 0)
    return head, share(head, Fail(0, 0, failure, "mine", at + SECOND, decided(at), entry), new_event(at))


def _cancel(at: datetime, *, closes: bool | None, **changes: Any) -> tuple[Head, Shared]:
    head = leased_head(at, **changes)
    closing = decided(at, Status.CANCELLED) if closes else None
    return head, Shared(head.run_id, None, Cancel(0, "enough", "mine", at + SECOND, closing, closes))


def _of(head: Head, change: Any, **facts: Any) -> tuple[Head, Shared]:
    return head, replace(share(head, change), **facts)


RETRY = Entry(EntryState.WAITING, 5, 2, until=START + SECOND, wait=WaitKind.RETRY)
LEASED = Entry(EntryState.LEASED, 5, until=START + LEASE, by="worker-0")
CASES: Mapping[str, Case] = {
    "fail, and close": _fail,
    "fail, while its code may be at work": lambda at: _fail(at, entry=leased_head(at).active[0]),
    "fail a run that closes already": lambda at: _fail(at, closing=decided(at, Status.CANCELLED)),
    "cancel, and close": lambda at: _cancel(at, closes=True, closes_on=BOTH),
    "cancel, and close, one that does not": lambda at: _cancel(at, closes=True),
    "cancel, and close, one that does on a failure": lambda at: _cancel(
        at, closes=True, closes_on=frozenset({Status.FAILED})
    ),
    "cancel at once one that closes": lambda at: _cancel(at, closes=False, closes_on=BOTH),
    "cancel at once one that closes on a failure": lambda at: _cancel(
        at, closes=False, closes_on=frozenset({Status.FAILED})
    ),
    "cancel at once whatever it does": lambda at: _cancel(at, closes=None, closes_on=BOTH),
    "cancel one that closes already": lambda at: _cancel(at, closes=True, closes_on=BOTH, closing=decided(at)),
    "claim of a stage": lambda at: _of(
        awaiting(at, active=(Entry(EntryState.READY),)), ClaimFirst(0, 0, at + LEASE, "mine")
    ),
    "claim of a lease that ended": lambda at: _of(awaiting(at), ClaimExpired(0, 0, at, "mine", at + 2 * LEASE)),
    "finish under a lease": lambda at: _of(awaiting(at), Finish(0, 0, Entry(EntryState.DONE))),
    "finish by failing": lambda at: _of(awaiting(at), Finish(0, 0, Entry(EntryState.FAILED))),
    "hold under a lease": lambda at: _of(awaiting(at), Hold(0, 0, replace(RETRY, epoch=0))),
    "a heartbeat": lambda at: _of(awaiting(at), Extend(0, 0, at + 2 * LEASE)),
    "a signal": lambda at: _of(awaiting(at), Signal(kept_signal(at)), group=None),
    "what is told leaves": lambda at: _of(
        awaiting(at, events=(new_event(at),)), Relieve((0, 0, 0), 1, 1, 0, 0), group=None
    ),
    "claim of an undo": lambda at: _of(undoing(at), ClaimFirst(0, 5, at + LEASE, "mine")),
    "claim of an undo under another epoch": lambda at: _of(undoing(at), ClaimFirst(0, 0, at + LEASE, "mine")),
    "claim of an undo in a run that goes on": lambda at: _of(
        undoing(at, closing=None), ClaimFirst(0, 5, at + LEASE, "mine")
    ),
    "claim of an undo that is tried again": lambda at: _of(
        undoing(at, RETRY), ClaimDue(0, 5, at + LEASE, "mine", at + SECOND)
    ),
    "claim of an undo whose worker is lost": lambda at: _of(
        undoing(at, LEASED), ClaimExpired(0, 5, at + 3 * LEASE, "mine", at + 2 * LEASE)
    ),
    "claim of a stage of before": lambda at: _of(undoing(at), ClaimFirst(0, 5, at + LEASE, "mine"), group=2),
    "an undo is done": lambda at: _of(undoing(at, LEASED, LEASED), Finish(0, 5, Entry(EntryState.DONE, 5))),
    "an undo waits": lambda at: _of(undoing(at, LEASED, LEASED), Hold(1, 5, RETRY)),
}


def _wide(at: datetime) -> Head:
    entries = tuple(Entry(state, 3 * n, n + 1) for n, state in enumerate(EntryState))
    closing = decided(at, base=9, group=4, entries=entries, not_undone=((4, 0), (2, 1)), undone_from=1)
    return undoing(at, closing=replace(closing, asked=((4, 0),), first=12))


class ClosingContract:
    """Runs that have something to do before they end."""

    @pytest.mark.parametrize("name", CASES)
    def test_a_shared_commit_of_a_closing_run_is_what_apply_shared_says(
        self, persistence: Persistence, clock: FakeClock, name: str
    ) -> None:
        head, commit = CASES[name](clock.now())
        committed(persistence.commit(create(head)))
        stored = persistence.load_head(head.run_id)
        assert stored is not None
        expected = apply_shared(stored, commit)
        outcome = persistence.commit(commit)
        assert outcome.head == (expected or stored)
        assert isinstance(outcome, Refused) == (expected is None)
        assert persistence.load_head(head.run_id) == outcome.head

    def test_the_cases_of_closing_hold_both_answers(self) -> None:
        seen = {
            (type(commit.change), apply_shared(head, commit) is None)
            for head, commit in (case(START) for case in CASES.values())
        }
        changes = (ClaimFirst, ClaimExpired, Fail, Cancel)
        assert {(change, answer) for change in changes for answer in (True, False)} <= seen

    def test_how_a_run_closes_is_read_as_it_was_written(self, persistence: Persistence, clock: FakeClock) -> None:
        head = _wide(clock.now())
        committed(persistence.commit(create(head)))
        stored = persistence.load_head(head.run_id)
        assert stored is not None
        assert (stored.closing, stored.closes_on, stored.status) == (head.closing, head.closes_on, Status.RUNNING)
        assert stored.is_closing

    def test_what_has_closed_is_over(self, persistence: Persistence, clock: FakeClock) -> None:
        head = undoing(clock.now())
        before = committed(persistence.commit(create(head)))
        assert before.closing is not None
        after = rewrite(before, status=Status.FAILED, group=2, active=before.closing.entries, ended_at=clock.now())
        ended = committed(persistence.commit(after))
        assert (ended.is_closing, ended.status, ended.closing) == (False, Status.FAILED, before.closing)
        assert persistence.load_head(RunId("run")) == ended

    def test_a_run_that_is_to_fail_is_listed_as_a_failure_from_then_on(
        self, persistence: Persistence, clock: FakeClock
    ) -> None:
        head, commit = _fail(clock.now())
        committed(persistence.commit(create(head)))
        committed(persistence.commit(commit))
        page = persistence.list_failures(head.workflow_id, since=None, limit=10, cursor=None)
        assert list(page.run_ids) == [head.run_id]
