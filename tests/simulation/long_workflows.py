"""Workflows that are long, are configured, are started again with something else, or expire soon."""

from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from tests.simulation.reference_workflows import Batch, Number
from workflow_engine.authoring import (
    NotReady,
    RetryPolicy,
    StageContext,
    StageResult,
    Suspended,
    Workflow,
    sleep,
    stage,
)
from workflow_engine.authoring.stages import Stage
from workflow_engine.authoring.workflow_definition import WorkflowDefinition
from workflow_engine.testing.simulation.outside import apply_effect, take_time

LENGTH = 12
SHORT_LIFE = timedelta(hours=4)


class LinkConfig(BaseModel):
    """How much a link adds, how often, and what it calls it."""

    plus: int = 1
    times: int = 1
    name: str = "plain"


def _link(n: int) -> Stage[..., Any]:
    @stage(
        f"link-{n}", timeout=timedelta(minutes=3), retry=RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=5))
    )
    def link(number: Number, ctx: StageContext[LinkConfig]) -> Number:
        ctx.annotate("linked", n)
        ctx.log("info", "linked", n=n, story=ctx.attributes["story"])
        take_time(timedelta(seconds=50 if n % 4 == 1 else 2))
        apply_effect(ctx)
        if n % 5 == 2 and ctx.attempt == 1:
            raise ConnectionError(f"link {n}")
        return Number(value=number.value + ctx.config.plus * ctx.config.times)

    return link


def chain_of(links: int) -> WorkflowDefinition:
    """A chain, of which some links fail once and some take almost a minute."""
    workflow = Workflow("long-chain", input=Number)
    for n in range(links):
        workflow = workflow.pipe(_link(n))
    return workflow.build()


long_chain = chain_of(LENGTH)


@stage("keep", timeout=timedelta(minutes=1))
def keep(number: Number, ctx: StageContext) -> StageResult[Number]:
    """An output that later stages read, and a file."""
    ctx.storage.save("file", "k" * 10_000)
    ctx.annotate("kept", number.value)
    return StageResult(output=Number(value=number.value + 1, padding="k" * 9000), metrics={"kept": 1.0})


@stage("read", timeout=timedelta(minutes=1), requires=[keep])
def read(number: Number, ctx: StageContext) -> Number:
    """Reads far back."""
    apply_effect(ctx)
    return Number(value=number.value + ctx.require(keep).value)


# Reads what it kept hours ago, when all that was kept of its first time may have expired.
short_lived = (
    Workflow("short-lived", input=Number, max_duration=SHORT_LIFE)
    .pipe(keep)
    .pipe(sleep("pause", timedelta(hours=2)))
    .pipe(read)
    .build()
)


@stage("east", timeout=timedelta(minutes=3))
def east(number: Number, ctx: StageContext) -> Number:
    """One side, for longer than a short lease."""
    take_time(timedelta(minutes=2))
    apply_effect(ctx)
    return Number(value=number.value + 10)


@stage("west", timeout=timedelta(minutes=3))
def west(number: Number, ctx: StageContext) -> Number:
    """The other side, longer still."""
    take_time(timedelta(minutes=2, seconds=30))
    apply_effect(ctx)
    return Number(value=number.value + 100)


class Sides(BaseModel):
    """Both of them."""

    east: Number
    west: Number


@stage("meet", timeout=timedelta(minutes=1))
def meet(sides: Sides, ctx: StageContext) -> Number:
    """Both sides together."""
    apply_effect(ctx)
    return Number(value=sides.east.value + sides.west.value)


lasting = Workflow("lasting", input=Number).parallel(east, west).pipe(meet).build()


@stage("try", timeout=timedelta(minutes=1), retry=RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=10)))
def always_fail(number: Number, ctx: StageContext) -> Number:
    """Fails at every attempt."""
    raise ConnectionError(f"attempt {ctx.attempt} of {number.value}")


stubborn = Workflow("stubborn", input=Number).pipe(always_fail).build()


@stage("begin", timeout=timedelta(minutes=1))
def begin(number: Number) -> Suspended[Batch]:
    """Starts what never ends, and does not wait for it for ever."""
    state = Batch(batch_id=str(number.value))
    return Suspended(state, poll_every=timedelta(minutes=20), give_up_after=timedelta(minutes=50))


@begin.check_completion
def never(_state: Batch) -> Number | NotReady:
    """Never ready."""
    return NotReady()


endless = Workflow("endless", input=Number).pipe(begin).build()
