"""A misspelled signal is refused where the workflow says which it waits for, and else told so."""

from datetime import timedelta

import pytest
from pydantic import BaseModel

from workflow_engine import (
    InvalidInputError,
    NotReady,
    SignalRun,
    Stage,
    Status,
    Suspended,
    WaitForSignal,
    Workflow,
    WorkflowDefinitionError,
    stage,
)
from workflow_engine.model.results import RunSignalled
from workflow_engine.testing.engine import VirtualEngine, VirtualRun


class Draft(BaseModel):
    text: str = ""


class Approval(BaseModel):
    by: str = ""


def asking(stage_id: str, waits_for: str, *names: str) -> Stage[..., WaitForSignal[Approval]]:
    @stage(stage_id)
    def ask(draft: Draft) -> WaitForSignal[Approval]:
        return WaitForSignal(waits_for, Approval)

    @ask.on_signal(names=names)
    def take(approval: Approval) -> Draft:
        return Draft(text=approval.by)

    return ask


def signalled(engine: VirtualEngine, run: VirtualRun, name: str) -> RunSignalled:
    return engine.kernel.dispatch(SignalRun(run_id=run.id, name=name, payload={"by": "ada"}))


def test_it_is_refused_with_the_nearest_name(engine: VirtualEngine) -> None:
    publishing = Workflow("publishing", input=Draft)
    publishing.pipe(asking("ask", "approval", "approval")).pipe(asking("confirm", "go:now", "go:now", "stop"))
    run = engine.start(publishing.build(), Draft())
    for _ in range(2):
        with pytest.raises(InvalidInputError) as refused:
            signalled(engine, run, "aproval")
        engine.drive(run)
    assert str(refused.value) == (
        "signal 'aproval': no stage of this run waits for it (did you mean 'approval'?); "
        "they wait for approval, go:now, stop"
    )
    assert run.head.signals == ()
    assert signalled(engine, run, "go:now") == RunSignalled(delivered=True, early=True, waits_for=("approval",))
    assert signalled(engine, run, "approval") == RunSignalled(delivered=True)
    engine.drive(run)
    assert run.output == {"text": "ada"}


def test_one_that_is_behind_the_run_is_refused_too(engine: VirtualEngine) -> None:
    publishing = Workflow("publishing", input=Draft)
    publishing.pipe(asking("ask", "approval", "approval")).pipe(asking("confirm", "go", "go"))
    run = engine.run(publishing.build(), Draft())
    engine.signal(run, "approval", {})
    with pytest.raises(InvalidInputError, match="no stage of this run waits for it; they wait for go"):
        signalled(engine, run, "approval")


def test_where_a_stage_does_not_say_it_is_kept_and_the_answer_says_that_nobody_waits(engine: VirtualEngine) -> None:
    publishing = Workflow("publishing", input=Draft).pipe(asking("ask", "approval", "approval")).pipe(asking("b", "go"))
    run = engine.run(publishing.build(), Draft())
    assert signalled(engine, run, "aproval") == RunSignalled(delivered=True, early=True, waits_for=("approval",))
    assert signalled(engine, run, "approval") == RunSignalled(delivered=True)
    engine.drive(run)
    assert run.waiting_for == ("go",)


def test_whoever_sends_it_again_is_told_the_same(engine: VirtualEngine) -> None:
    run = engine.start(Workflow("publishing", input=Draft).pipe(asking("ask", "approval")).build(), Draft())
    signal = SignalRun(run_id=run.id, name="approval", payload={}, idempotency_key="click")
    early = engine.kernel.dispatch(signal)
    engine.drive(run)
    assert run.status is Status.COMPLETED
    assert engine.kernel.dispatch(signal) == early == RunSignalled(delivered=True, early=True)


def test_a_stage_waits_for_nothing_but_what_it_says(engine: VirtualEngine) -> None:
    run = engine.run(Workflow("publishing", input=Draft).pipe(asking("ask", "other", "approval")).build(), Draft())
    assert run.status is Status.FAILED
    assert run.error is not None
    assert run.error.message.endswith("waits for signal 'other', which its on_signal does not name")


def test_a_stage_that_has_not_waited_yet_is_asked_too(engine: VirtualEngine) -> None:
    @stage("batch")
    def submit(draft: Draft) -> Suspended[Draft]:
        return Suspended(draft, poll_every=timedelta(hours=1))

    @submit.check_completion
    def check(state: Draft) -> Draft | NotReady:
        return NotReady()

    @submit.on_signal(names=["done"])
    def done(approval: Approval) -> Draft:
        return Draft()

    run = engine.start(Workflow("publishing", input=Draft).pipe(submit).build(), Draft())
    engine.work()
    assert signalled(engine, run, "done") == RunSignalled(delivered=True, early=True)
    with pytest.raises(InvalidInputError, match="did you mean 'done'"):
        signalled(engine, run, "dome")


@pytest.mark.parametrize("names", [["a b"], ["ok", ""], "approval", [3]], ids=str)
def test_names_that_are_none_are_refused_where_they_are_said(names: list[str]) -> None:
    @stage("ask")
    def ask(draft: Draft) -> WaitForSignal[Approval]:
        return WaitForSignal("approval", Approval)

    def take(approval: Approval) -> Draft:
        return Draft()

    with pytest.raises(WorkflowDefinitionError, match="names takes several signal names"):
        ask.on_signal(names=names)(take)
