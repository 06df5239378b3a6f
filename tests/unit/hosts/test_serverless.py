"""``ServerlessHost``: one message, some messages, one tick."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from pydantic import BaseModel

from workflow_engine import (
    AnnotateRun,
    CancelRun,
    CreateRun,
    JobExecuted,
    RetryPolicy,
    Status,
    Suspended,
    Workflow,
    stage,
)
from workflow_engine.hosts import JobResult, ProcessedJobs
from workflow_engine.model.deliveries import Delivery, body_of
from workflow_engine.model.ids import RunId
from workflow_engine.testing.clock import FakeClock
from workflow_engine.wiring.memory import MemoryEngine

MINUTE = timedelta(minutes=1)


class Item(BaseModel):
    name: str = "x"


@stage("copy")
def copy(item: Item) -> Item:
    return item


@stage("broken", retry=RetryPolicy(max_attempts=2))
def broken(item: Item) -> Item:
    raise ConnectionError("no answer")


@stage("batch")
def submit(item: Item) -> Suspended[Item]:
    return Suspended(item, poll_every=MINUTE)


@submit.check_completion
def check(state: Item) -> Item:
    return state


copying = Workflow("copying", input=Item).pipe(copy).build()
breaking = Workflow("breaking", input=Item).pipe(broken).build()
waiting = Workflow("waiting", input=Item).pipe(submit).build()


@pytest.fixture
def engine(make_engine: Callable[..., MemoryEngine]) -> MemoryEngine:
    return make_engine(copying, breaking, waiting)


def create(engine: MemoryEngine, workflow_id: str) -> RunId:
    return RunId(engine.kernel.dispatch(CreateRun(workflow_id=workflow_id, input={})).run_id)


def status(engine: MemoryEngine, run_id: RunId) -> Status:
    head = engine.persistence.load_head(run_id)
    assert head is not None
    return head.status


@pytest.mark.parametrize(
    ("workflow_id", "outcome", "retryable"),
    [("copying", "completed", False), ("waiting", "suspended", False), ("breaking", "failed", True)],
)
def test_a_job_is_answered_with_what_became_of_its_stage(
    engine: MemoryEngine, workflow_id: str, outcome: str, retryable: bool
) -> None:
    create(engine, workflow_id)
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    result = engine.host.handle_job(delivery)
    assert (result.outcome, result.retryable, result.acknowledge) == (outcome, retryable, True)
    assert isinstance(result.result, JobExecuted)


def test_any_command_may_come_as_a_message(engine: MemoryEngine) -> None:
    result = engine.host.handle_job({"type": "run.create", "workflow_id": "copying", "input": {}})
    assert result.outcome == "completed"
    assert engine.host.handle_job(CancelRun(run_id="nobody")).error == "RunNotFoundError: no run 'nobody'"
    assert engine.host.handle_job("no json").retryable is False


def test_a_message_without_a_key_takes_its_own_id(engine: MemoryEngine) -> None:
    delivery = Delivery("m-1", body_of(CreateRun(workflow_id="copying", input={})), receipt="r")
    answers = {repr(engine.host.handle_job(delivery).result) for _ in range(3)}
    assert len(answers) == 1
    other = Delivery("m-2", delivery.body, receipt="r")
    assert repr(engine.host.handle_job(other).result) not in answers


def test_a_note_that_is_delivered_twice_is_kept_once(engine: MemoryEngine) -> None:
    run_id = create(engine, "copying")
    note = AnnotateRun(run_id=run_id, key="source", value="mail")
    for _ in range(2):
        assert engine.host.handle_job(Delivery("m-1", body_of(note), "receipt")).acknowledge
    assert len(engine.persistence.list_annotations(run_id)) == 1


def test_a_messages_own_key_is_kept(engine: MemoryEngine) -> None:
    body = body_of(CreateRun(workflow_id="copying", input={}, idempotency_key="mine"))
    answers = {repr(engine.host.handle_job(Delivery(f"m-{n}", body, receipt="r")).result) for n in range(3)}
    assert len(answers) == 1


def test_it_takes_as_many_messages_as_it_is_asked_to(engine: MemoryEngine) -> None:
    for _ in range(3):
        create(engine, "copying")
    assert engine.host.process_available_jobs() == ProcessedJobs(1, 1, 0)
    assert engine.host.process_available_jobs(max_jobs=5) == ProcessedJobs(2, 2, 0)
    assert engine.host.process_available_jobs(max_jobs=5) == ProcessedJobs(0, 0, 0)


def test_a_message_that_failed_comes_again_after_seconds_and_its_neighbours_are_done(
    engine: MemoryEngine, clock: FakeClock
) -> None:
    engine.job_transport.enqueue(CancelRun(run_id="nobody"))
    run_id = create(engine, "copying")
    assert engine.host.process_available_jobs(max_jobs=5) == ProcessedJobs(2, 1, 1)
    assert status(engine, run_id) is Status.COMPLETED
    next_at = engine.job_transport.next_visible_at()
    assert next_at is not None
    assert timedelta(0) < next_at - clock.now() <= timedelta(seconds=5)


def test_a_failed_attempt_that_is_tried_again_acknowledges_its_message(engine: MemoryEngine) -> None:
    create(engine, "breaking")
    assert engine.host.process_available_jobs() == ProcessedJobs(1, 0, 1)
    # The retry's own message, and nothing else.
    assert engine.job_transport.pending() == 1


def test_a_tick_says_what_it_sent_on_its_way(engine: MemoryEngine, clock: FakeClock) -> None:
    pending, suspended = create(engine, "copying"), create(engine, "waiting")
    engine.job_transport.complete(_take(engine))
    assert engine.host.process(_take(engine)).outcome == "suspended"
    quiet = engine.host.run_maintenance_tick()
    assert (quiet.looked_at, quiet.backlog) == (0, False)
    clock.advance(engine.kernel.settings.horizon)
    tick = engine.host.run_maintenance_tick()
    assert (tick.claimed, tick.suspended_checked, tick.looked_at) == (1, 1, 2)
    while engine.host.process_available_jobs().processed:
        pass
    assert (status(engine, pending), status(engine, suspended)) == (Status.COMPLETED, Status.COMPLETED)


def test_results_are_values(engine: MemoryEngine) -> None:
    assert JobResult("failed", "why") == JobResult("failed", "why", acknowledge=True, retryable=False, result=None)


def _take(engine: MemoryEngine) -> Delivery:
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    return delivery
