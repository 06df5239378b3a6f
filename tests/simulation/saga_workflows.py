"""Sagas: each stage takes something outside, each undo gives it back, and what must have become of that."""

from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from workflow_engine.authoring import (
    Failure,
    NotReady,
    RetryPolicy,
    StageContext,
    Suspended,
    WaitForSignal,
    Workflow,
    stage,
)
from workflow_engine.errors import PermanentError
from workflow_engine.model.status import Status
from workflow_engine.testing.simulation.outside import (
    die,
    give_back,
    happens_to_fail,
    take,
    take_time,
    undo_happens_to_fail,
)
from workflow_engine.testing.simulation.scenario import Ended, Judge, must_complete

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
_TRIES = RetryPolicy(max_attempts=3, first_delay=30 * SECOND)
_UNDO = RetryPolicy(max_attempts=1000, first_delay=10 * SECOND, max_delay=HOUR)


class Trip(BaseModel):
    """What goes in: the stage that *fails* for good, once it has taken what it takes."""

    fails: str = ""


class Taken(Trip):
    """What a stage has taken: the *lease* is the one that it was taken under."""

    lease: int


class Flights(BaseModel):
    """What two siblings have taken."""

    flight: Taken
    hotel: Taken


class Cards(BaseModel):
    """What two siblings of an inline group have taken."""

    card: Taken
    car: Taken


def _fails_in(trip: Trip, name: str) -> None:
    if trip.fails == name:
        raise PermanentError(f"{name} is sold out")


def _begins(name: str, seconds: int = 0) -> None:
    """It takes a while, longer than it may where it hangs, and may fail."""
    take_time(seconds * SECOND)
    if happens_to_fail(name):
        take_time(3 * MINUTE)
        if happens_to_fail(name):
            raise ConnectionError(name)


def _given_back(ctx: StageContext[Any], taken: Taken | None) -> None:
    if undo_happens_to_fail(ctx, "now"):
        take_time(SECOND)
        if undo_happens_to_fail(ctx, "late"):
            take_time(10 * MINUTE)
        if undo_happens_to_fail(ctx, "good"):
            raise PermanentError("that cannot be given back")
        raise ConnectionError("not now")
    give_back(ctx, None if taken is None else taken.lease)


def _stage(name: str, *, seconds: int = 0, input_model: Any = Trip) -> Any:
    def body(trip: Any, ctx: StageContext) -> Taken:
        _begins(name, seconds)
        lease = take(ctx)
        fails = next(iter(vars(trip).values())).fails if isinstance(trip, Flights | Cards) else trip.fails
        _fails_in(Trip(fails=fails), name)
        return Taken(lease=lease, fails=fails)

    body.__annotations__["trip"] = input_model
    made = stage(name, timeout=2 * MINUTE, retry=_TRIES)(body)

    def back(taken: Taken | None, ctx: StageContext) -> None:
        _given_back(ctx, taken)

    made.undo(retry=_UNDO)(back)
    return made


@stage("papers", timeout=2 * MINUTE, retry=_TRIES)
def papers(taken: Taken, ctx: StageContext) -> Taken:
    """Two steps, each of which takes something under a key of its own, and a pause between them."""

    def print_it() -> int:
        _begins("print", 2)
        return take(ctx, "print")

    ctx.step("print", print_it, retry=RetryPolicy(max_attempts=2, first_delay=SECOND))
    ctx.sleep("dry", 5 * MINUTE)
    ctx.step("post", lambda: take(ctx, "post"), returns=int)
    _fails_in(taken, "papers")
    return Taken(lease=take(ctx), fails=taken.fails)


@papers.undo(retry=_UNDO)
def unpapers(taken: Taken | None, ctx: StageContext) -> None:
    """Each step's taking, too."""
    lease = None if taken is None else taken.lease
    for name in ("post", "print"):
        ctx.step(f"un{name}", give_back, ctx, lease, name, returns=type(None))
    _given_back(ctx, taken)


class Request(BaseModel):
    """What is asked for, and waited for."""

    lease: int
    since: float
    fails: str


@stage("visa", timeout=2 * MINUTE, retry=_TRIES)
def visa(taken: Taken, ctx: StageContext) -> Suspended[Request]:
    """Asks for something, which takes twenty minutes."""
    request = Request(lease=take(ctx), since=ctx.now().timestamp(), fails=taken.fails)
    return Suspended(request, poll_every=7 * MINUTE)


