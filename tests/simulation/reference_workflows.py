"""Reference workflows that between them use every feature there is, and what must become of them."""

from datetime import timedelta

from pydantic import BaseModel

from workflow_engine.authoring import (
    NotReady,
    RetryPolicy,
    StageContext,
    StageResult,
    Suspended,
    WaitForSignal,
    Workflow,
    sleep,
    stage,
)
from workflow_engine.errors import PermanentError
from workflow_engine.model.limits import MAX_PAYLOAD_BYTES
from workflow_engine.testing.simulation.outside import apply_effect, die, take_time

# Above the inline limit of 8 KB, so that it goes through the blob store.
BIG_CHARS = 12_000


class Number(BaseModel):
    """What goes through the chains."""

    value: int
    padding: str = ""


class Batch(BaseModel):
    """What the asynchronous stage started."""

    batch_id: str
    checks_left_seconds: int = 0
    ready_after_seconds: int = 0


class Answer(BaseModel):
    """What a person decided."""

    approved: bool


class StepConfig(BaseModel):
    """How much a step adds."""

    plus: int = 1


class Both(BaseModel):
    """The outputs of two siblings."""

    left: Number
    right: Number


class Three(BaseModel):
    """The outputs of three siblings."""

    quick: Number
    flaky: Number
    slow: Number


@stage("one", timeout=timedelta(minutes=2))
def one(number: Number, ctx: StageContext[StepConfig]) -> Number:
    """Add what the config says."""
    ctx.log("info", "adding", plus=ctx.config.plus)
    ctx.annotate("plus", ctx.config.plus)
    apply_effect(ctx)
    return Number(value=number.value + ctx.config.plus)


@stage("two", timeout=timedelta(minutes=2))
def two(number: Number, ctx: StageContext) -> StageResult[Number]:
    """Add one; measured."""
    take_time(timedelta(seconds=20))
    ctx.storage.save("seen", str(number.value))
    return StageResult(output=Number(value=number.value + 1), metrics={"seen": 1.0})


@stage("three", timeout=timedelta(minutes=2), requires=[one])
async def three(number: Number, ctx: StageContext) -> Number:
    """Add one, and look back."""
    first = ctx.require(one)
    apply_effect(ctx)
    return Number(value=number.value + 1 + 0 * first.value)


chain = Workflow("chain", input=Number).pipe(one).pipe(two).pipe(three).build()


@stage("left", timeout=timedelta(minutes=2))
def left(number: Number, ctx: StageContext) -> Number:
    """One side."""
    apply_effect(ctx)
    return Number(value=number.value + 10)


@stage("right", timeout=timedelta(minutes=2))
def right(number: Number, ctx: StageContext) -> Number:
    """The other side, slower."""
    take_time(timedelta(seconds=3))
    apply_effect(ctx)
    return Number(value=number.value + 100)


@stage("sum", timeout=timedelta(minutes=2))
def add(both: Both, ctx: StageContext) -> Number:
    """Both sides together."""
    apply_effect(ctx)
    return Number(value=both.left.value + both.right.value)


fan = Workflow("fan", input=Number).parallel(left, right).pipe(add).build()


@stage("quick", timeout=timedelta(minutes=1))
def quick(number: Number) -> Number:
    """Done at once."""
    return number


_THREE_ATTEMPTS = RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=30))


@stage("flaky", retry=_THREE_ATTEMPTS, timeout=timedelta(minutes=1))
def flaky(number: Number, ctx: StageContext) -> Number:
    """Works at the third attempt, and has no fourth."""
    apply_effect(ctx)
    if ctx.attempt < 3:
        raise ConnectionError(f"attempt {ctx.attempt}")
    return Number(value=number.value + ctx.attempt)


@stage("slow", timeout=timedelta(minutes=3))
def slow(number: Number, ctx: StageContext) -> Suspended[Batch]:
    """Starts something outside, beside its siblings."""
    take_time(timedelta(seconds=number.value))
    return Suspended(Batch(batch_id=ctx.effect_key), poll_every=timedelta(minutes=3))


@slow.check_completion
def slow_done(state: Batch, ctx: StageContext) -> Number | NotReady:
    """Ready at the first check."""
    return Number(value=7 if state.batch_id == ctx.effect_key else 0)


