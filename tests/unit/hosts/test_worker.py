"""``WorkerHost``: threads that poll, tick and renew. Stages here say when they go on."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import pytest
from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import CreateRun, RetryPolicy, Status, Workflow, WorkflowDefinition, stage
from workflow_engine.adapters.memory import MemoryJobTransport
from workflow_engine.errors import StagesLeftRunningError, TransientError
from workflow_engine.hosts import WorkerHost
from workflow_engine.kernel.execution.time_limit import threads_left
from workflow_engine.kernel.records import listed
from workflow_engine.model.commands import parse_command
from workflow_engine.model.commits import ClaimFirst, Committed, Exclusive, Extend, Refused, Shared
from workflow_engine.model.deliveries import Delivery
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import EntryState, StageRecord
from workflow_engine.testing.clock import FakeClock
from workflow_engine.wiring.memory import MemoryEngine

# How long a test waits for a thread before it fails.
PATIENCE_SECONDS = 20
SHORT, SECOND = timedelta(seconds=0.05), timedelta(seconds=1)


class Item(BaseModel):
    name: str = "x"


class Gate:
    """A stage that says when it has begun, and goes on when the test lets it."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.open = threading.Event()
        self.calls: list[str] = []

    def workflow(self) -> WorkflowDefinition:
        @stage("wait")
        def wait(item: Item) -> Item:
            self.calls.append(item.name)
            self.begun.release()
            self.open.wait(PATIENCE_SECONDS)
            return item

        return Workflow("w", input=Item).pipe(wait).build()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def engine(make_engine: Callable[..., MemoryEngine], gate: Gate) -> MemoryEngine:
    return make_engine(gate.workflow())


@pytest.fixture
def start_worker(engine: MemoryEngine, gate: Gate) -> Iterator[Callable[..., WorkerHost]]:
    """Starts workers, and stops them after the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    workers: list[WorkerHost] = []

    def start(name: str = "worker", **options: object) -> WorkerHost:
        chosen = {"poll_wait": timedelta(0), "tick_every": SHORT, "lease": SECOND, **options}
        worker = WorkerHost(engine.kernel, engine.job_transport, name, **chosen)  # type: ignore[arg-type]
        workers.append(worker)
        worker.start()
        return worker

    yield start
    gate.open.set()
    for worker in workers:
        worker.stop()
    for number, handler in before.items():
        signal.signal(number, handler)


def create(engine: MemoryEngine, name: str = "x") -> RunId:
    return RunId(engine.kernel.dispatch(CreateRun(workflow_id="w", input={"name": name})).run_id)


def recorded(engine: MemoryEngine, run_id: RunId) -> Sequence[StageRecord]:
    head = engine.persistence.load_head(run_id)
    assert head is not None
    return listed(head, engine.persistence)


def status(engine: MemoryEngine, run_id: RunId) -> Status:
    head = engine.persistence.load_head(run_id)
    assert head is not None
    return head.status


def eventually(happened: Callable[[], bool]) -> bool:
    """Whether *happened* within the test's patience: threads take the time they take."""
    again = threading.Event()
    for _ in range(PATIENCE_SECONDS * 200):
        if happened():
            return True
        again.wait(0.005)
    return False


def test_it_works_off_the_queue(engine: MemoryEngine, gate: Gate, start_worker: Callable[..., WorkerHost]) -> None:
    gate.open.set()
    runs = [create(engine) for _ in range(5)]
    worker = start_worker()
    assert eventually(lambda: all(status(engine, run) is Status.COMPLETED for run in runs))
    assert eventually(lambda: worker.stats().jobs_processed == 5)


def test_its_statistics_say_what_it_did(
    engine: MemoryEngine, gate: Gate, clock: FakeClock, start_worker: Callable[..., WorkerHost]
) -> None:
    worker = start_worker("ada")
    assert worker.stats().is_running
    assert eventually(lambda: worker.stats().orchestration_ticks >= 2)
    clock.advance(7 * SECOND)
    assert (worker.stats().worker_id, worker.stats().uptime) == ("ada", 7 * SECOND)
    worker.stop()
    assert not worker.stats().is_running


