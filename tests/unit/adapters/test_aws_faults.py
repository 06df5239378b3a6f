"""What AWS and the network do wrong, as the ports tell it. Nothing leaves the process.

One module for all adapters: what each answers to the same fault can be compared.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError
from typing_extensions import override

from workflow_engine.adapters.aws.errors import translating
from workflow_engine.adapters.aws.eventbridge import EventBridgeSink
from workflow_engine.adapters.aws.s3 import S3BlobStore
from workflow_engine.adapters.aws.scheduler import EventBridgeScheduler
from workflow_engine.adapters.aws.sqs import SqsJobTransport
from workflow_engine.errors import (
    AwsRequestError,
    BlobNotFoundError,
    InvalidCommandError,
    PayloadTooLargeError,
    TransientError,
    WorkflowEngineError,
)
from workflow_engine.model.commands import CreateRun, TransitionRun
from workflow_engine.model.deliveries import Delivery, Recurrence
from workflow_engine.model.events import RunEvent, WorkflowCompleted
from workflow_engine.ports.events import NOT_TRIED
from workflow_engine.testing.clock import START, FakeClock

URL = "http://127.0.0.1:9/"
COMMAND = TransitionRun(run_id="run-1")
DELIVERY = Delivery(message_id="m", body="{}", receipt="r")
RECURRENCE = Recurrence(
    name="nightly", expression="rate(1 day)", command=CreateRun(workflow_id="w", input={}, idempotency_key="{time}")
)


class Body(io.BytesIO):
    """The body of an answer, as botocore reads it."""

    def stream(self, **_: object) -> Iterable[bytes]:
        yield self.read()


class BrokenBody(Body):
    """A body whose connection breaks in the middle."""

    @override
    def read(self, size: int | None = -1) -> bytes:
        raise ReadTimeoutError(endpoint_url=URL)


def answer(status: int, body: bytes | Body = b"", **headers: str) -> AWSResponse:
    raw = body if isinstance(body, Body) else Body(body)
    return AWSResponse(URL, status, HTTPHeaders.from_pairs(headers.items()), raw)


def json_error(status: int, code: str, message: str = "because") -> AWSResponse:
    body = json.dumps({"__type": code, "code": code, "message": message, "Message": message}).encode()
    return answer(status, body, **{"x-amzn-errortype": code})


def xml_error(status: int, code: str) -> AWSResponse:
    return answer(status, f"<Error><Code>{code}</Code><Message>because</Message></Error>".encode())


class Wire:
    """Stands where a client's requests leave the machine: plays answers, and keeps the requests."""

    def __init__(self) -> None:
        self.answers: list[AWSResponse | Exception] = []
        self.requests: list[AWSPreparedRequest] = []

    def send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        self.requests.append(request)
        following = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(following, Exception):
            raise following
        return following

    def bodies(self) -> list[Any]:
        return [json.loads(request.body) for request in self.requests if isinstance(request.body, bytes | str)]

    def targets(self) -> list[str]:
        """The operations that were asked for, where the protocol names them in a header."""
        names: list[Any] = [request.headers["X-Amz-Target"] for request in self.requests]
        return [name.decode().rpartition(".")[2] for name in names]


@pytest.fixture(scope="module")
def clients() -> dict[str, Any]:
    once = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    services = ("events", "s3", "scheduler", "sqs")
    return {name: boto3.client(name, endpoint_url=URL, config=once) for name in services}  # type: ignore[call-overload]


@pytest.fixture
def wire(clients: dict[str, Any]) -> Iterator[Wire]:
    wire = Wire()
    for client in clients.values():
        client.meta.events.register("before-send", wire.send)
    yield wire
    for client in clients.values():
        client.meta.events.unregister("before-send", wire.send)


@pytest.fixture
def blobs(clients: dict[str, Any]) -> S3BlobStore:
    return S3BlobStore(clients["s3"], "bucket")


@pytest.fixture
def jobs(clients: dict[str, Any]) -> SqsJobTransport:
    return SqsJobTransport(clients["sqs"], URL + "1/jobs", URL + "1/dead")


@pytest.fixture
def sink(clients: dict[str, Any]) -> EventBridgeSink:
    return EventBridgeSink(clients["events"], "bus")


@pytest.fixture
def scheduler(clients: dict[str, Any]) -> EventBridgeScheduler:
    return EventBridgeScheduler(
        clients["scheduler"], group_name="g", role_arn="arn:role", queue_arn="arn:queue", clock=FakeClock()
    )


