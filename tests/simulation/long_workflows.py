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
MINUTE = timedelta(minutes=1)
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


def _recall(n: int, earlier: list[Stage[..., Any]]) -> Stage[..., Any]:
    @stage(f"recall-{n}", timeout=timedelta(minutes=3), retry=RetryPolicy(max_attempts=4, first_delay=MINUTE))
    def recall(number: Number, ctx: StageContext) -> Number:
        """Adds what the first stage and the one three before have come to, which nobody has at hand."""
        known = [ctx.require(one).value for one in (earlier[0], earlier[-3])] if n >= 3 else [1]
        take_time(timedelta(seconds=70 if n % 3 == 1 else 2))
        if n in (4, 6) and ctx.attempt == 1:
            raise ConnectionError(f"recall {n}")
        return Number(value=number.value + sum(known))

    return recall


def recalling(stages: int) -> WorkflowDefinition:
    """A chain whose stages read what stages long before them have come to, some of them at a second attempt."""
    workflow, earlier = Workflow("recalling", input=Number), list[Stage[..., Any]]()
    for n in range(stages):
        earlier.append(_recall(n, earlier[:]))
        workflow = workflow.pipe(earlier[-1])
    return workflow.build()


def recalled(value: int, stages: int) -> int:
    """What ``recalling`` of that many stages makes of *value*."""
    found: list[int] = []
    for n in range(stages):
        value += found[0] + found[n - 3] if n >= 3 else 1
        found.append(value)
    return value


def chain_of(links: int) -> WorkflowDefinition:
    """A chain, of which some links fail once and some take almost a minute."""
    workflow = Workflow("long-chain", input=Number)
    for n in range(links):
        workflow = workflow.pipe(_link(n))
    return workflow.build()


long_chain = chain_of(LENGTH)
RECALLS = 9
recalling_chain = recalling(RECALLS)


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
