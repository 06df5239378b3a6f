"""Code of today goes on with runs as version 0.1.0 left them, in each state that a run can be in."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import pytest

from tests.engine import stored_runs
from tests.engine.conftest import make_engine_on_aws
from workflow_engine import RerunFrom, SignalRun, Status
from workflow_engine.kernel.records import listed
from workflow_engine.model.ids import RunId
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.engine import VirtualEngine

STORED: Mapping[str, Any] = json.loads(stored_runs.FILE.read_text(encoding="utf-8"))
Restored: TypeAlias = Callable[[str], tuple[VirtualEngine, RunId]]
GOES_ON_WITH = {
    "chain, ready": "abcde",
    "chain, leased": "abcde",
    "group, one done": "fl+fr",
    "suspended": "bpl",
    "retrying": "bfl",
    "rerun": "bfl",
}


def read(value: Any) -> Any:
    """What the file has of an attribute, as boto3 takes it."""
    if isinstance(value, dict):
        return value["$bytes"].encode() if "$bytes" in value else {key: read(one) for key, one in value.items()}
    return [read(one) for one in value] if isinstance(value, list) else value


@pytest.fixture(autouse=True)
def mended() -> None:
    stored_runs.broken["failing"] = False


@pytest.fixture(params=["head", "items"])
def restored(request: pytest.FixtureRequest, aws: Mapping[str, Any], clock: FakeClock) -> Restored:
    """Puts the items of a state into a table, and answers an engine over it, at the moment they are of."""

    def restore(state: str) -> tuple[VirtualEngine, RunId]:
        engine, table_name = make_engine_on_aws(aws, clock, records_in_head=request.param == "head")
        for item in STORED[state]["items"]:
            aws["dynamodb"].put_item(TableName=table_name, Item=read(item))
        clock.set(datetime.fromisoformat(STORED[state]["at"]))
        engine.deploy(*stored_runs.WORKFLOWS)
        return engine, RunId(STORED[state]["run_id"])

    return restore


def trace_of(engine: VirtualEngine, run_id: RunId) -> tuple[Status, str]:
    head = engine.kernel.queries.head(run_id)
    outcome = engine.kernel.queries.outcome(head)
    return outcome.status, json.loads(outcome.output or b'{"trace":""}')["trace"]


def test_the_file_has_a_run_in_each_state() -> None:
    assert set(STORED) == set(stored_runs.STATES)
    assert {item["f"]["N"] for one in STORED.values() for item in one["items"]} == {"1"}


@pytest.mark.parametrize("state", GOES_ON_WITH)
def test_it_goes_on_to_its_end(restored: Restored, state: str) -> None:
    engine, run_id = restored(state)
    engine.advance(timedelta(hours=2))
    assert trace_of(engine, run_id) == (Status.COMPLETED, GOES_ON_WITH[state])
    view = engine.kernel.queries.run(run_id)
    assert all(stage.status is Status.COMPLETED for stage in view.stages)


def test_a_signal_wakes_it(restored: Restored) -> None:
    engine, run_id = restored("waiting")
    engine.kernel.dispatch(SignalRun(run_id=run_id, name="approval", payload={"by": "A"}))
    engine.advance(timedelta(hours=1))
    assert trace_of(engine, run_id) == (Status.COMPLETED, "bAl")


@pytest.mark.parametrize(("state", "stage", "trace"), [("failed", "flaky", "bfl"), ("completed", "c", "abcde")])
def test_it_is_run_again(restored: Restored, state: str, stage: str, trace: str) -> None:
    engine, run_id = restored(state)
    engine.kernel.dispatch(RerunFrom(run_id=run_id, from_stage_id=stage))
    engine.advance(timedelta(hours=1))
    assert trace_of(engine, run_id) == (Status.COMPLETED, trace)


@pytest.mark.parametrize("state", ["chain, ready", "retrying", "failed", "rerun", "completed"])
def test_nothing_of_its_history_is_lost(restored: Restored, state: str) -> None:
    engine, run_id = restored(state)
    before = {record.key for record in listed(engine.kernel.queries.head(run_id), engine.persistence)}
    engine.advance(timedelta(hours=1))
    if state in ("failed", "completed"):
        engine.kernel.dispatch(RerunFrom(run_id=run_id, from_stage_id="b" if state == "completed" else "flaky"))
        engine.advance(timedelta(hours=1))
    after = [record.key for record in listed(engine.kernel.queries.head(run_id), engine.persistence)]
    assert before <= set(after)
    assert len(after) == len(set(after))
