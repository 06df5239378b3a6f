"""``ServerlessHost``: one message, some messages, one tick."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import BaseModel
from typing_extensions import override

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
from workflow_engine.adapters.memory import MemoryPersistence
from workflow_engine.errors import AwsRequestError
from workflow_engine.hosts import JobResult, ProcessedJobs, ServerlessHost
from workflow_engine.kernel import Kernel
from workflow_engine.model.commands import Command, ExecuteJob, RerunFrom, SignalRun, TransitionRun
from workflow_engine.model.deliveries import Delivery, body_of
from workflow_engine.model.ids import RunId, run_id_for
from workflow_engine.model.runs import Head
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


# ---------------------------------------------------------------- what is given up, and when


def died_after(engine: MemoryEngine, clock: FakeClock, command: Command) -> tuple[timedelta, Delivery]:
    """How long after it was sent *command* was given up, and its letter."""
    sent_at = clock.now()
    engine.job_transport.enqueue(command)
    while (next_at := engine.job_transport.next_visible_at()) is not None:
        clock.set(max(next_at, clock.now()))
        engine.host.process_available_jobs()
    (letter,) = engine.job_transport.list_dead()
    return clock.now() - sent_at, letter


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (CreateRun(workflow_id="copying", input={"name": 1}), "InvalidInputError"),
        (CreateRun(workflow_id="copying", input={}, config={"copy": {"x": 1}}), "InvalidConfigError"),
        (TransitionRun(run_id="nobody"), "RunNotFoundError"),
        (ExecuteJob(run_id="nobody", workflow_id="copying", stage_id="copy"), "RunNotFoundError"),
    ],
)
def test_poison_is_a_dead_letter_after_its_first_delivery(
    engine: MemoryEngine, clock: FakeClock, command: Command, code: str
) -> None:
    waited, letter = died_after(engine, clock, command)
    assert waited == timedelta(0)
    reason = letter.reason
    assert reason is not None
    assert (reason.code, reason.run_id) == (code, getattr(command, "run_id", None))
    assert (reason.message_id, reason.first_at, reason.died_at) == ("message-1", clock.now(), clock.now())
    assert reason.message


@pytest.mark.parametrize(
    "command",
    [
        CancelRun(run_id="nobody"),
        SignalRun(run_id="nobody", name="go"),
        RerunFrom(run_id="nobody", from_stage_id="copy"),
        AnnotateRun(run_id="nobody", key="k"),
    ],
)
def test_what_may_have_overtaken_its_run_waits_for_it_a_day(
    engine: MemoryEngine, clock: FakeClock, command: Command
) -> None:
    waited, letter = died_after(engine, clock, command)
    assert timedelta(days=1) <= waited <= timedelta(days=1, hours=1)
    assert letter.reason is not None
    assert letter.reason.code == "RunNotFoundError"


def test_a_run_of_an_unknown_workflow_waits_as_long_as_a_deploy_takes(engine: MemoryEngine, clock: FakeClock) -> None:
    waited, letter = died_after(engine, clock, CreateRun(workflow_id="coming", input={}))
    assert timedelta(hours=1) <= waited <= timedelta(hours=1, minutes=15)
    assert letter.reason is not None
    assert letter.reason.code == "WorkflowNotFoundError"


def test_a_signal_that_overtook_its_run_is_delivered(engine: MemoryEngine, clock: FakeClock) -> None:
    run_id = run_id_for("copying", "order-1")
    engine.job_transport.enqueue(CancelRun(run_id=run_id))
    assert engine.host.process_available_jobs(5) == ProcessedJobs(1, 0, 1)
    engine.kernel.dispatch(CreateRun(workflow_id="copying", input={}, idempotency_key="order-1"))
    engine.job_transport.complete(_take(engine))
    clock.advance(timedelta(seconds=5))
    assert engine.host.process_available_jobs(5) == ProcessedJobs(1, 1, 0)
    assert status(engine, run_id) is Status.CANCELLED


class Surprising(MemoryPersistence):
    """A store with a fault that the engine knows nothing of."""

    error: Exception = ZeroDivisionError("by \udce9")

    @override
    def load_head(self, run_id: RunId) -> Head | None:
        raise self.error


def surprised(make_engine: Callable[..., MemoryEngine], clock: FakeClock, error: Exception) -> MemoryEngine:
    made = make_engine(copying)
    store = Surprising(clock)
    store.error = error
    kernel = Kernel(
        persistence=store,
        blob_store=made.blob_store,
        job_transport=made.job_transport,
        event_sink=made.event_sink,
        scheduler=made.scheduler,
        clock=clock,
        registry=made.kernel.registry,
    )
    host = ServerlessHost(kernel, made.job_transport, "surprised")
    return replace(made, kernel=kernel, host=host)


class SilentError(Exception):
    """An exception that cannot say what is wrong."""

    @override
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", [ZeroDivisionError("by \udce9"), MemoryError(), SilentError()])
def test_what_nobody_expected_is_tried_for_some_hours_and_then_given_up_with_its_reason(
    make_engine: Callable[..., MemoryEngine], clock: FakeClock, error: Exception
) -> None:
    engine = surprised(make_engine, clock, error)
    waited, letter = died_after(engine, clock, TransitionRun(run_id="run-1"))
    assert timedelta(hours=1, minutes=30) <= waited <= timedelta(hours=3, minutes=10)
    assert letter.reason is not None
    assert letter.reason.code == type(error).__name__


def test_what_people_have_to_mend_is_tried_for_a_day(
    make_engine: Callable[..., MemoryEngine], clock: FakeClock
) -> None:
    denied = AwsRequestError(service="DynamoDB", operation="GetItem", code="AccessDeniedException", detail="no")
    engine = surprised(make_engine, clock, denied)
    waited, _ = died_after(engine, clock, TransitionRun(run_id="run-1"))
    assert timedelta(days=1) <= waited <= timedelta(days=1, hours=1)


def test_an_exception_of_no_kind_that_the_engine_knows_is_in_the_answer(
    make_engine: Callable[..., MemoryEngine], clock: FakeClock
) -> None:
    error = ZeroDivisionError("by zero")
    engine = surprised(make_engine, clock, error)
    result = engine.host.handle_job(TransitionRun(run_id="run-1"))
    assert (result.error, result.cause, result.acknowledge) == ("ZeroDivisionError: by zero", error, False)


def test_a_replayed_create_that_had_taken_effect_makes_no_second_run(engine: MemoryEngine, clock: FakeClock) -> None:
    engine.job_transport.enqueue(CreateRun(workflow_id="copying", input={}))
    first = _take(engine)
    assert engine.host.handle_job(first).acknowledge
    # Its own message has begun and ended the run.
    assert engine.job_transport.waiting() == 0
    # As if its answer had been lost each time, until SQS gave it up.
    while not engine.job_transport.list_dead():
        clock.advance(timedelta(hours=1))
        engine.job_transport.dequeue()
    assert engine.job_transport.redrive_dead() == 1
    assert engine.host.process_available_jobs(5).failed == 0
    assert len(engine.persistence.list_runs("copying").run_ids) == 1


def test_results_are_values(engine: MemoryEngine) -> None:
    assert JobResult("failed", "why") == JobResult("failed", "why", acknowledge=True, retryable=False, result=None)


def _take(engine: MemoryEngine) -> Delivery:
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    return delivery
