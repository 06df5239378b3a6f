"""The processes of a simulated deployment: functions that are invoked, killed and started anew."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from typing_extensions import override

from workflow_engine.errors import WorkflowEngineError
from workflow_engine.hosts.serverless import ServerlessHost
from workflow_engine.kernel import Kernel
from workflow_engine.model.deliveries import Delivery
from workflow_engine.model.ids import RunId
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.clock import Clock
from workflow_engine.ports.events import EventSink
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.ports.observer import NoObserver
from workflow_engine.ports.persistence import Persistence
from workflow_engine.ports.scheduler import Scheduler
from workflow_engine.testing.clock import SequentialIds
from workflow_engine.testing.simulation.faults import SKEWS
from workflow_engine.testing.simulation.identity import ProcessClock
from workflow_engine.testing.simulation.interposed import Interposed
from workflow_engine.testing.simulation.outside import run_inline
from workflow_engine.testing.simulation.scenario import Scenario
from workflow_engine.testing.simulation.troubles import Trouble
from workflow_engine.testing.simulation.world import World

TICK_EVERY = timedelta(seconds=60)
# How long after its deadline an invocation is killed: never before it could have ended by itself.
KILL_MARGIN = timedelta(seconds=1)


class Counted(NoObserver):
    """Counts what the engine tells to whoever watches."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    @override
    def happened(self, fact: str, count: int = 1) -> None:
        self.counts[fact] += count


@dataclass(slots=True)
class Process:
    """One process: a kernel over interposed ports, with a clock of its own."""

    number: int
    clock: Clock
    kernel: Kernel
    deploy: int

    @property
    def host(self) -> ServerlessHost:
        """The host that Lambda's handlers use."""
        return ServerlessHost(self.kernel, self.kernel.job_transport, f"process-{self.number}")


@dataclass(slots=True)
class Slot:
    """A place where one invocation runs at a time; its process stays warm between them."""

    name: str
    process: Process | None = None
    busy: bool = False


