"""The engine and the fixtures that users test their workflows with."""

from datetime import timedelta

import pytest
from pydantic import BaseModel

from workflow_engine import NotReady, Status, Suspended, WaitForSignal, Workflow, sleep, stage
from workflow_engine.errors import RunNotFoundError
from workflow_engine.model.ids import RunId
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.engine import VirtualEngine, VirtualRun
from workflows import registry

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
publish_report = registry.get("publish-report")


class Item(BaseModel):
    name: str = "x"


@stage("copy")
def copy(item: Item) -> Item:
    return item


def test_a_report_is_published_once_it_is_approved(workflow_engine: VirtualEngine) -> None:
    run = workflow_engine.run(publish_report, {"name": "a.txt", "text": "A title\n\nAnd a text of some words."})
    assert run.waiting_for == ("approval",)
    workflow_engine.signal(run, "approval", {"approved": True, "by": "ada"})
    assert (run.status, run.output["approved_by"]) == (Status.COMPLETED, "ada")


def test_the_clock_of_the_fixture_is_the_engines(workflow_engine: VirtualEngine, workflow_clock: FakeClock) -> None:
    start = workflow_clock.now()
    workflow_engine.run(Workflow("w", input=Item).pipe(sleep("nap", DAY)).build(), Item())
    assert workflow_clock.now() == start + DAY


def test_a_run_that_needs_no_time_takes_none(workflow_engine: VirtualEngine) -> None:
    start = workflow_engine.clock.now()
    run = workflow_engine.run(Workflow("w", input=Item).pipe(copy).build(), Item())
    assert (run.output, workflow_engine.clock.now()) == ({"name": "x"}, start)


def test_input_may_be_a_model_or_a_mapping(workflow_engine: VirtualEngine) -> None:
    workflow = Workflow("w", input=Item).pipe(copy).build()
    assert workflow_engine.run(workflow, Item(name="y")).output == workflow_engine.run(workflow, {"name": "y"}).output


def test_start_only_creates(workflow_engine: VirtualEngine) -> None:
    run = workflow_engine.start(Workflow("w", input=Item).pipe(copy).build(), Item())
    assert (run.status, run.output, run.records) == (Status.PENDING, None, [])
    workflow_engine.drive()
    assert run.output == {"name": "x"}


def test_advance_does_what_becomes_due_on_the_way(workflow_engine: VirtualEngine) -> None:
    run = workflow_engine.start(Workflow("w", input=Item).pipe(sleep("nap", DAY)).pipe(copy).build(), Item())
    start = workflow_engine.clock.now()
    workflow_engine.advance(DAY - MINUTE)
    assert (run.status, run.waiting_for) == (Status.SUSPENDED, ())
    workflow_engine.advance(9 * DAY)
    assert (run.output, workflow_engine.clock.now()) == ({"name": "x"}, start + 10 * DAY - MINUTE)
    assert run.head.ended_at == start + DAY


def test_a_batch_is_completed_by_the_test(workflow_engine: VirtualEngine) -> None:
    done: list[str] = []

    @stage("batch")
    def submit(item: Item) -> Suspended[Item]:
        return Suspended(item, poll_every=MINUTE)

    @submit.check_completion
    def check(state: Item) -> Item | NotReady:
        return state if done else NotReady()

    run = workflow_engine.start(Workflow("w", input=Item).pipe(submit).build(), Item())
    workflow_engine.advance(DAY)
    assert run.status is Status.SUSPENDED
    done.append("yes")
    workflow_engine.drive(run)
    assert run.output == {"name": "x"}


def test_a_run_that_waits_for_a_person_is_at_rest(workflow_engine: VirtualEngine) -> None:
    @stage("ask")
    def ask(item: Item) -> WaitForSignal[Item]:
        return WaitForSignal("answer", Item)

    @ask.on_signal
    def answered(item: Item) -> Item:
        return item

    workflow = Workflow("w", input=Item).parallel(ask, copy).build()
    run = workflow_engine.run(workflow, Item())
    assert (run.is_at_rest, run.waiting_for) == (True, ("answer",))
    workflow_engine.signal(run, "answer", Item(name="z"))
    assert run.output == {"ask": {"name": "z"}, "copy": {"name": "x"}}


def test_the_error_of_a_failed_run_is_at_hand(workflow_engine: VirtualEngine) -> None:
    @stage("broken")
    def broken(item: Item) -> Item:
        raise KeyError("colour")

    run = workflow_engine.run(Workflow("w", input=Item).pipe(broken).build(), Item())
    assert run.error is not None
    assert (run.status, run.error.type, repr(run)) == (Status.FAILED, "KeyError", f"<run {run.id}: FAILED>")
    assert [event.type for event in run.events][-1] == "workflow:failed"


def test_what_never_rests_is_reported_and_not_waited_for(workflow_engine: VirtualEngine) -> None:
    @stage("batch")
    def submit(item: Item) -> Suspended[Item]:
        return Suspended(item, poll_every=timedelta(seconds=1))

    @submit.check_completion
    def check(state: Item) -> Item | NotReady:
        return NotReady()

    with pytest.raises(RuntimeError, match="these are not at rest"):
        workflow_engine.run(Workflow("w", input=Item).pipe(submit).build(), Item())


def test_a_run_that_nobody_started_is_not_found(workflow_engine: VirtualEngine) -> None:
    with pytest.raises(RunNotFoundError):
        _ = VirtualRun(workflow_engine, RunId("nobody")).status
