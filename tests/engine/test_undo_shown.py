"""What is seen of a run that is undone, while it is at it and afterwards: queries, documents, archives, the command line."""

import json
from collections import Counter
from typing import Any

import pytest
from typing_extensions import override

from tests.engine.orders import HOUR, Order, Outside, chain, failing
from workflow_engine import CancelRun, KernelSettings, PermanentError, StageContext, Status, UndoRun
from workflow_engine.cli.run_actions import HowAgain, cancel_run, rerun_one, undo_run
from workflow_engine.cli.run_filters import RunFilter
from workflow_engine.cli.run_views import show_list, show_run
from workflow_engine.kernel.queries.archive_format import read
from workflow_engine.kernel.queries.documents import Shown, run_document
from workflow_engine.ports.observer import NoObserver
from workflow_engine.testing.engine import VirtualEngine, VirtualRun


class Counting(NoObserver):
    """Remembers what happened how often."""

    def __init__(self) -> None:
        self.facts: Counter[str] = Counter()

    @override
    def happened(self, fact: str, count: int = 1) -> None:
        self.facts[fact] += count


def unable(*names: str) -> Any:
    def undo(name: str, _ctx: StageContext[Any]) -> None:
        if name in names:
            raise PermanentError(f"{name} cannot be undone")

    return undo


def late(*names: str) -> Any:
    def undo(name: str, _ctx: StageContext[Any]) -> None:
        if name in names:
            raise RuntimeError("not now")

    return undo


def document(run: VirtualRun) -> dict[str, Any]:
    return run_document(Shown.of(run.engine.kernel, run.id))


def undos(run: VirtualRun) -> dict[str, str]:
    return {stage["stage_id"]: stage["undo"]["status"] for stage in document(run)["stages"] if "undo" in stage}


def test_a_document_says_what_was_undone_and_what_was_not() -> None:
    outside = Outside(act=failing("c"), undo=unable("b"))
    run = VirtualEngine().run(chain(outside, "a", "b", "c", "d", tells=True), Order())
    shown = document(run)
    assert shown["closing"]["undone"] == ["a", "c"]
    assert shown["closing"]["not_undone"] == ["b"]
    assert [stage["status"] for stage in shown["stages"]] == [
        "COMPLETED",
        "COMPLETED",
        "FAILED",
        "PENDING",
        "COMPLETED",
    ]
    assert undos(run) == {"a": "COMPLETED", "b": "FAILED", "c": "COMPLETED"}
    # What undoes a stage is not an attempt of it.
    assert [len(stage["attempts"]) for stage in shown["stages"]] == [1, 1, 1, 0, 1]


def test_a_run_that_is_undoing_is_running_and_says_how_it_will_end(capsys: pytest.CaptureFixture[str]) -> None:
    outside = Outside(act=failing("c"), undo=late("b"))
    engine = VirtualEngine()
    run = engine.start(chain(outside, "a", "b", "c"), Order())
    engine.work()
    assert document(run)["status"] == "RUNNING"
    assert undos(run) == {"a": "PENDING", "b": "SUSPENDED", "c": "COMPLETED"}
    show_run(engine.kernel, run.id, with_input=False, as_json=False)
    said = capsys.readouterr().out
    assert "FAILED (undoing)" in said
    assert "↺ b" in said
    show_list(engine.kernel, RunFilter(workflow_id="order"), 10, as_json=False)
    assert "FAILED (undoing)" in capsys.readouterr().out
    engine.kernel.queries.runs("order", status="RUNNING")
    assert [head.run_id for head in engine.kernel.queries.runs("order", status="RUNNING").heads] == [run.id]
    assert not engine.kernel.queries.runs("order", status="FAILED").heads


def test_its_history_tells_the_decision_the_undos_and_the_end() -> None:
    engine = VirtualEngine()

    def slowly(_name: str, _ctx: StageContext[Any]) -> None:
        engine.clock.advance(HOUR / 60)

    outside = Outside(act=failing("b"), undo=slowly)
    run = engine.run(chain(outside, "a", "b", tells=True), Order())
    told = [event.type for event in run.engine.kernel.queries.events(run.id)]
    assert told.index("workflow:closing") < told.index("stage:undone") < told.index("workflow:failed")
    assert told.count("stage:undone") == 2


def test_stage_undone_is_published_where_that_is_asked_for() -> None:
    outside = Outside(act=failing("b"), undo=unable("a"))
    engine = VirtualEngine(settings=KernelSettings(published=frozenset({"stage:undone", "stage:failed"})))
    run = engine.run(chain(outside, "a", "b"), Order())
    assert [(event.type, getattr(event, "undoing", None)) for event in run.events] == [
        ("stage:failed", False),
        ("stage:undone", None),
        ("stage:failed", True),
    ]


