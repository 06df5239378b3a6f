"""The engine on nothing but AWS adapters, SQS and EventBridge Scheduler among them.

moto's SQS counts real seconds, and its Scheduler never fires: what is to come later is looked at
where it was put, and brought by hand.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import pytest
from pydantic import BaseModel

from workflow_engine import (
    CancelRun,
    CreateRun,
    RerunFrom,
    RetryPolicy,
    SignalRun,
    StageContext,
    Status,
    WaitForSignal,
    Workflow,
    sleep,
    stage,
)
from workflow_engine.hosts import ServerlessHost
from workflow_engine.kernel import Kernel
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import MAX_INLINE_BYTES
from workflow_engine.model.runs import Head
from workflow_engine.testing.clock import FakeClock

MakeKernel: TypeAlias = Callable[..., Kernel]
Request: TypeAlias = tuple[str, dict[str, Any]]
DAY = timedelta(days=1)


class Item(BaseModel):
    name: str = "x"


class Pair(BaseModel):
    left: Item
    right: Item


@stage("split")
def split(item: Item) -> Item:
    return item


@stage("left")
async def left(item: Item) -> Item:
    return Item(name=item.name + "l")


@stage("right")
def right(item: Item) -> Item:
    return Item(name=item.name + "r")


@stage("join")
def join(pair: Pair) -> Item:
    return Item(name=pair.left.name + pair.right.name)


@stage("ask")
def ask(item: Item) -> WaitForSignal[Item]:
    return WaitForSignal("answer", Item, timeout=30 * timedelta(minutes=1))


@ask.on_signal
def answered(item: Item) -> Item:
    return item


@stage("flaky", retry=RetryPolicy(first_delay=timedelta(minutes=5), jitter=False))
def flaky(item: Item, ctx: StageContext) -> Item:
    if ctx.attempt == 1:
        raise ConnectionError("no answer")
    return item


diamond = Workflow("diamond", input=Item).pipe(split).parallel(left, right).pipe(join).build()
asking = Workflow("asking", input=Item).pipe(ask).build()
napping = Workflow("napping", input=Item).pipe(sleep("nap", DAY)).pipe(split).build()
retrying = Workflow("retrying", input=Item).pipe(flaky).build()


@pytest.fixture
def kernel(make_kernel: MakeKernel) -> Kernel:
    return make_kernel(diamond, asking, napping, retrying)


def work_off(kernel: Kernel) -> None:
    """Execute what is in the queue now."""
    host = ServerlessHost(kernel, kernel.parts.job_transport, "worker")
    while host.process_available_jobs(max_jobs=10).processed:
        pass


def create(kernel: Kernel, workflow_id: str, name: str = "x") -> RunId:
    return RunId(kernel.dispatch(CreateRun(workflow_id=workflow_id, input={"name": name})).run_id)


def head_of(kernel: Kernel, run_id: RunId) -> Head:
    head = kernel.parts.persistence.load_head(run_id)
    assert head is not None
    return head


def output(kernel: Kernel, run_id: RunId) -> Any:
    found = kernel.queries.outcome(head_of(kernel, run_id))
    return found.output and json.loads(found.output)


@pytest.mark.parametrize("name", ["x", "y" * MAX_INLINE_BYTES], ids=["small", "large"])
def test_a_run_goes_from_its_creation_to_its_end(kernel: Kernel, name: str) -> None:
    run_id = create(kernel, "diamond", name)
    work_off(kernel)
    assert output(kernel, run_id) == {"name": f"{name}l{name}r"}


def test_a_run_of_small_payloads_puts_nothing_into_the_bucket(kernel: Kernel) -> None:
    create(kernel, "diamond")
    work_off(kernel)
    assert list(kernel.parts.blob_store.list("")) == []


def test_a_retry_is_a_message_with_a_delay(kernel: Kernel, requests: list[Request]) -> None:
    run_id = create(kernel, "retrying")
    work_off(kernel)
    delays = [params["DelaySeconds"] for operation, params in requests if operation == "SendMessage"]
    assert delays == [0, 300]
    assert head_of(kernel, run_id).active[0].attempt == 2


def test_a_sleep_of_a_day_is_a_schedule_that_fires_early_and_a_message_that_waits_out_the_rest(
    kernel: Kernel, clock: FakeClock, requests: list[Request]
) -> None:
    run_id = create(kernel, "napping")
    work_off(kernel)
    wakes_at = clock.now() + DAY
    (schedule,) = [params for operation, params in requests if operation == "CreateSchedule"]
    fires_at = datetime.strptime(schedule["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(
        tzinfo=wakes_at.tzinfo
    )
    assert timedelta(0) < wakes_at - fires_at <= timedelta(minutes=2)
    clock.set(fires_at)
    kernel.dispatch(schedule["Target"]["Input"])
    operation, message = requests[-1]
    assert (operation, message["DelaySeconds"]) == ("SendMessage", (wakes_at - fires_at).total_seconds())
    clock.set(wakes_at)
    kernel.dispatch(message["MessageBody"])
    assert output(kernel, run_id) == {"name": "x"}


def test_a_tick_wakes_what_no_timer_woke(kernel: Kernel, clock: FakeClock) -> None:
    run_id = create(kernel, "napping")
    work_off(kernel)
    clock.advance(DAY)
    assert kernel.tick().looked_at == 1
    work_off(kernel)
    assert head_of(kernel, run_id).status is Status.COMPLETED


def test_a_signal_ends_a_wait_and_its_schedule(kernel: Kernel, requests: list[Request]) -> None:
    run_id = create(kernel, "asking")
    work_off(kernel)
    assert kernel.dispatch(SignalRun(run_id=run_id, name="answer", payload={"name": "yes"})).delivered
    work_off(kernel)
    assert output(kernel, run_id) == {"name": "yes"}
    schedules = [params["Name"] for operation, params in requests if operation.endswith("Schedule")]
    assert len(schedules) == 2
    assert len(set(schedules)) == 1


def test_a_cancel_ends_a_run_and_its_schedule(kernel: Kernel, requests: list[Request]) -> None:
    run_id = create(kernel, "napping")
    work_off(kernel)
    assert kernel.dispatch(CancelRun(run_id=run_id)).cancelled
    assert "DeleteSchedule" in [operation for operation, _ in requests]
    kernel.dispatch(RerunFrom(run_id=run_id, from_stage_id="nap"))
    work_off(kernel)
    assert head_of(kernel, run_id).status is Status.SUSPENDED


def test_the_end_of_a_run_reaches_a_rule_of_the_bus(
    requests: list[Request], kernel: Kernel, aws: Mapping[str, Any]
) -> None:
    (bus,) = [params["Name"] for operation, params in requests if operation == "CreateEventBus"]
    heard = aws["sqs"].create_queue(QueueName=f"{bus}-heard")["QueueUrl"]
    arn = aws["sqs"].get_queue_attributes(QueueUrl=heard, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["workflow-engine"], "detail-type": ["workflow:completed"]}
    aws["events"].put_rule(Name="ends", EventBusName=bus, EventPattern=json.dumps(pattern))
    aws["events"].put_targets(Rule="ends", EventBusName=bus, Targets=[{"Id": "heard", "Arn": arn}])
    run_id = create(kernel, "diamond")
    work_off(kernel)
    (message,) = aws["sqs"].receive_message(QueueUrl=heard)["Messages"]
    event = json.loads(message["Body"])
    assert event["detail-type"] == "workflow:completed"
    assert (event["detail"]["run_id"], event["detail"]["event_id"]) == (run_id, f"{run_id}:1")
