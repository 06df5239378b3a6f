import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import boto3
import pytest
from mypy_boto3_sqs import SQSClient
from typing_extensions import override

from workflow_engine.adapters.aws.sqs import SqsJobTransport
from workflow_engine.model.commands import CreateRun, parse_command
from workflow_engine.model.deliveries import redelivery_delay
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.testing.contracts import JobTransportContract
from workflow_engine.testing.contracts.jobs import A_MINUTE, COMMAND, command_of_size, commands, receive

NUMBERS = count()
A_SECOND = timedelta(seconds=1)
SOON = timedelta(seconds=5)


@pytest.fixture(scope="module")
def client(moto_url: str) -> SQSClient:
    return boto3.client("sqs", endpoint_url=moto_url)


@pytest.fixture
def dead_letter_url(client: SQSClient) -> str:
    return client.create_queue(QueueName=f"dead-{next(NUMBERS)}")["QueueUrl"]


@pytest.fixture
def queue_url(client: SQSClient, dead_letter_url: str) -> str:
    dead = client.get_queue_attributes(QueueUrl=dead_letter_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = {"deadLetterTargetArn": dead, "maxReceiveCount": JobTransportContract.max_receives}
    return client.create_queue(
        QueueName=f"jobs-{next(NUMBERS)}",
        Attributes={"VisibilityTimeout": "60", "RedrivePolicy": json.dumps(redrive)},
    )["QueueUrl"]


@pytest.fixture
def sent(client: SQSClient) -> Iterator[list[dict[str, Any]]]:
    """The parameters of every request of the client."""
    requests: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: object) -> None:
        requests.append(params)

    client.meta.events.register("provide-client-params.sqs.*", note)
    yield requests
    client.meta.events.unregister("provide-client-params.sqs.*", note)


class TestSqsJobTransport(JobTransportContract):
    @override
    @pytest.fixture
    def transport(self, client: SQSClient, queue_url: str, dead_letter_url: str) -> JobTransport:
        return SqsJobTransport(client, queue_url, dead_letter_url)


class TestTime:
    """What SQS's own clock decides, in as few seconds as it can count; the waits are SQS's long polls."""

    @pytest.fixture
    def transport(self, client: SQSClient, queue_url: str) -> JobTransport:
        return SqsJobTransport(client, queue_url)

    def test_a_delayed_message_comes_when_its_delay_is_over(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND, delay=A_SECOND)
        assert transport.dequeue() is None
        assert transport.dequeue(wait=SOON) is not None

    def test_a_message_comes_again_when_its_visibility_is_over(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND)
        slow = receive(transport)
        transport.touch(slow, visibility=A_SECOND)
        again = transport.dequeue(wait=SOON)
        assert again is not None
        assert again.receive_count == 2

    def test_a_suspended_message_comes_after_its_delay(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND)
        transport.suspend(receive(transport), delay=A_SECOND)
        assert transport.dequeue() is None
        assert transport.dequeue(wait=SOON) is not None

    def test_a_receipt_whose_time_is_over_is_no_error(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND)
        slow = receive(transport)
        transport.touch(slow, visibility=timedelta(0))
        transport.touch(slow, visibility=A_MINUTE)
        transport.suspend(slow)
        transport.fail(slow)


def test_times_are_rounded_up_to_the_seconds_that_sqs_counts(
    client: SQSClient, queue_url: str, sent: list[dict[str, Any]]
) -> None:
    transport = SqsJobTransport(client, queue_url)
    transport.enqueue(COMMAND, delay=timedelta(milliseconds=1))
    assert sent[-1]["DelaySeconds"] == 1
    delivery = transport.dequeue(wait=timedelta(seconds=1.5))
    assert sent[-1]["WaitTimeSeconds"] == 2
    assert delivery is not None
    transport.touch(delivery, visibility=timedelta(seconds=59.1))
    assert sent[-1]["VisibilityTimeout"] == 60
    transport.suspend(delivery, delay=timedelta(seconds=29.1))
    assert sent[-1]["VisibilityTimeout"] == 30


