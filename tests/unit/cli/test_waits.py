"""Who waits for what."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.cli.conftest import Number, create, work
from workflow_engine import Registry, StageContext, Workflow, stage
from workflow_engine.cli import waits
from workflow_engine.cli.waits import Waits, show_waiting
from workflow_engine.local.errors import one_line, printable
from workflow_engine.model.commands import CancelRun, CreateRun, SignalRun
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import WaitKind
from workflow_engine.testing.clock import START, FakeClock
from workflow_engine.wiring.memory import MemoryEngine, memory_engine


@dataclass
class Said:
    engine: MemoryEngine
    capsys: pytest.CaptureFixture[str]

    def __call__(self, workflow: str | None = None, limit: int = 100) -> Any:
        show_waiting(self.engine.kernel, workflow, limit, as_json=True)
        return json.loads(self.capsys.readouterr().out)


@pytest.fixture
def said(engine: MemoryEngine, capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(engine, capsys)


def waiting(engine: MemoryEngine, value: int = 1) -> RunId:
    run_id = create(engine, value)
    work(engine)
    return run_id


def test_a_stage_that_waits_is_there_with_its_signal_since_and_until(engine: MemoryEngine, said: Said) -> None:
    run_id = waiting(engine)
    (one,) = said()["waiting"]
    assert (one["run_id"], one["workflow_id"], one["stage_id"]) == (run_id, "asking", "ask")
    assert (one["for"], one["signal"], one["since"]) == ("signal", "answer", START.isoformat())
    assert one["until"] == (START + timedelta(days=1)).isoformat()


def test_what_does_not_wait_is_not_there(engine: MemoryEngine, said: Said) -> None:
    waiting(engine, -1)
    answered, cancelled = waiting(engine), waiting(engine)
    signal = SignalRun(run_id=answered, name="answer", payload={"add": 1}, idempotency_key="once")
    engine.kernel.dispatch(signal)
    work(engine)
    engine.kernel.dispatch(CancelRun(run_id=cancelled))
    create(engine, 1)
    found = said()
    # The new run is live, and waits for nothing but its turn.
    assert (found["waiting"], found["live_runs_read"], found["more"]) == ([], 1, False)


def test_those_that_wait_longest_come_first(engine: MemoryEngine, said: Said, clock: FakeClock) -> None:
    runs = []
    for _ in range(5):
        runs.append(waiting(engine))
        clock.advance(timedelta(minutes=1))
    assert [one["run_id"] for one in said()["waiting"]] == runs


def test_only_as_many_as_are_asked_for_are_read(engine: MemoryEngine, said: Said) -> None:
    for _ in range(5):
        waiting(engine)
    found = said(limit=2)
    assert (len(found["waiting"]), found["more"], found["live_runs_read"]) == (2, True, 3)
    assert said(limit=5)["more"] is False


def test_of_one_workflow_alone(engine: MemoryEngine, said: Said) -> None:
    waiting(engine)
    assert len(said("asking")["waiting"]) == 1
    assert said("no-such-workflow")["waiting"] == []


def test_a_run_that_goes_away_meanwhile_is_left_out(engine: MemoryEngine, clock: FakeClock) -> None:
    gone, kept = waiting(engine), waiting(engine)
    waits = iter(Waits(engine.kernel))
    first = next(waits)[0].head.run_id
    left = kept if first == gone else gone
    del engine.persistence._heads[left]
    assert list(waits) == []


def test_a_table_has_the_whole_id_and_says_how_much_was_read(
    engine: MemoryEngine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    run_id = waiting(engine)
    show_waiting(engine.kernel, None, 100, as_json=False)
    printed = capsys.readouterr()
    assert run_id in printed.out
    assert "signal answer" in printed.out
    assert printed.err == "read 1 live runs\n"


def test_what_a_body_waits_for_is_named(clock: FakeClock, capsys: pytest.CaptureFixture[str]) -> None:
    @stage("naps", timeout=timedelta(minutes=1))
    def naps(number: Number, ctx: StageContext) -> Number:
        ctx.sleep("pause", timedelta(hours=1))
        return number

    engine = memory_engine(Registry([Workflow("napping", input=Number).pipe(naps).build()]), clock=clock)
    engine.kernel.dispatch(CreateRun(workflow_id="napping", input={"value": 1}))
    work(engine)
    show_waiting(engine.kernel, None, 10, as_json=False)
    assert "sleep (pause)" in capsys.readouterr().out


def test_every_kind_of_wait_has_a_word() -> None:
    assert set(waits._SAID) == set(WaitKind)


def test_nothing_waits(engine: MemoryEngine, capsys: pytest.CaptureFixture[str]) -> None:
    show_waiting(engine.kernel, None, 100, as_json=False)
    assert capsys.readouterr().out == "nothing waits\n"


def test_what_a_terminal_would_obey_is_shown_instead() -> None:
    assert printable("ok\x1b[31m\r\n\x07\u202eé") == "ok\\x1b[31m\\r\\n\\x07\\u202eé"
    assert one_line("one\n\x1b[2Jtwo") == "one \\x1b[2Jtwo"
