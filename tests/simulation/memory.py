"""How much of what a worker was given it keeps."""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any, cast

from tests.simulation.reference_workflows import chain
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
from workflow_engine.testing.clock import FakeClock, SequentialIds

PORTS = ("persistence", "blobs", "jobs", "events", "scheduler")


class Replaceable:
    """Stands for a port whose store is exchanged, so that only what the kernel keeps can grow."""

    def __init__(self, target: object) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return cast(Callable[..., Any], getattr(self.target, name))


class Worker:
    """A host on stores that are emptied after each round."""

    def __init__(self) -> None:
        self._clock = clock = FakeClock()
        self._ports = {name: Replaceable(None) for name in PORTS}
        ports = cast(dict[str, Any], self._ports)
        self._kernel = Kernel(
            persistence=ports["persistence"],
            blob_store=ports["blobs"],
            job_transport=ports["jobs"],
            event_sink=ports["events"],
            scheduler=ports["scheduler"],
            clock=clock,
            ids=SequentialIds(),
            registry=Registry([chain]),
        )
        self._host = ServerlessHost(self._kernel, ports["jobs"], "soaking")

    def work(self, jobs: int) -> int:
        """The bytes that are in use after *jobs* jobs more."""
        self._empty()
        for _ in range(jobs):
            self._kernel.dispatch(CreateRun(workflow_id="chain", input={"value": 1}))
        done = self._host.process_available_jobs(jobs).succeeded
        assert done == jobs
        self._empty()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    def _empty(self) -> None:
        jobs = MemoryJobTransport(self._clock)
        self._ports["persistence"].target = MemoryPersistence(self._clock)
        self._ports["blobs"].target = MemoryBlobStore()
        self._ports["jobs"].target = jobs
        self._ports["events"].target = MemoryEventSink()
        self._ports["scheduler"].target = MemoryScheduler(self._clock, jobs)


def growth_bytes(*, jobs: int, a_round: int) -> int:
    """What *jobs* jobs leave behind, *a_round* of them at a time, once the first rounds have warmed up."""
    tracemalloc.start()
    try:
        worker = Worker()
        worker.work(a_round)
        before = worker.work(a_round)
        return [worker.work(a_round) for _ in range(jobs // a_round)][-1] - before
    finally:
        tracemalloc.stop()
