"""The engine on its AWS adapters, against emulators, in a time of its own: as deployed, but for the network.

SQS, EventBridge, Scheduler and S3 are moto's; DynamoDB is moto's, too, unless a better one is named. What
was sent to the queue is handed to the job handler in the order of virtual time, so that a day passes in
no time. Each message is an invocation of its own, as the template has it (``BatchSize`` 1).
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from time import perf_counter
from typing import Any

from typing_extensions import override

from workflow_engine.adapters.aws.dynamodb.persistence import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.adapters.aws.eventbridge import EventBridgeSink
from workflow_engine.adapters.aws.s3 import S3BlobStore
from workflow_engine.adapters.aws.scheduler import EventBridgeScheduler
from workflow_engine.adapters.aws.sqs import SqsJobTransport
from workflow_engine.adapters.system import RandomIds
from workflow_engine.authoring import Registry, WorkflowDefinition
from workflow_engine.costing.capacity import Index, Item, indexes_of
from workflow_engine.costing.deployment import Deployment
from workflow_engine.costing.meters import DynamoMeter, Message, ServiceMeter, key_text
from workflow_engine.costing.storing import Stored, stored
from workflow_engine.costing.usage import Usage, chunks
from workflow_engine.errors import WorkflowEngineError
from workflow_engine.hosts import ServerlessHost
from workflow_engine.kernel import Kernel, KernelSettings
from workflow_engine.model.commands import CreateRun, SignalRun
from workflow_engine.model.deliveries import Delivery, redelivery_delay
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import EntryState, Head
from workflow_engine.ports.clock import Clock

PARTITION, REGION = "aws", "us-east-1"
ACCOUNT = "123456789012"
LOOK = timedelta(milliseconds=1)
BUCKET, BUS, GROUP = "workflow-costs", "workflow-costs", "workflow-costs"
START = datetime(2030, 1, 1, tzinfo=UTC)
# A workflow that never ends must not keep its user waiting for ever.
MAX_INVOCATIONS = 20_000
# A message that fails so often will not be mended by sending it again: nothing is away here.
MAX_RECEIVES = 5


class RunDoesNotEndError(WorkflowEngineError):
    """A run did not come to an end, so that it has no cost to tell."""

    def __init__(self, *, run_id: str, problem: str) -> None:
        super().__init__(f"run {run_id} did not end: {problem}")
        self.run_id, self.problem = run_id, problem


class VirtualClock(Clock):
    """Moves a little each time somebody looks, since a key of an index that is written anew with the
    same time would cost nothing, and as far as is waited for."""

    def __init__(self) -> None:
        self._now = START

    @override
    def now(self) -> datetime:
        self._now += LOOK
        return self._now

    def move_to(self, instant: datetime) -> None:
        """Move forwards to *instant*, or stay."""
        self._now = max(self._now, instant)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run that ended: how, after which virtual time, how many stages it had, what it used, and what it left."""

    status: str
    waited: timedelta
    stages: int
    usage: Usage
    stored: Stored


