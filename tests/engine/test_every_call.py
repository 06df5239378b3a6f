"""Every call of every port fails in turn, before it and after it took effect: no stage is called a
second time for it, and nothing is late."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from workflow_engine import (
    CreateRun,
    NotReady,
    StageContext,
    Status,
    Suspended,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.errors import TransientError
from workflow_engine.kernel import KernelSettings, published_types
from workflow_engine.model.ids import RunId
from workflow_engine.ports.events import NOT_TRIED, Refusal
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

POLL = timedelta(minutes=10)
LARGE = "y" * 12_000
PORTS = ("persistence", "blob_store", "job_transport", "event_sink", "scheduler")
# A message that was taken and lost comes again after the queue's visibility; a tick is there before.
SLOW = ("dequeue",)
Failing = Literal["before", "after"]
calls: list[str] = []


class Number(BaseModel):
    value: int
    padding: str = ""


class Gathered(BaseModel):
    left: Number
    batch: Number


@stage("first")
def first(number: Number, ctx: StageContext) -> Number:
    calls.append("first")
    ctx.log("info", "first")
    ctx.annotate("value", number.value)
    return Number(value=number.value, padding=LARGE)


@stage("left")
def left(number: Number) -> Number:
    calls.append("left")
    return Number(value=number.value + 10)


@stage("batch")
def batch(number: Number) -> Suspended[Number]:
    calls.append("batch")
    return Suspended(number, poll_every=POLL)


@batch.check_completion
def check(number: Number) -> Number | NotReady:
    calls.append("check")
    return Number(value=number.value + 100)


@stage("sum")
def add(gathered: Gathered) -> Number:
    calls.append("sum")
    return Number(value=gathered.left.value + gathered.batch.value)


@stage("wait")
def wait(number: Number) -> Suspended[Number]:
    calls.append("wait")
    return Suspended(number, poll_every=POLL)


@wait.check_completion
def look(number: Number) -> Number | NotReady:
    calls.append("look")
    return number


four = Workflow("four", input=Number).pipe(first).parallel(left, batch).pipe(add).build()
chained = Workflow("chained", input=Number).pipe(first).pipe(left).pipe(wait).build()


@dataclass
class Fault:
    """Which call, counted over all ports, gets no answer, and its name once it was made."""

    at: int
    failing: Failing
    count: int = 0
    name: str = ""


@dataclass
class Port:
    """A port of which one call gets no answer, said as each port says it."""

    port: Any
    fault: Fault

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.port, name)
        # What the test's own clock asks for is no request.
        if not callable(method) or name in ("next_visible_at", "next_fire_at", "fire_due"):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            self.fault.count += 1
            fails = self.fault.count == self.fault.at
            if not fails:
                return method(*args, **kwargs)
            self.fault.name = name
            if self.fault.failing == "after":
                method(*args, **kwargs)
            return unanswered(name, args)

        return call


def unanswered(name: str, args: Sequence[Any]) -> Any:
    if name == "emit":
        return [Refusal(reason="InternalFailure", counts=False), *[NOT_TRIED] * (len(args[0]) - 1)]
    if name == "enqueue_parallel":
        return tuple(args[0])
    raise TransientError(service="aws", operation=name, code="ReadTimeoutError")


def played(workflow: WorkflowDefinition, fault: Fault) -> VirtualRun:
    """A run to its end, by a client that tries again, and a host that does."""
    calls.clear()
    engine = VirtualEngine(settings=KernelSettings(published=published_types(["*"])))
    for name in PORTS:
        setattr(engine, name, Port(getattr(engine, name), fault))
    engine.deploy(workflow)
    fault.count = 0
    command = CreateRun(workflow_id=workflow.id, input={"value": 1}, idempotency_key="a-key")
    run = VirtualRun(engine, created(engine, command))
    for _ in range(3):
        with suppress(TransientError):
            engine.drive(run)
            break
    with suppress(TransientError):
        engine.advance(timedelta(hours=1))
    return run


def created(engine: VirtualEngine, command: CreateRun) -> RunId:
    try:
        return RunId(engine.kernel.dispatch(command).run_id)
    except TransientError:
        return RunId(engine.kernel.dispatch(command).run_id)


@pytest.mark.parametrize("failing", ["before", "after"])
@pytest.mark.parametrize("workflow", [four, chained], ids=["four", "chained"])
def test_a_call_that_gets_no_answer_costs_no_second_call_of_a_stage_and_no_quarter_of_an_hour(
    workflow: WorkflowDefinition, failing: Failing
) -> None:
    played(workflow, Fault(0, failing))
    wanted = sorted(calls)
    place, late, again = 0, [], []
    while True:
        place += 1
        fault = Fault(place, failing)
        run = played(workflow, fault)
        if not fault.name:
            break
        head = run.head
        assert (head.status, head.due_at, head.untold) == (Status.COMPLETED, None, 0), fault
        assert head.ended_at is not None
        if head.ended_at - head.created_at > POLL + timedelta(minutes=3) and fault.name not in SLOW:
            late.append(fault.name)
        if sorted(calls) != wanted:
            again.append(fault.name)
    assert place > 60
    assert (late, again) == ([], [])
