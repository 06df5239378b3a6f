"""The simulated world: processes, the ports they share, time, and whatever goes wrong between them.

One decision-maker (``Choices``) says who goes on at every port call and what happens to the call.
Everything that is not the engine's own lives here: how a function is invoked, killed and invoked
again, how a queue delivers, how a timer fires.
"""

import heapq
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from workflow_engine.adapters.memory import (
    MemoryEventSink,
    MemoryJobTransport,
    MemoryPersistence,
    MemoryScheduler,
    sizes,
)
from workflow_engine.kernel import KernelSettings
from workflow_engine.model.ids import RunId
from workflow_engine.model.instants import whole
from workflow_engine.model.runs import Head
from workflow_engine.ports.clock import Clock
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.ports.persistence import HeadSizes
from workflow_engine.testing.simulation.baton import Aborted, Relay
from workflow_engine.testing.simulation.choices import Choices
from workflow_engine.testing.simulation.effects import Effects, refusal, unanswered
from workflow_engine.testing.simulation.faults import STALLS, Crash, Fault, FaultRates, Outage
from workflow_engine.testing.simulation.identity import ProcessClock
from workflow_engine.testing.simulation.interposed import Firing
from workflow_engine.testing.simulation.invariants import Bounds
from workflow_engine.testing.simulation.ledger import Ledger
from workflow_engine.testing.simulation.observer import Observer, Violation
from workflow_engine.testing.simulation.takings import Takings
from workflow_engine.testing.simulation.tasks import Step, Stores, Task
from workflow_engine.testing.simulation.troubles import Trouble, run_of

START = datetime(2030, 1, 1, tzinfo=UTC)
# What one port call takes.
LATENCY = timedelta(milliseconds=7)
# As in template.yaml: the function's timeout and a minute.
VISIBILITY = timedelta(seconds=960)
MAX_RECEIVES = 300
# Time that passes at once, in which a store may forget.
FAR = timedelta(minutes=10)
# A history that does not come to rest in so many steps, and so many more a run, never does.
MAX_STEPS, MAX_STEPS_A_RUN = 20_000, 400

_local = threading.local()


