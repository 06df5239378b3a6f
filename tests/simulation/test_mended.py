"""Violations that the simulator found in the kernel, each with the history that showed it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from typing_extensions import override

from tests.simulation.reference_workflows import Number, ask, chain
from workflow_engine.adapters.memory import (
    MemoryBlobStore,
    MemoryEventSink,
    MemoryJobTransport,
    MemoryPersistence,
    MemoryScheduler,
)
from workflow_engine.authoring import Registry, RetryPolicy, StageContext, Workflow, stage
from workflow_engine.kernel import Kernel, KernelSettings
from workflow_engine.model.commands import (
    CancelRun,
    CreateRun,
    ExecuteJob,
    PollSuspendedStages,
    SignalRun,
    parse_command,
)
from workflow_engine.model.commits import Committed, Exclusive, Refused, Shared
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import Head
from workflow_engine.model.status import Status
from workflow_engine.ports.clock import Clock
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.engine import VirtualEngine


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


@stage("stumble", retry=RetryPolicy(first_delay=timedelta(minutes=40), max_delay=timedelta(hours=1)))
def stumble(number: Number) -> Number:
    raise ConnectionError(number.value)


def test_what_a_run_waits_for_is_kept_in_the_milliseconds_that_a_store_keeps() -> None:
    """A pause with jitter had microseconds, which DynamoDB's head does not keep. The schedule was
    named after the instant as it was decided, and looked for under the instant as it was read: a
    cancelled run left its schedule behind (the reference's seeds 0 and 1, on moto)."""
    engine = VirtualEngine()
    early = engine.clock.now() + timedelta(hours=3, microseconds=1)
    run = engine.start(Workflow("stumbling", input=Number).pipe(stumble).build(), {"value": 1}, start_at=early)
    starts = run.head.active[0].until
    engine.advance(timedelta(hours=3, seconds=1))
    retries = run.head.active[0].until

    assert starts is not None
    assert retries is not None
    assert [instant.microsecond % 1000 for instant in (starts, retries, run.head.deadline)] == [0, 0, 0]
    assert engine.scheduler.next_fire_at() is not None
    engine.kernel.dispatch(CancelRun(run_id=run.id))
    assert engine.scheduler.next_fire_at() is None


class AnyOrder(MemoryPersistence):
    """Answers a batch read in an order of its own, as DynamoDB does."""

    @override
    def load_heads(self, run_ids: Sequence[RunId]) -> Mapping[RunId, Head]:
        return dict(sorted(super().load_heads(run_ids).items(), reverse=True))


def test_a_tick_looks_at_the_oldest_first_in_whatever_order_heads_are_read() -> None:
    """The tick went through the heads in the order in which a batch read answered them, so that the
    oldest run of a page could be the last one (the reference's seed 100, on DynamoDB Local)."""
    clock = FakeClock()
    engine = VirtualEngine(clock=clock, persistence=AnyOrder(clock), settings=KernelSettings(due_shards=1))
    runs = []
    for _ in range(8):
        runs.append(engine.start(chain, {"value": 1}))
        clock.advance(timedelta(seconds=1))
    while engine.job_transport.pending():
        delivery = engine.job_transport.dequeue()
        assert delivery is not None
        engine.job_transport.complete(delivery)
    clock.advance(engine.settings.horizon)
    engine.host.run_maintenance_tick()
    sent = [parse_command(delivery.body) for _ in runs if (delivery := engine.job_transport.dequeue())]

    assert [command.run_id for command in sent if isinstance(command, ExecuteJob)] == [run.id for run in runs]


class Stopping(MemoryPersistence):
    """The machine sleeps for 17 minutes right after the first claim, as a laptop or a container may."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self._time = clock
        self.slept = False

    @override
    def commit(self, commit: Exclusive | Shared) -> Committed | Refused:
        answer = super().commit(commit)
        if isinstance(commit, Shared) and not self.slept:
            self.slept = True
            self._time.advance(timedelta(minutes=17))
        return answer


@stage("quick", retry=RetryPolicy(max_attempts=1), timeout=timedelta(seconds=30))
def quick(number: Number, ctx: StageContext) -> Number:
    return Number(value=ctx.attempt)


def test_a_stage_that_could_not_begin_in_time_has_not_taken_too_long() -> None:
    """A process claimed a stage's last attempt and was stopped until its invocation was over. Then
    it went on, before anybody had taken its lease, with no time left: the stage was "stopped" as
    it began, and the run failed with ``StageTimeoutError`` (the reference's seed 3510)."""
    clock = FakeClock()
    persistence = Stopping(clock)
    engine = VirtualEngine(clock=clock, persistence=persistence)
    run = engine.start(Workflow("quick", input=Number).pipe(quick).build(), {"value": 0})
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    result = engine.host.process(delivery)

    assert persistence.slept
    assert (result.outcome, result.retryable, run.records) == ("failed", True, [])
    assert "was not begun" in str(result.error)
    engine.drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, {"value": 1, "padding": ""})


def answered_and_not_woken() -> tuple[VirtualEngine, str]:
    """A run that waits for a signal, which has come; the message that says so is lost."""
    engine = VirtualEngine()
    run = engine.start(Workflow("asking", input=Number).pipe(ask).build(), {"value": 0})
    engine.work()
    assert engine.scheduler.next_fire_at() is not None
    engine.kernel.dispatch(SignalRun(run_id=run.id, name="approval", payload={"approved": True}))
    lost = engine.job_transport.dequeue()
    assert lost is not None
    engine.job_transport.complete(lost)
    return engine, run.id


def test_a_signal_that_another_message_finds_leaves_no_timer_behind() -> None:
    """The timer of a wait was forgotten only by the message that the signal's sender had sent; where
    a repeat of an older one came first, the timer fired hours later, for nothing."""
    engine, run_id = answered_and_not_woken()
    older = ExecuteJob(run_id=run_id, workflow_id="asking", stage_id="ask", group=0, ordinal=0, epoch=0, claim="first")
    engine.kernel.dispatch(older)

    assert engine.kernel.queries.head(run_id).status is Status.COMPLETED
    assert engine.scheduler.next_fire_at() is None


def test_a_signal_that_an_operator_finds_leaves_no_timer_behind() -> None:
    """``stage.poll_suspended`` took the lease, and nobody forgot the timer."""
    engine, run_id = answered_and_not_woken()
    engine.kernel.dispatch(PollSuspendedStages())

    assert engine.kernel.queries.head(run_id).status is Status.COMPLETED
    assert engine.scheduler.next_fire_at() is None


def test_a_run_that_is_cancelled_when_its_signal_has_come_leaves_no_timer_behind() -> None:
    """What had been signalled and was not claimed did not wait for a time any more, and its timer was
    not looked for."""
    engine, run_id = answered_and_not_woken()
    engine.kernel.dispatch(CancelRun(run_id=run_id))

    assert engine.scheduler.next_fire_at() is None