@dataclass(slots=True)
class Deployment:
    """The functions of a stack, and who invokes them."""

    world: World
    scenario: Scenario
    deploys: int = 0
    spawned: int = 0
    jobs_begun: int = 0
    ticks_begun: int = 0
    lost_messages: int = 0
    reported: int = 0
    facts: Counted = field(default_factory=Counted)
    _slots: list[Slot] = field(default_factory=list)
    _tick_slots: list[Slot] = field(default_factory=list)
    _last_tick: datetime | None = None

    def __post_init__(self) -> None:
        self._slots = [Slot(f"worker-{n}") for n in range(self.scenario.workers)]
        self._tick_slots = [Slot("tick-0"), Slot("tick-1")]
        self.world.environment = self.happen

    def start(self) -> Process:
        """A process of the workflows of the day."""
        world, self.spawned = self.world, self.spawned + 1
        skews = SKEWS if world.rates.skewed_clocks else SKEWS[:1]
        skew = skews[world.choices.pick("skew", (6, *(1,) * (len(skews) - 1)))]
        clock = ProcessClock(lambda: world.now, skew)

        def port(name: str, target: object) -> Any:
            return Interposed(world, name, target)

        kernel = Kernel(
            persistence=cast(Persistence, port("persistence", world.persistence)),
            blob_store=cast(BlobStore, port("blobs", world.blobs)),
            job_transport=cast(JobTransport, port("jobs", world.jobs)),
            event_sink=cast(EventSink, port("events", world.sink)),
            scheduler=cast(Scheduler, port("scheduler", world.timers)),
            clock=clock,
            registry=self.scenario.registry(self.deploys),
            ids=SequentialIds(self.spawned),
            observer=self.facts,
            settings=replace(self.scenario.settings, run_stage=run_inline, pause=world.sleep),
        )
        return Process(self.spawned, clock, kernel, self.deploys)

    def happen(self) -> datetime | None:
        """Invoke what is to be invoked now; answers when there will be more."""
        times = [self._jobs(), self._tick()]
        return min((at for at in times if at is not None), default=None)

    def _jobs(self) -> datetime | None:
        """Deliver messages and let timers fire, unless the queue does not answer: Lambda polls on,
        and Scheduler tries again for a day."""
        world = self.world
        answers_at = world.outage_end("jobs")
        if answers_at is not None:
            return answers_at
        times: list[datetime] = []
        fires = world.timers.next_fire_at()
        if fires is not None and fires <= world.now:
            world.timers.fire_due()
            fires = world.timers.next_fire_at()
        times += [fires] if fires is not None else []
        free = [slot for slot in self._slots if not slot.busy]
        while free and (visible := world.jobs.next_visible_at()) is not None and visible <= world.now:
            delivery = world.jobs.dequeue()
            if delivery is None:
                break
            self._deliver(free.pop(0), delivery)
        visible = world.jobs.next_visible_at()
        if visible is not None and free:
            times.append(visible)
        world.ledger.starving(world.now, starves=not free and visible is not None and visible <= world.now)
        return min(times, default=None)

    def _tick(self) -> datetime | None:
        """A tick each minute; those that would find nothing are left out, as they change nothing."""
        world, due = self.world, self.world.observer.next_due()
        if due is None:
            return None
        last = self._last_tick
        earliest = due if last is None else max(due, last + TICK_EVERY)
        if earliest > world.now:
            return earliest
        self._last_tick = world.now
        odd = world.odd("tick", 200, 2)
        if odd:
            world.ledger.trouble(None, None, Trouble(world.now, "tick"))
        if odd != 1:
            self._begin_tick()
        if odd == 2:
            self._begin_tick()
        return world.now + TICK_EVERY

    def _begin_tick(self) -> None:
        slot = next((slot for slot in self._tick_slots if not slot.busy), None)
        if slot is None:
            return
        self.ticks_begun += 1

        def tick(process: Process, deadline: datetime) -> None:
            try:
                process.host.run_maintenance_tick(deadline=deadline)
            except WorkflowEngineError:
                # Lambda reports it; the next tick comes anyway.
                self.reported += 1

        self._invoke(slot, f"tick-{self.ticks_begun}", tick)

    def _deliver(self, slot: Slot, delivery: Delivery) -> None:
        world = self.world
        self.jobs_begun += 1
        odd = world.odd("delivery", 120, 4)
        if odd:
            world.ledger.trouble(None, _run_in(delivery), Trouble(world.now, "delivery"))
        if odd == 1:
            # As if it had been received too often: it lies in the dead-letter queue.
            world.jobs.complete(delivery)
            self.lost_messages += 1
            return
        if odd == 2:
            world.at(world.now + timedelta(seconds=90), lambda: self._again(delivery))
        wake_at = world.now + timedelta(minutes=4) if odd == 3 else world.now

        def handle(process: Process, deadline: datetime) -> None:
            result = process.host.handle_job(delivery, deadline=deadline)
            self.reported += not result.acknowledge
            if world.outage_end("jobs") is not None:
                return
            if not result.acknowledge:
                world.jobs.fail(delivery)
            elif odd != 4:
                world.jobs.complete(delivery)

        self._invoke(slot, f"job-{self.jobs_begun}", handle, wake_at)

    def _again(self, delivery: Delivery) -> None:
        """SQS delivers at least once: the same message to another invocation."""
        slot = next((slot for slot in self._slots if not slot.busy), None)
        if slot is not None:
            self.jobs_begun += 1
            name = f"job-{self.jobs_begun}"
            self._invoke(slot, name, lambda process, deadline: self._ignore(process.host, delivery, deadline))

    @staticmethod
    def _ignore(host: ServerlessHost, delivery: Delivery, deadline: datetime) -> None:
        host.handle_job(delivery, deadline=deadline)

    def _invoke(
        self, slot: Slot, name: str, work: Callable[[Process, datetime], None], wake_at: datetime | None = None
    ) -> None:
        slot.busy = True
        if slot.process is None or slot.process.deploy != self.deploys:
            slot.process = self.start()
        process, world = slot.process, self.world
        limit = self.scenario.settings.invocation

        def crash() -> None:
            slot.process = None

        def end() -> None:
            slot.busy = False

        begin = wake_at or world.now
        world.spawn(
            name,
            lambda: work(process, process.clock.now() + limit),
            process.clock,
            wake_at=begin,
            kill_at=begin + limit + KILL_MARGIN,
            on_crash=crash,
            on_end=end,
            shared=slot in self._tick_slots,
        )


def _run_in(delivery: Delivery) -> RunId | None:
    named = json.loads(delivery.body).get("run_id")
    return None if named is None else RunId(named)
