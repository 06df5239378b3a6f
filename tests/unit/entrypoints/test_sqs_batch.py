"""A batch's records share the time of their invocation, and nothing else."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from workflow_engine import CreateRun, Status, Workflow, stage
from workflow_engine.entrypoints.sqs_batch import failures_of
from workflow_engine.model.deliveries import Delivery
from workflow_engine.model.ids import RunId
from workflow_engine.testing.engine import VirtualEngine

MINUTE = timedelta(minutes=1)


class Item(BaseModel):
    minutes: int


def record_of(delivery: Delivery) -> Mapping[str, Any]:
    return {
        "messageId": delivery.message_id,
        "body": delivery.body,
        "receiptHandle": delivery.receipt,
        "attributes": {"ApproximateReceiveCount": str(delivery.receive_count)},
    }


def started(engine: VirtualEngine, *minutes: int) -> tuple[list[RunId], list[Mapping[str, Any]]]:
    @stage("work", timeout=14 * MINUTE)
    def work(item: Item) -> None:
        engine.clock.advance(item.minutes * MINUTE)

    engine.deploy(Workflow("working", input=Item).pipe(work).build())
    run_ids, records = [], []
    for count in minutes:
        created = engine.kernel.dispatch(CreateRun(workflow_id="working", input={"minutes": count}))
        delivery = engine.job_transport.dequeue()
        assert delivery is not None
        run_ids.append(RunId(created.run_id))
        records.append(record_of(delivery))
    return run_ids, records


def test_what_no_time_is_left_for_is_not_begun_and_comes_again() -> None:
    engine = VirtualEngine()
    run_ids, records = started(engine, 12, 1, 1)

    failed = failures_of(records, engine.host, engine.clock.now() + 10 * MINUTE)

    assert failed == [record["messageId"] for record in records[1:]]
    heads = engine.persistence.load_heads(run_ids)
    assert [heads[run_id].status for run_id in run_ids] == [Status.COMPLETED, Status.PENDING, Status.PENDING]
    assert [engine.persistence.list_records(run_id) for run_id in run_ids[1:]] == [[], []]
    engine.advance(MINUTE)
    assert {head.status for head in engine.persistence.load_heads(run_ids).values()} == {Status.COMPLETED}


def test_what_time_is_left_for_is_done_in_the_same_invocation() -> None:
    engine = VirtualEngine()
    run_ids, records = started(engine, 4, 4)

    assert failures_of(records, engine.host, engine.clock.now() + 10 * MINUTE) == []
    assert {head.status for head in engine.persistence.load_heads(run_ids).values()} == {Status.COMPLETED}


def test_the_first_is_begun_however_little_time_is_left() -> None:
    engine = VirtualEngine()
    _, records = started(engine, 0, 0)

    assert failures_of(records, engine.host, engine.clock.now()) == [records[1]["messageId"]]