def test_a_stop_finishes_the_job_in_hand_and_takes_no_other(
    engine: MemoryEngine, gate: Gate, start_worker: Callable[..., WorkerHost]
) -> None:
    first = create(engine)
    worker = start_worker()
    assert gate.begun.acquire(timeout=PATIENCE_SECONDS)
    second = create(engine)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    assert eventually(lambda: not worker.stats().is_running)
    gate.open.set()
    stopping.join(PATIENCE_SECONDS)
    assert (status(engine, first), status(engine, second)) == (Status.COMPLETED, Status.PENDING)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_job_in_hand(
    engine: MemoryEngine, gate: Gate, start_worker: Callable[..., WorkerHost], number: signal.Signals
) -> None:
    run = create(engine)
    worker = start_worker()
    assert gate.begun.acquire(timeout=PATIENCE_SECONDS)
    signal.raise_signal(number)
    assert not worker.stats().is_running
    gate.open.set()
    worker.run()
    assert status(engine, run) is Status.COMPLETED


def test_it_gives_the_signals_back(engine: MemoryEngine, start_worker: Callable[..., WorkerHost]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    first = start_worker("first")
    assert signal.getsignal(signal.SIGTERM) != before
    second = start_worker("second")
    seconds = signal.getsignal(signal.SIGTERM)
    first.stop()
    assert signal.getsignal(signal.SIGTERM) == seconds
    second.stop()
    assert signal.getsignal(signal.SIGTERM) != seconds


def test_it_can_be_started_again(engine: MemoryEngine, gate: Gate, start_worker: Callable[..., WorkerHost]) -> None:
    gate.open.set()
    worker = start_worker()
    worker.stop()
    run = create(engine)
    worker.start()
    assert eventually(lambda: status(engine, run) is Status.COMPLETED)


def test_a_long_stage_under_a_short_lease_is_not_stolen(
    engine: MemoryEngine, gate: Gate, clock: FakeClock, start_worker: Callable[..., WorkerHost]
) -> None:
    run_id = create(engine)
    start_worker("one", lease=timedelta(seconds=0.3))
    assert gate.begun.acquire(timeout=PATIENCE_SECONDS)
    start_worker("two", lease=timedelta(seconds=0.3))
    for _ in range(5):
        # Past the end of the lease, within the margin between two clocks: now it must be renewed.
        clock.advance(4 * SECOND)
        assert eventually(lambda: _lease_end(engine, run_id) > clock.now())
    gate.open.set()
    assert eventually(lambda: status(engine, run_id) is Status.COMPLETED)
    assert gate.calls == ["x"]
    assert [record.key.epoch for record in recorded(engine, run_id)] == [0]


def test_what_a_killed_worker_held_is_taken_over(
    engine: MemoryEngine, gate: Gate, clock: FakeClock, start_worker: Callable[..., WorkerHost]
) -> None:
    run_id = create(engine)
    claim = Shared(run_id, 0, ClaimFirst(0, 0, clock.now() + SECOND, "dead.1"))
    assert isinstance(engine.persistence.commit(claim), Committed)
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    engine.job_transport.complete(delivery)
    gate.open.set()
    start_worker()
    clock.advance(engine.kernel.settings.horizon)
    assert eventually(lambda: status(engine, run_id) is Status.COMPLETED)
    assert [record.key.epoch for record in recorded(engine, run_id)] == [1]


def test_several_workers_share_a_queue_and_each_run_is_done_once(
    engine: MemoryEngine, gate: Gate, start_worker: Callable[..., WorkerHost]
) -> None:
    gate.open.set()
    runs = [create(engine, str(number)) for number in range(40)]
    workers = [start_worker(f"worker-{number}", concurrency=2) for number in range(3)]
    assert eventually(lambda: all(status(engine, run) is Status.COMPLETED for run in runs))
    assert sorted(gate.calls, key=int) == [str(number) for number in range(40)]
    assert eventually(lambda: sum(worker.stats().jobs_processed for worker in workers) == 40)


def test_it_outlives_a_service_that_does_not_answer(
    engine: MemoryEngine, gate: Gate, clock: FakeClock, start_worker: Callable[..., WorkerHost]
) -> None:
    gate.open.set()
    errors: list[Exception] = []

    class Moody(MemoryJobTransport):
        """Does not answer the first time it is asked."""

        @override
        def dequeue(self, *, wait: timedelta = timedelta(0)) -> Delivery | None:
            if not errors:
                raise TransientError(service="sqs", operation="ReceiveMessage", code="ServiceUnavailable")
            return super().dequeue(wait=wait)

    moody = Moody(clock)
    run = create(engine)
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    worker = WorkerHost(engine.kernel, moody, "moody", poll_wait=timedelta(0), on_error=errors.append)
    worker.start()
    moody.enqueue(parse_command(delivery.body))
    assert eventually(lambda: status(engine, run) is Status.COMPLETED)
    worker.stop()
    assert [type(error) for error in errors] == [TransientError]


def test_async_stages_leave_nothing_open_behind(
    make_engine: Callable[..., MemoryEngine], start_worker: Callable[..., WorkerHost]
) -> None:
    @stage("later")
    async def later(item: Item) -> Item:
        return item

    engine = make_engine(Workflow("w", input=Item).pipe(later).build())
    run = create(engine)
    worker = WorkerHost(engine.kernel, engine.job_transport, "async", poll_wait=timedelta(0))
    worker.start()
    assert eventually(lambda: status(engine, run) is Status.COMPLETED)
    worker.stop()


def test_a_lease_or_a_message_that_cannot_be_renewed_costs_no_other_its_renewal(
    engine: MemoryEngine, gate: Gate, start_worker: Callable[..., WorkerHost], clock: FakeClock
) -> None:
    runs = [create(engine, str(number)) for number in range(4)]
    commit, touch = engine.persistence.commit, engine.job_transport.touch
    errors: list[Exception] = []
    touched: set[str] = set()

    def moody_commit(one: Exclusive | Shared) -> Committed | Refused:
        if isinstance(one, Shared) and isinstance(one.change, Extend) and one.run_id in runs[:2]:
            raise TransientError(service="dynamodb", operation="UpdateItem", code="InternalServerError")
        return commit(one)

    def moody_touch(delivery: Delivery, *, visibility: timedelta) -> None:
        touched.add(delivery.message_id)
        if len(touched) == 1:
            raise TransientError(service="sqs", operation="ChangeMessageVisibility", code="InternalError")
        touch(delivery, visibility=visibility)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.persistence, "commit", moody_commit)
        start_worker("moody", concurrency=4, lease=timedelta(seconds=0.3), on_error=errors.append)
        for _ in runs:
            assert gate.begun.acquire(timeout=PATIENCE_SECONDS)
        patch.setattr(engine.job_transport, "touch", moody_touch)
        clock.advance(4 * SECOND)
        assert eventually(lambda: all(_lease_end(engine, run) > clock.now() for run in runs[2:]))
        assert eventually(lambda: len(touched) == 4)
        assert eventually(
            lambda: (
                {str(error).split(":")[0] for error in errors} == {"dynamodb UpdateItem", "sqs ChangeMessageVisibility"}
            )
        )
        assert all(_lease_end(engine, run) < clock.now() for run in runs[:2])
        gate.open.set()


