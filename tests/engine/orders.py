"""A workflow whose stages do something outside that can be undone, and the outside, which keeps an account of it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from pydantic import BaseModel

from workflow_engine import (
    Failure,
    PermanentError,
    RetryPolicy,
    StageContext,
    Workflow,
    WorkflowDefinition,
    stage,
)

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ONCE = RetryPolicy(max_attempts=1)
Act: TypeAlias = Callable[[str, StageContext[Any]], None]


class Order(BaseModel):
    """What goes in."""

    number: int = 1


class Done(BaseModel):
    """What a stage answers: its name."""

    by: str


class Both(BaseModel):
    """What follows a group takes."""

    b: Done
    c: Done


def nothing(_name: str, _ctx: StageContext[Any]) -> None:
    """What a stage does that has nothing more to do."""


@dataclass
class Outside:
    """What was taken and given back, by the stage's idempotency key; *given* are the values that undos were given,
    *calls* all that happened, in order. *act* is called by each stage, and *undo* by each undo, before it has done
    anything; *after* by each stage once it has taken."""

    act: Act = nothing
    after: Act = nothing
    undo: Act = nothing
    taken: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    given: dict[str, Any] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def take(self, name: str, ctx: StageContext[Any]) -> Done:
        """What a stage does."""
        self.act(name, ctx)
        self.calls.append(name)
        self.taken.add(ctx.effect_key)
        self.after(name, ctx)
        return Done(by=name)

    def give_back(self, name: str, done: Done | None, ctx: StageContext[Any]) -> None:
        """What its undo does."""
        self.undo(name, ctx)
        self.calls.append(f"undo {name}")
        self.given[name] = done
        self.taken.discard(ctx.undoes.effect_key)

    @property
    def counts(self) -> Counter[str]:
        """How often each thing happened."""
        return Counter(self.calls)


def failing(*names: str) -> Act:
    """An act that fails for good in the stages called so."""

    def act(name: str, _ctx: StageContext[Any]) -> None:
        if name in names:
            raise PermanentError(f"{name} is out of order")

    return act


def undoable(outside: Outside, name: str, **options: Any) -> Any:
    """A stage that takes something outside, with its undo."""
    undo = {key: options.pop(key) for key in ("undo_retry", "undo_timeout") if key in options}

    @stage(name, **{"retry": ONCE, "timeout": MINUTE, **options})
    def take(ctx: StageContext) -> Done:
        return outside.take(name, ctx)

    def give_back(done: Done | None, ctx: StageContext[Any]) -> None:
        outside.give_back(name, done, ctx)

    take.undo(**{key.removeprefix("undo_"): value for key, value in undo.items()})(give_back)
    return take


def telling(outside: Outside) -> Any:
    """A stage for ``on_failure``."""

    @stage("tell")
    def tell(failure: Failure) -> None:
        outside.calls.append("tell")
        outside.failures.append(failure)

    return tell


def chain(outside: Outside, *names: str, tells: bool = False, **options: Any) -> WorkflowDefinition:
    """A workflow of such stages one after another."""
    workflow = Workflow("order", input=Order, **options)
    for name in names:
        workflow.pipe(undoable(outside, name))
    return (workflow.on_failure(telling(outside)) if tells else workflow).build()


def fan(outside: Outside, *, inline: bool = False, **options: Any) -> WorkflowDefinition:
    """One of such stages, two side by side, and one behind them."""
    a, b, c, d = (undoable(outside, name, **options) for name in "abcd")
    return (
        Workflow("order", input=Order)
        .pipe(a)
        .parallel(b, c, inline=inline)
        .pipe(d)
        .on_failure(telling(outside))
        .build()
    )
