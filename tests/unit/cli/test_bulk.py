"""Cancelling many runs by a filter."""

import io
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.unit.cli.conftest import create, work
from workflow_engine.cli import bulk
from workflow_engine.cli.app import app
from workflow_engine.cli.bulk import Bulk, rerun_many
from workflow_engine.cli.interrupts import Interrupted
from workflow_engine.cli.run_actions import HowAgain
from workflow_engine.cli.run_filters import RunFilter
from workflow_engine.kernel import Kernel
from workflow_engine.local.errors import InvalidOptionError
from workflow_engine.model.commands import CancelRun, RerunFrom
from workflow_engine.model.status import Status
from workflow_engine.wiring.memory import MemoryEngine


def cancel_many(kernel: Kernel, wanted: Bulk, *, as_json: bool) -> int:
    return bulk.cancel_many(kernel, wanted, "enough", as_json=as_json)


def many(**changes: Any) -> Bulk:
    facts: dict[str, Any] = {
        "wanted": RunFilter(workflow_id="asking"),
        "limit": 100,
        "rate": 1000.0,
        "key": "end",
        "dry_run": False,
        "confirm": False,
    }
    return Bulk(**(facts | changes))


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_those_that_are_alive_are_cancelled_and_the_others_left(
    engine: MemoryEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    alive = {create(engine, value) for value in (1, 2, 3)}
    failed = create(engine, -1)
    work(engine)
    assert cancel_many(engine.kernel, many(), as_json=True) == 0
    said = printed(capsys)
    assert {one["run_id"] for one in said["runs"] if one["cancelled"]} == alive
    assert {engine.kernel.queries.head(run_id).status for run_id in alive} == {Status.CANCELLED}
    assert {engine.kernel.queries.head(run_id).reason for run_id in alive} == {"enough"}
    assert engine.kernel.queries.head(failed).status is Status.FAILED


def test_a_dry_run_changes_nothing(engine: MemoryEngine, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = create(engine, 1)
    before = engine.kernel.queries.head(run_id)
    cancel_many(engine.kernel, many(dry_run=True), as_json=True)
    assert [run["run_id"] for run in printed(capsys)["runs"]] == [run_id]
    assert engine.kernel.queries.head(run_id) == before


def test_no_more_are_cancelled_than_are_asked_for(engine: MemoryEngine, capsys: pytest.CaptureFixture[str]) -> None:
    for value in (1, 2, 3):
        create(engine, value)
    cancel_many(engine.kernel, many(limit=2), as_json=True)
    assert len(printed(capsys)["runs"]) == 2


def test_the_same_key_cancels_none_twice(engine: MemoryEngine, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = create(engine, 1)
    work(engine)
    cancel_many(engine.kernel, many(), as_json=True)
    engine.kernel.dispatch(RerunFrom(run_id=run_id, from_stage_id="ask"))
    work(engine)
    cancel_many(engine.kernel, many(), as_json=True)
    assert not engine.kernel.queries.head(run_id).status.is_terminal
    cancel_many(engine.kernel, many(key="another"), as_json=True)
    assert engine.kernel.queries.head(run_id).status is Status.CANCELLED


def test_one_that_is_over_by_then_holds_up_none(
    engine: MemoryEngine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = create(engine, 1), create(engine, 2)

    def with_somebody_else(heads: Any, rate: float) -> Any:
        engine.kernel.dispatch(CancelRun(run_id=first))
        yield from heads

    monkeypatch.setattr(bulk, "at_rate", with_somebody_else)
    assert cancel_many(engine.kernel, many(), as_json=False) == 0
    assert engine.kernel.queries.head(second).status is Status.CANCELLED
    assert capsys.readouterr().out == "1 runs are cancelled, 1 were over already, 0 cannot\n"


def test_an_interrupted_one_says_how_to_go_on(engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (1, 2):
        create(engine, value)

    def with_ctrl_c(heads: Any, rate: float) -> Any:
        yield heads[0]
        raise KeyboardInterrupt

    monkeypatch.setattr(bulk, "at_rate", with_ctrl_c)
    with pytest.raises(Interrupted, match="1 of 2 runs are done; the same command with --key end goes on"):
        cancel_many(engine.kernel, many(), as_json=False)


@pytest.mark.parametrize(("answer", "status"), [("y\n", Status.CANCELLED), ("n\n", Status.PENDING)])
def test_somebody_at_a_terminal_is_asked_first(
    engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch, answer: str, status: Status
) -> None:
    run_id = create(engine, 1)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    cancel_many(engine.kernel, many(confirm=True), as_json=False)
    assert engine.kernel.queries.head(run_id).status is status


def test_where_nobody_answers_nothing_is_cancelled(engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = create(engine, 1)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(Interrupted, match="nothing was changed"):
        cancel_many(engine.kernel, many(confirm=True), as_json=False)
    assert engine.kernel.queries.head(run_id).status is Status.PENDING


@pytest.mark.parametrize("wanted", [RunFilter(workflow_id="no-such"), RunFilter(workflow_id="asking")])
def test_a_filter_that_nothing_passes_does_nothing(
    engine: MemoryEngine, capsys: pytest.CaptureFixture[str], wanted: RunFilter
) -> None:
    assert cancel_many(engine.kernel, many(wanted=wanted), as_json=False) == 0
    assert capsys.readouterr().out == "0 runs are cancelled, 0 were over already, 0 cannot\n"


def test_runs_that_are_over_are_not_what_can_be_cancelled(engine: MemoryEngine) -> None:
    with pytest.raises(InvalidOptionError, match="not over"):
        cancel_many(engine.kernel, many(wanted=RunFilter(workflow_id="asking", status=Status.FAILED)), as_json=True)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["some-run", "--workflow", "asking"],
        ["--workflow", "asking", "--rate", "0"],
        ["--workflow", "asking", "--rate", "-1"],
        ["--workflow", "asking", "--rate", "nan"],
        ["--workflow", "asking", "--limit", "0"],
    ],
)
def test_what_cannot_be_meant_is_bad_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["cancel", *arguments]).exit_code == 2


def test_a_rerun_of_many_is_asked_for_and_gone_on_with_as_a_cancel_is(
    engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in (-1, -2):
        create(engine, value)
    work(engine)
    failed = many(wanted=RunFilter(workflow_id="asking", status=Status.FAILED), confirm=True)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert rerun_many(engine.kernel, failed, HowAgain(), as_json=False) == 0
    assert len(list(engine.kernel.queries.live())) == 0

    def with_ctrl_c(heads: Any, rate: float) -> Any:
        yield heads[0]
        raise KeyboardInterrupt

    monkeypatch.setattr(bulk, "at_rate", with_ctrl_c)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(Interrupted, match="1 of 2 runs are done; the same command with --key end goes on"):
        rerun_many(engine.kernel, failed, HowAgain(), as_json=False)
    assert len(list(engine.kernel.queries.live())) == 1