def test_a_worker_with_too_many_stages_that_cannot_be_stopped_takes_no_more(
    make_engine: Callable[..., MemoryEngine], gate: Gate
) -> None:
    @stage("hang", timeout=SHORT, retry=RetryPolicy(max_attempts=1))
    def hang(item: Item) -> Item:
        gate.open.wait(PATIENCE_SECONDS)
        return item

    engine = make_engine(Workflow("w", input=Item).pipe(hang).build())
    errors: list[Exception] = []
    run = create(engine)
    left_before = threads_left()
    worker = WorkerHost(
        engine.kernel,
        engine.job_transport,
        "hung",
        poll_wait=timedelta(0),
        max_threads_left=left_before,
        on_error=errors.append,
    )
    worker.start()
    assert eventually(lambda: not worker.stats().is_running)
    assert worker.stats().threads_left == left_before + 1
    worker.run()
    assert [type(error) for error in errors] == [StagesLeftRunningError]
    assert status(engine, run) is Status.FAILED
    gate.open.set()
    assert eventually(lambda: threads_left() <= left_before)


def _lease_end(engine: MemoryEngine, run_id: RunId) -> datetime:
    head = engine.persistence.load_head(run_id)
    assert head is not None
    assert head.active[0].state is EntryState.LEASED
    assert head.active[0].until is not None
    return head.active[0].until
