"""A function that cannot load its workflows gives its messages back for seconds, not for the visibility timeout."""

from datetime import timedelta
from typing import Any

from typing_extensions import override

from workflow_engine.adapters.memory import MemoryJobTransport
from workflow_engine.entrypoints.sqs_batch import all_given_back
from workflow_engine.errors import SettingsError, TransientError
from workflow_engine.model.commands import CancelRun, TransitionRun
from workflow_engine.model.deliveries import Delivery
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.testing.clock import FakeClock


def record_of(delivery: Delivery) -> dict[str, Any]:
    return {
        "messageId": delivery.message_id,
        "body": delivery.body,
        "receiptHandle": delivery.receipt,
        "attributes": {"ApproximateReceiveCount": str(delivery.receive_count), "SentTimestamp": "0"},
    }


def queue_of(*run_ids: str) -> tuple[MemoryJobTransport, list[dict[str, Any]]]:
    queue = MemoryJobTransport(FakeClock(), visibility=timedelta(minutes=16))
    for run_id in run_ids:
        queue.enqueue(TransitionRun(run_id=run_id))
    return queue, [record_of(delivery) for _ in run_ids if (delivery := queue.dequeue()) is not None]


def test_all_messages_are_there_again_after_seconds() -> None:
    queue, records = queue_of("a", "b", "c")

    assert all_given_back(records, lambda: queue) == ["message-1", "message-2", "message-3"]

    next_at = queue.next_visible_at()
    assert next_at is not None
    assert next_at - FakeClock().now() <= timedelta(seconds=5)
    assert list(queue.list_dead()) == []


def test_all_are_answered_as_failed_where_not_even_the_queue_is_known() -> None:
    def unknown() -> JobTransport:
        raise SettingsError(variable="JOB_QUEUE_URL", problem="is not set")

    _, records = queue_of("a", "b")
    assert all_given_back(records, unknown) == ["message-1", "message-2"]


class Deaf(MemoryJobTransport):
    """A queue that does not answer."""

    @override
    def fail(self, delivery: Delivery) -> None:
        raise TransientError(service="SQS", operation="ChangeMessageVisibility", code="ServiceUnavailable")


def test_all_are_answered_as_failed_where_the_queue_does_not_answer() -> None:
    queue = Deaf(FakeClock())
    queue.enqueue(CancelRun(run_id="a"))
    delivery = queue.dequeue()
    assert delivery is not None
    assert all_given_back([record_of(delivery)], lambda: queue) == ["message-1"]
