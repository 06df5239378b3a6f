import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import boto3
import pytest
from mypy_boto3_events import EventBridgeClient
from mypy_boto3_sqs import SQSClient
from typing_extensions import override

from workflow_engine.adapters.aws.eventbridge import EventBridgeSink
from workflow_engine.ports.events import EventSink
from workflow_engine.testing.contracts import EventSinkContract
from workflow_engine.testing.contracts.events import Published, Received, annotation_of_size, completed

NUMBERS = count()


@pytest.fixture(scope="module")
def client(moto_url: str) -> EventBridgeClient:
    return boto3.client("events", endpoint_url=moto_url)


@pytest.fixture(scope="module")
def queues(moto_url: str) -> SQSClient:
    return boto3.client("sqs", endpoint_url=moto_url)


@pytest.fixture
def bus_name(client: EventBridgeClient) -> str:
    name = f"bus-{next(NUMBERS)}"
    client.create_event_bus(Name=name)
    return name


@pytest.fixture
def queue_url(client: EventBridgeClient, queues: SQSClient, bus_name: str) -> str:
    """A queue that a rule of the bus sends every event of the engine to."""
    url = queues.create_queue(QueueName=f"events-of-{bus_name}")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = json.dumps({"source": ["workflow-engine"]})
    client.put_rule(Name=bus_name, EventBusName=bus_name, EventPattern=pattern)
    client.put_targets(Rule=bus_name, EventBusName=bus_name, Targets=[{"Id": "queue", "Arn": arn}])
    return url


@pytest.fixture
def entries(client: EventBridgeClient) -> Iterator[list[list[dict[str, Any]]]]:
    """The entries of every request of the client."""
    requests: list[list[dict[str, Any]]] = []

    def note(params: dict[str, Any], **_: object) -> None:
        requests.append(params["Entries"])

    client.meta.events.register("provide-client-params.events.PutEvents", note)
    yield requests
    client.meta.events.unregister("provide-client-params.events.PutEvents", note)


class TestEventBridgeSink(EventSinkContract):
    @override
    @pytest.fixture
    def sink(self, client: EventBridgeClient, bus_name: str) -> EventSink:
        return EventBridgeSink(client, bus_name)

    @override
    @pytest.fixture
    def received(self, queues: SQSClient, queue_url: str) -> Received:
        seen: list[Published] = []

        def receive(number: int) -> list[Published]:
            while True:
                wait = 1 if len(seen) < number else 0
                answer = queues.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=wait)
                messages = answer.get("Messages", [])
                for message in messages:
                    body = json.loads(message["Body"])
                    seen.append(Published(source=body["source"], type=body["detail-type"], detail=body["detail"]))
                if not messages:
                    return list(seen)

        return receive


def test_an_entry_says_where_it_goes_and_when_it_happened(
    client: EventBridgeClient, bus_name: str, entries: list[list[dict[str, Any]]]
) -> None:
    EventBridgeSink(client, bus_name).emit([completed(1)])
    ((entry,),) = entries
    assert entry.pop("Detail") == completed(1).model_dump_json()
    assert entry == {
        "EventBusName": bus_name,
        "Source": "workflow-engine",
        "DetailType": "workflow:completed",
        "Time": datetime(2030, 1, 1, 12, 30, 16, 250_000, tzinfo=UTC),
        "Resources": [],
    }


def test_a_request_has_at_most_ten_entries(
    client: EventBridgeClient, bus_name: str, entries: list[list[dict[str, Any]]]
) -> None:
    EventBridgeSink(client, bus_name).emit([completed(sequence) for sequence in range(1, 24)])
    assert [len(request) for request in entries] == [10, 10, 3]


def test_a_request_stays_below_one_megabyte(
    client: EventBridgeClient, bus_name: str, entries: list[list[dict[str, Any]]]
) -> None:
    EventBridgeSink(client, bus_name).emit([annotation_of_size(sequence, 300_000) for sequence in range(1, 8)])
    assert [len(request) for request in entries] == [3, 3, 1]


def test_what_is_too_large_is_not_sent(
    client: EventBridgeClient, bus_name: str, entries: list[list[dict[str, Any]]]
) -> None:
    EventBridgeSink(client, bus_name).emit([annotation_of_size(1, 1_000_000), completed(2)])
    assert entries == []