@dataclass(slots=True, kw_only=True)
class MeteredEngine:
    """One table, one queue, and the kernel of *registry* on them. Entered by ``open_metered_engine``."""

    registry: Registry
    kernel: Kernel
    clock: VirtualClock
    usage: Usage
    indexes: tuple[Index, ...]
    scan: Callable[[], Iterable[Item]]
    _queue: list[tuple[datetime, int, Message]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)

    def accept(self, message: Message) -> None:
        """Take what was sent to the queue, or to a schedule."""
        due = message.fires_at or self.clock.now() + message.delay
        heapq.heappush(self._queue, (due, next(self._order), message))

    def cancel(self, schedule: str) -> None:
        """Forget a schedule that has not fired."""
        self._queue = [entry for entry in self._queue if entry[2].schedule != schedule]
        heapq.heapify(self._queue)

    def run(
        self, definition: WorkflowDefinition, input: Mapping[str, Any], signals: Mapping[str, Any] | None = None
    ) -> Outcome:
        """Start a run, and hand out messages until it has ended and the queue is empty.

        *signals* are sent as soon as a stage waits for them, by name.

        Raises:
            RunDoesNotEndError: it waits for a signal that nobody sends, or goes round for ever.
        """
        before = {key_text(item) for item in self.scan()}
        self._reset()
        begin = self.clock.now()
        run_id = self.kernel.submit(CreateRun(workflow_id=definition.id, input=dict(input)))
        waiting = dict(signals or {})
        while self._queue:
            self._invoke(run_id)
            self._signal(run_id, waiting)
        head = self._look(run_id)
        if head is None or not head.status.is_terminal:
            raise RunDoesNotEndError(
                run_id=run_id, problem=f"it is {head.status if head else 'gone'} and nothing is due"
            )
        stages = sum(map(len, definition.plan))
        left = [item for item in self.scan() if key_text(item) not in before]
        kept = stored(left, self.indexes, since=begin)
        return Outcome(head.status.value, (head.ended_at or begin) - begin, stages, self._taken(), kept)

    def tick(self) -> Usage:
        """One maintenance tick, with whatever is due."""
        self._reset()
        host = ServerlessHost(self.kernel, self.kernel.parts.job_transport, "tick")
        begun = perf_counter()
        host.run_maintenance_tick()
        self.usage.seconds += perf_counter() - begun
        self.usage.invocations += 1
        return self._taken()

    def _invoke(self, run_id: RunId) -> None:
        due, _, message = heapq.heappop(self._queue)
        self.clock.move_to(due)
        number = next(self._order)
        if self.usage.invocations == MAX_INVOCATIONS:
            raise RunDoesNotEndError(run_id=run_id, problem=f"it took {MAX_INVOCATIONS} invocations")
        self._bill_message(message)
        delivery = Delivery(message_id=f"message-{number}", body=message.body, receipt=f"receipt-{number}")
        host = ServerlessHost(self.kernel, self.kernel.parts.job_transport, f"invocation-{number}")
        begun = perf_counter()
        result = host.handle_job(delivery, deadline=self.clock.now() + self.kernel.settings.invocation)
        self.usage.seconds += perf_counter() - begun
        if not result.acknowledge:
            self._come_again(run_id, message, delivery, result.error)

    def _bill_message(self, message: Message) -> None:
        """The event source mapping receives and deletes it, and invokes the function."""
        size = chunks(len(message.body.encode()))
        self.usage.messages += 1
        self.usage.sqs_requests += size + 1
        self.usage.invocations += 1
        if message.schedule is not None:
            self.usage.schedules += 1
            self.usage.sqs_requests += size

    def _come_again(self, run_id: RunId, message: Message, delivery: Delivery, error: str | None) -> None:
        if self.usage.requests["sqs.redelivery"] == MAX_RECEIVES:
            raise RunDoesNotEndError(run_id=run_id, problem=f"its message fails each time: {error}")
        self.usage.requests["sqs.redelivery"] += 1
        self.accept(Message(message.body, redelivery_delay(delivery)))

    def _signal(self, run_id: RunId, waiting: dict[str, Any]) -> None:
        head = self._look(run_id) if waiting else None
        if head is None or head.status.is_terminal:
            return
        for entry in head.active:
            if entry.state is EntryState.WAITING and entry.signal in waiting:
                payload = waiting.pop(entry.signal)
                key = f"signal-{next(self._order)}"
                self.kernel.dispatch(SignalRun(run_id=run_id, name=entry.signal, payload=payload, idempotency_key=key))

    def _look(self, run_id: RunId) -> Head | None:
        """The head, past the bill."""
        before = self._taken()
        head = self.kernel.parts.persistence.load_head(run_id)
        self._set(before)
        return head

    def _taken(self) -> Usage:
        copied = {name: getattr(self.usage, name) for name in Usage.__dataclass_fields__}
        return Usage(
            **{**copied, "requests": self.usage.requests.copy(), "disagreements": self.usage.disagreements.copy()}
        )

    def _reset(self) -> None:
        self._set(Usage())

    def _set(self, usage: Usage) -> None:
        for name in Usage.__dataclass_fields__:
            setattr(self.usage, name, getattr(usage, name))


