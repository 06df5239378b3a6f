"""Workflows of one stage, whose body a test gives, and what such bodies call."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

from pydantic import BaseModel

from workflow_engine import RetryPolicy, SignalRun, StageContext, Workflow, WorkflowDefinition, stage
from workflow_engine.kernel import Kernel
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

MakeKernel: TypeAlias = Callable[..., Kernel]
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ONCE = RetryPolicy(max_attempts=1)
TWICE = RetryPolicy(max_attempts=2, first_delay=SECOND)
Body: TypeAlias = Callable[[StageContext[Any]], Any]


class Item(BaseModel):
    """What goes in and comes out."""

    value: Any = 1


class Answer(BaseModel):
    """The payload of a signal."""

    number: int


def bodied(body: Body, **options: Any) -> WorkflowDefinition:
    """A workflow of one stage, whose value *body* answers."""

    @stage("work", **{"timeout": MINUTE, "retry": TWICE, **options})
    def work(item: Item, ctx: StageContext) -> Item:
        return Item(value=body(ctx))

    return Workflow("stepping", input=Item).pipe(work).build()


def bodied_async(body: Body, **options: Any) -> WorkflowDefinition:
    """The same with a coroutine."""

    @stage("work", **{"timeout": MINUTE, "retry": TWICE, **options})
    async def work(item: Item, ctx: StageContext) -> Item:
        return Item(value=await body(ctx))

    return Workflow("stepping", input=Item).pipe(work).build()


def names(run: VirtualRun) -> dict[str, str]:
    """What each step came to: its result, or the type of its error."""
    found = {}
    for step in run.engine.persistence.list_steps(run.id):
        output = step.output.inline if step.output is not None and step.output.inline is not None else b"(blob)"
        found[step.name] = step.error.type if step.error else output.decode()
    return found


class Counted:
    """A function that counts its calls, and fails the first *failing* times."""

    def __init__(self, answer: Any = "done", *, failing: int = 0, error: type[Exception] = ConnectionError) -> None:
        self.answer, self.failing, self.error = answer, failing, error
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *args: Any) -> Any:
        self.calls.append(args)
        if len(self.calls) <= self.failing:
            raise self.error("not yet")
        return self.answer


def fails_once() -> Callable[[StageContext[Any]], None]:
    """Fails the first attempt."""

    def fail(ctx: StageContext[Any]) -> None:
        if ctx.attempt == 1:
            raise ConnectionError("the body, not a step")

    return fail


def awaitable(function: Callable[..., Any]) -> Callable[..., Any]:
    """*function*, to be awaited."""

    async def called(*args: Any) -> Any:
        await asyncio.sleep(0)
        return function(*args)

    return called


def send(engine: VirtualEngine, run: VirtualRun, name: str, number: Any, key: str | None = None) -> None:
    """Send a signal, and do nothing more."""
    engine.kernel.dispatch(SignalRun(run_id=run.id, name=name, payload={"number": number}, idempotency_key=key))
