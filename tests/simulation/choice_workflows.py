"""Workflows of which it is decided on the way what runs, by predicates whose answers change each time they are asked."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

from tests.simulation.reference_workflows import Both, Number
from workflow_engine.authoring import RetryPolicy, Stage, StageContext, Workflow, stage
from workflow_engine.testing.simulation.outside import apply_effect, happens_to_fail, take_time, tosses
from workflow_engine.testing.simulation.scenario import Ended, must_complete

MINUTE = timedelta(minutes=1)
_RETRY = RetryPolicy(max_attempts=9, first_delay=timedelta(seconds=30))


class Small(BaseModel):
    """What one arm leaves."""

    value: int


class Large(BaseModel):
    """What the other arm leaves."""

    value: int
    size: str = "large"


class Some(BaseModel):
    """What a group leaves of which two may be skipped."""

    always: Number
    maybe: Number | None
    perhaps: Number | None


def _adding(name: str, plus: int) -> Stage[..., Any]:
    @stage(name, timeout=MINUTE, retry=_RETRY)
    def add(number: Number | None, ctx: StageContext) -> Number:
        take_time(timedelta(seconds=2))
        if happens_to_fail(name):
            raise ConnectionError("again")
        apply_effect(ctx)
        return Number(value=(number.value if number is not None else 0) + plus)

    return add


@stage("small", timeout=MINUTE, retry=_RETRY)
def small(number: Number, ctx: StageContext) -> Small:
    """One arm."""
    apply_effect(ctx)
    if happens_to_fail("small"):
        raise ConnectionError("again")
    return Small(value=number.value + 10)


@stage("large", timeout=MINUTE, retry=_RETRY)
def large(number: Number, ctx: StageContext) -> Large:
    """The other arm."""
    apply_effect(ctx)
    return Large(value=number.value + 20)


@stage("either", timeout=MINUTE)
def either(number: Small | Large) -> Number:
    """Goes on with what one of them has left."""
    kind = 0 if type(number) is Small else 1000
    return Number(value=number.value + kind)


@stage("sum", timeout=MINUTE)
def total(some: Some) -> Number:
    """What a group came to; what was skipped counts nothing."""
    parts = [one.value for one in (some.always, some.maybe, some.perhaps) if one is not None]
    return Number(value=sum(parts))


def _toss(name: str) -> Callable[[Any], bool]:
    return lambda _: tosses(name)


def _kind(_: Any) -> str:
    return "small" if tosses("kind") else "large"


def _chosen(by: Callable[[Any], str], **arms: Stage[..., Any]) -> Workflow:
    first = _adding("first", 1)
    return Workflow("choosing", input=Number).pipe(first).choose(by, **arms).pipe(either)


_GROUP = (
    _adding("always", 1),
    _adding("maybe", 2).when(_toss("maybe")),
    _adding("perhaps", 4).when(_toss("perhaps")),
)
choosing = _chosen(_kind, small=small, large=large).build()
# Its cases are the other way round, and it is sure of them.
turned = _chosen(lambda _: "small", small=large, large=small).build()
beginning = (
    Workflow("beginning", input=Number).pipe(_adding("gift", 100), when=_toss("gift")).pipe(_adding("then", 1)).build()
)
grouped = Workflow("grouped", input=Number).pipe(_adding("open", 0)).parallel(*_GROUP).pipe(total).build()
at_once = (
    Workflow("grouped-inline", input=Number).pipe(_adding("open", 0)).parallel(*_GROUP, inline=True).pipe(total).build()
)


@stage("joined", timeout=MINUTE)
def joined(pair: Both) -> Number:
    """What both of a group came to."""
    return Number(value=pair.left.value + pair.right.value)


@stage("doubled", timeout=MINUTE)
def doubled(pair: Both) -> Number:
    """Twice that."""
    return Number(value=2 * (pair.left.value + pair.right.value))


behind = (
    Workflow("behind-a-group", input=Number)
    .parallel(_adding("left", 1), _adding("right", 2))
    .choose(_kind, small=joined, large=doubled)
    .pipe(_adding("extra", 100), when=_toss("extra"))
    .build()
)
skipping = (
    Workflow("skipping", input=Number)
    .pipe(_adding("begin", 1))
    .pipe(_adding("never", 50), when=lambda _: False)
    .pipe(_adding("rarely", 60), when=_toss("rarely"))
    .pipe(_adding("last", 70), when=lambda number: number is None)
    .build()
)
WORKFLOWS = (choosing, beginning, grouped, at_once, behind, skipping)


def came_to(*values: int | None) -> Callable[[Ended], str | None]:
    """It completes with one of *values*: what was decided is its own, and all of it fits together."""

    def judge(ended: Ended) -> str | None:
        problem = must_complete(ended)
        if problem is not None or ended.output is None:
            return problem
        output = from_json(ended.output)
        value = None if output is None else output["value"]
        return None if value in values else f"its output is {value}, and should be one of {_listed(values)}"

    return judge


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
