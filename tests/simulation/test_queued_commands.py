"""Commands that come through the queue, while a service is away."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from pydantic import BaseModel

from workflow_engine import CancelRun, CreateRun, SignalRun, Status, WaitForSignal, Workflow, stage
from workflow_engine.errors import TransientError
from workflow_engine.model.commands import AnnotateRun, RerunFrom
from workflow_engine.model.deliveries import MAX_REDELIVERY
from workflow_engine.model.ids import RunId, run_id_for
from workflow_engine.testing.engine import VirtualEngine

HOUR = timedelta(hours=1)
RUNS = 40
# Too large for an item.
LARGE: dict[str, Any] = {"name": "x" * 9000}


class Order(BaseModel):
    name: str = "x"


@stage("ask")
def ask(order: Order) -> WaitForSignal[Order]:
    return WaitForSignal("approval", Order)


@ask.on_signal
def answered(order: Order) -> Order:
    return order


asking = Workflow("asking", input=Order).pipe(ask).build()


class Away:
    """An adapter that does not answer until an instant."""

    def __init__(self, adapter: object, now: Callable[[], datetime], until: datetime) -> None:
        self._adapter, self._now, self._until = adapter, now, until

    def __getattr__(self, name: str) -> Any:
        if self._now() < self._until:
            raise TransientError(service="DynamoDB", operation=name, code="ServiceUnavailable")
        return getattr(self._adapter, name)


def engine_without(port: str, span: timedelta) -> VirtualEngine:
    """An engine with runs to act upon, one of whose services is away from now on for *span*."""
    engine = VirtualEngine(asking)
    for name in ("signalled", "cancelled", "rerun", "noted"):
        engine.start(asking, {}, idempotency_key=name)
    engine.advance(timedelta(minutes=1))
    engine.kernel.dispatch(CancelRun(run_id=run_id_for("asking", "rerun")))
    away = Away(getattr(engine, port), engine.clock.now, engine.clock.now() + span)
    setattr(engine, port, cast(Any, away))
    engine.deploy(asking)
    return engine


def send_all(engine: VirtualEngine) -> None:
    """One command of each kind, and runs, half of them without a key."""
    for number in range(RUNS):
        key = f"order-{number}" if number % 2 else None
        engine.job_transport.enqueue(CreateRun(workflow_id="asking", input=LARGE, idempotency_key=key))
    engine.job_transport.enqueue(SignalRun(run_id=run_id_for("asking", "signalled"), name="approval", payload={}))
    engine.job_transport.enqueue(CancelRun(run_id=run_id_for("asking", "cancelled")))
    engine.job_transport.enqueue(RerunFrom(run_id=run_id_for("asking", "rerun"), from_stage_id="ask"))
    engine.job_transport.enqueue(AnnotateRun(run_id=run_id_for("asking", "noted"), key="source", value="mail"))


def pass_time(engine: VirtualEngine, span: timedelta) -> None:
    """What a queue, its functions and the tick do meanwhile; a tick that fails is reported by Lambda."""
    end = engine.clock.now() + span
    while engine.clock.now() < end:
        engine.clock.advance(timedelta(minutes=1))
        engine.scheduler.fire_due()
        engine.host.process_available_jobs(max_jobs=1000)
        with suppress(TransientError):
            engine.host.run_maintenance_tick()


@pytest.mark.parametrize("port", ["persistence", "blob_store", "event_sink"])
@pytest.mark.parametrize("span", [timedelta(minutes=2), HOUR, 24 * HOUR], ids=["two minutes", "an hour", "a day"])
def test_commands_in_the_queue_outlive_an_outage(port: str, span: timedelta) -> None:
    engine = engine_without(port, span)
    send_all(engine)

    pass_time(engine, span + 2 * MAX_REDELIVERY + timedelta(minutes=5))

    assert list(engine.job_transport.list_dead()) == []
    assert len(engine.persistence.list_runs("asking", limit=1000).run_ids) == RUNS + 4
    statuses = {
        name: engine.persistence.load_heads([run_id_for("asking", name)])[run_id_for("asking", name)].status
        for name in ("signalled", "cancelled", "rerun")
    }
    assert statuses == {
        "signalled": Status.COMPLETED,
        "cancelled": Status.CANCELLED,
        "rerun": Status.SUSPENDED,
    }
    assert len(engine.persistence.list_annotations(run_id_for("asking", "noted"))) == 1


def test_a_signal_sent_in_an_outage_waits_for_the_run_that_was_to_be_created_before_it() -> None:
    engine = engine_without("persistence", 3 * HOUR)
    run_ids: list[RunId] = []
    for number in range(50):
        key = f"late-{number}"
        run_ids.append(run_id_for("asking", key))
        engine.job_transport.enqueue(CreateRun(workflow_id="asking", input={}, idempotency_key=key))
        engine.job_transport.enqueue(SignalRun(run_id=run_ids[-1], name="approval", payload={}))

    pass_time(engine, 4 * HOUR)

    assert list(engine.job_transport.list_dead()) == []
    heads = engine.persistence.load_heads(run_ids)
    assert {head.status for head in heads.values()} == {Status.COMPLETED}
    assert len(heads) == 50
