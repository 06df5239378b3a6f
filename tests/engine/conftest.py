"""One engine, on two sets of adapters."""

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, TypeAlias

import boto3
import pytest
from botocore.config import Config

from workflow_engine.adapters.aws.dynamodb import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.adapters.aws.eventbridge import EventBridgeSink
from workflow_engine.adapters.aws.s3 import S3BlobStore
from workflow_engine.adapters.aws.scheduler import EventBridgeScheduler
from workflow_engine.adapters.aws.sqs import SqsJobTransport
from workflow_engine.authoring import Registry, WorkflowDefinition
from workflow_engine.kernel import Kernel, KernelSettings
from workflow_engine.testing.clock import FakeClock, SequentialIds
from workflow_engine.testing.engine import VirtualEngine

NUMBERS = count()
# Two shards, so that what walks over them does, and moto is asked no more often than that.
SHARDS = 2

ACCOUNT = "123456789012"

MakeEngine: TypeAlias = Callable[..., VirtualEngine]
MakeKernel: TypeAlias = Callable[..., Kernel]


@pytest.fixture(scope="session")
def aws(moto_url: str) -> Mapping[str, Any]:
    """Clients of the emulator, by service."""
    # A bucket's own host name would be a name to resolve.
    config = Config(s3={"addressing_style": "path"})
    services = ("dynamodb", "s3", "events", "sqs", "scheduler")
    return {name: boto3.client(name, endpoint_url=moto_url, config=config) for name in services}  # type: ignore[call-overload]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "aws"])
def make_engine(request: pytest.FixtureRequest, clock: FakeClock) -> MakeEngine:
    """Makes engines on memory adapters, and on DynamoDB, S3 and EventBridge as moto plays them.

    Queue and timers are in memory in both: SQS in moto counts real seconds, and its Scheduler never
    fires. ``test_on_aws.py`` has the tests with SQS and EventBridge Scheduler.
    """

    def make(**settings: Any) -> VirtualEngine:
        chosen = KernelSettings(due_shards=SHARDS, **settings)
        if request.param == "memory":
            return VirtualEngine(clock=clock, settings=chosen)
        return _on_aws(request.getfixturevalue("aws"), clock, chosen)

    return make


@pytest.fixture
def engine(make_engine: MakeEngine) -> VirtualEngine:
    """An engine with the default settings."""
    return make_engine()


@pytest.fixture
def make_kernel(aws: Mapping[str, Any], clock: FakeClock) -> MakeKernel:
    """Makes kernels of workflows on nothing but AWS adapters; *dynamodb* is another client of it, and
    *settings* are those of the kernel.

    The clock stands still, but SQS's is moto's own: no test here waits for a message.
    """

    def make(*workflows: WorkflowDefinition, dynamodb: Any = None, **settings: Any) -> Kernel:
        name = _created(aws, dynamodb or aws["dynamodb"])
        url = aws["sqs"].create_queue(QueueName=name)["QueueUrl"]
        aws["scheduler"].create_schedule_group(Name=name)
        ids = SequentialIds()
        return Kernel(
            persistence=_dynamo(dynamodb or aws["dynamodb"], name, clock, ids),
            blob_store=S3BlobStore(aws["s3"], name),
            job_transport=SqsJobTransport(aws["sqs"], url),
            event_sink=EventBridgeSink(aws["events"], name),
            scheduler=EventBridgeScheduler(
                aws["scheduler"],
                group_name=name,
                role_arn=f"arn:aws:iam::{ACCOUNT}:role/scheduler",
                queue_arn=f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}",
                clock=clock,
            ),
            clock=clock,
            ids=ids,
            registry=Registry(workflows),
            settings=KernelSettings(due_shards=SHARDS, **settings),
        )

    return make


@pytest.fixture
def requests(aws: Mapping[str, Any]) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The operation and the parameters of every request to the emulator, in order."""
    sent: list[tuple[str, dict[str, Any]]] = []

    def note(params: dict[str, Any], event_name: str, **_: object) -> None:
        sent.append((event_name.rpartition(".")[2], params))

    for client in aws.values():
        client.meta.events.register("provide-client-params.*.*", note)
    yield sent
    for client in aws.values():
        client.meta.events.unregister("provide-client-params.*.*", note)


class Meddled:
    """A port, right before whose next call of *method* something else happens, once."""

    def __init__(self, port: Any, method: str, action: Callable[[], object]) -> None:
        self._port, self._method = port, method
        self._action: Callable[[], object] | None = action

    def __getattr__(self, name: str) -> Any:
        if name == self._method and self._action is not None:
            action, self._action = self._action, None
            action()
        return getattr(self._port, name)


@pytest.fixture
def meddle() -> Callable[..., None]:
    """``meddle(engine, "commit", action, *workflows)``: what *action* does happens between two steps
    of the engine, right before its persistence is next asked to commit."""

    def meddle(
        engine: VirtualEngine, method: str, action: Callable[[], object], *workflows: WorkflowDefinition
    ) -> None:
        persistence: Any = Meddled(engine.persistence, method, action)
        engine.persistence = persistence
        engine.deploy(*workflows)

    return meddle


def _on_aws(aws: Mapping[str, Any], clock: FakeClock, settings: KernelSettings) -> VirtualEngine:
    return _over(aws, _created(aws, aws["dynamodb"]), clock, settings)


def make_engine_on_aws(aws: Mapping[str, Any], clock: FakeClock, **settings: Any) -> tuple[VirtualEngine, str]:
    """An engine with these settings, and the name of its table, which is empty."""
    name = _created(aws, aws["dynamodb"])
    return _over(aws, name, clock, KernelSettings(due_shards=SHARDS, **settings)), name


def _over(aws: Mapping[str, Any], name: str, clock: FakeClock, settings: KernelSettings) -> VirtualEngine:
    ids = SequentialIds()
    return VirtualEngine(
        clock=clock,
        ids=ids,
        settings=settings,
        persistence=_dynamo(aws["dynamodb"], name, clock, ids),
        blob_store=S3BlobStore(aws["s3"], name),
        event_sink=EventBridgeSink(aws["events"], name),
    )


def _created(aws: Mapping[str, Any], dynamodb: Any) -> str:
    """The name of a table, a bucket and a bus that did not exist before."""
    name = f"engine-{next(NUMBERS)}"
    dynamodb.create_table(**create_table_request(name))
    aws["s3"].create_bucket(Bucket=name)
    aws["events"].create_event_bus(Name=name)
    return name


def _dynamo(client: Any, table_name: str, clock: FakeClock, ids: SequentialIds) -> DynamoPersistence:
    return DynamoPersistence(table_name=table_name, shards=SHARDS, clock=clock, ids=ids, client=client)
