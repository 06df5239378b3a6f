"""Bodies with durable steps and waits, and what must be true of their records when all is over."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from tests.simulation.reference_workflows import Number
from workflow_engine.authoring import RetryPolicy, StageContext, Workflow, stage
from workflow_engine.errors import StepFailedError, WaitExpiredError
from workflow_engine.model.steps import StepKind, StepRecord, StepScope
from workflow_engine.testing.simulation.faults import MAX_SKEW
from workflow_engine.testing.simulation.outside import apply_step, happens_to_fail, take_time
from workflow_engine.testing.simulation.scenario import Ended, must_complete

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Course(BaseModel):
    """What a body has seen of each of its steps and waits."""

    seen: dict[str, str]


class Offer(BaseModel):
    """A signal's payload."""

    value: int


@stage("steps", timeout=5 * MINUTE, retry=RetryPolicy(max_attempts=4, first_delay=timedelta(seconds=30)))
def steps(number: Number, ctx: StageContext) -> Course:
    """A step with a fallback, a pause, two signals of one name, and something that is looked for."""
    seen: dict[str, str] = {}

    def charge() -> str:
        take_time(timedelta(seconds=3))
        if happens_to_fail("charge"):
            raise ConnectionError("declined")
        apply_step(ctx, "charge")
        return f"charged {number.value}"

    def invoice() -> str:
        apply_step(ctx, "invoice")
        return "invoiced"

    try:
        seen["charge"] = ctx.step("charge", charge)
    except StepFailedError:
        seen["charge"] = "failed"
        seen["invoice"] = ctx.step("invoice", invoice)
    ctx.sleep("pause", 20 * MINUTE)
    seen["pause"] = "over"
    for name in ("offer", "offer~2"):
        try:
            seen[name] = str(ctx.wait_for_signal("offer", Offer, timeout=2 * HOUR).value)
        except WaitExpiredError:
            seen[name] = "expired"
    began = ctx.step("began", lambda: ctx.now().isoformat())
    seen["built"] = ctx.wait_until("built", lambda: _is_later(ctx, began), every=10 * MINUTE, returns=str)
    ctx.step("confirm", lambda: apply_step(ctx, "confirm"), retry=RetryPolicy(max_attempts=3, first_delay=MINUTE))
    return Course(seen=seen)


def _is_later(ctx: StageContext[Any], began: str) -> str | None:
    return "built" if ctx.now().isoformat()[:13] != began[:13] else None


@stage("sum", timeout=MINUTE)
def total(course: Course) -> Course:
    """Hands it on."""
    return course


stepping = Workflow("stepping", input=Number).pipe(steps).pipe(total).build()


@stage("long", timeout=MINUTE)
def long(number: Number, ctx: StageContext) -> Number:
    """Twenty pages of twenty seconds each: more than a lease has time for."""

    def page(n: int) -> int:
        take_time(timedelta(seconds=20))
        apply_step(ctx, f"page-{n}")
        return n

    return Number(value=sum(ctx.step(f"page-{n}", page, n, returns=int) for n in range(20)))


paging_body = Workflow("paging-body", input=Number).pipe(long).build()


class Pair(BaseModel):
    """What two siblings have seen."""

    left: Course
    right: Course


def _sibling(name: str) -> Any:
    @stage(name, timeout=MINUTE)
    def body(number: Number, ctx: StageContext) -> Course:
        ctx.step("first", lambda: apply_step(ctx, "first"))
        seen = {}
        for wait in ("vote", "vote~2"):
            try:
                seen[wait] = str(ctx.wait_for_signal("vote", Offer, timeout=3 * HOUR).value)
            except WaitExpiredError:
                seen[wait] = "expired"
            ctx.sleep("between", MINUTE)
        return Course(seen=seen)

    return body


@stage("both", timeout=MINUTE)
def both(pair: Pair) -> Course:
    """What both have seen."""
    seen = {f"{name}/{wait}": said for name, course in pair for wait, said in course.seen.items()}
    return Course(seen=seen)


voting = Workflow("voting", input=Number).parallel(_sibling("left"), _sibling("right")).pipe(both).build()
WORKFLOWS = (stepping, paging_body, voting)


def judged(ended: Ended) -> str | None:
    """The run ends by its own means, and its records tell one course."""
    problem = must_complete(ended) if ended.error != "StageTimeoutError" else None
    return problem or next(_problems(ended), None)


def _problems(ended: Ended) -> Iterator[str]:
    scopes: dict[StepScope, dict[str, StepRecord]] = defaultdict(dict)
    for step in ended.steps:
        scopes[step.scope][step.name] = step
    for scope, found in scopes.items():
        if "invoice" in found and "charge" in found and found["charge"].error is None:
            yield f"{scope}: the step succeeded, and its fallback was taken, too"
    yield from _unheard(ended, scopes)
    used = [(step.scope.base, step.signal) for step in ended.steps if step.signal]
    if len(set(used)) < len(used):
        yield f"one signal has answered two waits: {used}"
    if ended.output is None:
        return
    base = ended.head.base_of(0)
    mine = [step for scope, found in scopes.items() if scope.base == base for step in found.values()]
    kept = {step.signal for step in mine if step.signal} & set(ended.head.signals)
    if kept:
        yield f"the signals {kept} have answered waits, and are kept at the end"
    yield from _unlike(Course.model_validate_json(ended.output).seen if b"seen" in ended.output else {}, mine)


def _unheard(ended: Ended, scopes: Mapping[StepScope, Mapping[str, StepRecord]]) -> Iterator[str]:
    """A signal that came before the first wait was over has answered it."""
    came = ended.signalled.get("offer")
    if came is None or ended.reruns:
        return
    for found in scopes.values():
        wait = found.get("offer")
        # The clocks of those who were about it may have been off.
        if wait is not None and wait.error is not None and came + 2 * MAX_SKEW < wait.finished_at:
            yield f"the signal of {came} has not answered the wait that was given up at {wait.finished_at}"


def _unlike(seen: dict[str, str], steps: Sequence[StepRecord]) -> Iterator[str]:
    for step in steps:
        name = step.name if step.scope.stage_id == "steps" else f"{step.scope.stage_id}/{step.name}"
        if name not in seen:
            continue
        said = seen[name]
        expected = "failed" if step.kind is StepKind.CALL else "expired"
        if step.error is None and step.kind is not StepKind.SLEEP:
            expected = _text_of(step)
        if step.kind is not StepKind.SLEEP and said != expected:
            yield f"the body has seen {said!r} of {name}, and {expected!r} is stored"


def _text_of(step: StepRecord) -> str:
    assert step.output is not None
    assert step.output.inline is not None
    text = step.output.inline.decode()
    return str(Offer.model_validate_json(text).value) if step.kind is StepKind.SIGNAL else text.strip('"')
