"""One engine, on two sets of adapters."""

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, TypeAlias

import boto3
import pytest
from botocore.config import Config

from workflow_engine.adapters.aws.dynamodb import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.adapters.aws.eventbridge import EventBridgeSink
from workflow_engine.adapters.aws.s3 import S3BlobStore
from workflow_engine.kernel import KernelSettings
from workflow_engine.testing.clock import FakeClock, SequentialIds
from workflow_engine.testing.engine import VirtualEngine

NUMBERS = count()
# Two shards, so that what walks over them does, and moto is asked no more often than that.
SHARDS = 2

MakeEngine: TypeAlias = Callable[..., VirtualEngine]


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


def _on_aws(aws: Mapping[str, Any], clock: FakeClock, settings: KernelSettings) -> VirtualEngine:
    name = f"engine-{next(NUMBERS)}"
    aws["dynamodb"].create_table(**create_table_request(name))
    aws["s3"].create_bucket(Bucket=name)
    aws["events"].create_event_bus(Name=name)
    ids = SequentialIds()
    return VirtualEngine(
        clock=clock,
        ids=ids,
        settings=settings,
        persistence=DynamoPersistence(
            table_name=name, shards=settings.due_shards, clock=clock, ids=ids, client=aws["dynamodb"]
        ),
        blob_store=S3BlobStore(aws["s3"], name),
        event_sink=EventBridgeSink(aws["events"], name),
    )
