"""Every request to AWS of a run fails in turn: before it is sent, and after it took effect.

All adapters for AWS are here, on moto; the clock alone is the test's. A message that is not dealt
with is there again at once (the queue's visibility is 0 s), and what nothing else brings back is
found in the due index.

The queue's delays are moto's, in real seconds: a wake-up may come before the test's clock has moved,
and is sent on its way again for what is left by that clock. So a look that finds nothing but such a
message counts as one that finds none, or, on a busy machine, no look would ever let the time come.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Literal

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from pydantic import BaseModel

from tests.simulation.reference_workflows import BIG_CHARS, Number, big, fan
from workflow_engine.adapters.aws.dynamodb import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.adapters.aws.eventbridge import EventBridgeSink
from workflow_engine.adapters.aws.s3 import S3BlobStore
from workflow_engine.adapters.aws.scheduler import EventBridgeScheduler
from workflow_engine.adapters.aws.sqs import SqsJobTransport
from workflow_engine.authoring import (
    NotReady,
    Registry,
    StageContext,
    Suspended,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.errors import TransientError
from workflow_engine.hosts import ServerlessHost
from workflow_engine.kernel import Kernel, KernelSettings, published_types
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.ids import RunId
from workflow_engine.model.results import JobExecuted
from workflow_engine.model.runs import Head
from workflow_engine.model.status import Status
from workflow_engine.testing.clock import FakeClock, SequentialIds
from workflow_engine.testing.engine import KeptEvents

NUMBERS = count()
SHARDS = 1
SERVICES = ("dynamodb", "s3", "sqs", "events", "scheduler")
ROLE = "arn:aws:iam::123456789012:role/scheduler"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:jobs"
# A run that is not over after so many looks will never be.
MOST_LOOKS = 60
A_YEAR = timedelta(days=365)
Failing = Literal["before", "after"]
# `make reliability` prints what is recorded.
Record = Callable[[str, object], None]


@dataclass
class Wire:
    """Counts the requests of all clients, and fails the one at *fails_at* (from 1; 0: none)."""

    sent: int = 0
    fails_at: int = 0
    failing: Failing = "before"
    names: list[str] = field(default_factory=list)

    def __call__(self, request: Any, event_name: str, **_: Any) -> None:
        self.sent += 1
        self.names.append(event_name.removeprefix("before-send."))
        if self.sent != self.fails_at:
            return
        if self.failing == "before":
            raise EndpointConnectionError(endpoint_url=request.url)
        URLLib3Session().send(request)
        raise ReadTimeoutError(endpoint_url=request.url)

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """What the test itself asks for neither counts nor fails."""
        sent, fails_at, names = self.sent, self.fails_at, list(self.names)
        self.fails_at = 0
        yield
        self.sent, self.fails_at, self.names = sent, fails_at, names

    def plan(self, fails_at: int, failing: Failing) -> None:
        self.sent, self.fails_at, self.failing = 0, fails_at, failing
        self.names = []


class Stack:
    """What the template makes, on moto, and a kernel on it."""

    def __init__(self, url: str, *, attempts: int) -> None:
        self.wire, self.clock = Wire(), FakeClock()
        config = Config(retries={"mode": "standard", "total_max_attempts": attempts}, s3={"addressing_style": "path"})
        clients: dict[str, Any] = {
            name: boto3.client(name, endpoint_url=url, config=config)  # type: ignore[call-overload]
            for name in SERVICES
        }
        name = f"stack-{next(NUMBERS)}"
        clients["dynamodb"].create_table(**create_table_request(name))
        clients["s3"].create_bucket(Bucket=name)
        clients["events"].create_event_bus(Name=name)
        clients["scheduler"].create_schedule_group(Name=name)
        queue = clients["sqs"].create_queue(QueueName=name, Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
        ids = SequentialIds(next(NUMBERS))
        self.persistence = DynamoPersistence(
            table_name=name, shards=SHARDS, clock=self.clock, ids=ids, client=clients["dynamodb"]
        )
        self.jobs = SqsJobTransport(clients["sqs"], queue)
        self.events = KeptEvents(EventBridgeSink(clients["events"], name))
        self.kernel = Kernel(
            persistence=self.persistence,
            blob_store=S3BlobStore(clients["s3"], name),
            job_transport=self.jobs,
            event_sink=self.events,
            scheduler=EventBridgeScheduler(
                clients["scheduler"], group_name=name, role_arn=ROLE, queue_arn=QUEUE, clock=self.clock
            ),
            clock=self.clock,
            registry=Registry([fan, big, four]),
            ids=ids,
            settings=KernelSettings(due_shards=SHARDS, published=published_types(["*"]), pause=self.clock.advance),
        )
        self.host = ServerlessHost(self.kernel, self.jobs, "test")
        for client in clients.values():
            client.meta.events.register("before-send.*", self.wire)

    def run(self, workflow: WorkflowDefinition, start_after: timedelta | None) -> RunId:
        """Create a run, as a client does that tries again, and see it to its end."""
        command = CreateRun(
            workflow_id=workflow.id,
            input={"value": 1, "padding": "y" * BIG_CHARS if workflow is big else ""},
            idempotency_key=f"run-{next(NUMBERS)}",
            start_at=None if start_after is None else self.clock.now() + start_after,
        )
        run_id = self._created(command)
        for _ in range(MOST_LOOKS):
            if not self._work():
                head = self.load_head(run_id)
                if head.status.is_terminal and head.due_at is None:
                    break
                self._move()
        return run_id

    def _created(self, command: CreateRun) -> RunId:
        try:
            return RunId(self.kernel.dispatch(command).run_id)
        except TransientError:
            return RunId(self.kernel.dispatch(command).run_id)

    def _work(self) -> bool:
        """Handle a message as Lambda does: one that is not acknowledged is there again."""
        try:
            delivery = self.jobs.dequeue()
            if delivery is None:
                return False
            done = self.host.handle_job(delivery)
            if done.acknowledge:
                self.jobs.complete(delivery)
            if isinstance(done.result, JobExecuted) and done.outcome == "suspended" and done.result.ghost:
                # Too early by our clock, which must move.
                return False
        except TransientError:
            # The queue itself did not answer.
            return True
        return True

    def _move(self) -> None:
        """Let the time come at which something is due, and the tick."""
        due = self._next_due()
        if due is not None:
            self.clock.set(max(due, self.clock.now()) + timedelta(seconds=1))
        try:
            self.host.run_maintenance_tick()
        except TransientError:
            return

    def _next_due(self) -> datetime | None:
        with self.wire.unseen():
            page = self.persistence.list_due(0, until=self.clock.now() + A_YEAR, limit=1)
        return page.runs[0].due_at if page.runs else None

    def load_head(self, run_id: RunId) -> Head:
        with self.wire.unseen():
            head = self.persistence.load_head(run_id)
        assert head is not None
        return head


@pytest.fixture(scope="module")
def stack(moto_url: str) -> Stack:
    return Stack(moto_url, attempts=1)


@pytest.fixture(scope="module")
def retrying_stack(moto_url: str) -> Stack:
    return Stack(moto_url, attempts=3)


class Gathered(BaseModel):
    """The outputs of two siblings, of which one is waited for."""

    left: Number
    batch: Number


@stage("first")
def first(number: Number, ctx: StageContext) -> Number:
    ctx.log("info", "first")
    ctx.annotate("value", number.value)
    return number


@stage("left")
def left(number: Number) -> Number:
    return Number(value=number.value + 10)


@stage("batch")
def batch(number: Number) -> Suspended[Number]:
    return Suspended(number, poll_every=POLL)


@batch.check_completion
def check(number: Number) -> Number | NotReady:
    return Number(value=number.value + 100)


@stage("sum")
def add(gathered: Gathered) -> Number:
    return Number(value=gathered.left.value + gathered.batch.value)


# As short as a delay of SQS can be, so that its messages come before the test's clock has moved.
POLL = timedelta(seconds=1)
four = Workflow("four", input=Number).pipe(first).parallel(left, batch).pipe(add).build()

PLOTS = {
    "gathering": (four, None, 112),
    "siblings": (fan, None, 111 + 1),
    "blobs and a schedule": (big, timedelta(hours=2), BIG_CHARS + 1),
}


def survives_every_failure(stack: Stack, plot: str, failing: Failing) -> int:
    """Each request of the run fails once, one a run; answers how many there are."""
    workflow, start_after, value = PLOTS[plot]
    for _ in range(2):
        # The first run of a process stores the workflow's definition, too.
        stack.wire.plan(0, failing)
        stack.run(workflow, start_after)
    requests = stack.wire.sent
    for place in range(1, requests + 1):
        stack.events.accepted.clear()
        stack.wire.plan(place, failing)
        run_id = stack.run(workflow, start_after)
        # A wake-up that came early took requests of its own: there may be fewer this time.
        failed = ", ".join(stack.wire.names[place - 1 : place]) or "none"
        stack.wire.plan(0, failing)
        _check(stack, run_id, value, failed)
    return requests


def _check(stack: Stack, run_id: RunId, value: int, failed: str) -> None:
    head = stack.load_head(run_id)
    assert (head.status, head.due_at, head.untold) == (Status.COMPLETED, None, 0), failed
    outcome = stack.kernel.queries.outcome(head)
    assert f'"value":{value}'.encode() in (outcome.output or b""), failed
    through = 0
    for event in stack.events.accepted:
        if event.run_id == run_id and event.sequence == through + 1:
            through += 1
    assert through == head.told, failed


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("failing", ["before", "after"])
def test_every_request_may_fail(stack: Stack, plot: str, failing: Failing, record_property: Record) -> None:
    requests = survives_every_failure(stack, plot, failing)
    record_property(failing, requests)

    assert requests >= 15


@pytest.mark.parametrize("plot", ["siblings"])
def test_every_request_may_be_sent_twice_by_botocore(retrying_stack: Stack, plot: str, record_property: Record) -> None:
    requests = survives_every_failure(retrying_stack, plot, "after")
    record_property("twice", requests)

    assert requests >= 15
