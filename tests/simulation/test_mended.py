"""Violations that the simulator found in the kernel, each with the history that showed it."""

from datetime import datetime, timedelta

from typing_extensions import override

from workflow_engine.adapters.memory import (
    MemoryBlobStore,
    MemoryEventSink,
    MemoryJobTransport,
    MemoryPersistence,
    MemoryScheduler,
)
from workflow_engine.authoring import Registry
from workflow_engine.kernel import Kernel
from workflow_engine.model.commands import CreateRun
from workflow_engine.ports.clock import Clock
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.simulation.reference import chain


class RunningClock(Clock):
    """Moves on by a second whenever somebody looks."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    @override
    def now(self) -> datetime:
        return self._clock.advance(timedelta(seconds=1))


def test_a_start_time_that_passes_between_two_looks_at_the_clock_is_sent_at_once() -> None:
    """A client creates a run with its key again, right when ``start_at`` comes. The timers were
    chosen by a first look at the clock, and the delay was reckoned by a second: it was negative,
    which no queue takes, and the client got a ``ValueError`` (seed 48)."""
    time = FakeClock()
    clock = RunningClock(time)
    jobs = MemoryJobTransport(clock)
    kernel = Kernel(
        persistence=MemoryPersistence(clock),
        blob_store=MemoryBlobStore(),
        job_transport=jobs,
        event_sink=MemoryEventSink(),
        scheduler=MemoryScheduler(clock, jobs),
        clock=clock,
        registry=Registry([chain]),
    )
    for seconds in range(1, 9):
        start_at = time.now() + timedelta(seconds=seconds + 0.5)
        kernel.dispatch(CreateRun(workflow_id="chain", input={"value": 1}, start_at=start_at))

    assert jobs.pending() == 8