@visa.check_completion
def granted(request: Request, ctx: StageContext) -> Taken | NotReady:
    """Looks whether it is there."""
    if ctx.now().timestamp() - request.since < 20 * 60:
        return NotReady()
    _fails_in(Trip(fails=request.fails), "visa")
    return Taken(lease=take(ctx), fails=request.fails)


@visa.undo(retry=_UNDO)
def withdraw(taken: Taken | None, ctx: StageContext) -> None:
    """Takes the request back."""
    _given_back(ctx, taken)


@stage("tell", timeout=MINUTE, retry=_TRIES)
def tell(failure: Failure) -> None:
    """Tells somebody."""
    _begins("tell")
    assert failure.status in (Status.FAILED, Status.CANCELLED)


trips = (
    Workflow("trips", input=Trip)
    .pipe(_stage("reserve"))
    .parallel(_stage("flight", seconds=20, input_model=Taken), _stage("hotel", input_model=Taken))
    .pipe(_stage("insure", input_model=Flights))
    .parallel(_stage("card", input_model=Taken), _stage("car", seconds=40, input_model=Taken), inline=True)
    .pipe(_stage("pack", input_model=Cards))
    .pipe(papers)
    .pipe(visa)
    .pipe(_stage("leave", input_model=Taken))
    .on_failure(tell, on=["failed", "cancelled"])
    .build()
)
short = Workflow("short", input=Trip).pipe(_stage("hold")).pipe(_stage("pay", input_model=Taken)).build()
pair = (
    Workflow("pair", input=Trip)
    .pipe(_stage("begin"))
    .parallel(_stage("flight", seconds=20, input_model=Taken), _stage("hotel", input_model=Taken))
    .build()
)
pair_inline = (
    Workflow("pair-inline", input=Trip)
    .pipe(_stage("begin"))
    .parallel(_stage("card", seconds=20, input_model=Taken), _stage("car", input_model=Taken), inline=True)
    .on_failure(tell)
    .build()
)


@stage("wait", timeout=MINUTE)
def wait(taken: Taken, ctx: StageContext) -> WaitForSignal[Taken]:
    """Waits for what never comes, with something in its hands."""
    take(ctx)
    return WaitForSignal("never", Taken)


@wait.on_signal
def heard(taken: Taken) -> Taken:
    """Never called."""
    return taken


@wait.undo(retry=_UNDO)
def unwait(taken: Taken | None, ctx: StageContext) -> None:
    """Lets it go."""
    _given_back(ctx, taken)


@stage("ask", timeout=MINUTE)
def ask(taken: Taken, ctx: StageContext) -> WaitForSignal[Taken]:
    """Waits for hours, beside a stage that fails."""
    take(ctx)
    return WaitForSignal("answer", Taken, timeout=9 * HOUR)


@ask.on_signal
def answered(taken: Taken) -> Taken:
    """Never called."""
    return taken


@ask.undo(retry=_UNDO)
def unask(taken: Taken | None, ctx: StageContext) -> None:
    """Asks no more."""
    _given_back(ctx, taken)


@stage("sink", timeout=MINUTE)
def sink(taken: Taken, ctx: StageContext) -> Taken:
    """Takes something, and its process with it."""
    take(ctx)
    die()
    return taken


@sink.undo(retry=_UNDO)
def lift(taken: Taken | None, ctx: StageContext) -> None:
    """Gives it back."""
    _given_back(ctx, taken)


too_long = Workflow("too-long", input=Trip, max_duration=2 * HOUR).pipe(_stage("hold")).pipe(wait).build()
sinking = Workflow("sinking", input=Trip).pipe(_stage("hold")).pipe(sink).on_failure(tell).build()
asking = (
    Workflow("asking", input=Trip)
    .pipe(_stage("begin"))
    .parallel(ask, _stage("hotel", seconds=40, input_model=Taken))
    .build()
)
WORKFLOWS = (trips, short, pair, pair_inline, too_long, asking, sinking)


def ends_with(*errors: str) -> Judge:
    """COMPLETED where nothing is to fail, else FAILED with one of *errors*, or CANCELLED."""

    def judge(ended: Ended) -> str | None:
        if ended.error in (*errors, *_OWN):
            return None
        if errors and ended.head.status is Status.COMPLETED:
            return f"it is COMPLETED, and should have failed with {errors}"
        return must_complete(ended)

    return judge


# What a stage fails with that was tried too often.
_OWN = ("ConnectionError", "StageTimeoutError", "StepFailedError")
