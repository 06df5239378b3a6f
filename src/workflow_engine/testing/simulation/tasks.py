"""What processes do in the simulated world, and the lines that tell of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from typing_extensions import override

from workflow_engine.adapters.memory import MemoryBlobStore
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.clock import Clock
from workflow_engine.ports.persistence import Persistence
from workflow_engine.testing.simulation.baton import Carrier
from workflow_engine.testing.simulation.faults import Fault
from workflow_engine.testing.simulation.measures import Held
from workflow_engine.testing.simulation.observer import describe
from workflow_engine.testing.simulation.troubles import Trouble


@dataclass(slots=True)
class Task:
    """One thing that a process does: an invocation, a tick, a client's call.

    It goes on from *wake_at* on; at *kill_at* whoever runs it kills it. *clock* is its process's,
    *lease* the newest one that it took of all its *leases*, *troubles* what happened to it. A *shared* one, a tick for
    example, looks after many runs. Its *threads* are those in which code of stages is at work, or goes on that nobody
    waits for any more; one *hangs* while its code takes time.
    """

    name: str
    work: Callable[[], None]
    wake_at: datetime
    number: int
    clock: Clock
    kill_at: datetime | None = None
    on_crash: Callable[[], None] | None = None
    on_end: Callable[[], None] | None = None
    stage_deadline: datetime | None = None
    carrier: Carrier | None = None
    shared: bool = False
    lease: Held | None = None
    leases: list[Held] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    threads: "list[Task]" = field(default_factory=list)
    hangs: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a history."""

    at: datetime
    task: str
    call: str
    subject: object
    answer: object
    fault: Fault = Fault.NONE

    @override
    def __str__(self) -> str:
        fault = "" if self.fault is Fault.NONE else f" !! {self.fault.name.lower().replace('_', ' ')}"
        answer = "" if self.answer is None else f" -> {describe(self.answer)}"
        return (
            f"{self.at:%d %H:%M:%S.%f}"[:-3] + f" {self.task:<12} {self.call} {describe(self.subject)}{answer}{fault}"
        )


@dataclass(slots=True)
class Stores:
    """What may be another adapter than the one in memory."""

    persistence: Persistence
    blobs: BlobStore = field(default_factory=MemoryBlobStore)
