"""Stacks in memory, and a workflow to run on them."""

from datetime import timedelta

import pytest
from pydantic import BaseModel

from workflow_engine import PermanentError, Registry, StageContext, WaitForSignal, Workflow, stage
from workflow_engine.cli.stacks import Stack
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.ids import RunId
from workflow_engine.testing.clock import FakeClock
from workflow_engine.wiring.memory import MemoryEngine, memory_engine


class Number(BaseModel):
    value: int


class Answer(BaseModel):
    add: int


@stage("double")
def double(number: Number) -> Number:
    return Number(value=2 * number.value)


@stage("left")
def left(number: Number) -> Number:
    if number.value < 0:
        raise PermanentError("below zero")
    return number


@stage("right")
def right(number: Number) -> Number:
    return number


class Both(BaseModel):
    left: Number
    right: Number


@stage("ask", requires=[double])
def ask(both: Both, ctx: StageContext) -> WaitForSignal[Answer]:
    return WaitForSignal("answer", Answer, timeout=timedelta(days=1))


@ask.on_signal
def answered(answer: Answer, ctx: StageContext) -> Number:
    return Number(value=ctx.require(double).value + answer.add)


ASKING = Workflow("asking", input=Number).pipe(double).parallel(left, right).pipe(ask).build()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def engine(clock: FakeClock) -> MemoryEngine:
    return memory_engine(Registry([ASKING]), clock=clock)


@pytest.fixture
def stack(engine: MemoryEngine) -> Stack:
    return Stack(name="memory", kernel=engine.kernel)


def create(engine: MemoryEngine, value: int) -> RunId:
    """The id of a new run, which nobody has worked on."""
    return RunId(engine.kernel.dispatch(CreateRun(workflow_id="asking", input={"value": value})).run_id)


def work(engine: MemoryEngine) -> None:
    """Do all there is to do now."""
    while engine.host.process_available_jobs().processed:
        pass
