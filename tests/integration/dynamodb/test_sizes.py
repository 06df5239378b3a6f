"""That sizes are counted as DynamoDB counts them, and told before it refuses."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from workflow_engine.adapters.aws.dynamodb import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.head_codec import encode_head
from workflow_engine.adapters.aws.dynamodb.heads import sizes_of
from workflow_engine.adapters.aws.dynamodb.item_size import item_size
from workflow_engine.adapters.memory import sizes
from workflow_engine.errors import PayloadTooLargeError
from workflow_engine.model.commits import Signal
from workflow_engine.model.limits import HEAD_OUTLIVES, MAX_ITEM_BYTES
from workflow_engine.model.payloads import Payload
from workflow_engine.model.runs import Head, riding
from workflow_engine.testing.builders import (
    LIFE,
    committed,
    create,
    finish,
    leased_head,
    new_event,
    new_record,
    rewrite,
    share,
)
from workflow_engine.testing.clock import START
from workflow_engine.testing.contracts.persistence_heads import full_head, record_of
from workflow_engine.testing.contracts.persistence_shared import kept_signal

FILLED: Mapping[str, dict[str, Any]] = {
    "text": {"S": "plain"},
    "Ключ": {"S": "漢字 text"},
    "binary": {"B": bytes(100)},
    "boolean and null": {"L": [{"BOOL": True}, {"NULL": True}]},
    "list": {"L": [{"S": "a"}, {"N": "1"}, {"L": []}]},
    "map": {"M": {"s": {"S": "L"}, "e": {"N": "0"}, "m": {"M": {}}}},
    "number": {"N": "1893456900123"},
    "zero": {"N": "0"},
    "fraction": {"N": "12.345"},
    "negative": {"N": "-12345"},
    "round": {"N": "1000000"},
    "an instant": {"N": "1893456900000"},
    "odd": {"N": "120"},
    "even": {"N": "1200"},
    "small": {"N": "0.05"},
    "half": {"N": "0.5"},
    "mixed": {"N": "100.001"},
    "minus": {"N": "-1000"},
    "set": {"SS": ["a", "bb"]},
}


def filled_to(item: Mapping[str, Any], size: int) -> dict[str, Any]:
    """*item* with as much text as makes it *size* bytes."""
    padded = {**item, "pad": {"S": ""}}
    return {**item, "pad": {"S": "x" * (size - item_size(padded))}}


@pytest.mark.parametrize("name", FILLED)
def test_dynamodb_takes_an_item_to_be_as_large_as_we_do(client: Any, table_name: str, name: str) -> None:
    # 200 of a kind, so that one byte too few for each would be seen.
    many = {f"{name}{number:03d}": FILLED[name] for number in range(200)}
    item = {"pk": {"S": "p"}, "sk": {"S": "s"}, **many}
    client.put_item(TableName=table_name, Item=filled_to(item, MAX_ITEM_BYTES))
    with pytest.raises(ClientError, match="Item size has exceeded the maximum allowed size"):
        client.put_item(TableName=table_name, Item=filled_to(item, MAX_ITEM_BYTES + 1))


def filled_head(size: int) -> Head:
    """A head of *size* bytes."""
    head = leased_head(START, stages=2, reason="")
    return replace(head, reason="x" * (size - item_size(encode_head(head))))


def test_the_largest_head_is_stored_and_one_byte_more_is_not_sent(persistence: DynamoPersistence, wire: Any) -> None:
    largest = filled_head(MAX_ITEM_BYTES)
    committed(persistence.commit(create(largest)))
    assert persistence.load_head(largest.run_id) == largest
    wire.requests.clear()
    with pytest.raises(PayloadTooLargeError) as caught:
        persistence.commit(rewrite(largest, largest.by, reason=f"{largest.reason}x"))
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (MAX_ITEM_BYTES + 1, MAX_ITEM_BYTES)
    assert wire.counts() == {}


def test_a_shared_commit_that_the_head_has_no_room_for_says_its_size(persistence: DynamoPersistence) -> None:
    head = committed(persistence.commit(create(filled_head(MAX_ITEM_BYTES - 1000))))
    large = finish(head, 0, new_event(START, error="x" * 2000))
    with pytest.raises(PayloadTooLargeError) as caught:
        persistence.commit(large)
    assert MAX_ITEM_BYTES + 1000 < caught.value.size_bytes < MAX_ITEM_BYTES + 1100
    assert persistence.load_head(head.run_id) == head
    committed(persistence.commit(finish(head, 0, new_event(START, error="x" * 200))))


def test_a_transaction_that_the_head_has_no_room_for_says_its_size(persistence: DynamoPersistence) -> None:
    head = committed(persistence.commit(create(filled_head(MAX_ITEM_BYTES - 1000))))
    commit = replace(share(head, Signal(kept_signal(START))), events=(new_event(START, error="x" * 2000),))
    with pytest.raises(PayloadTooLargeError) as caught:
        persistence.commit(commit)
    assert caught.value.size_bytes > MAX_ITEM_BYTES + 1000
    assert persistence.load_head(head.run_id) == head
    assert persistence.load_signal(head.run_id, "approval#k1") is None


def test_a_change_above_the_limit_is_not_sent(persistence: DynamoPersistence, wire: Any) -> None:
    head = committed(persistence.commit(create(leased_head(START, stages=2))))
    wire.requests.clear()
    with pytest.raises(PayloadTooLargeError):
        persistence.commit(finish(head, 0, new_event(START, error="x" * MAX_ITEM_BYTES)))
    with pytest.raises(PayloadTooLargeError):
        persistence.commit(share(head, Signal(kept_signal(START, payload=bytes(MAX_ITEM_BYTES)))))
    assert wire.counts() == {}


def test_a_head_with_everything_set_is_counted_as_dynamodb_does(
    client: Any, table_name: str, persistence: DynamoPersistence, clock: Any
) -> None:
    head = full_head(clock)
    filled = replace(head, reason="x" * (MAX_ITEM_BYTES - item_size(encode_head(replace(head, reason="")))))
    committed(persistence.commit(create(filled)))
    item = encode_head(filled)
    one_more = {**item, "rs": {"S": f"{filled.reason}x"}}
    with pytest.raises(ClientError, match="Item size has exceeded the maximum allowed size"):
        client.put_item(TableName=table_name, Item=one_more)


def test_an_idempotency_record_above_the_limit_is_refused(persistence: DynamoPersistence, clock: Any) -> None:
    large = replace(record_of(clock), result="x" * MAX_ITEM_BYTES, expires_at=START + LIFE)
    with pytest.raises(PayloadTooLargeError):
        persistence.put_idempotency(large)
    head = committed(persistence.commit(create(leased_head(START))))
    with pytest.raises(PayloadTooLargeError):
        persistence.commit(replace(rewrite(head), idempotency=large))


def test_what_is_listed_may_be_larger_than_an_answer(persistence: DynamoPersistence, wire: Any) -> None:
    # A Query answers with 1 MB at the most.
    head = leased_head(START)
    records = [new_record(head, group=group, output=Payload.of(bytes(100_000))) for group in range(25)]
    for record in records:
        persistence.put_record(record)
    assert list(persistence.list_records(head.run_id)) == records
    assert wire.counts()["Query"] == 3


def test_what_is_read_at_once_may_be_larger_than_an_answer(persistence: DynamoPersistence, wire: Any) -> None:
    # A BatchGetItem answers with 16 MB at the most, and names the keys that it left over.
    head = leased_head(START)
    records = {r.key: r for r in (new_record(head, group=n, output=Payload.of(bytes(400_000))) for n in range(45))}
    for record in records.values():
        persistence.put_record(record)
    assert persistence.load_records(head.run_id, list(records)) == records
    assert wire.counts()["BatchGetItem"] == 2


@pytest.mark.parametrize("stages", [1, 2, 5, 10])
def test_memory_takes_a_head_and_what_rides_in_it_for_about_as_large_as_dynamodb_does(stages: int) -> None:
    head = leased_head(START, run_id="r" * 26, stages=stages, fingerprint="f" * 12, by="abcdefghijklm.1")
    head = replace(head, active=tuple(replace(entry, by=head.by) for entry in head.active))
    rider = riding(new_record(head, stage_id="step-1"), head.expires_at - HEAD_OUTLIVES)
    fuller = replace(
        head, recent=(rider,) * 2, bundled=True, events=(new_event(START, stage_id="x"),), signals=("approval#k",)
    )
    for each in (head, fuller):
        here, there = sizes.of(each), sizes_of(each)
        assert here.apart == pytest.approx(there.apart, rel=0.1)
        assert here.recent == pytest.approx(there.recent, abs=4)
