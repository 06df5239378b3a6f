"""DynamoDB that is slow, busy, away or unwilling, as the port tells it."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from threading import Lock
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from botocore.session import get_session

from workflow_engine.adapters.aws.dynamodb import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.connection import OWN_TRIES
from workflow_engine.adapters.aws.dynamodb.item_codecs import encode_log
from workflow_engine.adapters.aws.dynamodb.wire import instant
from workflow_engine.errors import (
    AwsRequestError,
    CorruptItemError,
    StaleRunError,
    TransientError,
    WorkflowEngineError,
)
from workflow_engine.model.commits import Refused, Signal
from workflow_engine.model.ids import RunId
from workflow_engine.ports.persistence import Rearm
from workflow_engine.testing.builders import (
    HORIZON,
    LIFE,
    claim_first,
    committed,
    create,
    leased_head,
    new_head,
    new_record,
    rewrite,
    share,
)
from workflow_engine.testing.clock import START, FakeClock, SequentialIds
from workflow_engine.testing.contracts.persistence_heads import record_of
from workflow_engine.testing.contracts.persistence_items import annotation, dead_letter, log_line
from workflow_engine.testing.contracts.persistence_shared import kept_signal

HEAD = leased_head(START)


class Answers:
    """Answers the next requests in DynamoDB's place; ``None`` lets one through."""

    def __init__(self, client: Any) -> None:
        self.planned: list[Any] = []
        self.sent: list[str] = []
        self._lock = Lock()
        self._events = client.meta.events
        self._events.register("before-send.dynamodb.*", self._answer)

    def stop(self) -> None:
        self._events.unregister("before-send.dynamodb.*", self._answer)

    def plan(self, *answers: Any) -> None:
        self.planned += answers

    def _answer(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        with self._lock:
            self.sent.append(event_name.rpartition(".")[2])
            answer = self.planned.pop(0) if self.planned else None
        if isinstance(answer, Exception):
            raise answer
        return answer


class Body:
    """The body of an answer, as botocore reads it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, **_: Any) -> list[bytes]:
        return [self._data]


def answer(status: int, body: Mapping[str, Any]) -> AWSResponse:
    headers = HTTPHeaders.from_pairs([("content-type", "application/x-amz-json-1.0")])
    return AWSResponse("http://127.0.0.1", status, headers, Body(json.dumps(body).encode()))


def error(code: str, status: int = 400, **more: Any) -> AWSResponse:
    kind = f"com.amazonaws.dynamodb.v20120810#{code}"
    return answer(status, {"__type": kind, "message": "so it is", **more})


def cancelled(*codes: str) -> AWSResponse:
    reasons = [{"Code": code} for code in codes]
    return error("TransactionCanceledException", CancellationReasons=reasons)


@pytest.fixture
def answers(client: Any, table_name: str) -> Iterator[Answers]:
    answers = Answers(client)
    yield answers
    answers.stop()


CALLS: Mapping[str, Callable[[DynamoPersistence], object]] = {
    "create": lambda store: store.commit(create(HEAD)),
    "exclusive": lambda store: store.commit(rewrite(HEAD)),
    "shared": lambda store: store.commit(claim_first(HEAD, START)),
    "transaction": lambda store: store.commit(replace(rewrite(HEAD), idempotency=record_of(FakeClock()))),
    "signal": lambda store: store.commit(share(HEAD, Signal(kept_signal(START)))),
    "load_head": lambda store: store.load_head(HEAD.run_id),
    "load_heads": lambda store: store.load_heads([HEAD.run_id]),
    "put_record": lambda store: store.put_record(new_record(HEAD)),
    "load_records": lambda store: store.load_records(HEAD.run_id, [new_record(HEAD).key]),
    "list_records": lambda store: store.list_records(HEAD.run_id),
    "load_input": lambda store: store.load_input(HEAD.run_id, "h"),
    "delete_spilled": lambda store: store.delete_spilled(HEAD.run_id, [1]),
    "put_dead_letter": lambda store: store.put_dead_letter(dead_letter(1)),
    "list_dead_letters": lambda store: store.list_dead_letters(limit=1),
    "delete_dead_letter": lambda store: store.delete_dead_letter(HEAD.run_id, 1),
    "put_logs": lambda store: store.put_logs([log_line(0)]),
    "put_annotations": lambda store: store.put_annotations([annotation("a")]),
    "put_annotation": lambda store: store.put_annotation(annotation("a")),
    "load_idempotency": lambda store: store.load_idempotency("key", "run.cancel"),
    "put_idempotency": lambda store: store.put_idempotency(record_of(FakeClock())),
    "list_due": lambda store: store.list_due(0, until=START, limit=1),
    "rearm": lambda store: store.rearm([Rearm(HEAD.run_id, 1, START, START + HORIZON)]),
    "list_runs": lambda store: store.list_runs("document-analysis"),
    "extend_expiry": lambda store: store.extend_expiry(HEAD.run_id, START),
}


@pytest.mark.parametrize("name", CALLS)
def test_throttling_is_transient(persistence: DynamoPersistence, answers: Answers, name: str) -> None:
    answers.plan(*[error("ThrottlingException")] * 10)
    with pytest.raises(TransientError) as caught:
        CALLS[name](persistence)
    assert caught.value.throttled
    assert caught.value.retryable
    assert caught.value.service == "dynamodb"


@pytest.mark.parametrize("name", CALLS)
def test_a_missing_permission_is_loud_and_not_retried(
    persistence: DynamoPersistence, answers: Answers, name: str
) -> None:
    answers.plan(*[error("AccessDeniedException")] * 10)
    with pytest.raises(AwsRequestError) as caught:
        CALLS[name](persistence)
    assert not caught.value.retryable
    assert caught.value.service_code == "AccessDeniedException"


FAULTS: Mapping[str, tuple[Any, type[WorkflowEngineError], bool]] = {
    "provisioned throughput": (error("ProvisionedThroughputExceededException"), TransientError, True),
    "request limit": (error("RequestLimitExceeded"), TransientError, True),
    "internal error": (error("InternalServerError", 500), TransientError, False),
    "unavailable": (answer(503, {}), TransientError, False),
    "no answer in time": (ReadTimeoutError(endpoint_url="http://127.0.0.1"), TransientError, False),
    "no connection in time": (ConnectTimeoutError(endpoint_url="http://127.0.0.1"), TransientError, False),
    "no connection": (EndpointConnectionError(endpoint_url="http://127.0.0.1"), TransientError, False),
    "no such table": (error("ResourceNotFoundException"), AwsRequestError, False),
    "not valid": (error("ValidationException"), AwsRequestError, False),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_error(persistence: DynamoPersistence, answers: Answers, name: str) -> None:
    fault, expected, throttled = FAULTS[name]
    answers.plan(fault)
    with pytest.raises(expected) as caught:
        persistence.load_head(HEAD.run_id)
    assert getattr(caught.value, "throttled", False) == throttled


def test_a_transaction_in_the_way_is_waited_for(persistence: DynamoPersistence, answers: Answers) -> None:
    committed(persistence.commit(create(HEAD)))
    answers.sent.clear()
    answers.plan(*[error("TransactionConflictException")] * 2)
    after = committed(persistence.commit(rewrite(HEAD)))
    assert persistence.load_head(HEAD.run_id) == after
    assert answers.sent == ["UpdateItem"] * 3 + ["GetItem"]


def test_a_transaction_that_stays_in_the_way_is_transient(persistence: DynamoPersistence, answers: Answers) -> None:
    committed(persistence.commit(create(HEAD)))
    answers.sent.clear()
    answers.plan(*[error("TransactionConflictException")] * OWN_TRIES)
    with pytest.raises(TransientError) as caught:
        persistence.commit(rewrite(HEAD))
    assert (caught.value.service_code, caught.value.throttled) == ("TransactionConflictException", False)
    assert answers.sent == ["UpdateItem"] * OWN_TRIES


@pytest.mark.parametrize("reason", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_cancelled_transaction_is_tried_again(persistence: DynamoPersistence, answers: Answers, reason: str) -> None:
    committed(persistence.commit(create(HEAD)))
    answers.sent.clear()
    answers.plan(cancelled("None", reason), cancelled(reason, "ConditionalCheckFailed"))
    commit = replace(rewrite(HEAD), idempotency=record_of(FakeClock()))
    assert committed(persistence.commit(commit)) == commit.after
    assert answers.sent == ["TransactWriteItems"] * 3
    answers.plan(*[cancelled(reason, "None")] * OWN_TRIES)
    with pytest.raises(TransientError) as caught:
        persistence.commit(commit)
    assert caught.value.throttled == (reason != "TransactionConflict")


def test_a_transaction_that_is_not_valid_is_loud(persistence: DynamoPersistence, answers: Answers) -> None:
    answers.plan(cancelled("None", "ValidationError"))
    with pytest.raises(AwsRequestError):
        persistence.commit(share(HEAD, Signal(kept_signal(START))))


def test_a_tick_answers_those_it_moved_though_others_failed(persistence: DynamoPersistence, answers: Answers) -> None:
    heads = [committed(persistence.commit(create(new_head(START, run_id=f"run-{n}")))) for n in range(20)]
    answers.plan(*[error("ThrottlingException")] * 3)
    wishes = [
        Rearm(head.run_id, head.version, head.due_at, START + 2 * HORIZON) for head in heads if head.due_at is not None
    ]
    moved = persistence.rearm(wishes)
    assert len(moved) == 17
    for head in persistence.load_heads(moved).values():
        assert head.due_at == START + 2 * HORIZON


def test_keys_that_were_left_over_are_asked_for_again(
    persistence: DynamoPersistence, answers: Answers, table_name: str
) -> None:
    head = committed(persistence.commit(create(HEAD)))
    key = {"pk": {"S": "R#run"}, "sk": {"S": "RUN"}}
    left_over = answer(200, {"Responses": {}, "UnprocessedKeys": {table_name: {"Keys": [key]}}})
    answers.plan(left_over, left_over)
    assert persistence.load_heads([head.run_id]) == {head.run_id: head}
    answers.plan(*[left_over] * OWN_TRIES)
    with pytest.raises(TransientError) as caught:
        persistence.load_heads([head.run_id])
    assert caught.value.throttled


def test_items_that_were_left_over_are_written_again(
    persistence: DynamoPersistence, answers: Answers, table_name: str
) -> None:
    left_over = answer(200, {"UnprocessedItems": {table_name: [{"PutRequest": {"Item": encode_log(log_line(1))}}]}})
    answers.plan(left_over)
    persistence.put_logs([log_line(0)])
    assert list(persistence.list_logs(RunId("run"))) == [log_line(1)]
    answers.plan(*[left_over] * OWN_TRIES)
    with pytest.raises(TransientError) as caught:
        persistence.put_logs([log_line(1)])
    assert caught.value.throttled


class LosesAnswers:
    """Lets requests through and loses their first answer, as a connection does that breaks."""

    def __init__(self, client: Any) -> None:
        self.lost = 0
        session = client._endpoint.http_session
        self._send = session.send
        session.send = self._send_and_lose

    def _send_and_lose(self, request: Any) -> Any:
        found = self._send(request)
        if self.lost == 0:
            self.lost += 1
            raise ReadTimeoutError(endpoint_url=request.url)
        return found


@pytest.fixture
def retrying(dynamodb_local_url: str) -> Any:
    """A client that sends again what was not answered, as the usual one does."""
    config = Config(retries={"mode": "standard", "total_max_attempts": 3})
    return get_session().create_client("dynamodb", endpoint_url=dynamodb_local_url, config=config)


def test_an_update_that_botocore_sent_twice_names_itself(
    retrying: Any, table_name: str, persistence: DynamoPersistence, clock: FakeClock
) -> None:
    twice = DynamoPersistence(table_name=table_name, shards=1, clock=clock, ids=SequentialIds(), client=retrying)
    committed(persistence.commit(create(HEAD)))
    answers = LosesAnswers(retrying)
    commit = rewrite(HEAD, "mine-7")
    assert twice.commit(commit) == Refused(commit.after)
    assert answers.lost == 1


def test_a_transaction_that_botocore_sent_twice_happens_once(
    retrying: Any, table_name: str, persistence: DynamoPersistence, clock: FakeClock
) -> None:
    twice = DynamoPersistence(table_name=table_name, shards=1, clock=clock, ids=SequentialIds(), client=retrying)
    committed(persistence.commit(create(HEAD)))
    answers = LosesAnswers(retrying)
    commit = replace(rewrite(HEAD, "mine-7"), idempotency=record_of(clock))
    assert committed(twice.commit(commit)) == commit.after
    assert answers.lost == 1
    assert persistence.load_head(HEAD.run_id) == commit.after


def test_a_shared_commit_that_was_sent_twice_takes_effect_once(
    retrying: Any, table_name: str, persistence: DynamoPersistence, clock: FakeClock
) -> None:
    twice = DynamoPersistence(table_name=table_name, shards=1, clock=clock, ids=SequentialIds(), client=retrying)
    head = committed(persistence.commit(create(new_head(START))))
    answers = LosesAnswers(retrying)
    outcome = twice.commit(claim_first(head, START, by="mine-8"))
    assert isinstance(outcome, Refused)
    assert outcome.head is not None
    assert outcome.head.active[0].by == "mine-8"
    assert (outcome.head.version, answers.lost) == (head.version + 1, 1)


def test_due_at_that_keeps_moving_across_the_wanted_time_is_told(
    persistence: DynamoPersistence, client: Any, table_name: str
) -> None:
    head = committed(persistence.commit(create(new_head(START))))
    wanted = START + HORIZON
    tries = 0

    def move(**_: Any) -> None:
        # Before each try, a tick moves due_at to the side on which the try does not expect it.
        nonlocal tries
        tries += 1
        side = wanted - HORIZON if tries % 2 else wanted + HORIZON
        mover.set_due(side)

    mover = DueMover(client, table_name, head.run_id)
    client.meta.events.register("provide-client-params.dynamodb.UpdateItem", move)
    try:
        with pytest.raises(StaleRunError) as caught:
            persistence.commit(replace(claim_first(head, START), due_at=wanted))
    finally:
        client.meta.events.unregister("provide-client-params.dynamodb.UpdateItem", move)
    assert caught.value.retryable
    assert caught.value.tries == tries
    stored = persistence.load_head(head.run_id)
    assert stored is not None
    assert stored.version == head.version


class DueMover:
    """Moves ``due_at`` with a put, which no hook on updates sees."""

    def __init__(self, client: Any, table_name: str, run_id: str) -> None:
        self._client, self._table_name = client, table_name
        key = {"pk": {"S": f"R#{run_id}"}, "sk": {"S": "RUN"}}
        self._item = client.get_item(TableName=table_name, Key=key, ConsistentRead=True)["Item"]

    def set_due(self, due_at: datetime) -> None:
        self._client.put_item(TableName=self._table_name, Item={**self._item, "da": instant(due_at)})


def test_a_head_that_is_gone_right_after_its_transaction_is_told(
    persistence: DynamoPersistence, answers: Answers
) -> None:
    committed(persistence.commit(create(HEAD)))
    answers.plan(None, answer(200, {}))
    with pytest.raises(CorruptItemError, match="gone"):
        persistence.commit(share(HEAD, Signal(kept_signal(START))))


def test_an_item_that_went_while_it_was_to_live_longer_stays_gone(
    persistence: DynamoPersistence, client: Any, table_name: str
) -> None:
    persistence.put_record(new_record(HEAD))

    def delete(params: Mapping[str, Any], **_: Any) -> None:
        client.delete_item(TableName=table_name, Key=params["Key"])

    client.meta.events.register("provide-client-params.dynamodb.UpdateItem", delete)
    try:
        persistence.extend_expiry(HEAD.run_id, START + 99 * LIFE)
    finally:
        client.meta.events.unregister("provide-client-params.dynamodb.UpdateItem", delete)
    assert persistence.list_records(HEAD.run_id) == []
