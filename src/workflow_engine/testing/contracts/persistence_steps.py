"""What every persistence must do with the steps of a stage's body, and with stages that wait in it."""
# ruff: noqa: D102 - a test's name is its docstring

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from workflow_engine.errors import PayloadTooLargeError
from workflow_engine.model.commits import Hold, apply_shared
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.limits import MAX_ITEM_BYTES
from workflow_engine.model.payloads import ErrorInfo, Payload
from workflow_engine.model.runs import Entry, EntryState, WaitKind
from workflow_engine.model.steps import StepKind, StepRecord, StepScope
from workflow_engine.ports.persistence import Persistence
from workflow_engine.testing.builders import LIFE, committed, create, leased_head, rewrite, share
from workflow_engine.testing.clock import START, FakeClock

SCOPE = StepScope(0, StageId("count"), 0)
SECOND = timedelta(seconds=1)


def step(name: str = "charge", *, scope: StepScope = SCOPE, run_id: str = "run", **changes: Any) -> StepRecord:
    """A step of the run."""
    record = StepRecord(
        run_id=RunId(run_id),
        scope=scope,
        name=name,
        kind=StepKind.CALL,
        epoch=3,
        started_at=START,
        finished_at=START + 17 * SECOND,
        expires_at=START + LIFE,
        output=Payload.of(b'{"cents":990}'),
    )
    return replace(record, **changes)


class StepContract:
    """Steps of a stage's body."""

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"kind": StepKind.SLEEP, "output": Payload.of(b"null"), "tries": 4},
            {"kind": StepKind.SIGNAL, "signal": "approval#k1"},
            {"output": None, "error": ErrorInfo("ValueError", "нет", retryable=True, trace="line 1\nline 2")},
            {"output": Payload(size_bytes=70_000, blob_key="runs/run/0/count/3/steps/x.json")},
            {"name": "Straße 17/ты ~2:.-_ \N{PILE OF POO}", "epoch": 0},
        ],
    )
    def test_a_step_is_kept_as_it_is(self, persistence: Persistence, changes: dict[str, Any]) -> None:
        kept = step(**changes)
        assert persistence.put_step(kept) is None
        assert list(persistence.list_steps(RunId("run"))) == [kept]

    def test_the_first_outcome_counts(self, persistence: Persistence) -> None:
        first, second = step(), step(output=Payload.of(b"2"), epoch=4)
        assert persistence.put_step(first) is None
        assert persistence.put_step(second) == first
        assert persistence.put_step(second) == first
        assert list(persistence.list_steps(RunId("run"))) == [first]

    def test_the_steps_of_one_scope_are_those_alone(self, persistence: Persistence) -> None:
        others = [
            step(scope=replace(SCOPE, base=7)),
            step(scope=replace(SCOPE, group=1)),
            step(scope=replace(SCOPE, stage_id=StageId("count-2"))),
            step(scope=replace(SCOPE, stage_id=StageId("coun"))),
            step(run_id="run-2"),
            step(run_id="ru"),
        ]
        own = [step("a"), step("a~2"), step("b/c")]
        for one in (*others, *reversed(own)):
            assert persistence.put_step(one) is None
        assert list(persistence.list_steps(RunId("run"), SCOPE)) == own
        assert len(persistence.list_steps(RunId("run"))) == len(own) + 4
        assert list(persistence.list_steps(RunId("nobody"))) == []

    def test_one_that_no_item_can_hold_is_refused(self, persistence: Persistence) -> None:
        with pytest.raises(PayloadTooLargeError):
            persistence.put_step(step(output=Payload.of(b"x" * (MAX_ITEM_BYTES + 1))))
        assert list(persistence.list_steps(RunId("run"))) == []

    def test_it_lives_as_long_as_the_run(self, persistence: Persistence) -> None:
        persistence.put_step(step())
        persistence.extend_expiry(RunId("run"), START + 2 * LIFE)
        assert [one.expires_at for one in persistence.list_steps(RunId("run"))] == [START + 2 * LIFE]

    @pytest.mark.parametrize(
        "entry",
        [
            Entry(EntryState.WAITING, 3, 2, until=START + LIFE, wait=WaitKind.SLEEP, give_up_at=START, step="nap"),
            Entry(EntryState.WAITING, 3, until=START, wait=WaitKind.SIGNAL, signal="go", step="item-1/go~2"),
            Entry(EntryState.WAITING, 3, until=START, wait=WaitKind.CONTINUES),
        ],
    )
    def test_a_head_keeps_the_wait_of_a_body(self, persistence: Persistence, clock: FakeClock, entry: Entry) -> None:
        head = leased_head(clock.now(), active=(entry,), bundled=True)
        before = committed(persistence.commit(create(replace(head, active=(Entry(EntryState.READY),), bundled=False))))
        after = rewrite(before, active=(entry,))
        assert committed(persistence.commit(after)) == replace(after.after, bundled=True)
        assert persistence.load_head(head.run_id) == replace(after.after, bundled=True)
        over = rewrite(replace(after.after, bundled=True), active=(Entry(EntryState.READY),))
        assert committed(persistence.commit(over)) == over.after
        assert persistence.load_head(head.run_id) == over.after

    def test_a_sibling_begins_to_wait_in_its_body(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now(), stages=2)
        committed(persistence.commit(create(head)))
        entry = Entry(EntryState.WAITING, until=clock.now() + LIFE, wait=WaitKind.SLEEP, step="nap")
        commit = share(head, Hold(1, 0, entry))
        held = committed(persistence.commit(commit))
        assert held == apply_shared(head, commit)
        assert persistence.load_head(head.run_id) == held
