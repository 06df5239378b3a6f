"""The largest parallel group, all of whose stages finish at the same moment, on DynamoDB Local."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from botocore.config import Config
from botocore.session import Session
from pydantic import BaseModel, create_model

from workflow_engine.adapters.aws.dynamodb.persistence import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.adapters.memory import MemoryBlobStore, MemoryEventSink, MemoryJobTransport, MemoryScheduler
from workflow_engine.adapters.system import RandomIds, SystemClock
from workflow_engine.authoring import Registry, Stage, Workflow, WorkflowDefinition, stage
from workflow_engine.hosts import ServerlessHost
from workflow_engine.kernel import Kernel
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.deliveries import Delivery
from workflow_engine.model.ids import RunId
from workflow_engine.model.status import Status

SIBLINGS = 100
TABLE = "group-of-100"


class Number(BaseModel):
    """What each sibling takes and gives."""

    value: int


def group_behind(barrier: threading.Barrier) -> WorkflowDefinition:
    def sibling(number: int) -> Stage[..., Number]:
        @stage(f"sibling-{number}", timeout=timedelta(seconds=60))
        def work(given: Number) -> Number:
            barrier.wait()
            return Number(value=given.value + number)

        return work

    fields: dict[str, Any] = {f"sibling_{number}": (Number, ...) for number in range(SIBLINGS)}
    joined = create_model("Joined", **fields)

    def gather(numbers: BaseModel) -> Number:
        return Number(value=sum(getattr(numbers, name).value for name in joined.model_fields))

    gather.__annotations__["numbers"] = joined
    siblings = [sibling(number) for number in range(SIBLINGS)]
    return Workflow("hundred", input=Number).parallel(*siblings).pipe(stage("gather")(gather)).build()


@pytest.fixture
def client(dynamodb_local_url: str) -> Any:
    session = Session()
    config = Config(max_pool_connections=SIBLINGS + 1, read_timeout=30, retries={"total_max_attempts": 1})
    client: Any = session.create_client("dynamodb", endpoint_url=dynamodb_local_url, config=config)
    client.create_table(**create_table_request(TABLE))
    return client


def test_a_hundred_siblings_that_finish_at_once_refuse_nobody(client: Any) -> None:
    answers: Counter[str] = Counter()
    client.meta.events.register(
        "after-call",
        lambda parsed, model, **_: answers.update([f"{model.name} {parsed.get('Error', {}).get('Code', 'accepted')}"]),
    )
    barrier = threading.Barrier(SIBLINGS, timeout=60)
    clock, ids = SystemClock(), RandomIds()
    transport, sink = MemoryJobTransport(clock), MemoryEventSink()
    persistence = DynamoPersistence(table_name=TABLE, shards=8, clock=clock, ids=ids, client=client)
    kernel = Kernel(
        persistence=persistence,
        blob_store=MemoryBlobStore(),
        job_transport=transport,
        event_sink=sink,
        scheduler=MemoryScheduler(clock, transport),
        clock=clock,
        registry=Registry([group_behind(barrier)]),
    )
    run_id = RunId(kernel.dispatch(CreateRun(workflow_id="hundred", input={"value": 1})).run_id)
    deliveries = [transport.dequeue() for _ in range(SIBLINGS)]
    host = ServerlessHost(kernel, transport, "worker")

    def work(delivery: Delivery | None) -> str:
        assert delivery is not None
        return host.process(delivery).outcome

    with ThreadPoolExecutor(SIBLINGS) as threads:
        outcomes = Counter(threads.map(work, deliveries))

    assert outcomes == {"completed": SIBLINGS}
    while host.process_available_jobs().processed:
        pass
    head = persistence.load_head(run_id)
    assert head is not None
    assert head.status is Status.COMPLETED
    assert [event.type for event in sink.events] == ["workflow:completed"]
    # Whoever sees the last outcome may join; all others who saw it are refused that one write alone.
    refused = {answer: count for answer, count in answers.items() if "accepted" not in answer}
    assert answers["UpdateItem accepted"] >= 2 * SIBLINGS
    assert refused == {}
