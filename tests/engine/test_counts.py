"""What a run asks of AWS, counted where the requests leave."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeAlias

import boto3
import pytest
from pydantic import BaseModel

from tests.engine.large_groups import group_of
from workflow_engine import (
    CancelRun,
    CreateRun,
    SignalRun,
    StageContext,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.adapters.aws.dynamodb.head_codec import encode_head
from workflow_engine.adapters.aws.dynamodb.item_size import item_size
from workflow_engine.hosts import ServerlessHost
from workflow_engine.kernel import Kernel, published_types
from workflow_engine.model.commands import Command
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import WRITE_UNIT_BYTES

Request: TypeAlias = tuple[str, dict[str, Any]]
MakeKernel: TypeAlias = Callable[..., Kernel]
READS = {"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"}
MINUTE = timedelta(minutes=1)


class Number(BaseModel):
    value: int = 0
    text: str = ""


def chain(length: int, ran: Callable[[int], object] = lambda _: None) -> WorkflowDefinition:
    workflow = Workflow("chain", input=Number)
    for number in range(length):

        @stage(f"add-{number}", timeout=MINUTE)
        def add_one(given: Number, number: int = number) -> Number:
            ran(number)
            return Number(value=given.value + 1)

        workflow.pipe(add_one)
    return workflow.build()


def run_to_the_end(kernel: Kernel, *, text: str = "") -> RunId:
    """One run, by the messages of its queue alone."""
    created = kernel.dispatch(CreateRun(workflow_id="chain", input={"text": text}))
    host = ServerlessHost(kernel, kernel.parts.job_transport, "worker")
    assert host.process_available_jobs(max_jobs=100).failed == 0
    return RunId(created.run_id)


def warm(kernel: Kernel, requests: list[Request]) -> None:
    """A process stores the definition with its first run, and never again."""
    run_to_the_end(kernel)
    requests.clear()


def sort_key(request: Request) -> str:
    keys = request[1].get("Key") or request[1].get("Item") or {}
    return str(keys.get("sk", {}).get("S", ""))


class TestAChainOfTen:
    @pytest.fixture
    def run(self, make_kernel: MakeKernel, requests: list[Request]) -> RunId:
        kernel = make_kernel(chain(10))
        warm(kernel, requests)
        return run_to_the_end(kernel)

    def test_it_takes_thirteen_writes_of_the_head_and_no_other(self, run: RunId, requests: list[Request]) -> None:
        written = [sort_key(request) for request in requests if request[0] in ("PutItem", "UpdateItem")]
        # Ten outputs of 20 bytes ride in the head, and never need to leave it.
        assert written == ["RUN"] * 13

    def test_it_reads_nothing(self, run: RunId, requests: list[Request]) -> None:
        assert not [operation for operation, _ in requests if operation in READS]

    def test_it_takes_one_message_and_one_event(self, run: RunId, requests: list[Request]) -> None:
        operations = [operation for operation, _ in requests]
        assert operations.count("SendMessage") == 1
        assert operations.count("SendMessageBatch") == 0
        assert operations.count("PutEvents") == 1

    def test_it_asks_for_nothing_else(self, run: RunId, requests: list[Request]) -> None:
        others = {"ReceiveMessage", "DeleteMessage", "SendMessage", "PutEvents", "PutItem", "UpdateItem"}
        assert {operation for operation, _ in requests} == others


def test_the_head_of_a_usual_run_stays_below_a_kilobyte(
    make_kernel: MakeKernel, aws: Mapping[str, Any], requests: list[Request]
) -> None:
    sizes: list[int] = []

    def measure(_: int) -> None:
        names = {params["TableName"] for operation, params in requests if operation == "PutItem"}
        item = aws["dynamodb"].get_item(TableName=names.pop(), Key={"pk": {"S": f"R#{runs[0]}"}, "sk": {"S": "RUN"}})
        sizes.append(item_size(item["Item"]))

    kernel = make_kernel(chain(10, measure))
    text = "a small input of about a hundred characters, which is what an order or a document's name would take"
    runs = [kernel.dispatch(CreateRun(workflow_id="chain", input={"text": text})).run_id]
    ServerlessHost(kernel, kernel.parts.job_transport, "worker").process_available_jobs()
    head = kernel.parts.persistence.load_head(RunId(runs[0]))
    assert head is not None
    assert len(sizes) == 10
    assert max(*sizes, item_size(encode_head(head))) < 1024


def test_stage_100_of_a_chain_costs_what_stage_1_does(make_kernel: MakeKernel, requests: list[Request]) -> None:
    marks: list[int] = []
    kernel = make_kernel(chain(101, lambda _: marks.append(len(requests))))
    run_to_the_end(kernel)

    def between(stage_number: int) -> list[tuple[str, int]]:
        sent = requests[marks[stage_number - 1] : marks[stage_number]]
        return [(operation, len(json.dumps(params, default=str))) for operation, params in sent]

    first, last = between(1), between(100)
    assert [operation for operation, _ in first] == ["UpdateItem"]
    assert {operation for operation, _ in last} <= {"PutItem", "UpdateItem"}
    # What rides in the head is no more than there is room for in a unit, however long the chain is.
    assert sum(size for _, size in last) <= sum(size for _, size in first) + 2 * WRITE_UNIT_BYTES


@pytest.mark.parametrize("kind", ["signal", "cancel"])
def test_a_run_at_work_takes_a_command_in_one_transaction(
    make_kernel: MakeKernel, requests: list[Request], kind: str
) -> None:
    def command_for(run_id: str) -> Command:
        if kind == "cancel":
            return CancelRun(run_id=run_id, idempotency_key="once")
        return SignalRun(run_id=run_id, name="go", payload={"value": 1}, idempotency_key="once")

    @stage("work")
    def work(given: Number, ctx: StageContext[Any]) -> Number:
        requests.clear()
        kernel.dispatch(command_for(ctx.run_id))
        sent.extend(operation for operation, _ in requests if operation not in READS)
        return given

    @stage("ask")
    def ask(given: Number) -> WaitForSignal[Number]:
        return WaitForSignal("go", Number)

    @ask.on_signal
    def answered(payload: Number) -> Number:
        return payload

    sent: list[str] = []
    kernel = make_kernel(Workflow("chain", input=Number).pipe(work).pipe(ask).build())
    kernel.dispatch(CreateRun(workflow_id="chain", input={}))
    ServerlessHost(kernel, kernel.parts.job_transport, "worker").process_available_jobs()
    assert sent.count("TransactWriteItems") == 1


def test_a_group_whose_events_are_all_published_is_claimed_and_finished_once_a_stage(
    make_kernel: MakeKernel, requests: list[Request]
) -> None:
    size = 20
    group = group_of(size, lambda number, ctx: None)
    kernel = make_kernel(group, published=published_types(["*"]))
    run_id = RunId(kernel.dispatch(CreateRun(workflow_id=group.id, input={})).run_id)
    requests.clear()
    ServerlessHost(kernel, kernel.parts.job_transport, "worker").process_available_jobs(max_jobs=100)
    head = kernel.parts.persistence.load_head(run_id)
    assert head is not None
    assert head.status.is_terminal
    updates = [request for request in requests if request[0] == "UpdateItem"]
    # The join, the removal of the last events, and once those of all siblings until then. Which message
    # comes first is the queue's affair: one that is not the first stage's may ask twice, and that one.
    assert len(updates) <= 2 * size + 3 + 2
    assert all(sort_key(request) == "RUN" for request in updates)


class TestSequentialRequests:
    """What stands between two moments of a run, one request after the other."""

    @pytest.fixture
    def marks(self, make_kernel: MakeKernel, requests: list[Request]) -> list[int]:
        """How many requests were sent when each of the second run's three stages began."""
        begun: list[int] = []
        kernel = make_kernel(chain(3, lambda _: begun.append(len(requests))))
        warm(kernel, requests)
        begun.clear()
        run_to_the_end(kernel)
        return begun

    def test_three_from_the_create_to_the_first_stage(self, marks: list[int], requests: list[Request]) -> None:
        sent = [operation for operation, _ in requests[: marks[0]] if operation != "ReceiveMessage"]
        assert sent == ["PutItem", "SendMessage", "UpdateItem"]

    def test_one_from_stage_to_stage(self, marks: list[int], requests: list[Request]) -> None:
        assert [operation for operation, _ in requests[marks[0] : marks[1]]] == ["UpdateItem"]
        assert [operation for operation, _ in requests[marks[1] : marks[2]]] == ["UpdateItem"]

    def test_two_from_the_last_stage_to_its_event(self, marks: list[int], requests: list[Request]) -> None:
        after = [operation for operation, _ in requests[marks[2] :]]
        assert after[:2] == ["UpdateItem", "PutEvents"]


