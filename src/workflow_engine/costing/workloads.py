"""The reference workloads: small payloads, default events, stages that do nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel, create_model

from workflow_engine.authoring import (
    NotReady,
    Stage,
    StageContext,
    Suspended,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    sleep,
    stage,
)

# With its field names, about the 200 bytes of a small payload.
TEXT: Final = "x" * 120
BRANCHES: Final = 10
WIDE: Final = 100
POLLS: Final = 3
STEPS: Final = 10


class Parcel(BaseModel):
    """What the stages hand on: about 200 bytes of JSON."""

    number: int = 0
    text: str = TEXT
    sender: str = "reference workload"
    flags: list[bool] = [True, False, True]


class Approval(BaseModel):
    """What the signal carries."""

    approved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A workflow, its input, what signals it gets, and how others would count it.

    *steps* are stages that run code, *waits* are pauses by time, *checks* polls of something outside,
    *callbacks* answers from outside, *forks* groups that run at once.
    """

    name: str
    definition: WorkflowDefinition
    input: Mapping[str, Any]
    steps: int
    signals: Mapping[str, Any] = field(default_factory=dict)
    waits: int = 0
    checks: int = 0
    callbacks: int = 0
    forks: int = 0


def reference_workloads() -> tuple[Workload, ...]:
    """Chains of 5, 10 and 100, 1 + 10 in parallel + join, the same inline, a group of 100, ten steps in one stage,
    three polls, a signal, a timer of a day."""
    return (
        *(chain(length) for length in (5, 10, 100)),
        fan(BRANCHES),
        fan(BRANCHES, inline=True),
        fan(WIDE),
        steps_in_one(STEPS),
        Workload(name=f"suspend, {POLLS} polls", definition=_polled(), input=_input(), steps=1, checks=POLLS),
        Workload(
            name="signal",
            definition=_signalled(),
            input=_input(),
            steps=1,
            signals={"approval": {"approved": True}},
            callbacks=1,
        ),
        Workload(name="timer of a day", definition=_slept(), input=_input(), steps=2, waits=1),
    )


def chain(length: int) -> Workload:
    """*length* stages, one after the other."""
    workflow = Workflow(f"chain-{length}", input=Parcel)
    for number in range(length):
        workflow = workflow.pipe(_next(f"step-{number}"))
    return Workload(name=f"chain of {length}", definition=workflow.build(), input=_input(), steps=length)


def fan(width: int, *, inline: bool = False) -> Workload:
    """A stage, *width* stages at once, and one that takes what they leave."""
    branches = [_next(f"branch-{number}") for number in range(width)]
    fields: dict[str, Any] = {f"branch_{number}": (Parcel, ...) for number in range(width)}
    joined = create_model("Joined", **fields)
    workflow = Workflow(f"fan-{width}{'-inline' if inline else ''}", input=Parcel).pipe(_next("first"))
    built = workflow.parallel(*branches, inline=inline).pipe(_join(joined)).build()
    name = f"1 + {width} + join{', inline' if inline else ''}"
    return Workload(name=name, definition=built, input=_input(), steps=width + 2, forks=1)


def steps_in_one(count: int) -> Workload:
    """A stage whose body takes *count* steps."""

    @stage("body", timeout=timedelta(minutes=5))
    def body(parcel: Parcel, ctx: StageContext) -> Parcel:
        for number in range(count):
            parcel = ctx.step(f"step-{number}", _numbered, parcel)
        return parcel

    workflow = Workflow(f"steps-{count}", input=Parcel).pipe(body).build()
    return Workload(name=f"{count} steps in a stage", definition=workflow, input=_input(), steps=count)


def _numbered(parcel: Parcel) -> Parcel:
    return parcel.model_copy(update={"number": parcel.number + 1})


def _input() -> dict[str, Any]:
    return Parcel().model_dump(mode="json")


def _next(stage_id: str) -> Stage[..., Parcel]:
    @stage(stage_id, timeout=timedelta(seconds=30))
    def step(parcel: Parcel) -> Parcel:
        return parcel.model_copy(update={"number": parcel.number + 1})

    return step


def _join(model: type[BaseModel]) -> Stage[..., Parcel]:
    def gather(parcels: BaseModel) -> Parcel:
        return Parcel(number=sum(getattr(parcels, name).number for name in type(parcels).model_fields))

    gather.__annotations__["parcels"] = model
    decorate: Callable[..., Stage[..., Parcel]] = stage("join", timeout=timedelta(seconds=30))
    return decorate(gather)


def _polled() -> WorkflowDefinition:
    @stage("submit", timeout=timedelta(seconds=30))
    def submit(parcel: Parcel) -> Parcel | Suspended[Parcel]:
        return Suspended(parcel, poll_every=timedelta(minutes=5), give_up_after=timedelta(hours=24))

    seen: dict[str, int] = {}

    @submit.check_completion
    def check(state: Parcel, ctx: StageContext) -> Parcel | NotReady:
        # Nothing is kept between invocations but the state; the workload counts beside it.
        seen[ctx.run_id] = seen.get(ctx.run_id, 0) + 1
        return NotReady() if seen[ctx.run_id] < POLLS else state

    return Workflow("polled", input=Parcel).pipe(submit).build()


def _signalled() -> WorkflowDefinition:
    @stage("approve", timeout=timedelta(seconds=30))
    def approve(parcel: Parcel) -> Approval | WaitForSignal[Approval]:
        return WaitForSignal("approval", Approval, timeout=timedelta(days=3))

    @approve.on_signal
    def approved(approval: Approval) -> Approval:
        return approval

    return Workflow("signalled", input=Parcel).pipe(approve).build()


def _slept() -> WorkflowDefinition:
    pause = sleep("pause", timedelta(days=1))
    return Workflow("slept", input=Parcel).pipe(_next("before")).pipe(pause).pipe(_next("after")).build()
