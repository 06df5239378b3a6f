"""What AWS would refuse for its size is refused before a request is sent, and says its size and the limit."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.session import get_session

from workflow_engine.adapters.aws.dynamodb import DynamoPersistence
from workflow_engine.adapters.aws.eventbridge import EventBridgeSink
from workflow_engine.adapters.aws.s3 import S3BlobStore
from workflow_engine.adapters.aws.scheduler import EventBridgeScheduler
from workflow_engine.adapters.aws.sqs import SqsJobTransport
from workflow_engine.errors import PayloadTooLargeError
from workflow_engine.model.commands import SignalRun
from workflow_engine.model.commits import Cancel, Signal
from workflow_engine.model.events import WorkflowFailed
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.limits import (
    MAX_EVENT_BATCH,
    MAX_EVENT_REQUEST_BYTES,
    MAX_ITEM_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_TRANSACTION_ACTIONS,
    MAX_TRANSACTION_BYTES,
)
from workflow_engine.model.payloads import Payload
from workflow_engine.model.runs import Annotation, DeadLetter, KeptSignal, LogLine, RunInput, StageKey
from workflow_engine.testing.builders import create, new_event, new_head, new_record, rewrite, share
from workflow_engine.testing.clock import START, FakeClock, SequentialIds
from workflow_engine.testing.contracts.persistence_heads import record_of

HEAD = new_head(START)
KEY = StageKey(0, StageId("count"), 0)
LATER = START + timedelta(days=1)
TOO_LONG = "x" * (MAX_ITEM_BYTES + 1)
RUN = RunId("run")


class Sent:
    """The requests that would have gone out; EventBridge accepts what it is given."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Mapping[str, Any]]] = []

    def __call__(self, _: BaseClient, operation: str, parameters: Mapping[str, Any]) -> Any:
        self.requests.append((operation, parameters))
        if operation == "PutEvents":
            return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}] * len(parameters["Entries"])}
        raise AssertionError(f"{operation} was sent")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    sent = Sent()
    monkeypatch.setattr(BaseClient, "_make_api_call", lambda *arguments: sent(*arguments))
    return sent


def client(service: str) -> Any:
    return get_session().create_client(service, region_name="us-east-1")


def persistence() -> DynamoPersistence:
    return DynamoPersistence(table_name="t", shards=1, clock=FakeClock(), ids=SequentialIds())


def signal_of(payload: bytes) -> KeptSignal:
    return KeptSignal(RUN, "go", "k", "h", payload, START, LATER)


Store = Callable[[DynamoPersistence], object]
TOO_LARGE_ITEMS: Mapping[str, Store] = {
    "record": lambda store: store.put_record(new_record(HEAD, output=Payload.of(TOO_LONG.encode()))),
    "input": lambda store: store.put_input(RunInput(RUN, "h", Payload.of(TOO_LONG.encode()), LATER)),
    "log": lambda store: store.put_logs([LogLine(RUN, KEY, 0, START, "INFO", TOO_LONG, {}, 1, LATER)]),
    "one log of many": lambda store: store.put_logs(
        [
            LogLine(RUN, KEY, number, START, "INFO", TOO_LONG if number == 40 else "", {}, 1, LATER)
            for number in range(50)
        ]
    ),
    "annotation": lambda store: store.put_annotations([Annotation(RUN, "i", START, "k", TOO_LONG, "a", 1, KEY, LATER)]),
    "spilled event": lambda store: store.put_spilled(HEAD, {1: new_event(START, error=TOO_LONG)}),
    "dead letter": lambda store: store.put_dead_letter(
        DeadLetter(RUN, HEAD.workflow_id, 1, new_event(START, error=TOO_LONG), "r", START, LATER)
    ),
    "idempotency record": lambda store: store.put_idempotency(replace(record_of(FakeClock()), result=TOO_LONG)),
    "definition": lambda store: store.put_definition("w", "f", {"a": TOO_LONG}),
    "new head": lambda store: store.commit(create(replace(HEAD, reason=TOO_LONG))),
    "rewritten head": lambda store: store.commit(rewrite(HEAD, reason=TOO_LONG)),
    "shared change": lambda store: store.commit(share(HEAD, Cancel(0, TOO_LONG, "mine", START))),
    "signal in a transaction": lambda store: store.commit(share(HEAD, Signal(signal_of(TOO_LONG.encode())))),
    "record in a transaction": lambda store: store.commit(
        replace(rewrite(HEAD), idempotency=replace(record_of(FakeClock()), result=TOO_LONG))
    ),
}


