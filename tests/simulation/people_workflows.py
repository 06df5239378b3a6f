"""Workflows in which many stages ask people at once, and people answer badly, late, or twice."""

from datetime import timedelta
from typing import Any

from pydantic import BaseModel, create_model

from tests.simulation.reference_workflows import Answer, Batch, Number
from workflow_engine.authoring import (
    NotReady,
    RetryPolicy,
    StageContext,
    Suspended,
    WaitForSignal,
    Workflow,
    sleep,
    stage,
)
from workflow_engine.authoring.stages import Stage
from workflow_engine.authoring.workflow_definition import WorkflowDefinition
from workflow_engine.testing.simulation.outside import apply_effect, take_time

ANSWER_WITHIN = timedelta(hours=4)


def _asking(name: str, signal: str) -> Stage[..., Any]:
    @stage(name, timeout=timedelta(minutes=1))
    def ask(number: Number) -> WaitForSignal[Answer]:
        take_time(timedelta(milliseconds=number.value * 10))
        return WaitForSignal(signal, Answer, timeout=ANSWER_WITHIN)

    @ask.on_signal
    def answered(answer: Answer, ctx: StageContext) -> Number:
        apply_effect(ctx)
        return Number(value=1 if answer.approved else 0)

    return ask


def _working(name: str) -> Stage[..., Any]:
    @stage(name, timeout=timedelta(minutes=2), retry=RetryPolicy(max_attempts=2, first_delay=timedelta(seconds=20)))
    def work(_number: Number, ctx: StageContext) -> Number:
        ctx.progress(0.5, "half of it")
        take_time(timedelta(seconds=2))
        apply_effect(ctx)
        if ctx.attempt == 1 and int(name[-1]) % 3 == 0:
            raise ConnectionError("once " + "n" * 900)
        return Number(value=1)

    return work


def _summing(name: str, stages: list[str]) -> Stage[..., Any]:
    fields: Any = {one.replace("-", "_"): (Number, ...) for one in stages}
    everybody = create_model("Everybody", **fields)

    def add(numbers: BaseModel) -> Number:
        return Number(value=sum(getattr(numbers, field).value for field in fields))

    add.__annotations__["numbers"] = everybody
    return stage(name, timeout=timedelta(minutes=1))(add)


def panel_of(siblings: int) -> WorkflowDefinition:
    """A group of which half ask people, each for an answer of its own, and the others work."""
    asking = [_asking(f"ask-{n}", f"answer-{n}") for n in range(siblings // 2)]
    working = [_working(f"work-{n}") for n in range(siblings - siblings // 2)]
    together = [*asking, *working]
    return (
        Workflow(f"panel-{siblings}", input=Number)
        .parallel(*together)
        .pipe(_summing("count", [one.id for one in together]))
        .build()
    )


panel, wide_panel = panel_of(4), panel_of(30)

# Two that wait for one name: each answer is for one of them.
twins = (
    Workflow("twins", input=Number)
    .parallel(_asking("first", "vote"), _asking("second", "vote"), _working("work-0"))
    .pipe(_summing("count", ["first", "second", "work-0"]))
    .build()
)


class Number1To3(BaseModel):
    """What a person may say, once more each time."""

    value: int


@stage("ask-again", timeout=timedelta(minutes=1))
def ask_again(_number: Number) -> WaitForSignal[Number1To3]:
    """Asks until the number is three or more."""
    return WaitForSignal("number", Number1To3, timeout=ANSWER_WITHIN)


@ask_again.on_signal
def heard(answer: Number1To3, ctx: StageContext) -> Number | WaitForSignal[Number1To3]:
    """Waits again where the answer was too small."""
    if answer.value < 3:
        return WaitForSignal("number", Number1To3, timeout=ANSWER_WITHIN)
    apply_effect(ctx)
    return Number(value=answer.value)


again = (
    Workflow("again", input=Number)
    .pipe(sleep("rest", timedelta(minutes=20)))
    .parallel(ask_again, _working("work-0"))
    .pipe(_summing("count", ["ask-again", "work-0"]))
    .build()
)


alone = (
    Workflow("alone", input=Number)
    .pipe(sleep("rest", timedelta(minutes=20)))
    .pipe(ask_again)
    .pipe(_asking("ask-last", "number-last"))
    .build()
)


@stage("page", timeout=timedelta(minutes=1), retry=RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=10)))
def page(_number: Number, ctx: StageContext) -> Suspended[Batch]:
    """Reads an export page by page; each page is a check."""
    ctx.storage.save("page-0", "0")
    return Suspended(Batch(batch_id="0"), poll_every=timedelta(minutes=2))


@page.check_completion
def next_page(state: Batch, ctx: StageContext) -> Number | NotReady | Suspended[Batch]:
    """Suspends again with the next page; fails once on its way."""
    number = int(state.batch_id)
    if number == 1 and ctx.attempt == 1:
        raise ConnectionError("the second page")
    if number == 2:
        apply_effect(ctx)
        return Number(value=number + 40)
    return Suspended(Batch(batch_id=str(number + 1)), poll_every=timedelta(minutes=2))


paging = (
    Workflow("paging", input=Number)
    .parallel(page, _working("work-1"))
    .pipe(_summing("count", ["page", "work-1"]))
    .build()
)


@stage("tell", timeout=timedelta(minutes=2), retry=RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=30)))
def tell(number: Number, ctx: StageContext) -> Number:
    """Says to its own run what the next stage waits for, and fails once behind that."""
    ctx.signal(ctx.run_id, "word", {"approved": True})
    ctx.signal(ctx.run_id, "word", {"approved": False}, key=f"{ctx.effect_key}-again")
    if ctx.attempt == 1:
        raise ConnectionError("after it was said")
    return Number(value=number.value + ctx.run_input.value)


@stage("hear", timeout=timedelta(minutes=2))
def hear(number: Number) -> WaitForSignal[Answer]:
    """Waits for it."""
    return WaitForSignal("word", Answer, timeout=timedelta(hours=4))


@hear.on_signal
def heard_word(answer: Answer, ctx: StageContext) -> Number:
    """The one that was said first, whatever was said again."""
    return Number(value=ctx.require(tell).value if answer.approved else 0)


telling = Workflow("telling", input=Number).pipe(tell).pipe(hear).build()
