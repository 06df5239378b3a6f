"""What every persistence must do with runs of which stages were skipped, or of which it is open what runs next."""
# ruff: noqa: D102 - a test's name is its docstring

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from workflow_engine.model.commits import Cancel, Fail, Finish, Hold, Shared, Signal, apply_shared
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import (
    SKIPPED_EPOCH,
    Entry,
    EntryState,
    KeptSignal,
    RunFailure,
    StageKey,
    WaitKind,
    Winners,
)
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Persistence
from workflow_engine.testing.builders import LEASE, LIFE, committed, create, leased_head, new_head, rewrite, share
from workflow_engine.testing.clock import START, FakeClock

SKIPPED = Entry(EntryState.SKIPPED, SKIPPED_EPOCH)
LEASED = Entry(EntryState.LEASED, 2, until=START + LEASE, by="worker")
DONE = Entry(EntryState.DONE, 2)
WAITING = Entry(EntryState.WAITING, 2, until=START + LIFE, wait=WaitKind.SLEEP, step="nap")
FAILURE = RunFailure(ErrorInfo("ValueError", "wrong"), StageId("count"), 2)
HEADS: Mapping[str, Mapping[str, Any]] = {
    "with a skipped stage": {"active": (SKIPPED, LEASED)},
    "that is behind one": {"group": 1, "active": (LEASED,), "winners": {(0, 0): SKIPPED_EPOCH, (0, 1): 2}},
    "that stands before a group": {"group": 1, "active": ()},
    "that stands before its first group until then": {
        "status": Status.PENDING,
        "active": (),
        "enters_at": START + LIFE / 2,
    },
    "that has failed before a group": {
        "status": Status.FAILED,
        "active": (),
        "failure": FAILURE,
        "ended_at": START,
        "ended_by": "w",
    },
}
CHANGES: Mapping[str, Any] = {
    "finish": Finish(1, 2, DONE),
    "hold": Hold(1, 2, WAITING),
    "fail": Fail(1, 2, FAILURE, "worker", START + timedelta(seconds=1)),
}


class ChoiceContract:
    """Heads that say what was skipped, or that something is to be decided."""

    @pytest.mark.parametrize("changes", HEADS.values(), ids=HEADS)
    def test_a_head_keeps_it(self, persistence: Persistence, clock: FakeClock, changes: Mapping[str, Any]) -> None:
        before = committed(persistence.commit(create(new_head(clock.now()))))
        after = rewrite(before, **{"status": Status.RUNNING, **changes})
        kept = replace(after.after, bundled=True)
        assert committed(persistence.commit(after)) == kept
        assert persistence.load_head(before.run_id) == kept
        over = rewrite(kept, status=Status.RUNNING, active=(LEASED,), winners={}, enters_at=None)
        assert committed(persistence.commit(over)) == over.after

    def test_a_run_is_created_before_its_first_group(self, persistence: Persistence, clock: FakeClock) -> None:
        head = new_head(clock.now(), active=(), enters_at=START + LIFE / 2)
        assert committed(persistence.commit(create(head))) == replace(head, bundled=True)
        assert persistence.load_head(head.run_id) == replace(head, bundled=True)

    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    def test_a_sibling_changes_its_entry_beside_a_skipped_one(
        self, persistence: Persistence, clock: FakeClock, change: Any
    ) -> None:
        head = leased_head(clock.now(), active=(SKIPPED, LEASED, LEASED), bundled=True)
        committed(persistence.commit(create(head)))
        commit = share(head, change)
        changed = committed(persistence.commit(commit))
        assert changed == apply_shared(head, commit)
        assert persistence.load_head(head.run_id) == changed

    def test_one_that_stands_before_a_group_is_cancelled_and_hears_signals(
        self, persistence: Persistence, clock: FakeClock
    ) -> None:
        head = leased_head(clock.now(), active=(), bundled=True)
        committed(persistence.commit(create(head)))
        kept = KeptSignal(RunId("run"), "go", "k1", "h" * 26, b"1", clock.now(), clock.now() + LIFE)
        heard = Shared(head.run_id, None, Signal(kept))
        after = committed(persistence.commit(heard))
        assert after == apply_shared(head, heard)
        cancel = Shared(head.run_id, None, Cancel(0, "enough", "mine", clock.now()))
        over = committed(persistence.commit(cancel))
        assert (over.status, over.active, over) == (Status.CANCELLED, (), apply_shared(after, cancel))
        assert persistence.load_head(head.run_id) == over

    def test_what_was_skipped_is_kept_beside_the_head(self, persistence: Persistence) -> None:
        page = Winners(RunId("run"), 0, 3, {(1, 0): SKIPPED_EPOCH, (2, 5): 7, (3, 99): SKIPPED_EPOCH}, START + LIFE)
        persistence.put_winners(page)
        assert list(persistence.load_winners(RunId("run"))) == [page]

    def test_there_is_no_record_of_what_was_skipped(self, persistence: Persistence) -> None:
        key = StageKey(0, StageId("count"), SKIPPED_EPOCH)
        assert persistence.load_records(RunId("run"), [key]) == {}
