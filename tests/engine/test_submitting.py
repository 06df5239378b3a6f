"""``Kernel.submit``, and a run that its own message begins: one request, one write, no second message."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias

import pytest
from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import (
    CancelRun,
    CreateRun,
    IdempotencyConflictError,
    InvalidCommandError,
    InvalidConfigError,
    InvalidInputError,
    PayloadTooLargeError,
    RetryPolicy,
    SignalRun,
    Status,
    SubmissionError,
    WaitForSignal,
    Workflow,
    WorkflowNotFoundError,
    stage,
)
from workflow_engine.errors import TransientError
from workflow_engine.hosts import ServerlessHost
from workflow_engine.kernel import Kernel, published_types
from workflow_engine.kernel.execution.time_limit import run_within
from workflow_engine.kernel.invocation import FunctionTime
from workflow_engine.model.commands import Command, parse_command
from workflow_engine.model.ids import RunId, run_id_for
from workflow_engine.model.limits import MAX_ATTRIBUTES_BYTES, MAX_MESSAGE_BYTES
from workflow_engine.model.results import RunCreated
from workflow_engine.model.runs import EntryState
from workflow_engine.ports.observer import NoObserver
from workflow_engine.testing.clock import START
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

MakeEngine: TypeAlias = Callable[..., VirtualEngine]
MakeKernel: TypeAlias = Callable[..., Kernel]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
WEST, EAST = timezone(-timedelta(hours=5)), timezone(timedelta(hours=5))
calls: list[str] = []


class Order(BaseModel):
    number: str = "17"


class Pair(BaseModel):
    left: Order
    right: Order


class Strict(BaseModel):
    grams: int


@stage("pack", timeout=MINUTE)
def pack(order: Order) -> Order:
    calls.append("pack")
    return order


@stage("ship", timeout=MINUTE)
def ship(order: Order) -> Order:
    calls.append("ship")
    return order


@stage("left", timeout=MINUTE)
def left(order: Order) -> Order:
    return order


@stage("right", timeout=MINUTE)
def right(order: Order) -> Order:
    return order


@stage("both", timeout=MINUTE)
def both(pair: Pair) -> Pair:
    return pair


@stage("ask")
def ask(order: Order) -> WaitForSignal[Order]:
    return WaitForSignal("go", Order)


@ask.on_signal
def answered(order: Order) -> Order:
    return order


@stage("weigh")
def weigh(strict: Strict) -> Strict:
    return strict


shipping = Workflow("shipping", input=Order).pipe(pack).pipe(ship).build()
pairing = Workflow("pairing", input=Order).parallel(left, right).pipe(both).build()
weighing = Workflow("weighing", input=Strict).pipe(weigh).build()
asking = Workflow("asking", input=Order).pipe(ask).build()
ALL = (shipping, pairing, weighing, asking)
LATER = START + timedelta(hours=2)
ORDER = CreateRun(workflow_id="shipping", input={"number": "17"}, idempotency_key="order-17")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()


@pytest.fixture
def engine(make_engine: MakeEngine) -> VirtualEngine:
    engine = make_engine(published=published_types(["*"]))
    engine.deploy(*ALL)
    return engine


def run_of(engine: VirtualEngine, run_id: str) -> VirtualRun:
    return VirtualRun(engine, RunId(run_id))


class TestSubmit:
    def test_the_id_is_known_at_once_and_the_run_comes_with_its_message(self, engine: VirtualEngine) -> None:
        run_id = engine.kernel.submit(ORDER)
        assert run_id == run_id_for("shipping", "order-17")
        assert engine.persistence.load_head(run_id) is None
        engine.work()
        assert (run_of(engine, run_id).status, calls) == (Status.COMPLETED, ["pack", "ship"])

    def test_a_message_and_a_mapping_are_commands_too(self, engine: VirtualEngine) -> None:
        plain = ORDER.model_dump(mode="json", exclude_none=True)
        assert engine.kernel.submit(plain) == engine.kernel.submit(ORDER.model_dump_json(exclude_none=True))

    def test_twice_with_a_key_is_one_run(self, engine: VirtualEngine) -> None:
        first, again = engine.kernel.submit(ORDER), engine.kernel.submit(ORDER)
        assert engine.kernel.dispatch(ORDER).run_id == first == again
        engine.work()
        assert calls == ["pack", "ship"]

    def test_without_a_key_one_is_made_and_sent_along(self, engine: VirtualEngine) -> None:
        command = CreateRun(workflow_id="shipping", input={})
        first, other = engine.kernel.submit(command), engine.kernel.submit(command)
        assert first != other
        delivery = engine.job_transport.dequeue()
        assert delivery is not None
        sent = parse_command(delivery.body)
        assert isinstance(sent, CreateRun)
        assert run_id_for("shipping", str(sent.idempotency_key)) == first
        for _ in range(2):  # delivered twice
            engine.host.handle_job(delivery)
        assert calls == ["pack", "ship"]

    @pytest.mark.parametrize(
        ("command", "error"),
        [
            (CreateRun(workflow_id="nobody", input={}), WorkflowNotFoundError),
            (CreateRun(workflow_id="weighing", input={"grams": "many"}), InvalidInputError),
            (CreateRun(workflow_id="shipping", input={}, config={"nobody": {}}), InvalidConfigError),
            (
                CreateRun(workflow_id="shipping", input={}, attributes={"a": "x" * MAX_ATTRIBUTES_BYTES}),
                PayloadTooLargeError,
            ),
            (CancelRun(run_id="r" * 26), InvalidCommandError),
            ({"type": "run.create"}, InvalidCommandError),
            (ORDER.model_copy(update={"start_at": datetime.max.replace(tzinfo=WEST)}), InvalidInputError),
            (ORDER.model_copy(update={"start_at": datetime.min.replace(tzinfo=EAST)}), InvalidInputError),
        ],
    )
    def test_what_cannot_start_is_refused_and_not_sent(
        self, engine: VirtualEngine, command: Any, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            engine.kernel.submit(command)
        assert engine.job_transport.pending() == 0

    def test_a_command_that_starts_nothing_is_named(self, engine: VirtualEngine) -> None:
        with pytest.raises(InvalidCommandError, match=r"run\.cancel starts no run"):
            engine.kernel.submit(CancelRun(run_id="r" * 26))  # type: ignore[arg-type]

    def test_what_no_message_can_hold_is_dispatched(self, engine: VirtualEngine) -> None:
        large = ORDER.model_copy(update={"input": {"number": "9" * MAX_MESSAGE_BYTES}})
        run_id = engine.kernel.submit(large)
        assert run_of(engine, run_id).status is Status.PENDING
        engine.work()
        assert len(run_of(engine, run_id).output["number"]) == MAX_MESSAGE_BYTES

    def test_a_queue_that_does_not_answer_is_told_with_the_run_and_its_key(self, engine: VirtualEngine) -> None:
        def silent(*_: Any, **__: Any) -> None:
            raise TransientError(service="jobs", operation="SendMessage", code="ServiceUnavailable")

        engine.job_transport.enqueue = silent  # type: ignore[method-assign]
        with pytest.raises(SubmissionError, match="order-17") as caught:
            engine.kernel.submit(ORDER)
        assert (caught.value.run_id, caught.value.retryable) == (run_id_for("shipping", "order-17"), True)
        assert caught.value.idempotency_key == "order-17"

    def test_a_cancel_that_overtakes_it_comes_again(self, engine: VirtualEngine) -> None:
        run_id = run_id_for("shipping", "order-17")
        self.overtaken(engine, CancelRun(run_id=run_id), ORDER.model_copy(update={"start_at": LATER}))
        assert run_of(engine, run_id).status is Status.CANCELLED

    def test_a_signal_that_overtakes_it_comes_again(self, engine: VirtualEngine) -> None:
        create = CreateRun(workflow_id="asking", input={}, idempotency_key="order-17")
        run_id = run_id_for("asking", "order-17")
        self.overtaken(engine, SignalRun(run_id=run_id, name="go", payload={"number": "18"}), create)
        assert run_of(engine, run_id).output == {"number": "18"}

    def overtaken(self, engine: VirtualEngine, command: Command, create: CreateRun) -> None:
        engine.job_transport.enqueue(command)
        engine.work()
        engine.advance(MINUTE)
        engine.kernel.submit(create)
        engine.advance(30 * MINUTE)
        assert engine.job_transport.pending() == 0


class Counting(NoObserver):
    """Notes what happened."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    @override
    def happened(self, fact: str, count: int = 1) -> None:
        self.noted += [fact] * count