def test_an_archive_keeps_what_was_undone() -> None:
    outside = Outside(act=failing("b"), undo=unable("a"))
    engine = VirtualEngine(settings=KernelSettings(archive=True))
    run = engine.run(chain(outside, "a", "b"), Order())
    archived = read(engine.kernel.queries.archived(run.id))
    assert archived.head.closing == run.head.closing
    view = archived.view(engine.kernel.registry.get("order"))
    assert [stage.undo and stage.undo.status for stage in view.stages] == [Status.FAILED, Status.COMPLETED]


def test_what_could_not_be_undone_is_counted() -> None:
    observer = Counting()
    outside = Outside(act=failing("c"), undo=unable("a", "b"))
    VirtualEngine(observer=observer).run(chain(outside, "a", "b", "c"), Order())
    assert observer.facts["UndosFailed"] == 2


def test_what_is_given_up_is_counted_too() -> None:
    observer = Counting()
    outside = Outside(act=failing("c"), undo=late("c"))
    VirtualEngine(observer=observer).run(chain(outside, "a", "b", "c"), Order())
    assert observer.facts["UndosFailed"] == 3


# The command line


def said_by(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_cancel_says_that_the_run_is_undone_first(capsys: pytest.CaptureFixture[str]) -> None:
    outside = Outside(undo=late("a"))
    engine = VirtualEngine()
    run = engine.start(chain(outside, "a", "b"), Order(), start_at=engine.clock.now() + HOUR)
    outside.act = lambda name, ctx: _cancel_from_outside(engine, ctx.run_id, capsys) if name == "b" else None
    engine.drive(run)
    assert "is cancelled once what it did is undone" in outside_said.pop()
    assert run.status is Status.CANCELLED


outside_said: list[str] = []


def _cancel_from_outside(engine: VirtualEngine, run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    cancel_run(engine.kernel, run_id, None, undo=True, as_json=False)
    outside_said.append(said_by(capsys))


def test_cancel_without_undo_ends_what_is_at_it(capsys: pytest.CaptureFixture[str]) -> None:
    outside = Outside(act=failing("b"), undo=late("a"))
    engine = VirtualEngine()
    run = engine.start(chain(outside, "a", "b"), Order())
    engine.work()
    cancel_run(engine.kernel, run.id, None, undo=True, as_json=False)
    assert "is being undone, and ends as FAILED" in said_by(capsys)
    cancel_run(engine.kernel, run.id, None, undo=False, as_json=False)
    assert "is undone no further, and ends as FAILED" in said_by(capsys)
    assert run.status is Status.FAILED


def test_undo_tries_again_and_rerun_begins_where_the_undoing_began(capsys: pytest.CaptureFixture[str]) -> None:
    outside = Outside(act=failing("b"), undo=unable("a"))
    engine = VirtualEngine()
    run = engine.run(chain(outside, "a", "b"), Order())
    show_run(engine.kernel, run.id, with_input=False, as_json=False)
    assert f"not undone: a (workflow-engine undo {run.id} tries again)" in said_by(capsys)
    outside.undo = late()
    undo_run(engine.kernel, run.id, key=None, as_json=True)
    assert json.loads(capsys.readouterr().out)["stages"] == ["a"]
    engine.drive(run)
    assert undos(run) == {"a": "COMPLETED", "b": "COMPLETED"}
    rerun_one(engine.kernel, run.id, HowAgain(), key=None, as_json=True)
    assert json.loads(capsys.readouterr().out)["from_stage_id"] == "a"


def test_a_cancel_that_comes_as_a_message_undoes(capsys: pytest.CaptureFixture[str]) -> None:
    outside = Outside()
    engine = VirtualEngine()
    run = engine.start(chain(outside, "a", "b"), Order())
    engine.job_transport.enqueue(CancelRun(run_id=run.id))
    engine.drive(run)
    assert run.status is Status.CANCELLED or run.status is Status.COMPLETED
    assert outside.taken == set() or run.status is Status.COMPLETED


def test_run_undo_comes_as_a_message() -> None:
    outside = Outside(act=failing("b"), undo=unable("a"))
    engine = VirtualEngine()
    run = engine.run(chain(outside, "a", "b"), Order())
    outside.undo = late()
    engine.job_transport.enqueue(UndoRun(run_id=run.id))
    engine.work()
    engine.drive(run)
    assert outside.taken == set()
