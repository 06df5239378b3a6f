"""The whole engine in one process: for unit tests, simulations and benchmarks."""

from dataclasses import dataclass

from workflow_engine.adapters.memory import (
    MemoryBlobStore,
    MemoryEventSink,
    MemoryJobTransport,
    MemoryPersistence,
    MemoryScheduler,
)
from workflow_engine.adapters.system import SystemClock
from workflow_engine.authoring import Registry
from workflow_engine.hosts import ServerlessHost
from workflow_engine.kernel import Kernel, KernelSettings
from workflow_engine.ports.clock import Clock, IdSource


@dataclass(frozen=True, slots=True)
class MemoryEngine:
    """A kernel on memory adapters, and the adapters to look into."""

    kernel: Kernel
    host: ServerlessHost
    persistence: MemoryPersistence
    blob_store: MemoryBlobStore
    job_transport: MemoryJobTransport
    event_sink: MemoryEventSink
    scheduler: MemoryScheduler
    clock: Clock


def memory_engine(
    registry: Registry,
    *,
    clock: Clock | None = None,
    ids: IdSource | None = None,
    settings: KernelSettings | None = None,
    worker_id: str = "memory",
) -> MemoryEngine:
    """An engine that keeps everything in this process and forgets it with it."""
    clock = clock or SystemClock()
    persistence, blob_store = MemoryPersistence(clock), MemoryBlobStore()
    job_transport, event_sink = MemoryJobTransport(clock), MemoryEventSink()
    scheduler = MemoryScheduler(clock, job_transport)
    kernel = Kernel(
        persistence=persistence,
        blob_store=blob_store,
        job_transport=job_transport,
        event_sink=event_sink,
        scheduler=scheduler,
        clock=clock,
        registry=registry,
        ids=ids,
        settings=settings,
    )
    host = ServerlessHost(kernel, job_transport, worker_id)
    return MemoryEngine(kernel, host, persistence, blob_store, job_transport, event_sink, scheduler, clock)