def test_a_run_is_counted_as_started_whatever_comes_of_its_first_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    @stage("shaky", timeout=MINUTE, retry=RetryPolicy(first_delay=timedelta(seconds=5)))
    def shaky(order: Order) -> Order:
        tried.append(1)
        if len(tried) == 1:
            raise ConnectionError("not yet")
        return order

    engine = VirtualEngine(observer=(observer := Counting()))
    engine.deploy(Workflow("shaking", input=Order).pipe(shaky).build())
    run_id = engine.kernel.submit(CreateRun(workflow_id="shaking", input={}))

    def silent(*_: Any, **__: Any) -> None:
        raise TransientError(service="jobs", operation="SendMessage", code="ServiceUnavailable")

    with monkeypatch.context() as patched:
        patched.setattr(engine.job_transport, "enqueue", silent)
        engine.host.process_available_jobs()
        assert observer.noted.count("RunsStarted") == 1
    engine.advance(HOUR)
    assert run_of(engine, run_id).status is Status.COMPLETED
    assert observer.noted.count("RunsStarted") == 1


class TestCreationTakesTheLease:
    def delivered(self, engine: VirtualEngine, command: CreateRun = ORDER, **options: Any) -> Any:
        """What comes of the command as a message."""
        return engine.host.handle_job(command, **options).result

    def test_the_first_stage_is_performed_by_the_message_that_creates_its_run(self, engine: VirtualEngine) -> None:
        result = self.delivered(engine)
        assert isinstance(result, RunCreated)
        run = run_of(engine, result.run_id)
        assert (run.status, calls, engine.job_transport.pending()) == (Status.COMPLETED, ["pack", "ship"], 0)
        assert [event.type for event in run.events] == [
            "workflow:created",
            "workflow:started",
            "stage:started",
            "stage:completed",
            "stage:started",
            "stage:completed",
            "workflow:completed",
        ]

    def test_a_client_waits_for_no_stage(self, engine: VirtualEngine) -> None:
        run_id = engine.kernel.dispatch(ORDER).run_id
        assert (run_of(engine, run_id).status, calls) == (Status.PENDING, [])
        assert engine.job_transport.pending() == 1

    def test_a_larger_group_is_sent(self, engine: VirtualEngine) -> None:
        result = self.delivered(engine, CreateRun(workflow_id="pairing", input={}))
        assert run_of(engine, result.run_id).status is Status.PENDING
        assert engine.job_transport.pending() == 2

    def test_a_later_start_waits(self, engine: VirtualEngine) -> None:
        later = ORDER.model_copy(update={"start_at": engine.clock.now() + HOUR})
        assert run_of(engine, self.delivered(engine, later).run_id).status is Status.PENDING
        engine.advance(2 * HOUR)
        assert calls == ["pack", "ship"]

    def test_a_stage_for_which_there_is_no_time_is_sent(self, engine: VirtualEngine) -> None:
        end, time = engine.clock.now() + MINUTE / 2, FunctionTime(15 * MINUTE, stage_begun=True)
        result = self.delivered(engine, deadline=end, time=time)
        assert (run_of(engine, result.run_id).status, calls) == (Status.PENDING, [])
        assert engine.job_transport.pending() == 1

    def test_delivered_again_it_is_acknowledged_while_its_lease_holds(self, make_engine: MakeEngine) -> None:
        engine = self.dying(make_engine)
        head = run_of(engine, run_id_for("shipping", "order-17")).head
        assert (head.status, head.active[0].state) == (Status.RUNNING, EntryState.LEASED)
        assert isinstance(self.delivered(engine), RunCreated)
        assert (calls, engine.job_transport.pending()) == ([], 0)

    def test_delivered_again_after_its_lease_it_is_claimed(self, make_engine: MakeEngine) -> None:
        engine = self.dying(make_engine)
        engine.clock.advance(HOUR)
        result = self.delivered(engine)
        run = run_of(engine, result.run_id)
        assert (run.status, calls) == (Status.COMPLETED, ["pack", "ship"])
        assert {record.key.epoch for record in run.records if record.key.stage_id == "pack"} == {1}

    def test_not_delivered_again_it_is_found_by_a_tick(self, make_engine: MakeEngine) -> None:
        engine = self.dying(make_engine)
        engine.advance(HOUR)
        assert calls == ["pack", "ship"]

    def test_delivered_again_with_other_content_is_a_conflict(self, engine: VirtualEngine) -> None:
        self.delivered(engine)
        other = engine.host.handle_job(ORDER.model_copy(update={"input": {"number": "18"}}))
        assert (other.outcome, other.acknowledge, other.retryable) == ("failed", False, False)
        assert IdempotencyConflictError.__name__ in (other.error or "")

    def dying(self, make_engine: MakeEngine) -> VirtualEngine:
        """An engine whose first worker has died in the first stage."""

        def dies(*_: Any, **__: Any) -> Any:
            raise KeyboardInterrupt

        engine = make_engine(run_stage=dies)
        engine.deploy(*ALL)
        with pytest.raises(KeyboardInterrupt):
            engine.host.handle_job(ORDER)
        engine.settings = replace(engine.settings, run_stage=run_within)
        engine.deploy(*ALL)
        return engine


def test_it_takes_one_request_of_the_client_and_one_write_before_the_first_stage(
    make_kernel: MakeKernel, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    begun: list[list[str]] = []

    @stage("look", timeout=MINUTE)
    def look(order: Order) -> Order:
        begun.append([operation for operation, _ in requests])
        return order

    kernel = make_kernel(Workflow("looking", input=Order).pipe(look).build())
    for _ in range(2):  # a process stores the definition with its first run
        requests.clear()
        kernel.submit(CreateRun(workflow_id="looking", input={}))
        assert [operation for operation, _ in requests] == ["SendMessage"]
        requests.clear()
        ServerlessHost(kernel, kernel.parts.job_transport, "worker").process_available_jobs()
    assert begun[1] == ["ReceiveMessage", "PutItem"]
    after = [operation for operation, _ in requests][2:]
    assert after == ["UpdateItem", "PutEvents", "UpdateItem", "DeleteMessage"]
