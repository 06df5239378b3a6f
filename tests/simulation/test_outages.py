"""An hour without one of the services, under load; and an hour with a little of everything."""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any, cast

import pytest

from workflow_engine.adapters.memory import (
    MemoryBlobStore,
    MemoryEventSink,
    MemoryJobTransport,
    MemoryPersistence,
    MemoryScheduler,
)
from workflow_engine.authoring import Registry
from workflow_engine.hosts import ServerlessHost
from workflow_engine.kernel import Kernel
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.limits import MAX_HEAD_EVENTS_BYTES
from workflow_engine.testing.clock import FakeClock, SequentialIds
from workflow_engine.testing.simulation import simulate
from workflow_engine.testing.simulation.reference import out_of_order, soak
from workflow_engine.testing.simulation.reference_workflows import chain

JOBS = 100
# A leak of anything that belongs to a job is larger: the smallest object has 16 bytes, a string 49.
LEAK_BYTES = 40
# What one stage of the reference tells at once, beyond the events that may stay in a head.
ONE_STAGE_BYTES = 8 * 1024


@pytest.mark.parametrize("port", ["events", "jobs", "blobs", "persistence"])
def test_an_hour_without_a_service_loses_nothing_and_drains(port: str) -> None:
    calm, stormy = simulate(out_of_order(), 1), simulate(out_of_order(port), 1)

    assert stormy.violation is None
    assert stormy.unanswered[port] > 100
    assert stormy.runs == calm.runs == 120
    assert stormy.dead_letters == 0
    assert stormy.largest_head <= MAX_HEAD_EVENTS_BYTES + ONE_STAGE_BYTES
    # No herd: what failed is not tried more often than the outage is long, and what waited comes at the workers' pace.
    assert stormy.steps < 2 * calm.steps
    assert stormy.busiest_second < 4 * calm.busiest_second


def test_a_bus_that_refuses_is_told_to_whoever_watches() -> None:
    assert simulate(out_of_order("events"), 1).facts["EventsRefused"] > 100


def test_a_store_that_does_not_answer_is_reported_by_every_function() -> None:
    assert simulate(out_of_order("persistence"), 1).facts["ErrorsReported"] > 50


def test_all_services_at_once() -> None:
    history = simulate(out_of_order("events", "jobs", "blobs", "persistence"), 2)

    assert history.violation is None
    assert history.dead_letters == 0


def test_a_soak_with_every_fault_now_and_then() -> None:
    history = simulate(soak(400), 1)

    if history.violation is not None:
        raise history.violation
    assert history.runs >= 390
    assert history.faults > 100


class Replaceable:
    """Stands for a port whose store is exchanged, so that only what the kernel keeps can grow."""

    def __init__(self, target: object) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return cast(Callable[..., Any], getattr(self.target, name))


def test_the_memory_of_a_worker_stays_flat() -> None:
    clock = FakeClock()
    ports = {name: Replaceable(None) for name in ("persistence", "blobs", "jobs", "events", "scheduler")}

    def renew() -> None:
        ports["persistence"].target = MemoryPersistence(clock)
        ports["blobs"].target = MemoryBlobStore()
        ports["jobs"].target = jobs = MemoryJobTransport(clock)
        ports["events"].target = MemoryEventSink()
        ports["scheduler"].target = MemoryScheduler(clock, jobs)

    kernel = Kernel(
        persistence=cast(Any, ports["persistence"]),
        blob_store=cast(Any, ports["blobs"]),
        job_transport=cast(Any, ports["jobs"]),
        event_sink=cast(Any, ports["events"]),
        scheduler=cast(Any, ports["scheduler"]),
        clock=clock,
        ids=SequentialIds(),
        registry=Registry([chain]),
    )
    host = ServerlessHost(kernel, cast(Any, ports["jobs"]), "soaking")

    def work(jobs: int) -> int:
        renew()
        for _ in range(jobs):
            kernel.dispatch(CreateRun(workflow_id="chain", input={"value": 1}))
        assert host.process_available_jobs(jobs).succeeded == jobs
        renew()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        work(JOBS)
        before = work(JOBS)
        after = [work(JOBS) for _ in range(5)][-1]
    finally:
        tracemalloc.stop()

    assert after - before < LEAK_BYTES * 5 * JOBS
