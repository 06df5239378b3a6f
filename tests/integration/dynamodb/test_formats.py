"""Items that another version wrote, or that something broke: told apart, and left as they are."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from workflow_engine.adapters.aws.dynamodb import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.head_codec import encode_head
from workflow_engine.adapters.aws.dynamodb.item_codecs import encode_record
from workflow_engine.adapters.aws.dynamodb.wire import CHOICE_FORMAT, FORMAT, PARTS_FORMAT, RIDING_FORMAT, USUAL_FORMAT
from workflow_engine.errors import CorruptItemError, UnsupportedFormatError
from workflow_engine.model.commits import Cancel, ClaimFirst, Exclusive, Refused, Shared, Signal
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import SKIPPED_EPOCH, Entry, EntryState, Head
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Rearm
from workflow_engine.testing.builders import (
    HORIZON,
    LEASE,
    committed,
    create,
    leased_head,
    new_head,
    new_record,
    rewrite,
    share,
)
from workflow_engine.testing.clock import START, FakeClock
from workflow_engine.testing.contracts.persistence_heads import full_head, record_of
from workflow_engine.testing.contracts.persistence_shared import kept_signal

HEAD = new_head(START)
COMMITS: Mapping[str, Exclusive | Shared] = {
    "create": create(HEAD),
    "exclusive": rewrite(HEAD),
    "exclusive with a record": replace(rewrite(HEAD), idempotency=record_of(FakeClock())),
    "claim": share(HEAD, ClaimFirst(0, 0, START + LEASE, "mine")),
    "claim with a wake-up": share(HEAD, ClaimFirst(0, 0, START + LEASE, "mine"), due_at=START),
    "cancel": share(HEAD, Cancel(0, None, "mine", START)),
    "signal": share(HEAD, Signal(kept_signal(START))),
}


def stored(client: Any, table_name: str, item: Mapping[str, Any]) -> Any:
    """The item as it is in the table."""
    key = {"pk": item["pk"], "sk": item["sk"]}
    return client.get_item(TableName=table_name, Key=key, ConsistentRead=True)["Item"]


@pytest.mark.parametrize("name", COMMITS)
def test_a_head_of_a_newer_version_is_refused_and_left_alone(
    client: Any, table_name: str, persistence: DynamoPersistence, name: str
) -> None:
    newer = {**encode_head(HEAD), "f": {"N": str(FORMAT + 1)}, "zz": {"S": "of the future"}}
    client.put_item(TableName=table_name, Item=newer)
    with pytest.raises(UnsupportedFormatError) as caught:
        persistence.commit(COMMITS[name])
    assert (caught.value.found, caught.value.supported) == (FORMAT + 1, FORMAT)
    assert stored(client, table_name, newer) == newer


def test_a_tick_leaves_a_head_of_a_newer_version_alone(
    client: Any, table_name: str, persistence: DynamoPersistence
) -> None:
    newer = {**encode_head(HEAD), "f": {"N": str(FORMAT + 1)}}
    client.put_item(TableName=table_name, Item=newer)
    assert HEAD.due_at is not None
    assert persistence.rearm([Rearm(HEAD.run_id, HEAD.version, HEAD.due_at, START + 2 * HORIZON)]) == []
    assert stored(client, table_name, newer) == newer


def test_a_newer_head_among_others_is_left_out(
    client: Any, table_name: str, persistence: DynamoPersistence, caplog: pytest.LogCaptureFixture
) -> None:
    other = committed(persistence.commit(create(new_head(START, run_id="other"))))
    client.put_item(TableName=table_name, Item={**encode_head(HEAD), "f": {"N": str(FORMAT + 1)}})
    assert persistence.load_heads([HEAD.run_id, other.run_id]) == {other.run_id: other}
    assert f"format {FORMAT + 1}" in caplog.text
    with pytest.raises(UnsupportedFormatError):
        persistence.load_head(HEAD.run_id)


def test_an_exclusive_commit_keeps_attributes_that_it_does_not_know(
    client: Any, table_name: str, persistence: DynamoPersistence
) -> None:
    item = {**encode_head(HEAD), "zz": {"S": "somebody's"}}
    client.put_item(TableName=table_name, Item=item)
    head = persistence.load_head(HEAD.run_id)
    assert head == HEAD
    after = committed(persistence.commit(rewrite(HEAD, told=3)))
    assert stored(client, table_name, item) == {**encode_head(after), "zz": {"S": "somebody's"}}


def without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda item: {key: value for key, value in item.items() if key != name}


def with_value(name: str, value: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda item: {**item, name: value}


BREAKAGES: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "no format": without("f"),
    "a format that is text": with_value("f", {"S": "one"}),
    "no version": without("v"),
    "no entries": without("a"),
    "no listing": without("ls"),
    "a shard that is no number": with_value("ds", {"S": "east"}),
    "entries that are text": with_value("a", {"S": "R"}),
    "an entry that is no map": with_value("a", {"L": [{"S": "R"}]}),
    "an entry of an unknown state": with_value("a", {"L": [{"M": {"s": {"S": "?"}, "e": {"N": "0"}}}]}),
    "an unknown status": with_value("st", {"S": "?"}),
    "an event without a time": with_value("ev", {"L": [{"L": [{"S": "workflow:failed"}]}]}),
    "an event whose facts are no JSON": with_value(
        "ev", {"L": [{"L": [{"S": "workflow:failed"}, {"N": "1"}, {"S": "{"}]}]}
    ),
    "winners that are no numbers": with_value("wn", {"S": "a.b.c"}),
    "winners that are no triples": with_value("wn", {"S": "1.2"}),
    "no reruns at all": with_value("bs", {"S": ""}),
    "an instant out of range": with_value("dl", {"N": "99999999999999999999"}),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_corrupt_head_is_told_and_left_alone(
    client: Any, table_name: str, persistence: DynamoPersistence, name: str
) -> None:
    broken = BREAKAGES[name](encode_head(HEAD))
    client.put_item(TableName=table_name, Item=broken)
    with pytest.raises(CorruptItemError, match="run"):
        persistence.load_head(HEAD.run_id)
    with pytest.raises(CorruptItemError):
        persistence.commit(create(HEAD))
    assert persistence.load_heads([HEAD.run_id]) == {}
    assert stored(client, table_name, broken) == broken


def test_a_broken_rare_field_is_told(client: Any, table_name: str, persistence: DynamoPersistence) -> None:
    full = encode_head(full_head(FakeClock()))
    for name in ("rf", "sg", "pr", "ii", "ih", "fl", "rs", "eb", "ea"):
        client.put_item(TableName=table_name, Item={**full, name: {"BOOL": True}})
        with pytest.raises(CorruptItemError):
            persistence.load_head(HEAD.run_id)


def test_a_corrupt_record_is_told(client: Any, table_name: str, persistence: DynamoPersistence) -> None:
    record = new_record(HEAD)
    client.put_item(TableName=table_name, Item=without("st")(encode_record(record)))
    with pytest.raises(CorruptItemError, match="STAGE#0000#count#000000"):
        persistence.load_records(HEAD.run_id, [record.key])
    with pytest.raises(CorruptItemError):
        persistence.list_records(HEAD.run_id)


def test_a_record_of_a_newer_version_is_told(client: Any, table_name: str, persistence: DynamoPersistence) -> None:
    record = new_record(HEAD)
    client.put_item(TableName=table_name, Item={**encode_record(record), "f": {"N": str(PARTS_FORMAT + 1)}})
    with pytest.raises(UnsupportedFormatError):
        persistence.load_records(HEAD.run_id, [record.key])


def test_no_run_reaches_what_is_not_a_runs(persistence: DynamoPersistence) -> None:
    record = record_of(FakeClock())
    persistence.put_idempotency(record)
    persistence.put_definition("document-analysis", "f1", {"a": 1})
    for crafted in ("K#", "D#document-analysis", "#", "R#run", "document-analysis"):
        assert persistence.load_head(RunId(crafted)) is None
        assert persistence.list_records(RunId(crafted)) == []


def test_a_head_is_read_back_whole(persistence: DynamoPersistence) -> None:
    heads: list[Head] = [
        leased_head(START, run_id=f"run-{number}", stages=number, due_shard=number) for number in range(1, 4)
    ]
    for head in heads:
        committed(persistence.commit(create(head)))
        assert persistence.commit(create(head)) == Refused(head)


def test_metrics_that_are_no_object_are_told(client: Any, table_name: str, persistence: DynamoPersistence) -> None:
    record = new_record(HEAD, metrics={"rows": 1})
    client.put_item(TableName=table_name, Item={**encode_record(record), "m": {"S": "[1]"}})
    with pytest.raises(CorruptItemError, match="not a JSON object"):
        persistence.load_records(HEAD.run_id, [record.key])


def test_a_stray_item_in_an_index_stops_nobody(
    client: Any, table_name: str, persistence: DynamoPersistence, caplog: pytest.LogCaptureFixture
) -> None:
    stray = {"pk": {"S": "X#1"}, "sk": {"S": "OTHER"}, "ds": {"S": "0"}, "da": {"N": "1"}}
    listed = {"ls": {"S": f"{HEAD.workflow_id}#0"}, "lc": {"S": "9" * 15}}
    client.put_item(TableName=table_name, Item={**stray, **listed})
    committed(persistence.commit(create(HEAD)))
    first = persistence.list_due(0, until=START + HORIZON, limit=1)
    assert first.runs == ()
    second = persistence.list_due(0, until=START + HORIZON, limit=1, cursor=first.cursor)
    assert [run.run_id for run in second.runs] == [HEAD.run_id]
    assert persistence.list_runs(HEAD.workflow_id).run_ids == (HEAD.run_id,)
    assert "X#1 is no head" in caplog.text


def test_only_the_record_of_a_part_is_of_the_newer_format() -> None:
    """Code that knows no parts refuses it: it would take it for the record of the stage."""
    whole = new_record(HEAD)
    part = replace(whole, key=replace(whole.key, part="undo"))

    assert [encode_record(one)["f"] for one in (whole, part)] == [{"N": "1"}, {"N": "2"}]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, USUAL_FORMAT),
        ({"bundled": True}, RIDING_FORMAT),
        ({"active": (Entry(EntryState.SKIPPED, SKIPPED_EPOCH), Entry(EntryState.READY))}, CHOICE_FORMAT),
        ({"winners": {(0, 0): SKIPPED_EPOCH}}, CHOICE_FORMAT),
        ({"winners": {(0, 0): 1}}, USUAL_FORMAT),
        ({"active": ()}, CHOICE_FORMAT),
        ({"active": (), "status": Status.CANCELLED}, CHOICE_FORMAT),
        ({"active": (), "status": Status.COMPLETED}, USUAL_FORMAT),
    ],
    ids=str,
)
def test_only_what_knows_of_a_choice_has_its_format(changes: dict[str, Any], found: int) -> None:
    assert encode_head(new_head(START, **changes))["f"] == {"N": str(found)}
