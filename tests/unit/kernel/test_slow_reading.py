"""A process that is stopped, or waits, while it reads what a stage takes has made no attempt."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import (
    NotReady,
    RetryPolicy,
    StageContext,
    StageTimeoutError,
    Status,
    Suspended,
    WaitForSignal,
    Workflow,
    stage,
)
from workflow_engine.adapters.memory import MemoryBlobStore, MemoryPersistence
from workflow_engine.kernel import KernelSettings
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import KeptSignal, RunInput, StageKey, StageRecord
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.engine import VirtualEngine

ONCE = RetryPolicy(max_attempts=1)
LONG = "y" * 20_000
calls: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()


class Stalls:
    """Lets time pass at the first call of *method*, before it answers."""

    def __init__(self, clock: FakeClock, method: str, span: timedelta) -> None:
        self._clock, self._method, self._span = clock, method, span

    def at(self, method: str) -> None:
        if method == self._method:
            self._method = ""
            self._clock.advance(self._span)


class Slow(MemoryPersistence):
    def __init__(self, clock: FakeClock, stalls: Stalls) -> None:
        super().__init__(clock)
        self._stalls = stalls

    @override
    def load_input(self, run_id: RunId, input_hash: str) -> RunInput | None:
        self._stalls.at("load_input")
        return super().load_input(run_id, input_hash)

    @override
    def load_records(self, run_id: RunId, keys: Any) -> Mapping[StageKey, StageRecord]:
        self._stalls.at("load_records")
        return super().load_records(run_id, keys)

    @override
    def load_signal(self, run_id: RunId, element: str) -> KeptSignal | None:
        self._stalls.at("load_signal")
        return super().load_signal(run_id, element)


class SlowBlobs(MemoryBlobStore):
    def __init__(self, stalls: Stalls) -> None:
        super().__init__()
        self._stalls = stalls

    @override
    def get(self, key: str) -> bytes:
        self._stalls.at("get")
        return super().get(key)


class Item(BaseModel):
    text: str = LONG


class Tone(BaseModel):
    loud: bool = True


@stage("ask", retry=ONCE)
def ask(item: Item, ctx: StageContext[Tone]) -> WaitForSignal[Item]:
    calls.append(f"ask {ctx.attempt}")
    return WaitForSignal("answer", Item)


@ask.on_signal
def answered(answer: Item, ctx: StageContext[Tone]) -> Item:
    calls.append(f"answered {ctx.attempt}")
    return answer


@stage("batch", retry=ONCE)
def batch(item: Item, ctx: StageContext) -> Suspended[Item]:
    calls.append(f"batch {ctx.attempt}")
    return Suspended(item, poll_every=timedelta(minutes=30))


@batch.check_completion
def check(state: Item, ctx: StageContext) -> Item | NotReady:
    calls.append(f"check {ctx.attempt}")
    return state


asking = Workflow("asking", input=Item).pipe(ask).pipe(batch).build()


def takes_minutes(call: Callable[[], Any], *, stage_id: str, timeout: timedelta, is_async: bool) -> Any:
    """Runs stages as if each of them took four minutes of its five."""
    if timeout < timedelta(minutes=4):
        raise StageTimeoutError(stage_id=stage_id, timeout=timeout)
    return call()


# Longer than an invocation, all of it but what a commit takes, and too long for the stage's own timeout.
SPANS = [timedelta(minutes=20), timedelta(seconds=899), timedelta(minutes=13)]


@pytest.mark.parametrize("span", SPANS, ids=["all", "nearly-all", "too-much"])
@pytest.mark.parametrize("method", ["load_input", "get", "load_records", "load_signal"])
def test_a_stall_while_reading_is_no_attempt(method: str, span: timedelta) -> None:
    clock = FakeClock()
    stalls = Stalls(clock, method, span)
    settings = KernelSettings(run_stage=takes_minutes)
    engine = VirtualEngine(
        clock=clock, persistence=Slow(clock, stalls), blob_store=SlowBlobs(stalls), settings=settings
    )
    run = engine.run(asking, Item())
    assert run.waiting_for == ("answer",)
    engine.signal(run, "answer", Item())
    engine.drive(run)
    assert (run.status, run.error) == (Status.COMPLETED, None)
    assert calls == ["ask 1", "answered 1", "batch 1", "check 1"]


def test_a_stage_gets_its_whole_time_after_its_input_was_read() -> None:
    left: list[timedelta] = []

    @stage("look", retry=ONCE, timeout=timedelta(minutes=5))
    def look(item: Item, ctx: StageContext) -> Item:
        left.append(ctx.remaining())
        return item

    clock = FakeClock()
    stalls = Stalls(clock, "get", timedelta(minutes=4))
    engine = VirtualEngine(clock=clock, persistence=Slow(clock, stalls), blob_store=SlowBlobs(stalls))
    run = engine.run(Workflow("looking", input=Item).pipe(look).build(), Item())
    assert (run.status, left) == (Status.COMPLETED, [timedelta(minutes=5)])
