"""A batch's records share the time of their invocation, and nothing else."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import CreateRun, RetryPolicy, Status, Suspended, Workflow, stage
from workflow_engine.adapters.memory import MemoryJobTransport
from workflow_engine.entrypoints.sqs_batch import failures_of
from workflow_engine.errors import TransientError
from workflow_engine.kernel import KernelSettings
from workflow_engine.kernel.invocation import FunctionTime
from workflow_engine.model.commands import CancelRun, ExecuteJob, PollSuspendedStages
from workflow_engine.model.deliveries import Delivery, body_of
from workflow_engine.model.ids import RunId
from workflow_engine.testing.engine import VirtualEngine

MINUTE = timedelta(minutes=1)


class Item(BaseModel):
    minutes: int


def record_of(delivery: Delivery) -> Mapping[str, Any]:
    sent_at = delivery.sent_at
    assert sent_at is not None
    return {
        "messageId": delivery.message_id,
        "body": delivery.body,
        "receiptHandle": delivery.receipt,
        "attributes": {
            "ApproximateReceiveCount": str(delivery.receive_count),
            "SentTimestamp": str(int(sent_at.timestamp() * 1000)),
        },
    }


def taken(engine: VirtualEngine) -> Mapping[str, Any]:
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    return record_of(delivery)


def started(
    engine: VirtualEngine, *minutes: int, timeout: timedelta = 14 * MINUTE
) -> tuple[list[RunId], list[Mapping[str, Any]]]:
    @stage("work", timeout=timeout, retry=RetryPolicy(max_attempts=1))
    def work(item: Item) -> None:
        engine.clock.advance(item.minutes * MINUTE)

    engine.deploy(Workflow("working", input=Item).pipe(work).build())
    run_ids, records = [], []
    for count in minutes:
        created = engine.kernel.dispatch(CreateRun(workflow_id="working", input={"minutes": count}))
        run_ids.append(RunId(created.run_id))
        records.append(taken(engine))
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
    run_ids, records = started(engine, 4, 4, timeout=5 * MINUTE)

    assert failures_of(records, engine.host, engine.clock.now() + 10 * MINUTE) == []
    assert {head.status for head in engine.persistence.load_heads(run_ids).values()} == {Status.COMPLETED}


def test_the_first_is_begun_however_little_time_is_left() -> None:
    engine = VirtualEngine()
    _, records = started(engine, 0, 0)

    assert failures_of(records, engine.host, engine.clock.now()) == [records[1]["messageId"]]


class Noting:
    """Calls stages, and notes the time that each was given."""

    def __init__(self) -> None:
        self.offered: list[timedelta] = []

    def __call__(self, call: Any, *, stage_id: str, timeout: timedelta, is_async: bool) -> Any:
        self.offered.append(timeout)
        return call()


def test_ten_long_stages_in_one_batch_each_get_the_time_they_ask_for() -> None:
    noting = Noting()
    engine = VirtualEngine(settings=KernelSettings(run_stage=noting))
    run_ids, records = started(engine, *[4] * 10, timeout=5 * MINUTE)

    failed = failures_of(records, engine.host, engine.clock.now() + 15 * MINUTE)
    engine.advance(timedelta(hours=2))

    assert len(failed) == 7
    assert noting.offered == [5 * MINUTE] * 10
    heads = engine.persistence.load_heads(run_ids)
    assert {head.status for head in heads.values()} == {Status.COMPLETED}
    assert {head.version for head in heads.values()} == {heads[run_ids[0]].version}


def test_a_stage_longer_than_any_invocation_is_begun_first_and_only_then() -> None:
    noting = Noting()
    engine = VirtualEngine(settings=KernelSettings(run_stage=noting))
    _, records = started(engine, 0, 0, timeout=15 * MINUTE)

    assert failures_of(records, engine.host, engine.clock.now() + 15 * MINUTE) == [records[1]["messageId"]]
    assert noting.offered == [15 * MINUTE - timedelta(seconds=2)]


def test_a_first_stage_is_not_cut_short_by_what_came_before_it() -> None:
    noting = Noting()
    engine = VirtualEngine(settings=KernelSettings(run_stage=noting))
    _, records = started(engine, 0, timeout=10 * MINUTE)
    time = FunctionTime(15 * MINUTE)
    deadline = engine.clock.now() + 15 * MINUTE

    engine.clock.advance(6 * MINUTE)
    delivery = Delivery("m", records[0]["body"], "r")
    result = engine.host.handle_job(delivery, deadline=deadline, time=time)

    assert (result.begun, result.acknowledge, result.retryable, noting.offered) == (False, False, True, [])


def test_what_is_handed_back_can_be_taken_by_another_after_a_second() -> None:
    engine = VirtualEngine()
    _, records = started(engine, 4, 1, timeout=9 * MINUTE)

    failures_of(records, engine.host, engine.clock.now() + 10 * MINUTE)

    assert engine.job_transport.next_visible_at() == engine.clock.now() + timedelta(seconds=1)


def test_a_command_that_runs_no_stage_is_begun_however_long_the_one_before_it_took() -> None:
    engine = VirtualEngine()
    (run_id, other), records = started(engine, 14, 1)
    engine.job_transport.enqueue(CancelRun(run_id=other))

    assert failures_of([records[0], taken(engine)], engine.host, engine.clock.now() + 15 * MINUTE) == []
    heads = engine.persistence.load_heads([run_id, other])
    assert (heads[run_id].status, heads[other].status) == (Status.COMPLETED, Status.CANCELLED)


def test_checks_that_share_an_invocation_each_get_the_time_they_ask_for() -> None:
    noting = Noting()
    engine = VirtualEngine(settings=KernelSettings(run_stage=noting))

    @stage("batch", timeout=5 * MINUTE)
    def submit(item: Item) -> Suspended[Item]:
        return Suspended(item, poll_every=MINUTE)

    @submit.check_completion
    def check(state: Item) -> Item:
        engine.clock.advance(4 * MINUTE)
        return state

    polling = Workflow("polling", input=Item).pipe(submit).build()
    for _ in range(6):
        engine.start(polling, Item(minutes=0))
    while (delivery := engine.job_transport.dequeue()) is not None:
        assert engine.host.process(delivery).acknowledge
    engine.clock.advance(MINUTE)
    noting.offered.clear()

    polled = engine.kernel.dispatch(PollSuspendedStages(), deadline=engine.clock.now() + 15 * MINUTE)

    assert (polled.checked, noting.offered) == (3, [5 * MINUTE] * 3)


def test_poison_is_a_dead_letter_at_once_and_does_not_come_again() -> None:
    engine = VirtualEngine()
    engine.job_transport.enqueue(ExecuteJob(run_id="nobody", workflow_id="w", stage_id="s"))

    assert failures_of([taken(engine)], engine.host, engine.clock.now() + MINUTE) == []
    (letter,) = engine.job_transport.list_dead()
    assert letter.reason is not None
    assert (letter.reason.code, letter.reason.run_id) == ("RunNotFoundError", "nobody")
    assert engine.job_transport.pending() == 0


class Deaf(MemoryJobTransport):
    """A queue that does not answer when a message is given back."""

    @override
    def fail(self, delivery: Delivery) -> None:
        raise TransientError(service="SQS", operation="ChangeMessageVisibility", code="ServiceUnavailable")


def test_a_message_that_cannot_even_be_given_back_is_reported_as_failed() -> None:
    engine = VirtualEngine()
    engine.job_transport = Deaf(engine.clock)
    engine.deploy()
    engine.job_transport.enqueue(CancelRun(run_id="nobody"))
    record = taken(engine)

    assert failures_of([record], engine.host, engine.clock.now() + MINUTE) == [record["messageId"]]
    assert record["body"] == body_of(CancelRun(run_id="nobody"))
