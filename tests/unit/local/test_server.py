"""Requests one after another; long polls that hold nobody up."""

import io
import json
import threading
from typing import Any

from workflow_engine.local.server import SerialApplication


class Service:
    """Answers what it is told to; notices when it is asked twice at the same time."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.seen: list[dict[str, Any]] = []
        self.overlapped = False
        self._busy = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.overlapped |= not self._busy.acquire(blocking=False)
        try:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            self.seen.append(json.loads(body or b"{}"))
            start_response("200 OK", [("Content-Type", "application/x-amz-json-1.0")])
            messages = [{"Body": self.messages.pop()}] if self.messages else []
            return [json.dumps({"Messages": messages} if messages else {}).encode()]
        finally:
            if self._busy.locked():
                self._busy.release()


def ask(application: SerialApplication, target: str, request: dict[str, Any], method: str = "POST") -> dict[str, Any]:
    body = json.dumps(request).encode()
    environ = {
        "REQUEST_METHOD": method,
        "HTTP_X_AMZ_TARGET": target,
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
    }
    answer = b"".join(application(environ, lambda *_: lambda _: None))
    found: dict[str, Any] = json.loads(answer)
    return found


RECEIVE = "AmazonSQS.ReceiveMessage"


def test_a_long_poll_is_asked_in_short_ones() -> None:
    service = Service()
    answer = ask(SerialApplication(service), RECEIVE, {"QueueUrl": "q", "WaitTimeSeconds": 0.2})

    assert answer == {}
    assert len(service.seen) > 1
    assert all(request == {"QueueUrl": "q", "WaitTimeSeconds": 0} for request in service.seen)


def test_a_request_without_a_wait_of_its_own_is_answered_at_once() -> None:
    service = Service()
    ask(SerialApplication(service), RECEIVE, {"QueueUrl": "q"})

    assert service.seen == [{"QueueUrl": "q", "WaitTimeSeconds": 0}]


def test_a_message_ends_a_long_poll_and_others_are_served_meanwhile() -> None:
    service = Service()
    application = SerialApplication(service)
    answers: list[dict[str, Any]] = []
    poll = threading.Thread(target=lambda: answers.append(ask(application, RECEIVE, {"WaitTimeSeconds": 60})))
    poll.start()
    for number in range(20):
        ask(application, "DynamoDB_20120810.GetItem", {"Key": number})
    service.messages.append("hello")
    poll.join(timeout=10)

    assert answers == [{"Messages": [{"Body": "hello"}]}]
    assert not service.overlapped


def test_a_long_poll_ends_when_the_server_closes() -> None:
    application = SerialApplication(Service())
    application.closing.set()

    assert ask(application, RECEIVE, {"WaitTimeSeconds": 600}) == {}


def test_requests_at_the_same_time_are_served_one_after_another() -> None:
    service = Service()
    application = SerialApplication(service)
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        for _ in range(50):
            ask(application, "DynamoDB_20120810.UpdateItem", {})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not service.overlapped
    assert len(service.seen) == 400


def test_only_what_may_change_something_is_counted() -> None:
    application = SerialApplication(Service())
    for target in ("DynamoDB_20120810.GetItem", "DynamoDB_20120810.Query", "AmazonSQS.GetQueueUrl", RECEIVE):
        ask(application, target, {})
    assert application.changes == 0

    ask(application, "DynamoDB_20120810.UpdateItem", {})
    ask(application, "AmazonSQS.SendMessage", {})
    ask(application, "", {}, method="PUT")
    ask(application, "", {}, method="GET")
    assert application.changes == 3
