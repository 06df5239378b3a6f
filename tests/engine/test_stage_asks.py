"""``ctx.run_input`` and ``ctx.signal``: what a stage may ask of its run, and of others."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from workflow_engine import (
    RerunFrom,
    RetryPolicy,
    StageContext,
    Status,
    Suspended,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

ONCE = RetryPolicy(max_attempts=1)


class Order(BaseModel):
    customer: str = "ada"
    note: str = ""


class Done(BaseModel):
    text: str = ""


class Answer(BaseModel):
    approved: bool


@stage("pack")
def pack(order: Order) -> Done:
    return Done(text="packed")


@stage("label")
def label(done: Done, ctx: StageContext) -> Done:
    order: Order = ctx.run_input
    assert ctx.run_input is order
    return Done(text=f"{done.text} for {order.customer}")


def test_each_stage_has_the_input_of_the_run(engine: VirtualEngine) -> None:
    workflow = Workflow("w", input=Order).pipe(pack).pipe(label).build()
    assert engine.run(workflow, {"customer": "grace"}).output == {"text": "packed for grace"}
    large = engine.run(workflow, {"customer": "grace", "note": "x" * 20_000})
    assert large.output == {"text": "packed for grace"}


def test_a_check_and_a_handler_have_it_too(engine: VirtualEngine) -> None:
    @stage("submit")
    def submit(order: Order) -> Suspended[Done]:
        return Suspended(Done(), poll_every=timedelta(minutes=1))

    @submit.check_completion
    def look(done: Done, ctx: StageContext) -> Done:
        return Done(text=ctx.run_input.customer)

    assert engine.run(Workflow("w", input=Order).pipe(submit).build(), Order()).output == {"text": "ada"}


def test_a_rerun_with_another_input_has_that(engine: VirtualEngine) -> None:
    run = engine.run(Workflow("w", input=Order).pipe(pack).pipe(label).build(), Order())
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="pack", input={"customer": "grace"}))
    engine.drive(run)
    assert run.output == {"text": "packed for grace"}


def test_one_that_does_not_fit_any_more_fails_the_stage_that_asks(engine: VirtualEngine) -> None:
    class Stricter(BaseModel):
        customer: str
        zip_code: str

    @stage("pause")
    def pause(done: Done) -> WaitForSignal[Answer]:
        return WaitForSignal("go", Answer)

    @pause.on_signal
    def go_on(answer: Answer) -> Done:
        return Done()

    @stage("pack", retry=ONCE)
    def pack_strictly(order: Stricter) -> Done:
        return Done()

    workflow = Workflow("w", input=Order).pipe(pack).pipe(pause).pipe(label)
    run = engine.run(workflow.build(), Order())
    engine.deploy(Workflow("w", input=Stricter).pipe(pack_strictly).pipe(pause).pipe(label).build())
    engine.signal(run, "go", Answer(approved=True))
    assert run.status is Status.FAILED
    assert run.error is not None
    assert run.error.type in ("InvalidInputError", "DefinitionChangedError")


@stage("ask")
def ask(order: Order) -> WaitForSignal[Answer]:
    return WaitForSignal("approval", Answer)


@ask.on_signal
def heard(answer: Answer) -> Done:
    return Done(text=str(answer.approved))


asking = Workflow("asking", input=Order).pipe(ask).build()


class Call(BaseModel):
    run_id: str
    payloads: list[dict[str, Any]] = [{"approved": True}]
    keys: list[str | None] = [None]


def calling(**options: Any) -> tuple[WorkflowDefinition, list[bool]]:
    """A workflow whose stage sends what its input says."""
    answers: list[bool] = []

    @stage("call", **options)
    def call(given: Call, ctx: StageContext) -> Done:
        for payload, key in zip(given.payloads, given.keys, strict=True):
            answers.append(ctx.signal(given.run_id, "approval", payload, key))
        if ctx.attempt == 1 and options.get("retry") is not ONCE:
            raise ConnectionError("after it was sent")
        return Done(text="sent")

    return Workflow("calling", input=Call).pipe(call).build(), answers


def test_a_signal_reaches_another_run_once_however_often_its_stage_is_tried(engine: VirtualEngine) -> None:
    waiting = engine.run(asking, Order())
    workflow, answers = calling()
    run = engine.run(workflow, Call(run_id=waiting.id))
    engine.drive(waiting)
    assert (waiting.output, run.output, answers) == ({"text": "True"}, {"text": "sent"}, [True, True])
    # The second was the first once more.
    assert len([event for event in waiting.events if event.type == "workflow:completed"]) == 1


def test_a_model_is_a_payload_and_its_own_run_one_to_signal(engine: VirtualEngine) -> None:
    @stage("tell")
    def tell(order: Order, ctx: StageContext) -> Order:
        assert ctx.signal(ctx.run_id, "approval", Answer(approved=False))
        return order

    run = engine.run(Workflow("w", input=Order).pipe(tell).pipe(ask).build(), Order())
    assert run.output == {"text": "False"}


def test_several_of_one_name_have_keys_of_their_own(engine: VirtualEngine) -> None:
    waiting = engine.run(asking, Order())
    workflow, answers = calling(retry=ONCE)
    engine.run(
        workflow, Call(run_id=waiting.id, payloads=[{"approved": True}, {"approved": False}], keys=["one", "two"])
    )
    assert answers == [True, True]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (Call(run_id="a" * 26), "RunNotFoundError"),
        (Call(run_id="no id at all"), "InvalidInputError"),
        (Call(run_id="", payloads=[{"approved": "perhaps"}]), "InvalidInputError"),
        (
            Call(run_id="", payloads=[{"approved": True}, {"approved": False}], keys=[None, None]),
            "IdempotencyConflictError",
        ),
        (Call(run_id="", payloads=[{"approved": True, "why": "x" * 40_000}]), "PayloadTooLargeError"),
    ],
)
def test_what_cannot_be_sent_fails_the_stage_with_its_reason(engine: VirtualEngine, given: Call, error: str) -> None:
    waiting = engine.run(asking, Order())
    workflow, _ = calling(retry=ONCE)
    run = engine.run(workflow, given.model_copy(update={"run_id": given.run_id or waiting.id}))
    assert run.error is not None
    assert (run.status, run.error.type) == (Status.FAILED, error)


def test_a_run_that_is_over_takes_none(engine: VirtualEngine) -> None:
    over: VirtualRun = engine.run(Workflow("short", input=Order).pipe(pack).build(), Order())
    workflow, answers = calling(retry=ONCE)
    assert engine.run(workflow, Call(run_id=over.id)).output == {"text": "sent"}
    assert answers == [False]
