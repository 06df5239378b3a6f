"""The engine on AWS: in Lambda, in a worker, and in local mode against the embedded AWS.

Clients are made when they are first used and once a process, and so are the adapters that most
jobs never use: a job that stores no blob pays for nothing of S3 in its cold start. Clients come from
one session of botocore, which boto3 is a layer over: the resources and transfer managers of boto3
are 40 ms of import that nothing here uses.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, cast

from workflow_engine.adapters.aws.dynamodb.persistence import DynamoPersistence
from workflow_engine.adapters.aws.eventbridge import EventBridgeSink
from workflow_engine.adapters.aws.sqs import SqsJobTransport
from workflow_engine.adapters.system import SystemClock
from workflow_engine.authoring import Registry
from workflow_engine.errors import SettingsError
from workflow_engine.kernel import Kernel, KernelSettings, published_types
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.clock import Clock
from workflow_engine.ports.identity import RandomIds
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.ports.observer import Observer
from workflow_engine.ports.scheduler import Scheduler
from workflow_engine.wiring.settings import Settings, job_queue_url
from workflow_engine.wiring.workflows import load_registry

CONNECT_SECONDS, ATTEMPTS = 2, 4
# A worker's threads share a client.
MAX_CONNECTIONS = 16
READ_SECONDS = 5
# Long polling holds an answer back for up to 20 s (SQS, ReceiveMessage, WaitTimeSeconds).
READ_SECONDS_OF = {"sqs": 25, "dynamodb": 3}


class Deferred:
    """Stands for an object that comes into being when it is first used."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._made is None:
            self._made = self._make()
        return getattr(self._made, name)


@lru_cache(maxsize=1)
def _session() -> Any:
    from botocore.session import get_session

    return get_session()


@cache
def client(service: str) -> Any:
    """The process's client of *service*, made on its first call. Region, endpoint and credentials
    come from where the SDK looks for them."""
    return Deferred(lambda: _make(service))


def _make(service: str) -> Any:
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS_OF.get(service, READ_SECONDS),
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=MAX_CONNECTIONS,
    )
    try:
        return _session().create_client(service, config=config)
    except ValueError as error:
        # What the SDK says of an endpoint without a scheme, from the environment or from its own files.
        raise SettingsError(variable="AWS_ENDPOINT_URL", problem=f"for {service}: {error}") from error


def forget_clients() -> None:
    """Make new clients from now on: endpoints or credentials have changed under this process."""
    client.cache_clear()
    _session.cache_clear()
    kernel_of_process.cache_clear()


def build_kernel(settings: Settings, registry: Registry | None = None, observer: Observer | None = None) -> Kernel:
    """A kernel on the AWS adapters that *settings* name, with the registry they name unless one is
    given."""
    clock, ids = SystemClock(), RandomIds()
    return Kernel(
        persistence=DynamoPersistence(
            table_name=settings.table_name,
            clock=clock,
            ids=ids,
            shards=settings.due_shards,
            client=client("dynamodb"),
        ),
        blob_store=cast(BlobStore, Deferred(lambda: _blob_store(settings))),
        job_transport=SqsJobTransport(client("sqs"), settings.job_queue_url, settings.dead_letter_queue_url),
        event_sink=EventBridgeSink(client("events"), settings.event_bus_name),
        scheduler=cast(Scheduler, Deferred(lambda: _scheduler(settings, clock))),
        clock=clock,
        ids=ids,
        registry=registry if registry is not None else load_registry(settings.workflows),
        settings=_kernel_settings(settings),
        observer=observer,
    )


def _blob_store(settings: Settings) -> BlobStore:
    from workflow_engine.adapters.aws.s3 import S3BlobStore

    return S3BlobStore(client("s3"), settings.bucket_name)


def _scheduler(settings: Settings, clock: Clock) -> Scheduler:
    from workflow_engine.adapters.aws.scheduler import EventBridgeScheduler

    return EventBridgeScheduler(
        client("scheduler"),
        group_name=settings.schedule_group_name,
        role_arn=settings.scheduler_role_arn,
        queue_arn=settings.job_queue_arn,
        dead_letter_arn=settings.schedule_dead_letter_arn,
        clock=clock,
    )


@lru_cache(maxsize=1)
def kernel_of_process(observer: Observer | None = None) -> Kernel:
    """The kernel of this process's environment, built once."""
    return build_kernel(Settings.from_environment(), observer=observer)


def job_transport_of_process() -> JobTransport:
    """The job queue of this process's environment, where nothing else in that may be right."""
    return SqsJobTransport(client("sqs"), job_queue_url())


def _kernel_settings(settings: Settings) -> KernelSettings:
    kept = KernelSettings(
        settings.invocation,
        due_shards=settings.due_shards,
        retention=settings.retention,
        archive=settings.archive,
        payload_lifetime=settings.payload_lifetime,
        records_in_head=settings.records_in_head,
    )
    published = settings.publish_events
    return kept if published is None else replace(kept, published=published_types(published))