@stage("gather", timeout=timedelta(minutes=1))
def gather(three: Three) -> Number:
    """All three together."""
    return Number(value=three.quick.value + three.flaky.value + three.slow.value)


mixed = Workflow("mixed", input=Number).parallel(quick, flaky, slow).pipe(gather).build()


@stage("submit", timeout=timedelta(minutes=1))
def submit(number: Number, ctx: StageContext) -> Suspended[Batch]:
    """Starts a batch outside."""
    apply_effect(ctx)
    ctx.storage.save("batch", f"{number.value}")
    state = Batch(batch_id=str(number.value), ready_after_seconds=int(ctx.now().timestamp()) + 1500)
    return Suspended(state, poll_every=timedelta(minutes=10), give_up_after=timedelta(hours=20))


@submit.check_completion
def poll(state: Batch, ctx: StageContext) -> Number | NotReady:
    """Ready after 25 minutes."""
    if ctx.now().timestamp() < state.ready_after_seconds:
        return NotReady()
    return Number(value=int(ctx.storage.load("batch")) + int(state.batch_id))


batch = Workflow("batch", input=Number).pipe(submit).pipe(two).build()


@stage("ask", timeout=timedelta(minutes=1))
def ask(number: Number) -> WaitForSignal[Answer]:
    """Asks a person."""
    take_time(timedelta(seconds=number.value))
    return WaitForSignal("approval", Answer, timeout=timedelta(hours=4))


@ask.on_signal
def answered(answer: Answer, ctx: StageContext) -> Number:
    """The person has answered."""
    apply_effect(ctx)
    return Number(value=1 if answer.approved else 0)


@stage("confirm", timeout=timedelta(minutes=1))
def confirm(number: Number) -> Number:
    """After the answer."""
    return Number(value=number.value + 1)


approval = Workflow("approval", input=Number).pipe(sleep("rest", timedelta(minutes=40))).pipe(ask).pipe(confirm).build()


@stage("grow", timeout=timedelta(minutes=1))
def grow(number: Number, ctx: StageContext) -> Number:
    """An output that goes to the blob store, and events that do not fit into a head."""
    for place in range(8):
        ctx.annotate(f"chapter-{place}", "n" * 700)
    return Number(value=number.value, padding="x" * BIG_CHARS)


@stage("measure", timeout=timedelta(minutes=1))
def measure(number: Number, ctx: StageContext) -> Number:
    """Reads it back."""
    apply_effect(ctx)
    return Number(value=number.value + len(number.padding))


big = Workflow("big", input=Number).pipe(grow).pipe(measure).build()


@stage("refuse", timeout=timedelta(minutes=1))
def refuse(number: Number) -> Number:
    """Never works, and says so."""
    raise PermanentError(f"no {number.value}")


hopeless = Workflow("hopeless", input=Number).pipe(quick).parallel(left, refuse).build()


@stage("late", retry=RetryPolicy(max_attempts=2, first_delay=timedelta(seconds=5)), timeout=timedelta(seconds=30))
def late(number: Number, ctx: StageContext) -> Number:
    """Takes too long at first."""
    take_time(timedelta(minutes=2) if ctx.attempt == 1 else timedelta(seconds=1))
    return number


overtime = Workflow("overtime", input=Number).pipe(late).build()


@stage("kill", timeout=timedelta(minutes=1))
def kill(number: Number) -> Number:
    """Takes its process with it, each time."""
    die()
    return number


deadly = Workflow("deadly", input=Number).pipe(kill).build()


@stage("wait-long", timeout=timedelta(minutes=1))
def wait_long(number: Number) -> WaitForSignal[None]:
    """Waits for what never comes."""
    take_time(timedelta(seconds=number.value))
    return WaitForSignal("never", None)


@wait_long.on_signal
def woken(_payload: None) -> Number:
    """Never called."""
    return Number(value=-1)


expiring = Workflow("expiring", input=Number, max_duration=timedelta(hours=5)).pipe(wait_long).build()


@stage("overflow", timeout=timedelta(minutes=1))
def overflow(number: Number) -> Number:
    """An output that is larger than a payload may be."""
    return Number(value=number.value, padding="x" * MAX_PAYLOAD_BYTES)


oversized = Workflow("oversized", input=Number).pipe(overflow).build()