@pytest.fixture
def operations(
    blobs: S3BlobStore, jobs: SqsJobTransport, scheduler: EventBridgeScheduler
) -> dict[str, Callable[[], object]]:
    """Every request that an adapter makes for a port whose errors are raised."""
    return {
        "S3 PutObject": lambda: blobs.put("key", b"data"),
        "S3 GetObject": lambda: blobs.get("key"),
        "S3 HeadObject": lambda: blobs.has("key"),
        "S3 DeleteObject": lambda: blobs.delete("key"),
        "S3 ListObjectsV2": lambda: list(blobs.list("")),
        "SQS SendMessage": lambda: jobs.enqueue(COMMAND),
        "SQS ReceiveMessage": lambda: jobs.dequeue(),
        "SQS DeleteMessage": lambda: jobs.complete(DELIVERY),
        "SQS ChangeMessageVisibility": lambda: jobs.touch(DELIVERY, visibility=timedelta(minutes=1)),
        "Scheduler CreateSchedule": lambda: scheduler.schedule(COMMAND, START, "timer-1"),
        "Scheduler DeleteSchedule": lambda: scheduler.cancel("timer-1"),
        "Scheduler ListSchedules": lambda: scheduler.list_recurrences(),
    }


NAMES = [
    "S3 PutObject",
    "S3 GetObject",
    "S3 HeadObject",
    "S3 DeleteObject",
    "S3 ListObjectsV2",
    "SQS SendMessage",
    "SQS ReceiveMessage",
    "SQS DeleteMessage",
    "SQS ChangeMessageVisibility",
    "Scheduler CreateSchedule",
    "Scheduler DeleteSchedule",
    "Scheduler ListSchedules",
]
LOST = [
    ReadTimeoutError(endpoint_url=URL),
    ConnectTimeoutError(endpoint_url=URL),
    EndpointConnectionError(endpoint_url=URL),
    ConnectionClosedError(endpoint_url=URL),
]


def refusal(name: str, status: int, code: str) -> AWSResponse:
    return xml_error(status, code) if name.startswith("S3") else json_error(status, code)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lost", LOST, ids=lambda error: type(error).__name__)
def test_no_answer_is_transient(
    operations: dict[str, Callable[[], object]], wire: Wire, name: str, lost: Exception
) -> None:
    wire.answers = [lost]
    with pytest.raises(TransientError) as caught:
        operations[name]()
    error = caught.value
    assert f"{error.service} {error.operation}" == name
    assert error.service_code == type(lost).__name__
    assert not error.throttled
    assert error.retryable
    assert error.__cause__ is lost
    assert len(wire.requests) == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("status", "code", "throttled"),
    [
        (400, "ThrottlingException", True),
        (400, "RequestThrottled", True),
        (429, "TooManyRequestsException", True),
        (503, "SlowDown", True),
        (500, "InternalError", False),
        (503, "ServiceUnavailable", False),
        (400, "RequestTimeout", False),
        (403, "ExpiredTokenException", False),
    ],
)
def test_throttling_and_failures_of_the_service_are_transient(
    operations: dict[str, Callable[[], object]], wire: Wire, name: str, status: int, code: str, throttled: bool
) -> None:
    wire.answers = [refusal(name, status, code)]
    with pytest.raises(TransientError) as caught:
        operations[name]()
    # The answer to HEAD has no body to name the code in.
    if name != "S3 HeadObject":
        assert (caught.value.service_code, caught.value.throttled) == (code, throttled)
    assert f"{caught.value.service} {caught.value.operation}" == name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (400, "InvalidRequest"), (409, "BucketNotEmpty")])