def open_metered_engine(
    registry: Registry, deployment: Deployment, *, services_url: str, dynamodb_url: str | None = None
) -> MeteredEngine:
    """An engine on emptied emulators: *services_url* is moto's, *dynamodb_url* that of DynamoDB Local.

    Where the latter is given, units are what it says it consumed, else what AWS's rules give.
    """
    table = f"workflow-costs-{RandomIds().new_id()[:8]}"
    clients = _Clients(services_url, dynamodb_url or services_url)
    _create(clients, table)
    usage, clock, metered = Usage(), VirtualClock(), clients.make("dynamodb")
    shards = deployment.shards
    persistence = DynamoPersistence(table_name=table, shards=shards, clock=clock, ids=RandomIds(), client=metered)
    queue_url = clients.bare("sqs").create_queue(QueueName=table)["QueueUrl"]
    sqs, events, scheduler, s3 = (clients.make(name) for name in ("sqs", "events", "scheduler", "s3"))
    kernel = Kernel(
        persistence=persistence,
        blob_store=S3BlobStore(s3, BUCKET),
        job_transport=SqsJobTransport(sqs, queue_url),
        event_sink=EventBridgeSink(events, BUS),
        scheduler=_scheduler(scheduler, table, clock),
        clock=clock,
        registry=registry,
        settings=KernelSettings(deployment.invocation, due_shards=shards, retention=deployment.retention),
    )
    indexes = indexes_of(create_table_request(table))
    engine = MeteredEngine(
        registry=registry,
        kernel=kernel,
        clock=clock,
        usage=usage,
        indexes=indexes,
        scan=_scanner(clients.bare("dynamodb"), table),
    )
    services = ServiceMeter(usage, engine.accept, engine.cancel)
    for client in (sqs, events, scheduler, s3):
        services.attach(client)
    look = _reader(clients.bare("dynamodb"), table)
    DynamoMeter(usage=usage, indexes=indexes, look=look, trusted=dynamodb_url is not None).attach(metered)
    return engine


def _scheduler(client: Any, queue_name: str, clock: Clock) -> EventBridgeScheduler:
    return EventBridgeScheduler(
        client,
        group_name=GROUP,
        role_arn=f"arn:{PARTITION}:iam::{ACCOUNT}:role/{GROUP}",
        queue_arn=f"arn:{PARTITION}:sqs:{REGION}:{ACCOUNT}:{queue_name}",
        clock=clock,
    )


class _Clients:
    """botocore's clients of the emulators, with credentials that open nothing."""

    def __init__(self, services_url: str, dynamodb_url: str) -> None:
        from botocore.session import Session

        self._session = Session()
        self._session.set_credentials("local", "local")
        self._urls = {"dynamodb": dynamodb_url}
        self._default_url = services_url
        self._bare: dict[str, Any] = {}

    def make(self, service: str) -> Any:
        """A client of its own."""
        from botocore.config import Config

        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        url = self._urls.get(service, self._default_url)
        return self._session.create_client(service, region_name=REGION, endpoint_url=url, config=config)

    def bare(self, service: str) -> Any:
        """The client that no meter is on."""
        if service not in self._bare:
            self._bare[service] = self.make(service)
        return self._bare[service]


def _create(clients: _Clients, table: str) -> None:
    clients.bare("dynamodb").create_table(**create_table_request(table))
    clients.bare("s3").create_bucket(Bucket=BUCKET)
    events, scheduler = clients.bare("events"), clients.bare("scheduler")
    if BUS not in {bus["Name"] for bus in events.list_event_buses()["EventBuses"]}:
        events.create_event_bus(Name=BUS)
    if GROUP not in {group["Name"] for group in scheduler.list_schedule_groups()["ScheduleGroups"]}:
        scheduler.create_schedule_group(Name=GROUP)


def _reader(client: Any, table: str) -> Any:
    def look(key: Item) -> Item | None:
        item: Item | None = client.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
        return item

    return look


def _scanner(client: Any, table: str) -> Callable[[], Iterable[Item]]:
    def scan() -> Iterable[Item]:
        for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            yield from page["Items"]

    return scan