def test_a_stage_that_needs_more_time_costs_one_more_message(make_kernel: MakeKernel, requests: list[Request]) -> None:
    kernel = make_kernel(chain(2))
    warm(kernel, requests)
    kernel.dispatch(CreateRun(workflow_id="chain", input={}))
    host = ServerlessHost(kernel, kernel.parts.job_transport, "worker")
    delivery = kernel.parts.job_transport.dequeue()
    assert delivery is not None
    host.handle_job(delivery, deadline=kernel.clock.now() + MINUTE)
    kernel.parts.job_transport.complete(delivery)
    assert host.process_available_jobs(max_jobs=10).succeeded == 1
    assert [operation for operation, _ in requests].count("SendMessage") == 2


class TestUnits:
    """What DynamoDB would bill, as DynamoDB Local counts it, the indexes included."""

    @pytest.fixture
    def dynamodb(self, dynamodb_local_url: str) -> Any:
        return boto3.client("dynamodb", endpoint_url=dynamodb_local_url)

    @pytest.fixture
    def units(self, dynamodb: Any) -> Iterator[list[float]]:
        """The capacity units of every request, in order."""
        consumed: list[float] = []

        def ask(params: dict[str, Any], event_name: str, **_: object) -> None:
            if not event_name.endswith("CreateTable"):
                params["ReturnConsumedCapacity"] = "INDEXES"

        def note(parsed: dict[str, Any], **_: object) -> None:
            found = parsed.get("ConsumedCapacity", [])
            for one in found if isinstance(found, list) else [found]:
                consumed.append(one["CapacityUnits"])

        events = dynamodb.meta.events
        events.register("provide-client-params.dynamodb.*", ask)
        events.register("after-call.dynamodb.*", note)
        yield consumed
        events.unregister("provide-client-params.dynamodb.*", ask)
        events.unregister("after-call.dynamodb.*", note)

    @pytest.mark.parametrize(("length", "most"), [(5, 3.2), (10, 2.6)])
    def test_a_chain_costs_at_most_so_many_a_stage(
        self, make_kernel: MakeKernel, dynamodb: Any, units: list[float], length: int, most: float
    ) -> None:
        kernel = make_kernel(chain(length), dynamodb=dynamodb)
        run_to_the_end(kernel)
        units.clear()
        run_to_the_end(kernel)
        assert sum(units) / length <= most

    def test_two_kilobytes_of_input_cost_their_own_write_once_and_one_read(
        self, make_kernel: MakeKernel, dynamodb: Any, units: list[float]
    ) -> None:
        kernel = make_kernel(chain(10), dynamodb=dynamodb)
        run_to_the_end(kernel)
        units.clear()
        run_to_the_end(kernel)
        small = sum(units)
        units.clear()
        run_to_the_end(kernel, text="x" * 2048)
        # 2 KB and their keys are three write units, and half a read unit or one.
        assert sum(units) - small <= 4
