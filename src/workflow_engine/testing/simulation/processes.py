"""The processes of a simulated deployment: functions that are invoked, killed and started anew."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from typing_extensions import override

from workflow_engine.errors import WorkflowEngineError
from workflow_engine.hosts.serverless import JobResult, ServerlessHost
from workflow_engine.kernel import Kernel
from workflow_engine.kernel.invocation import FunctionTime
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
from workflow_engine.testing.simulation.observer import Violation
from workflow_engine.testing.simulation.outside import run_in_turns, run_inline
from workflow_engine.testing.simulation.scenario import Scenario
from workflow_engine.testing.simulation.tasks import Task
from workflow_engine.testing.simulation.troubles import Trouble
from workflow_engine.testing.simulation.world import World

# A worker's threads, which share its process, its leases and its end.
WORKER_THREADS = 2
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
    lease: timedelta | None = None
    tasks: list[Task] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)

    @property
    def host(self) -> ServerlessHost:
        """The host that Lambda's handlers and a worker's threads use."""
        return ServerlessHost(self.kernel, self.kernel.parts.job_transport, f"process-{self.number}", self.lease)

    @property
    def transport(self) -> JobTransport:
        """The queue as this process sees it."""
        return self.kernel.parts.job_transport


@dataclass(slots=True)
class Machine:
    """What keeps a process warm, and starts another one where it has died."""

    process: Process | None = None


@dataclass(slots=True)
class Slot:
    """A place where one invocation runs at a time: a function's only one, or a worker's thread."""

    name: str
    machine: Machine = field(default_factory=Machine)
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
    beats: int = 0
    lost_messages: int = 0
    reported: int = 0
    facts: Counted = field(default_factory=Counted)
    _slots: list[Slot] = field(default_factory=list)
    _tick_slots: list[Slot] = field(default_factory=list)
    _last_tick: datetime | None = None

    def __post_init__(self) -> None:
        threads = 1 if self.scenario.lease is None else WORKER_THREADS
        machines = [Machine() for _ in range(-(-self.scenario.workers // threads))]
        self._slots = [Slot(f"worker-{n}", machines[n // threads]) for n in range(self.scenario.workers)]
        self._tick_slots = [Slot("tick-0"), Slot("tick-1")]
        self.world.environment = self.happen

    def start(self, *, lease: timedelta | None = None) -> Process:
        """A process of the workflows of the day, or while a deploy is under way of those before."""
        world, self.spawned = self.world, self.spawned + 1
        deploy = self.deploys
        if self.scenario.side_by_side and deploy and world.choices.pick("old-code", (1, 1)):
            deploy -= 1
        most_skew = world.rates.most_skew if world.rates.skewed_clocks else timedelta(0)
        skews = [skew for skew in SKEWS if abs(skew) <= most_skew]
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
            registry=self.scenario.registry(deploy),
            ids=SequentialIds(self.spawned),
            observer=self.facts,
            settings=replace(self.scenario.settings, run_stage=run_inline, run_group=run_in_turns, pause=world.sleep),
        )
        return Process(self.spawned, clock, kernel, self.deploys, lease)

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
            except Violation:
                raise
            except Exception:
                # Lambda reports it; the next tick comes anyway.
                self.reported += 1

        self._invoke(slot, f"tick-{self.ticks_begun}", tick)

    def _deliver(self, slot: Slot, delivery: Delivery) -> None:
        world = self.world
        self.jobs_begun += 1
        odd = world.odd("delivery", 120, 4)
        if odd:
            world.ledger.trouble(None, _run_in(delivery), Trouble(world.now, "delivery"))
        if odd == 1 and not self.scenario.by_queue:
            # As if it had been received too often: it lies in the dead-letter queue.
            world.jobs.complete(delivery)
            self.lost_messages += 1
            return
        if odd == 2:
            world.at(world.now + timedelta(seconds=90), lambda: self._again(delivery))
        wake_at = world.now + timedelta(minutes=4) if odd == 3 else world.now
        deliveries = [delivery, *self._more(self.scenario.batch - 1)]

        def handle(process: Process, deadline: datetime) -> None:
            time = FunctionTime(deadline - process.clock.now())
            for place, one in enumerate(deliveries):
                begin = place == 0 or process.clock.now() < deadline
                self._handle(process, one, deadline, time if begin else None, keep=odd == 4)

        self._invoke(slot, f"job-{self.jobs_begun}", handle, wake_at)

    def _more(self, most: int) -> Iterator[Delivery]:
        """Further messages that are there now, for the same invocation."""
        for _ in range(most):
            delivery = self.world.jobs.dequeue()
            if delivery is None:
                return
            yield delivery

    def _handle(
        self, process: Process, delivery: Delivery, deadline: datetime, time: FunctionTime | None, *, keep: bool
    ) -> None:
        """Execute a message as the job handler does, unless no *time* is left; one that it does not say
        is done comes again, or is a dead letter."""
        world = self.world
        if process.lease is not None:
            self._touch(process, delivery)
        result = JobResult("failed", acknowledge=False, begun=False)
        if time is not None:
            result = _executed(process.host, delivery, deadline, time)
        self.reported += not result.acknowledge
        if world.outage_end("jobs") is not None:
            return
        if not result.acknowledge:
            replace(process.host, job_transport=world.jobs).give_back(delivery, result)
        elif not keep:
            world.jobs.complete(delivery)

    def _touch(self, process: Process, delivery: Delivery) -> None:
        try:
            process.transport.touch(delivery, visibility=2 * (process.lease or timedelta(0)))
        except WorkflowEngineError:
            self.reported += 1

    def _again(self, delivery: Delivery) -> None:
        """SQS delivers at least once: the same message to another invocation."""
        slot = next((slot for slot in self._slots if not slot.busy), None)
        if slot is not None:
            self.jobs_begun += 1
            name = f"job-{self.jobs_begun}"
            self._invoke(slot, name, lambda process, deadline: self._ignore(process.host, delivery, deadline))

    def _ignore(self, host: ServerlessHost, delivery: Delivery, deadline: datetime) -> None:
        time = FunctionTime(timedelta(0))
        self.reported += not _executed(host, delivery, deadline, time).acknowledge

    def _invoke(
        self, slot: Slot, name: str, work: Callable[[Process, datetime], None], wake_at: datetime | None = None
    ) -> None:
        slot.busy = True
        machine, world, ticks = slot.machine, self.world, slot in self._tick_slots
        lease = None if ticks else self.scenario.lease
        if machine.process is None or machine.process.deploy != self.deploys:
            machine.process = self.start(lease=lease)
        process, limit = machine.process, self.scenario.settings.invocation

        def crash() -> None:
            machine.process = None
            for dying in [one for other in process.tasks for one in (other, *other.threads)]:
                # They die with it, as soon as they do anything.
                dying.kill_at = world.now

        def end() -> None:
            slot.busy = False
            process.tasks.remove(task)
            if lease is None:
                self._end_with_threads(machine, task)

        begin = wake_at or world.now
        task = world.spawn(
            name,
            lambda: work(process, process.clock.now() + limit),
            process.clock,
            wake_at=begin,
            kill_at=None if lease is not None else begin + limit + KILL_MARGIN,
            on_crash=crash,
            on_end=end,
            shared=ticks,
        )
        process.tasks.append(task)
        if lease is not None:
            task.troubles = process.troubles
            self._keep_alive(process, crash)

    def _end_with_threads(self, machine: Machine, task: Task) -> None:
        """A function whose code goes on in a thread ends its process (``entrypoints.job_handler``)."""
        for thread in task.threads:
            machine.process = None
            thread.kill_at = self.world.now

    def _keep_alive(self, process: Process, crash: Callable[[], None]) -> None:
        """The heartbeat of a worker: a thread of its process, as long as that has work."""
        if any(task.name.startswith("beat-") for task in process.tasks):
            return
        world, lease = self.world, process.lease or timedelta(0)

        def beat() -> None:
            while len(process.tasks) > 1:
                world.sleep(lease / 3)
                try:
                    process.kernel.extend_leases(process.clock.now() + lease)
                except WorkflowEngineError:
                    self.reported += 1

        def end() -> None:
            process.tasks.remove(task)

        self.beats += 1
        task = world.spawn(f"beat-{self.beats}", beat, process.clock, on_crash=crash, on_end=end, shared=True)
        task.troubles = process.troubles
        process.tasks.append(task)


def _executed(host: ServerlessHost, delivery: Delivery, deadline: datetime, time: FunctionTime) -> JobResult:
    """What became of a message. That something does not hold is no message's failure."""
    result = host.handle_job(delivery, deadline=deadline, time=time)
    if isinstance(result.cause, Violation):
        raise result.cause
    return result


def _run_in(delivery: Delivery) -> RunId | None:
    named = json.loads(delivery.body).get("run_id")
    return None if named is None else RunId(named)
