"""Many runs at once: what a backlog costs, and that none hides another."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import (
    ClaimPendingRuns,
    FlushOutbox,
    NotReady,
    PollSuspendedStages,
    ReapStaleLeases,
    ReapStuckRuns,
    SignalRun,
    Suspended,
    TransientError,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.adapters.memory import MemoryEventSink, MemoryJobTransport
from workflow_engine.kernel import KernelSettings, published_types
from workflow_engine.model.commands import Command
from workflow_engine.model.commits import Exclusive
from workflow_engine.model.events import RunEvent
from workflow_engine.model.runs import EntryState, PendingEvent
from workflow_engine.model.status import Status
from workflow_engine.ports.events import Refusal
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
HORIZON = KernelSettings().horizon


class Item(BaseModel):
    name: str = "x"


@stage("only", timeout=MINUTE)
def only(item: Item) -> Item:
    return item


@stage("ask", timeout=MINUTE)
def ask(item: Item) -> WaitForSignal[Item]:
    return WaitForSignal("answer", Item)


@ask.on_signal
def answered(item: Item) -> Item:
    return item


@stage("batch", timeout=MINUTE)
def submit(item: Item) -> Suspended[Item]:
    return Suspended(item, poll_every=MINUTE)


@submit.check_completion
def check(item: Item) -> Item | NotReady:
    return item if item.name == "done" else NotReady()


single = Workflow("single", input=Item).pipe(only).build()
asking = Workflow("asking", input=Item).pipe(ask).build()
batch = Workflow("batch", input=Item).pipe(submit).build()


class Counting(MemoryJobTransport):
    """A queue that counts what is sent to it, and takes nothing while it is *down*."""

    sent = 0
    down = False

    @override
    def enqueue(self, command: Command, *, delay: timedelta = timedelta(0)) -> None:
        if self.down:
            raise TransientError(service="jobs", operation="enqueue", code="busy")
        self.sent += 1
        super().enqueue(command, delay=delay)

    @override
    def enqueue_parallel(self, commands: Sequence[Command]) -> Sequence[Command]:
        if self.down:
            return commands
        self.sent += len(commands)
        return super().enqueue_parallel(commands)


def counting(engine: VirtualEngine) -> Counting:
    engine.job_transport = Counting(engine.clock)
    engine.scheduler._transport = engine.job_transport  # type: ignore[attr-defined]
    engine.deploy(single, asking, batch)
    return engine.job_transport


def work_off(engine: VirtualEngine, runs: int, a_minute: int) -> None:
    """Process *a_minute* messages a minute, and a tick, until all *runs* are over."""
    ended = 0
    while ended < runs:
        before = len(engine.events)
        engine.scheduler.fire_due()
        engine.host.process_available_jobs(max_jobs=a_minute)
        engine.host.run_maintenance_tick()
        ended += sum(event.type == "workflow:completed" for event in engine.events[before:])
        engine.clock.advance(MINUTE)


def create_singles(engine: VirtualEngine, runs: int) -> None:
    for _ in range(runs):
        engine.start(single, Item())


def start_all_at_once(engine: VirtualEngine, runs: int) -> None:
    at = engine.clock.now() + 2 * HOUR
    for _ in range(runs):
        engine.start(single, Item(), start_at=at)
    engine.clock.set(at)
    engine.scheduler.fire_due()


def answer_all(engine: VirtualEngine, runs: int) -> None:
    asked = [engine.start(asking, Item()) for _ in range(runs)]
    engine.host.process_available_jobs(max_jobs=runs)
    engine.job_transport.sent = 0  # type: ignore[attr-defined]
    for run in asked:
        engine.kernel.dispatch(SignalRun(run_id=run.id, name="answer", payload={"name": "y"}))


BURSTS: dict[str, Callable[[VirtualEngine, int], None]] = {
    "created": create_singles,
    "with one start_at": start_all_at_once,
    "answered": answer_all,
}


class TestABurst:
    @pytest.mark.parametrize(("kind", "runs"), [*((kind, 1000) for kind in BURSTS), ("created", 4000)])
    def test_it_takes_about_one_message_a_run(self, kind: str, runs: int) -> None:
        engine = VirtualEngine()
        queue = counting(engine)
        BURSTS[kind](engine, runs)
        work_off(engine, runs, a_minute=30)
        assert queue.sent <= 1.05 * runs

    def test_what_was_never_sent_is_sent_once_the_others_are_gone(self) -> None:
        engine = VirtualEngine()
        queue = counting(engine)
        lost = engine.start(single, Item())
        while (delivery := queue.dequeue()) is not None:
            queue.complete(delivery)
        create_singles(engine, 1000)
        work_off(engine, 1001, a_minute=30)
        assert lost.status is Status.COMPLETED
        assert lost.head.ended_at is not None
        assert lost.head.ended_at - lost.head.created_at <= timedelta(minutes=1000 / 30) + HORIZON + MINUTE

    def test_what_was_never_sent_is_sent_within_hours_where_the_queue_is_never_empty(self) -> None:
        engine = VirtualEngine()
        queue = counting(engine)
        lost = engine.start(single, Item())
        while (delivery := queue.dequeue()) is not None:
            queue.complete(delivery)
        create_singles(engine, 50)
        queue.sent = 0
        for _ in range(7 * 60):
            engine.host.run_maintenance_tick()
            engine.clock.advance(MINUTE)
        # Nobody takes a message for seven hours: once each, and no more.
        assert queue.sent == 51
        assert lost.status is Status.PENDING

    def test_a_worker_that_died_is_replaced_at_the_first_look_however_long_the_queue(self) -> None:
        engine = VirtualEngine()
        queue = counting(engine)
        run = engine.start(single, Item())
        delivery = queue.dequeue()
        assert delivery is not None
        claim_and_die(engine, delivery)
        create_singles(engine, 100)
        queue.sent = 0
        engine.clock.advance(2 * HORIZON)
        engine.host.run_maintenance_tick()
        assert run.head.active[0].state is EntryState.LEASED
        assert queue.sent == 1


def claim_and_die(engine: VirtualEngine, delivery: Any) -> None:
    def die(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    engine.settings = KernelSettings(run_stage=die)
    engine.deploy(single, asking, batch)
    with pytest.raises(KeyboardInterrupt):
        engine.host.process(delivery)
    engine.settings = KernelSettings()
    engine.deploy(single, asking, batch)


class TestATick:
    def test_jobs_that_the_queue_does_not_accept_are_sent_a_minute_later(self) -> None:
        engine = VirtualEngine()
        queue = counting(engine)
        runs = [engine.start(single, Item()) for _ in range(50)]
        while (delivery := queue.dequeue()) is not None:
            queue.complete(delivery)
        engine.clock.advance(HORIZON)
        queue.down = True
        engine.host.run_maintenance_tick()
        queue.down, queue.sent = False, 0
        engine.clock.advance(MINUTE)
        engine.host.run_maintenance_tick()
        assert queue.sent == 50
        engine.drive(*runs)

    def test_the_job_of_a_run_that_has_events_to_tell_is_sent_a_minute_later_too(self) -> None:
        engine = VirtualEngine()
        queue = counting(engine)
        run = engine.start(single, Item())
        while (delivery := queue.dequeue()) is not None:
            queue.complete(delivery)
        note_an_event(engine, run)
        engine.clock.advance(HORIZON)
        queue.down = True
        engine.host.run_maintenance_tick()
        queue.down, queue.sent = False, 0
        engine.clock.advance(MINUTE)
        engine.host.run_maintenance_tick()
        assert queue.sent == 1

    def test_a_run_that_raises_anything_keeps_no_other_waiting(self) -> None:
        class Odd(MemoryEventSink):
            @override
            def emit(self, events: Sequence[RunEvent]) -> Sequence[Refusal | None]:
                raise ValueError("odd")

        engine = VirtualEngine()
        queue = counting(engine)
        engine.start(single, Item(name="odd"))
        others = [engine.start(single, Item()) for _ in range(9)]
        odd, *_ = engine._runs
        while (delivery := queue.dequeue()) is not None:
            queue.complete(delivery)
        note_an_event(engine, odd)
        engine.event_sink._sink = Odd()
        engine.clock.advance(HORIZON)
        queue.sent = 0
        tick = engine.host.run_maintenance_tick()
        assert (tick.failed, tick.looked_at, queue.sent) == (1, 10, 9)
        engine.event_sink._sink = MemoryEventSink()
        engine.drive(*others)


def note_an_event(engine: VirtualEngine, run: VirtualRun) -> None:
    """Have *run* carry an event that is not told."""
    head = run.head
    event = PendingEvent("workflow:created", engine.clock.now(), {"priority": 5})
    engine.persistence.commit(Exclusive(head, replace(head, version=head.version + 1, events=(event,))))


class TestOperatorsCommands:
    """Two thousand runs stand in the first shard, and one that a command is for in the last."""

    @pytest.fixture
    def engine(self) -> VirtualEngine:
        engine = VirtualEngine(settings=KernelSettings(due_shards=2))
        counting(engine)
        return engine

    def crowd(self, engine: VirtualEngine, workflow: WorkflowDefinition, count: int = 1100) -> None:
        made = 0
        while made < count:
            run = engine.start(workflow, Item())
            made += run.head.due_shard == 0

    def in_the_last_shard(self, engine: VirtualEngine, workflow: WorkflowDefinition, name: str = "x") -> VirtualRun:
        while True:
            run = engine.start(workflow, Item(name=name), priority=9)
            if run.head.due_shard == 1:
                return run

    def test_pending_runs_are_started_by_priority_whatever_their_shard(self, engine: VirtualEngine) -> None:
        for _ in range(5000):
            engine.start(single, Item())
        urgent = {engine.start(single, Item(), priority=10).id for _ in range(100)}
        claimed = engine.kernel.dispatch(ClaimPendingRuns(worker_id="w", max_claims=100)).claimed
        assert set(claimed) == urgent

    def test_checks_are_made_whatever_else_is_suspended(self, engine: VirtualEngine) -> None:
        run = self.in_the_last_shard(engine, batch, "done")
        engine.host.process_available_jobs(max_jobs=100)
        assert run.status is Status.SUSPENDED
        self.crowd(engine, single)
        engine.clock.advance(MINUTE)
        assert engine.kernel.dispatch(PollSuspendedStages()).resumed >= 1

    def test_stale_leases_are_found_behind_those_that_hold(self, engine: VirtualEngine) -> None:
        self.crowd(engine, single)
        run = self.in_the_last_shard(engine, single)
        queue = engine.job_transport
        mine = [one for one in iter(queue.dequeue, None) if run.id in one.body]
        claim_and_die(engine, mine[0])
        engine.clock.advance(HORIZON)
        assert engine.kernel.dispatch(ReapStaleLeases()).released == 1

    def test_stuck_runs_are_found_behind_those_that_are_not(self, engine: VirtualEngine) -> None:
        run = self.in_the_last_shard(engine, single)
        engine.clock.advance(2 * HOUR)
        self.crowd(engine, single)
        assert engine.kernel.dispatch(ReapStuckRuns()).recovered >= 1
        assert run.status is Status.PENDING

    def test_events_are_flushed_whatever_else_is_alive(self, engine: VirtualEngine) -> None:
        engine.settings = KernelSettings(due_shards=2, published=published_types(["workflow:failed"]))
        self.crowd(engine, single)
        note_an_event(engine, self.in_the_last_shard(engine, single))
        assert engine.kernel.dispatch(FlushOutbox()).published == 1

    def test_runs_that_fail_keep_no_others_from_a_command(self, engine: VirtualEngine) -> None:
        runs = [engine.start(single, Item()) for _ in range(3)]

        class Refusing(Counting):
            left = 2

            @override
            def enqueue(self, command: Command, *, delay: timedelta = timedelta(0)) -> None:
                if self.left:
                    self.left -= 1
                    raise TransientError(service="jobs", operation="enqueue", code="busy")
                super().enqueue(command, delay=delay)

        engine.job_transport = Refusing(engine.clock)
        engine.deploy(single)
        engine.clock.advance(2 * HOUR)
        assert engine.kernel.dispatch(ReapStuckRuns()).recovered == 1
        assert all(run.status is Status.PENDING for run in runs)
