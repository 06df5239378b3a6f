"""``run.create`` and ``run.claim_pending``."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from workflow_engine import (
    ClaimPendingRuns,
    CreateRun,
    IdempotencyConflictError,
    InvalidInputError,
    Status,
    Workflow,
    WorkflowNotFoundError,
    stage,
)
from workflow_engine.testing.engine import TICK_EVERY, VirtualEngine

calls: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()


class Order(BaseModel):
    number: str


class StrictOrder(BaseModel):
    number: int
    customer: str


@stage("pack")
def pack(order: StrictOrder) -> StrictOrder:
    return order


@stage("ship")
def ship(order: Order) -> Order:
    calls.append(order.number)
    return order


shipping = Workflow("shipping", input=Order).pipe(ship).build()


def test_the_same_key_and_content_start_one_run(engine: VirtualEngine) -> None:
    first = engine.start(shipping, Order(number="17"), idempotency_key="order-17")
    again = engine.start(shipping, Order(number="17"), idempotency_key="order-17")
    assert first.id == again.id
    engine.drive()
    after = engine.start(shipping, Order(number="17"), idempotency_key="order-17")
    engine.drive()
    assert (after.id, calls) == (first.id, ["17"])


def test_the_same_key_with_other_content_is_a_conflict(engine: VirtualEngine) -> None:
    first = engine.start(shipping, Order(number="17"), idempotency_key="order-17")
    with pytest.raises(IdempotencyConflictError) as caught:
        engine.start(shipping, Order(number="18"), idempotency_key="order-17")
    assert (caught.value.key, caught.value.command_type) == ("order-17", "run.create")
    engine.drive()
    assert first.output == {"number": "17"}


@pytest.mark.parametrize("other", [{"priority": 9}, {"attributes": {"a": 1}}, {"config": {}, "priority": 1}])
def test_every_field_is_content(engine: VirtualEngine, other: dict[str, Any]) -> None:
    engine.start(shipping, Order(number="17"), idempotency_key="order-17")
    with pytest.raises(IdempotencyConflictError):
        engine.start(shipping, Order(number="17"), idempotency_key="order-17", **other)


def test_what_is_said_and_what_is_left_to_its_default_is_the_same_content(engine: VirtualEngine) -> None:
    first = engine.start(shipping, Order(number="17"), idempotency_key="order-17")
    again = engine.start(shipping, Order(number="17"), idempotency_key="order-17", priority=5, config={}, attributes={})
    assert first.id == again.id


def test_a_stricter_deploy_does_not_change_the_first_result(engine: VirtualEngine) -> None:
    first = engine.start(shipping, Order(number="17"), idempotency_key="order-17")
    stricter = Workflow("shipping", input=StrictOrder).pipe(pack).build()
    engine.deploy(stricter)
    again = engine.start(stricter, {"number": "17"}, idempotency_key="order-17")
    assert again.id == first.id
    for number, key in (("18", "order-17"), ("17", "order-18")):
        with pytest.raises(InvalidInputError):
            engine.start(stricter, {"number": number}, idempotency_key=key)


def test_without_a_key_each_create_starts_a_run(engine: VirtualEngine) -> None:
    engine.run(shipping, Order(number="17"))
    engine.run(shipping, Order(number="17"))
    assert calls == ["17", "17"]


def test_a_key_belongs_to_its_workflow(engine: VirtualEngine) -> None:
    other = Workflow("returns", input=Order).pipe(ship).build()
    first = engine.run(shipping, Order(number="1"), idempotency_key="k")
    second = engine.run(other, Order(number="2"), idempotency_key="k")
    assert (first.output, second.output) == ({"number": "1"}, {"number": "2"})


def test_input_is_validated_before_anything_is_stored(engine: VirtualEngine) -> None:
    with pytest.raises(InvalidInputError) as caught:
        engine.start(shipping, {"number": ["no", "text"]})
    assert caught.value.problems == ("number: Input should be a valid string",)
    assert not engine.persistence.list_runs("shipping").run_ids
    assert engine.job_transport.pending() == 0


def test_a_workflow_that_nobody_registered_starts_nothing(engine: VirtualEngine) -> None:
    engine.deploy(shipping)
    with pytest.raises(WorkflowNotFoundError) as caught:
        engine.kernel.dispatch(CreateRun(workflow_id="shiping", input={"number": "1"}))
    assert (caught.value.workflow_id, caught.value.known) == ("shiping", ("shipping",))


def test_pending_runs_are_claimed_by_priority_then_age(engine: VirtualEngine) -> None:
    ids = {}
    for name, priority in (("old", 5), ("low", 1), ("high", 9), ("young", 5)):
        ids[name] = engine.start(shipping, Order(number=name), priority=priority).id
        engine.clock.advance(timedelta(seconds=1))
    first = engine.kernel.dispatch(ClaimPendingRuns(worker_id="me", max_claims=3))
    rest = engine.kernel.dispatch(ClaimPendingRuns(worker_id="you"))
    assert first.claimed == [ids["high"], ids["old"], ids["young"]]
    assert rest.claimed == [ids["low"]]


def test_a_claimed_run_goes_on_once(engine: VirtualEngine) -> None:
    run = engine.start(shipping, Order(number="1"))
    engine.kernel.dispatch(ClaimPendingRuns(worker_id="me"))
    assert run.status is Status.RUNNING
    engine.drive()
    assert (run.status, calls) == (Status.COMPLETED, ["1"])


def test_a_run_that_starts_later_is_not_claimed_before(engine: VirtualEngine) -> None:
    later = engine.clock.now() + timedelta(minutes=5)
    run = engine.start(shipping, Order(number="1"), start_at=later)
    assert engine.kernel.dispatch(ClaimPendingRuns(worker_id="me")).claimed == []
    engine.clock.set(later)
    assert engine.kernel.dispatch(ClaimPendingRuns(worker_id="me")).claimed == [run.id]


def test_a_run_whose_creator_died_before_it_sent_the_job_is_found_by_the_tick(engine: VirtualEngine) -> None:
    run = engine.start(shipping, Order(number="1"))
    lost = engine.job_transport.dequeue()
    assert lost is not None
    engine.job_transport.complete(lost)
    assert engine.job_transport.pending() == 0
    engine.drive(run)
    assert run.status is Status.COMPLETED
    assert engine.clock.now() - run.head.created_at <= engine.settings.horizon + TICK_EVERY


def test_a_create_that_is_sent_again_sends_the_job_again(engine: VirtualEngine) -> None:
    run = engine.start(shipping, Order(number="1"), idempotency_key="k")
    lost = engine.job_transport.dequeue()
    assert lost is not None
    engine.job_transport.complete(lost)
    engine.start(shipping, Order(number="1"), idempotency_key="k")
    started = engine.clock.now()
    engine.drive(run)
    assert (calls, engine.clock.now()) == (["1"], started)