def test_what_is_refused_for_good_is_not_retryable(
    operations: dict[str, Callable[[], object]], wire: Wire, name: str, status: int, code: str
) -> None:
    wire.answers = [refusal(name, status, code)]
    with pytest.raises(AwsRequestError) as caught:
        operations[name]()
    assert f"{caught.value.service} {caught.value.operation}" == name
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "error",
    [
        ResponseParserError("no XML"),
        IncompleteReadError(actual_bytes=1, expected_bytes=2),
        FlexibleChecksumError(error_msg="no match"),
        CredentialRetrievalError(provider="container-role", error_msg="timed out"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_half_an_answer_is_transient(error: Exception) -> None:
    with pytest.raises(TransientError) as caught, translating("S3", "GetObject"):
        raise error
    assert caught.value.service_code == type(error).__name__


def test_without_credentials_a_request_cannot_be_made() -> None:
    with pytest.raises(AwsRequestError) as caught, translating("S3", "PutObject"):
        raise NoCredentialsError
    assert caught.value.service_code == "NoCredentialsError"


@pytest.mark.parametrize(
    "name", ["S3 ListObjectsV2", "SQS SendMessage", "Scheduler CreateSchedule", "Scheduler ListSchedules"]
)
@pytest.mark.parametrize(
    "body", [b"", b'{"Mess', b"<html>Sign in to the network</html>", b"<ListBucketResult><Con"], ids=ascii
)
def test_an_answer_that_is_none_is_transient(
    operations: dict[str, Callable[[], object]], wire: Wire, name: str, body: bytes
) -> None:
    """botocore takes what is no JSON for an empty answer, which would read as success."""
    wire.answers = [answer(200, body)]
    with pytest.raises(TransientError) as caught:
        operations[name]()
    assert caught.value.service_code in ("UnreadableAnswer", "500")


class TestBlobs:
    def test_a_body_that_breaks_off_is_transient(self, blobs: S3BlobStore, wire: Wire) -> None:
        wire.answers = [answer(200, BrokenBody(), **{"Content-Length": "4"})]
        with pytest.raises(TransientError) as caught:
            blobs.get("key")
        assert caught.value.operation == "GetObject"

    def test_a_body_that_is_too_short_is_transient(self, blobs: S3BlobStore, wire: Wire) -> None:
        wire.answers = [answer(200, b"da", **{"Content-Length": "4"})]
        with pytest.raises(TransientError) as caught:
            blobs.get("key")
        assert caught.value.service_code == "IncompleteReadError"

    def test_only_a_missing_object_is_a_missing_blob(self, blobs: S3BlobStore, wire: Wire) -> None:
        wire.answers = [xml_error(404, "NoSuchKey"), xml_error(404, "NoSuchBucket")]
        with pytest.raises(BlobNotFoundError):
            blobs.get("key")
        with pytest.raises(AwsRequestError):
            blobs.get("key")

    def test_no_permission_to_know_is_not_absence(self, blobs: S3BlobStore, wire: Wire) -> None:
        wire.answers = [answer(403)]
        with pytest.raises(AwsRequestError):
            blobs.has("key")

    def test_keys_reach_s3_as_they_are(self, blobs: S3BlobStore, wire: Wire) -> None:
        wire.answers = [answer(200)]
        blobs.put("a/../b//c?d#e%2F+\u00e9", b"")
        assert wire.requests[0].url == URL + "bucket/a/._./b//c%3Fd%23e%252F%2B%C3%A9"

    def test_a_key_that_is_too_long_as_s3_keeps_it_is_not_sent(self, blobs: S3BlobStore, wire: Wire) -> None:
        with pytest.raises(PayloadTooLargeError) as caught:
            blobs.put("./" * 512, b"")
        assert caught.value.size_bytes == 1536
        assert wire.requests == []

    def test_a_page_that_fails_fails_where_it_is_read(self, blobs: S3BlobStore, wire: Wire) -> None:
        page = (
            b"<ListBucketResult><Name>bucket</Name><IsTruncated>true</IsTruncated>"
            b"<NextContinuationToken>t</NextContinuationToken><Contents><Key>a</Key></Contents></ListBucketResult>"
        )
        wire.answers = [answer(200, page), xml_error(503, "SlowDown")]
        keys = blobs.list("")
        assert next(keys) == "a"
        with pytest.raises(TransientError):
            next(keys)


class TestJobs:
    def batch(self, *indexes: int, failed: Sequence[int] = ()) -> AWSResponse:
        successful = [{"Id": str(index), "MessageId": "m", "MD5OfMessageBody": ""} for index in indexes]
        wrong = [{"Id": str(index), "SenderFault": False, "Code": "InternalError"} for index in failed]
        return answer(200, json.dumps({"Successful": successful, "Failed": wrong}).encode())

    def test_what_a_batch_does_not_take_is_answered(self, jobs: SqsJobTransport, wire: Wire) -> None:
        commands = [TransitionRun(run_id=f"run-{number}") for number in range(25)]
        wire.answers = [
            self.batch(0, 2, *range(4, 10), failed=[3, 1]),
            self.batch(*range(10, 20)),
            self.batch(*range(20, 24), failed=[24]),
        ]
        assert list(jobs.enqueue_parallel(commands)) == [commands[1], commands[3], commands[24]]
        assert len(wire.requests) == 3

    def test_after_a_batch_without_an_answer_no_other_is_tried(self, jobs: SqsJobTransport, wire: Wire) -> None:
        commands = [TransitionRun(run_id=f"run-{number}") for number in range(35)]
        wire.answers = [self.batch(0, 1, *range(3, 10), failed=[2]), LOST[0]]
        unsent = jobs.enqueue_parallel(commands)
        assert list(unsent) == [commands[2], *commands[10:]]
        assert len(wire.requests) == 2

    @pytest.mark.parametrize("body", [b"", b"{}", b"<html>"], ids=ascii)
    def test_an_answer_that_names_nothing_accepted_nothing(
        self, jobs: SqsJobTransport, wire: Wire, body: bytes
    ) -> None:
        wire.answers = [answer(200, body)]
        assert list(jobs.enqueue_parallel([COMMAND])) == [COMMAND]

    def test_a_queue_that_is_missing_is_an_error(self, jobs: SqsJobTransport, wire: Wire) -> None:
        wire.answers = [json_error(400, "com.amazonaws.sqs#QueueDoesNotExist")]
        with pytest.raises(AwsRequestError):
            jobs.enqueue_parallel([COMMAND])

    @pytest.mark.parametrize(
        "code",
        [
            "ReceiptHandleIsInvalid",
            "com.amazonaws.sqs#MessageNotInflight",
            "AWS.SimpleQueueService.MessageNotInflight",
            "InvalidParameterValue",
        ],
    )
    def test_a_receipt_that_is_outdated_is_no_error(self, jobs: SqsJobTransport, wire: Wire, code: str) -> None:
        wire.answers = [json_error(400, code)]
        jobs.complete(DELIVERY)
        jobs.suspend(DELIVERY)
        jobs.fail(DELIVERY)
        jobs.touch(DELIVERY, visibility=timedelta(minutes=1))
        assert len(wire.requests) == 4

    def test_dead_letters_that_were_not_sent_are_not_removed(self, jobs: SqsJobTransport, wire: Wire) -> None:
        messages = [{"MessageId": str(number), "Body": "{}", "ReceiptHandle": f"r{number}"} for number in range(3)]
        found = answer(200, json.dumps({"Messages": messages}).encode())
        nothing = answer(200, b"{}")
        wire.answers = [found, self.batch(0, 2, failed=[1]), nothing]
        assert jobs.redrive_dead() == 2
        _, sent, removed, shown = wire.bodies()
        assert sent["QueueUrl"] == URL + "1/jobs"
        assert [entry["ReceiptHandle"] for entry in removed["Entries"]] == ["r0", "r2"]
        assert [(entry["ReceiptHandle"], entry["VisibilityTimeout"]) for entry in shown["Entries"]] == [("r1", 0)]

    def test_dead_letters_are_sent_before_they_are_removed(self, jobs: SqsJobTransport, wire: Wire) -> None:
        messages = [{"MessageId": "1", "Body": "{}", "ReceiptHandle": "r1"}]
        found = answer(200, json.dumps({"Messages": messages}).encode())
        wire.answers = [found, LOST[0], answer(200, b"{}")]
        assert jobs.redrive_dead() == 0
        assert wire.targets() == ["ReceiveMessage", "SendMessageBatch", "ChangeMessageVisibilityBatch"]


class TestEvents:
    def events(self, number: int) -> list[RunEvent]:
        return [
            WorkflowCompleted(
                event_id=f"run-1:{sequence}",
                sequence=sequence,
                run_id="run-1",
                workflow_id="w",
                occurred_at=START,
            )
            for sequence in range(1, number + 1)
        ]

    def answered(self, *codes: str | None) -> AWSResponse:
        entries = [{"ErrorCode": code, "ErrorMessage": "m"} if code else {"EventId": "e"} for code in codes]
        failed = sum(code is not None for code in codes)
        return answer(200, json.dumps({"FailedEntryCount": failed, "Entries": entries}).encode())

    @pytest.mark.parametrize(
        ("code", "counts"),
        [
            ("ThrottlingException", False),
            ("InternalFailure", False),
            ("InternalException", False),
            ("ServiceUnavailable", False),
            ("MalformedDetail", True),
            ("InvalidArgument", True),
            ("NotAuthorizedForSourceException", True),
            ("AccessDeniedException", True),
        ],
    )
    def test_from_the_first_refused_entry_on_all_is_refused(
        self, sink: EventBridgeSink, wire: Wire, code: str, counts: bool
    ) -> None:
        wire.answers = [self.answered(None, code, None)]
        first, second, third = sink.emit(self.events(3))
        assert first is None
        assert second is not None
        assert second.counts is counts
        assert code in second.reason
        assert third == NOT_TRIED

    def test_no_request_follows_one_with_a_refusal(self, sink: EventBridgeSink, wire: Wire) -> None:
        wire.answers = [self.answered(*[None] * 10), self.answered(*[None] * 3, "InternalFailure", *[None] * 6)]
        answers = sink.emit(self.events(25))
        assert len(wire.requests) == 2
        assert list(answers[:13]) == [None] * 13
        assert answers[13] is not None
        assert not answers[13].counts
        assert list(answers[14:]) == [NOT_TRIED] * 11

    def test_an_answer_that_names_fewer_entries_accepted_no_more(self, sink: EventBridgeSink, wire: Wire) -> None:
        wire.answers = [self.answered(None, None)]
        answers = sink.emit(self.events(4))
        assert list(answers[:2]) == [None, None]
        assert answers[2] is not None
        assert not answers[2].counts
        assert answers[3] == NOT_TRIED

    @pytest.mark.parametrize(
        ("failure", "counts"),
        [
            (LOST[0], False),
            (LOST[2], False),
            (NoCredentialsError(), False),
            (json_error(400, "ThrottlingException"), False),
            (json_error(500, "InternalException"), False),
            (answer(502, b"<html>"), False),
            (answer(200, b'{"Entr'), False),
            (json_error(400, "ValidationException"), True),
            (json_error(400, "AccessDeniedException"), True),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
    )
    def test_a_request_that_fails_is_never_raised(
        self, sink: EventBridgeSink, wire: Wire, failure: AWSResponse | Exception, counts: bool
    ) -> None:
        wire.answers = [self.answered(*[None] * 10), failure]
        answers = sink.emit(self.events(12))
        assert list(answers[:10]) == [None] * 10
        assert answers[10] is not None
        assert answers[10].counts is counts
        assert answers[11] == NOT_TRIED


class TestScheduler:
    def test_a_schedule_that_is_there_is_fine(self, scheduler: EventBridgeScheduler, wire: Wire) -> None:
        wire.answers = [json_error(409, "ConflictException")]
        scheduler.schedule(COMMAND, START, "timer-1")
        assert len(wire.requests) == 1

    def test_a_group_that_is_missing_is_an_error_of_the_stack(
        self, scheduler: EventBridgeScheduler, wire: Wire
    ) -> None:
        wire.answers = [json_error(404, "ResourceNotFoundException")]
        with pytest.raises(AwsRequestError):
            scheduler.schedule(COMMAND, START, "timer-1")

    def test_a_recurrence_that_the_service_refuses_is_the_callers(
        self, scheduler: EventBridgeScheduler, wire: Wire
    ) -> None:
        wire.answers = [json_error(400, "ValidationException", "Invalid Schedule Expression rate(1 day).")]
        with pytest.raises(InvalidCommandError, match="Invalid Schedule Expression"):
            scheduler.put_recurrence(RECURRENCE)

    @pytest.mark.parametrize("code", ["ConflictException", "ResourceNotFoundException"])
    def test_a_recurrence_that_somebody_else_changes_is_tried_again(
        self, scheduler: EventBridgeScheduler, wire: Wire, code: str
    ) -> None:
        wire.answers = [json_error(409, "ConflictException"), json_error(409, code)]
        with pytest.raises(TransientError) as caught:
            scheduler.put_recurrence(RECURRENCE)
        assert caught.value.operation == "UpdateSchedule"

    def test_a_recurrence_that_is_deleted_while_it_is_listed_is_left_out(
        self, scheduler: EventBridgeScheduler, wire: Wire
    ) -> None:
        listed = {"Schedules": [{"Name": "recurring-nightly"}]}
        wire.answers = [answer(200, json.dumps(listed).encode()), json_error(404, "ResourceNotFoundException")]
        assert list(scheduler.list_recurrences()) == []

    def test_a_delete_that_somebody_else_does_too_is_tried_again(
        self, scheduler: EventBridgeScheduler, wire: Wire
    ) -> None:
        wire.answers = [json_error(409, "ConflictException")]
        with pytest.raises(TransientError):
            scheduler.delete_recurrence("nightly")


def test_no_error_shows_more_than_it_should(operations: dict[str, Callable[[], object]], wire: Wire) -> None:
    wire.answers = [json_error(400, "AccessDenied", "x" * 10_000)]
    with pytest.raises(WorkflowEngineError) as caught:
        operations["SQS SendMessage"]()
    assert len(str(caught.value)) < 1_000
