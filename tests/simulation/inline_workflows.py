"""Groups that one invocation runs side by side, and what becomes of those of their stages that do not end in it."""

from datetime import timedelta

from pydantic import BaseModel

from tests.simulation.reference_workflows import Answer, Batch, Number
from workflow_engine.authoring import NotReady, RetryPolicy, StageContext, Suspended, WaitForSignal, Workflow, stage
from workflow_engine.authoring.stages import Stage
from workflow_engine.errors import PermanentError
from workflow_engine.testing.simulation.outside import apply_effect, take_time

MINUTE = timedelta(minutes=1)


class Two(BaseModel):
    """What two siblings have come to."""

    near: Number
    far: Number


class Four(BaseModel):
    """What four siblings have come to."""

    calm: Number
    shaky: Number
    polling: Number
    asking: Number


@stage("begin", timeout=MINUTE)
def begin(number: Number) -> Number:
    """Adds one."""
    return Number(value=number.value + 1)


@stage("near", timeout=MINUTE)
def near(number: Number, ctx: StageContext) -> Number:
    """Adds ten."""
    apply_effect(ctx)
    return Number(value=number.value + 10)


@stage("far", timeout=2 * MINUTE)
async def far(number: Number, ctx: StageContext) -> Number:
    """Adds a hundred, in a while."""
    take_time(timedelta(seconds=40))
    apply_effect(ctx)
    return Number(value=number.value + 100)


@stage("add-up", timeout=MINUTE)
def add_up(two: Two, ctx: StageContext) -> Number:
    """Both together."""
    apply_effect(ctx)
    return Number(value=two.near.value + two.far.value)


at_once = Workflow("at-once", input=Number).parallel(near, far, inline=True).pipe(add_up).build()


@stage("calm", timeout=MINUTE)
def calm(number: Number, ctx: StageContext) -> Number:
    """Does what it is asked for."""
    apply_effect(ctx)
    return number


@stage("shaky", timeout=MINUTE, retry=RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=30)))
def shaky(number: Number, ctx: StageContext) -> Number:
    """Works at its second attempt."""
    if ctx.attempt < 2:
        raise ConnectionError("not yet")
    apply_effect(ctx)
    return Number(value=number.value + 1000)


@stage("polling", timeout=MINUTE)
def polling(number: Number, ctx: StageContext) -> Suspended[Batch]:
    """Starts something outside."""
    return Suspended(Batch(batch_id=ctx.effect_key), poll_every=10 * MINUTE, give_up_after=timedelta(hours=30))


@polling.check_completion
def polled(batch: Batch, ctx: StageContext) -> Number | NotReady:
    """Looks at it."""
    return Number(value=1)


@stage("asking", timeout=MINUTE)
def asking(number: Number) -> WaitForSignal[Answer]:
    """Asks somebody."""
    return WaitForSignal("answer", Answer, timeout=timedelta(hours=4))


@asking.on_signal
def answered(answer: Answer) -> Number:
    """Hears it."""
    return Number(value=5)


@stage("sum-up", timeout=MINUTE)
def sum_up(four: Four, ctx: StageContext) -> Number:
    """All together."""
    apply_effect(ctx)
    return Number(value=four.calm.value + four.shaky.value + four.polling.value + four.asking.value)


mixed_inline = (
    Workflow("mixed-inline", input=Number)
    .pipe(begin)
    .parallel(calm, shaky, polling, asking, inline=True)
    .pipe(sum_up)
    .build()
)


@stage("breaks", timeout=MINUTE, retry=RetryPolicy(max_attempts=1))
def breaks(number: Number) -> Number:
    """Never works."""
    raise PermanentError("no")


@stage("goes-on", timeout=MINUTE)
def goes_on(number: Number, ctx: StageContext) -> Number:
    """Is not stopped by it."""
    take_time(timedelta(seconds=20))
    return number


@stage("never", timeout=MINUTE)
def never(number: Number) -> Number:
    """Is not reached."""
    return number


class Broken(BaseModel):
    """What nobody comes to take."""

    breaks: Number
    goes_on: Number


@stage("unreached", timeout=MINUTE)
def unreached(broken: Broken) -> Number:
    """Is not reached."""
    return broken.goes_on


breaking = Workflow("breaking", input=Number).parallel(breaks, goes_on, inline=True).pipe(unreached).build()


def _part(n: int) -> Stage[..., Number]:
    @stage(f"part-{n}", timeout=MINUTE)
    def part(number: Number, ctx: StageContext) -> Number:
        take_time(timedelta(seconds=n))
        apply_effect(ctx)
        return Number(value=number.value + 10**n)

    return part


class Five(BaseModel):
    """What five siblings have come to."""

    part_0: Number
    part_1: Number
    part_2: Number
    part_3: Number
    part_4: Number


@stage("total", timeout=MINUTE)
def total(five: Five) -> Number:
    """All together."""
    return Number(
        value=five.part_0.value + five.part_1.value + five.part_2.value + five.part_3.value + five.part_4.value
    )


@stage("pause", timeout=15 * MINUTE)
def pause(number: Number) -> Number:
    """Has an invocation of its own, which has nothing at hand."""
    return number


_PARTS = [_part(n) for n in range(5)]


@stage("recount", timeout=MINUTE)
def recount(number: Number, ctx: StageContext) -> Number:
    """Looks at each of them once more."""
    return Number(value=number.value + sum(ctx.require(part).value for part in _PARTS))


wide_inline = (
    Workflow("wide-inline", input=Number)
    .pipe(begin)
    .parallel(*_PARTS, inline=True)
    .pipe(total)
    .pipe(pause)
    .pipe(recount)
    .build()
)
WIDE_TOTAL = 2 * (5 * 2 + 11_111)
WORKFLOWS = (at_once, mixed_inline, breaking, wide_inline)