def test_a_failed_message_waits_some_seconds_whatever_the_queue_says(
    client: SQSClient, queue_url: str, sent: list[dict[str, Any]]
) -> None:
    transport = SqsJobTransport(client, queue_url)
    transport.enqueue(COMMAND)
    delivery = receive(transport)
    transport.fail(delivery)
    assert sent[-1]["VisibilityTimeout"] == redelivery_delay(delivery).total_seconds()


def test_batches_hold_ten_messages_and_one_mebibyte(
    client: SQSClient, queue_url: str, sent: list[dict[str, Any]]
) -> None:
    transport = SqsJobTransport(client, queue_url)
    transport.enqueue_parallel(commands(25))
    assert [len(request["Entries"]) for request in sent] == [10, 10, 5]
    sent.clear()
    transport.enqueue_parallel([command_of_size(1024 * 256) for _ in range(9)])
    assert [len(request["Entries"]) for request in sent] == [4, 4, 1]


def test_dead_letters_are_found_by_the_redrive_policy(client: SQSClient, queue_url: str, dead_letter_url: str) -> None:
    client.send_message(QueueUrl=dead_letter_url, MessageBody='{"type": "run.transition", "run_id": "r"}')
    transport = SqsJobTransport(client, queue_url)
    assert [parse_command(dead.body).type for dead in transport.list_dead()] == ["run.transition"]
    assert transport.redrive_dead() == 1


def test_a_queue_without_dead_letters_has_none(client: SQSClient, dead_letter_url: str) -> None:
    transport = SqsJobTransport(client, dead_letter_url)
    assert list(transport.list_dead()) == []
    assert transport.redrive_dead() == 0


def test_a_trace_goes_on_where_the_message_is_handled(
    client: SQSClient, queue_url: str, sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    attributes = {"AWSTraceHeader": {"DataType": "String", "StringValue": header}}
    transport = SqsJobTransport(client, queue_url)
    transport.enqueue(COMMAND)
    monkeypatch.setenv("_X_AMZN_TRACE_ID", header)
    transport.enqueue(COMMAND)
    transport.enqueue_parallel([COMMAND])
    assert [request.get("MessageSystemAttributes") for request in sent[:2]] == [{}, attributes]
    assert sent[2]["Entries"][0]["MessageSystemAttributes"] == attributes


SCHEDULED = {
    "ERROR_CODE": "AWS.SimpleQueueService.NonExistentQueue",
    "ERROR_MESSAGE": "The specified queue does not exist.",
    "SCHEDULED_TIME": "2030-01-01T12:00:00Z",
    "SCHEDULE_ARN": "arn:aws:scheduler:eu-north-1:123456789012:schedule/group/nightly",
}
START = {
    "type": "run.create",
    "workflow_id": "w",
    "input": {},
    "idempotency_key": "nightly/<aws.scheduler.scheduled-time>",
}


@pytest.mark.parametrize(
    "body",
    [json.dumps(START), json.dumps({"MessageBody": json.dumps(START), "QueueUrl": "https://sqs"})],
    ids=["the input", "the request"],
)
def test_what_scheduler_could_not_deliver_is_sent_to_the_job_queue_under_its_key(
    client: SQSClient, queue_url: str, body: str
) -> None:
    """EventBridge Scheduler user guide, "Configuring a schedule's dead-letter queue": why is in attributes."""
    schedules = client.create_queue(QueueName=f"schedules-{next(NUMBERS)}")["QueueUrl"]
    attributes: Any = {name: {"DataType": "String", "StringValue": text} for name, text in SCHEDULED.items()}
    client.send_message(QueueUrl=schedules, MessageBody=body, MessageAttributes=attributes)
    transport = SqsJobTransport(client, queue_url, schedules)

    (letter,) = transport.list_dead()
    assert letter.reason is not None
    assert (letter.reason.code, letter.reason.message) == (SCHEDULED["ERROR_CODE"], SCHEDULED["ERROR_MESSAGE"])
    assert transport.redrive_dead() == 1
    command = parse_command(receive(transport).body)
    assert isinstance(command, CreateRun)
    assert command.idempotency_key == "nightly/2030-01-01T12:00:00Z"
