"""Letting runs go again."""

import json
from typing import Any

import pytest

from tests.unit.cli.conftest import create, work
from workflow_engine.cli.bulk import Bulk, rerun_many
from workflow_engine.cli.run_actions import HowAgain, rerun_one, signal_run
from workflow_engine.cli.run_filters import RunFilter
from workflow_engine.local.errors import InvalidOptionError
from workflow_engine.model.commands import CancelRun
from workflow_engine.model.status import Status
from workflow_engine.wiring.memory import MemoryEngine


def bulk(**changes: Any) -> Bulk:
    facts: dict[str, Any] = {
        "wanted": RunFilter(workflow_id="asking", status=Status.FAILED),
        "limit": 100,
        "rate": 1000.0,
        "key": "again",
        "dry_run": False,
    }
    return Bulk(**(facts | changes))


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_signal_that_nobody_waits_for_is_said_to_be_one(
    engine: MemoryEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = create(engine, 1)
    work(engine)
    signal_run(engine.kernel, run_id, "anwser", '{"add": 1}', key=None, as_json=False)
    assert "is kept for" in (said := " ".join(capsys.readouterr().out.split()))
    assert said.endswith("but nobody waits for it yet; it waits for answer")
    signal_run(engine.kernel, run_id, "anwser", '{"add": 1}', key=None, as_json=True)
    assert printed(capsys)["waits_for"] == ["answer"]
    signal_run(engine.kernel, run_id, "answer", '{"add": 1}', key=None, as_json=True)
    assert printed(capsys) == {"run_id": run_id, "name": "answer", "delivered": True}


def test_a_run_goes_again_from_the_stage_that_failed(engine: MemoryEngine, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = create(engine, -1)
    work(engine)
    rerun_one(engine.kernel, run_id, HowAgain(), key=None, as_json=True)

    assert printed(capsys)["from_stage_id"] == "left"


def test_a_cancelled_run_goes_again_from_the_group_it_was_in(
    engine: MemoryEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = create(engine, 1)
    work(engine)
    engine.kernel.dispatch(CancelRun(run_id=run_id))
    rerun_one(engine.kernel, run_id, HowAgain(), key=None, as_json=True)

    assert printed(capsys)["from_stage_id"] == "ask"


def test_another_input_begins_with_the_first_stage(engine: MemoryEngine, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = create(engine, -1)
    work(engine)
    rerun_one(engine.kernel, run_id, HowAgain(new_input={"value": 3}), key=None, as_json=True)

    assert printed(capsys)["from_stage_id"] == "double"


def test_many_go_again_and_one_that_cannot_holds_up_none(
    engine: MemoryEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {create(engine, -value) for value in (1, 2, 3)}
    work(engine)
    code = rerun_many(engine.kernel, bulk(), HowAgain(from_stage="ask"), as_json=True)
    said = printed(capsys)

    # The stages before it never finished, so that none of them can begin there.
    assert (code, said["rerun"]) == (2, [])
    assert {one["source"] for one in said["refused"]} == runs
    assert rerun_many(engine.kernel, bulk(), HowAgain(), as_json=True) == 0
    assert {one["run_id"] for one in printed(capsys)["rerun"]} == runs


def test_no_more_go_again_than_are_asked_for(engine: MemoryEngine, capsys: pytest.CaptureFixture[str]) -> None:
    for value in (1, 2, 3):
        create(engine, -value)
    work(engine)
    rerun_many(engine.kernel, bulk(limit=2), HowAgain(), as_json=True)

    assert len(printed(capsys)["rerun"]) == 2


def test_a_rerun_that_was_interrupted_is_repeated_without_a_second_effect(
    engine: MemoryEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = create(engine, -1)
    work(engine)
    rerun_many(engine.kernel, bulk(), HowAgain(), as_json=True)
    first = engine.kernel.queries.head(run_id)
    rerun_many(engine.kernel, bulk(wanted=RunFilter(workflow_id="asking")), HowAgain(), as_json=True)

    assert engine.kernel.queries.head(run_id).bases == first.bases


def test_a_dry_run_changes_nothing(engine: MemoryEngine, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = create(engine, -1)
    work(engine)
    before = engine.kernel.queries.head(run_id)
    rerun_many(engine.kernel, bulk(dry_run=True), HowAgain(), as_json=True)

    assert [run["run_id"] for run in printed(capsys)["runs"]] == [run_id]
    assert engine.kernel.queries.head(run_id) == before


def test_live_runs_are_not_what_can_go_again(engine: MemoryEngine) -> None:
    with pytest.raises(InvalidOptionError, match="finished"):
        rerun_many(
            engine.kernel, bulk(wanted=RunFilter(workflow_id="asking", status=Status.RUNNING)), HowAgain(), as_json=True
        )