class World:
    """Runs tasks one at a time, moves time when all of them wait, and checks every effect."""

    def __init__(
        self,
        choices: Choices,
        *,
        rates: FaultRates,
        settings: KernelSettings,
        stores: Callable[[Clock], Stores] | None = None,
        outages: Sequence[Outage] = (),
        lease: timedelta | None = None,
    ) -> None:
        self.outages, self.unanswered = outages, Counter[str]()
        self.choices, self.rates, self.settings = choices, rates, settings
        self.now = START
        self.clock = ProcessClock(lambda: self.now)
        kept = stores(self.clock) if stores else Stores(MemoryPersistence(self.clock))
        self.persistence, self.blobs = kept.persistence, kept.blobs
        self.jobs = MemoryJobTransport(self.clock, visibility=VISIBILITY, max_receives=MAX_RECEIVES)
        self.sink = MemoryEventSink()
        self.timers = MemoryScheduler(self.clock, cast(JobTransport, Firing(self)))
        skew = rates.most_skew if rates.skewed_clocks else timedelta(0)
        self.bounds = Bounds(settings.horizon, skew)
        self.observer = Observer(self.persistence, self.bounds, self.head_sizes)
        self.ledger = Ledger(self.bounds, lease)
        self.takings = Takings(self.persistence, self.bounds, self.ledger)
        self._effects = Effects(self)
        self.history: list[Step] = []
        self.calls: list[tuple[str, int]] = []
        self.steps = self.faults = self.crashes = 0
        self.failure: BaseException | None = None
        self.current: Task | None = None
        self.environment: Callable[[], datetime | None] = lambda: None
        self.refill: Callable[[], bool] = lambda: False
        # By key: the run, the stage, and the epoch of first leases when it was called; what plugins heard, by run.
        self.effects: dict[str, list[tuple[str, str, int]]] = {}
        self.heard: defaultdict[str, list[int]] = defaultdict(list)
        self.emit_takes, self.rider_bytes, self.in_threads = timedelta(0), 0, False
        self.forget: Callable[[], None] = lambda: None
        self._begin()

    def _begin(self) -> None:
        self._weights: dict[str, tuple[int, ...]] = {}
        self._tasks: list[Task] = []
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbers = 0
        self._relay = Relay()
        self._ended = False

    # Who does what, and when

    def at(self, when: datetime, do: Callable[[], None]) -> None:
        """Have *do* called at that time, between steps."""
        self._numbers += 1
        heapq.heappush(self._agenda, (when, self._numbers, do))

    def spawn(self, name: str, work: Callable[[], None], clock: Clock, **facts: Any) -> Task:
        """Start a task."""
        self._numbers += 1
        wake_at = facts.pop("wake_at", self.now)
        task = Task(name, work, wake_at, self._numbers, clock, **facts)
        self._tasks.append(task)
        return task

    def run(self) -> None:
        """Let everything happen, until nothing is left to happen.

        Raises:
            Violation: an invariant does not hold.
        """
        _local.world = self
        try:
            self._pass_on(None)
            if not self._ended:
                self._relay.wait_in_main()
        finally:
            self._abort_rest()
            self._relay.close()
            del _local.world
        if self.failure is not None:
            raise self.failure

    def turn(self) -> None:
        """The current task gives others the chance to go on before it does."""
        task = self.current
        if self._ended or task is None:
            raise Aborted
        self.now += LATENCY
        self._pass_on(task)
        if self._ended:
            raise Aborted
        if task.kill_at is not None and self.now >= task.kill_at:
            task.kill_at = None
            # Lambda kills; a worker on a machine that slept goes on, as a ghost.
            self.trouble("killed")
            if not self.choices.pick(f"{task.name}/outlives", (1, 1)):
                raise Crash

    def sleep(self, span: timedelta) -> None:
        """The current task waits."""
        if self.current is not None:
            self.current.wake_at = whole(self.now + span) if span else self.now
            self.turn()

    def trouble(self, what: str, run_id: RunId | None = None, costs: timedelta = timedelta(0)) -> None:
        """Remember what went wrong for the current task."""
        self.ledger.trouble(self.current, run_id, Trouble(self.now, what, costs))

    def fail(self, failure: BaseException) -> None:
        """End the history here."""
        self.failure = self.failure or failure
        self._ended = True

    def _pass_on(self, task: Task | None) -> None:
        following = None
        try:
            following = None if self._ended else self._next(task)
        except Exception as error:
            self.fail(error)
        if following is None:
            self._ended = True
        if following is task and task is not None:
            return
        self.current = following
        own = task.carrier if task is not None else None
        if following is None:
            if task is None:
                return
            self._relay.hand_to_main()
        else:
            self._start(following)
        if own is not None:
            own.baton.acquire()
            self.current = task

    def _start(self, task: Task) -> None:
        if task.carrier is None:
            task.carrier = self._relay.take(lambda: self._perform(task))
        task.carrier.baton.release()

    def _perform(self, task: Task) -> None:
        _local.world = self
        try:
            task.work()
        except Aborted:
            pass
        except Crash:
            self.crashes += 1
            self.trouble("crashed")
            if task.on_crash is not None and not self._ended:
                task.on_crash()
        except BaseException as error:
            self.fail(error)
        if task.on_end is not None and not self._ended:
            task.on_end()
        carrier = task.carrier
        assert carrier is not None
        self._tasks.remove(task)
        self._relay.release(carrier)
        if self._ended:
            self.current = None
            self._relay.hand_to_main()
            return
        self._hand_over()

    def _hand_over(self) -> None:
        """The baton goes on from a task that has ended."""
        following = None
        try:
            following = self._next(None)
        except Exception as error:
            self.fail(error)
        self.current = following
        if following is None:
            self._ended = True
            self._relay.hand_to_main()
        else:
            self._start(following)

    def _abort_rest(self) -> None:
        self._ended = True
        for task in list(self._tasks):
            if task.carrier is not None:
                self.current = task
                task.carrier.baton.release()
                self._relay.wait_in_main()
        self._tasks.clear()

    def _next(self, current: Task | None) -> Task | None:
        """Who goes on: the current task, another one that can, or whoever can first."""
        if self.steps > MAX_STEPS + MAX_STEPS_A_RUN * len(self.observer.heads):
            raise Violation(f"liveness: no rest after {self.steps} steps")
        while True:
            self._happen()
            ready = [task for task in self._tasks if task.wake_at <= self.now]
            if ready:
                return self._chosen(ready, current)
            times = [task.wake_at for task in self._tasks]
            times += [self._agenda[0][0]] if self._agenda else []
            outside = self.environment()
            times += [outside] if outside is not None else []
            if not times:
                if self.refill():
                    continue
                return None
            self._move(max(self.now, whole(min(times))))

    def _move(self, to: datetime) -> None:
        """Nobody has anything to do before *to*. What has expired by then may be gone."""
        far, self.now = to - self.now > FAR, to
        if far:
            self.forget()

    def _happen(self) -> None:
        while self._agenda and self._agenda[0][0] <= self.now:
            heapq.heappop(self._agenda)[2]()
        self.environment()

    def _chosen(self, ready: list[Task], current: Task | None) -> Task:
        if len(ready) == 1:
            return ready[0]
        if current is not None and current in ready:
            ready.remove(current)
            ready.insert(0, current)
        weights = (3 * len(ready), *[2] * (len(ready) - 1))
        return ready[self.choices.pick("turn", weights)]

    def head_sizes(self, head: Head) -> HeadSizes:
        """What a head takes. It asks nobody, so nothing can come between, and is one measure for all stores.
        Of two attempts at a stage one is larger."""
        found = sizes.of(head)
        least = [self.rider_bytes * (1 + (record.key.group + record.key.epoch) % 3) for record in head.recent]
        return replace(found, recent=tuple(map(max, zip(found.recent, least, strict=True))))

    # What a port call meets

    def call(self, port: str, name: str, method: Callable[..., Any], args: Any, *, kwargs: Any) -> Any:
        """A port call of the current task: others may go first, and something may go wrong."""
        task = self.current
        if task is None or self._ended:
            raise Aborted
        self.steps += 1
        label = f"{task.name}/{port}.{name}"
        self.calls.append((label, self.choices.asked(label)))
        fault = self._fault(label, name, run_of(port, name, args))
        self.sleep(self.emit_takes if name == "emit" else timedelta(0))
        if fault is Fault.STALL_BEFORE:
            self._stall(label)
        if fault in (Fault.CRASH_BEFORE, Fault.REFUSED):
            self._told(task, port, name, args, answer=None, fault=fault)
            raise Crash if fault is Fault.CRASH_BEFORE else self._refusal(label, port, name)
        fault = self._met_outage(port, fault)
        if fault is Fault.FAIL_BEFORE:
            return self._told(task, port, name, args, answer=unanswered(port, name, args), fault=fault)
        answer = self._effect(
            port, name, method, args, kwargs=kwargs, partial=label if fault is Fault.PARTIAL else None
        )
        if fault is Fault.TWICE:
            self._told(task, port, name, args, answer=answer, fault=fault)
            self.turn()
            answer = self._effect(port, name, method, args, kwargs=kwargs, partial=None)
        self._told(task, port, name, args, answer=answer, fault=fault)
        if fault is Fault.STALL_AFTER:
            self._stall(label)
        if fault is Fault.CRASH_AFTER:
            raise Crash
        return unanswered(port, name, args) if fault is Fault.ANSWER_LOST else answer

    def _met_outage(self, port: str, fault: Fault) -> Fault:
        if self.outage_end(port) is None:
            return fault
        self.unanswered[port] += 1
        self.trouble("outage")
        return Fault.FAIL_BEFORE

    def outage_end(self, port: str) -> datetime | None:
        """When *port* answers again; ``None`` where it does now."""
        ends = [
            START + outage.begin + outage.length
            for outage in self.outages
            if outage.port == port and START + outage.begin <= self.now < START + outage.begin + outage.length
        ]
        return max(ends, default=None)

    @property
    def calm(self) -> bool:
        """Whether nothing goes wrong any more, so that everything can come to its end."""
        return self.faults >= self.rates.most_faults or self.steps >= self.rates.most_steps

    def _fault(self, label: str, name: str, run_id: RunId | None) -> Fault:
        if self.calm:
            return Fault.NONE
        weights = self._weights.get(name)
        if weights is None:
            weights = self._weights[name] = self.rates.weights(name)
        fault = Fault(self.choices.pick(label, weights))
        if fault is not Fault.NONE:
            self.faults += 1
            self.trouble(f"{fault.name} {name}", run_id)
        return fault

    def odd(self, label: str, per_mille: int, ways: int = 1) -> int:
        """Whether something happens that is no port call's fault, and in which of *ways*."""
        if self.calm or not self.rates.unruly_messages:
            return 0
        found = self.choices.pick(label, (1000 - per_mille, *[max(per_mille // ways, 1)] * ways))
        self.faults += found > 0
        return found

    def _refusal(self, label: str, port: str, name: str) -> Exception:
        return refusal(port, name, self.choices.pick(f"{label}/refusal", (2, 1, 1)))

    def _stall(self, label: str) -> None:
        span = STALLS[self.choices.pick(f"{label}/stall", (4, 3, 3, 1))]
        self.trouble("stalled", costs=span)
        self.sleep(span)

    def _told(self, task: Task, port: str, name: str, args: Any, *, answer: Any, fault: Fault) -> Any:
        subject = args[0] if args else None
        self.history.append(Step(self.now, task.name, f"{port}.{name}", subject, answer, fault))
        return answer

    def _effect(
        self, port: str, name: str, method: Callable[..., Any], args: Any, *, kwargs: Any, partial: str | None
    ) -> Any:
        try:
            return self._effects.apply(port, name, method, args, kwargs=kwargs, partial=partial)
        except Violation as violation:
            self._told(self.current, port, name, args, answer=None, fault=Fault.NONE)  # type: ignore[arg-type]
            self.fail(violation)
            raise Aborted from violation


def current_world() -> World:
    """The world of the simulation that this thread is part of.

    Raises:
        LookupError: it is part of none.
    """
    world: World | None = getattr(_local, "world", None)
    if world is None:
        raise LookupError("this is no simulation")
    return world