@pytest.mark.parametrize("name", TOO_LARGE_ITEMS)
def test_an_item_above_400_kb_is_not_sent(sent: Sent, name: str) -> None:
    with pytest.raises(PayloadTooLargeError) as caught:
        TOO_LARGE_ITEMS[name](persistence())

    assert caught.value.limit_bytes == MAX_ITEM_BYTES
    assert caught.value.size_bytes > MAX_ITEM_BYTES
    assert sent.requests == []


def test_no_transaction_can_reach_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction is a head and at most two items beside it, each of which is checked: three of a hundred actions,
    and less than a third of 4 MB."""
    transactions: list[list[Any]] = []

    def note(_: BaseClient, operation: str, parameters: Mapping[str, Any]) -> Any:
        if operation == "TransactWriteItems":
            transactions.append(parameters["TransactItems"])
        return {}

    monkeypatch.setattr(BaseClient, "_make_api_call", note)
    record = record_of(FakeClock())
    for commit in (
        replace(create(HEAD), idempotency=record),
        replace(rewrite(HEAD), idempotency=record),
        replace(share(HEAD, Cancel(0, None, "mine", START)), idempotency=record),
        replace(share(HEAD, Signal(signal_of(b"{}"))), idempotency=record),
    ):
        try:
            persistence().commit(commit)
        except Exception as error:
            # The head that a transaction left is read afterwards, and nobody answers here.
            assert "gone after its commit" in str(error)  # noqa: PT017

    assert len(transactions) == 4
    largest = max(len(actions) for actions in transactions)
    assert largest == 3
    assert largest < MAX_TRANSACTION_ACTIONS
    assert largest * MAX_ITEM_BYTES < MAX_TRANSACTION_BYTES


def signal_command(size_bytes: int) -> SignalRun:
    return SignalRun(run_id="r", name="go", payload="x" * size_bytes, idempotency_key="k")


def test_a_message_above_1_mib_is_not_sent(sent: Sent) -> None:
    transport = SqsJobTransport(client("sqs"), "http://127.0.0.1/1/q")
    for send in (
        lambda: transport.enqueue(signal_command(MAX_MESSAGE_BYTES)),
        lambda: transport.enqueue_parallel([signal_command(1), signal_command(MAX_MESSAGE_BYTES), signal_command(1)]),
    ):
        with pytest.raises(PayloadTooLargeError) as caught:
            send()
        assert caught.value.limit_bytes == MAX_MESSAGE_BYTES
    assert sent.requests == []


def test_a_timer_whose_message_is_too_large_is_not_set(sent: Sent) -> None:
    scheduler = EventBridgeScheduler(
        client("scheduler"), group_name="g", role_arn="r", queue_arn="q", clock=FakeClock()
    )
    with pytest.raises(PayloadTooLargeError):
        scheduler.schedule(signal_command(300_000), LATER, "timer-1")
    assert sent.requests == []


def test_a_key_above_1024_bytes_is_not_sent(sent: Sent) -> None:
    with pytest.raises(PayloadTooLargeError):
        S3BlobStore(client("s3"), "bucket").put("k" * 1025, b"")
    assert sent.requests == []


def event(sequence: int, size_bytes: int) -> WorkflowFailed:
    return WorkflowFailed(
        event_id=f"r:{sequence}",
        sequence=sequence,
        run_id="r",
        workflow_id="w",
        occurred_at=START,
        error="x" * size_bytes,
    )


def test_an_event_that_no_request_can_carry_is_refused_and_not_sent(sent: Sent) -> None:
    (refusal,) = EventBridgeSink(client("events"), "bus").emit([event(1, MAX_EVENT_REQUEST_BYTES)])

    assert refusal is not None
    assert refusal.counts
    assert str(MAX_EVENT_REQUEST_BYTES) in refusal.reason
    assert sent.requests == []


@pytest.mark.parametrize(("number", "size_bytes"), [(25, 10), (10, 150_000), (7, 499_000), (3, 990_000)])
def test_a_request_holds_at_most_10_entries_and_less_than_1_mb(sent: Sent, number: int, size_bytes: int) -> None:
    answers = EventBridgeSink(client("events"), "bus").emit([event(n, size_bytes) for n in range(1, number + 1)])

    assert list(answers) == [None] * number
    batches = [request["Entries"] for _, request in sent.requests]
    assert sum(map(len, batches)) == number
    assert all(len(entries) <= MAX_EVENT_BATCH for entries in batches)
    assert all(sum(len(entry["Detail"]) for entry in entries) < MAX_EVENT_REQUEST_BYTES for entries in batches)
