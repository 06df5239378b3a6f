"""Stages among which tests choose, and predicates that keep an account of what they were asked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from workflow_engine import Stage, Status, Workflow, WorkflowDefinition, stage
from workflow_engine.testing.engine import VirtualRun


class Order(BaseModel):
    """What goes in, and is handed on."""

    total: int = 0
    kind: str = "small"


class Mail(BaseModel):
    """What one of two says."""

    stamps: int


class Truck(BaseModel):
    """What the other says."""

    wheels: int


class Text(BaseModel):
    """What comes out."""

    text: str


class Packed(BaseModel):
    """What follows a group of which one may be skipped."""

    wrap: Order
    gift: Order | None = None


@stage("buy")
def buy(order: Order) -> Order:
    """Hands the order on."""
    return order


@stage("gift")
def gift(order: Order) -> Order:
    """Runs, or does not."""
    return order


@stage("card")
def card(order: Order | None) -> Order:
    """Another one that runs, or does not."""
    return order or Order(kind="card")


@stage("wrap")
def wrap(order: Order) -> Order:
    """Always runs."""
    return order


@stage("by-mail")
def by_mail(order: Order) -> Mail:
    """One arm."""
    return Mail(stamps=order.total)


@stage("by-truck")
def by_truck(order: Order) -> Truck:
    """Another arm."""
    return Truck(wheels=order.total)


@stage("say")
def say(order: Order | None) -> Text:
    """Says what came."""
    return Text(text=repr(order))


@stage("say-sent")
def say_sent(sent: Mail | Truck) -> Text:
    """Says which of both came."""
    return Text(text=repr(sent))


@stage("say-packed")
def say_packed(packed: Packed) -> Text:
    """Says what a group has left."""
    return Text(text=repr(packed))


@dataclass
class Asked:
    """A predicate, or a chooser: *answer* makes its answer, and *values* are what it was asked for."""

    answer: Callable[[Any], Any]
    values: list[Any] = field(default_factory=list)

    def __call__(self, value: Any) -> Any:
        self.values.append(value)
        return self.answer(value)

    @property
    def times(self) -> int:
        """How often it was asked."""
        return len(self.values)


def yes(_: Any) -> bool:
    """Always."""
    return True


def no(_: Any) -> bool:
    """Never."""
    return False


def raising(_: Any) -> Any:
    """Cannot be asked."""
    raise ValueError("out of order")


def gifting(when: Callable[[Any], Any], name: str = "gifting") -> WorkflowDefinition:
    """A stage that may be skipped, between two others."""
    return Workflow(name, input=Order).pipe(buy).pipe(gift, when=when).pipe(say).build()


def gift_first(when: Callable[[Any], Any]) -> WorkflowDefinition:
    """The stage that may be skipped is the first one."""
    return Workflow("first", input=Order).pipe(gift, when=when).pipe(say).build()


def sending(by: Callable[[Any], Any], **options: Stage[..., Any]) -> WorkflowDefinition:
    """One of two stages runs."""
    arms = options or {"small": by_mail, "large": by_truck}
    return Workflow("sending", input=Order).pipe(buy).choose(by, **arms).pipe(say_sent).build()


def statuses(run: VirtualRun) -> dict[str, Status]:
    """The status of each stage."""
    return {stage.stage_id: stage.status for stage in run.engine.kernel.queries.run(run.id).stages}
