"""Whatever stands in the table is read, or told as corrupt or too new. Never anything else, never half."""

import contextlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.hostile.strategies import TEXTS, VALUES
from workflow_engine.adapters.aws.dynamodb import item_codecs as codecs
from workflow_engine.adapters.aws.dynamodb import wire
from workflow_engine.adapters.aws.dynamodb.head_codec import decode_head, encode_head
from workflow_engine.adapters.aws.dynamodb.step_codec import decode_step, encode_step
from workflow_engine.errors import CorruptItemError, UnsupportedFormatError
from workflow_engine.model.commands import CancelRun
from workflow_engine.model.deliveries import Recurrence
from workflow_engine.model.ids import RunId, StageId, WorkflowId
from workflow_engine.model.payloads import ErrorInfo, Payload
from workflow_engine.model.runs import (
    Annotation,
    Bundle,
    DeadLetter,
    KeptSignal,
    LogLine,
    PendingEvent,
    RunInput,
    StageKey,
)
from workflow_engine.model.steps import StepKind, StepRecord, StepScope
from workflow_engine.testing.builders import new_event, new_head, new_record
from workflow_engine.testing.clock import START, FakeClock
from workflow_engine.testing.contracts.persistence_heads import full_head, record_of

HEAD = new_head(START)
KEY = StageKey(0, StageId("count"), 0)
LATER = START + timedelta(days=1)

# What stands there, and how it is read.
ITEMS: Mapping[str, tuple[dict[str, Any], Callable[[Any], Any]]] = {
    "head": (encode_head(full_head(FakeClock())), decode_head),
    "small head": (encode_head(HEAD), decode_head),
    "bundle": (codecs.encode_bundle(Bundle(HEAD.run_id, 0, (new_record(HEAD),), LATER)), codecs.decode_bundle),
    "record": (codecs.encode_record(new_record(HEAD)), codecs.decode_record),
    "input": (codecs.encode_input(RunInput(HEAD.run_id, "h", Payload.of(b"{}"), LATER)), codecs.decode_input),
    "spilled": (codecs.encode_spilled(HEAD, 3, new_event(START)), codecs.decode_spilled),
    "signal": (
        codecs.encode_signal(KeptSignal(RunId("run"), "go", "k", "h", b"{}", START, LATER, early=("x",))),
        codecs.decode_signal,
    ),
    "log": (
        codecs.encode_log(LogLine(RunId("run"), KEY, 0, START, "INFO", "m", {"a": 1}, 1, LATER)),
        codecs.decode_log,
    ),
    "annotation": (
        codecs.encode_annotation(Annotation(RunId("run"), "i", START, "k", 1, "a", 1, KEY, LATER)),
        codecs.decode_annotation,
    ),
    "step": (
        encode_step(
            StepRecord(
                run_id=RunId("run"),
                scope=StepScope(0, StageId("count"), 0),
                name="charge",
                kind=StepKind.CALL,
                epoch=3,
                started_at=START,
                finished_at=LATER,
                expires_at=LATER,
                tries=2,
                output=Payload.of(b"1"),
                error=ErrorInfo("ValueError", "no"),
                signal="go#1",
            )
        ),
        decode_step,
    ),
    "dead letter": (
        codecs.encode_dead_letter(
            DeadLetter(RunId("run"), WorkflowId("w"), 1, PendingEvent("stage:failed", START), "r", START, LATER),
            shards=2,
        ),
        codecs.decode_dead_letter,
    ),
    "idempotency": (codecs.encode_idempotency(record_of(FakeClock())), codecs.decode_idempotency),
    "recurrence": (
        codecs.encode_recurrence(Recurrence("nightly", "rate(1 hour)", CancelRun(run_id="run"), "UTC", paused=True)),
        codecs.decode_recurrence,
    ),
    "definition": (codecs.encode_definition("w", "f", {"a": 1}), codecs.decode_definition),
}

NEWEST: Mapping[str, int] = {
    **dict.fromkeys(("head", "small head"), wire.FORMAT),
    "bundle": wire.RIDING_FORMAT,
    **dict.fromkeys(("record", "log"), wire.PARTS_FORMAT),
}

ATTRIBUTES = st.one_of(
    st.builds(
        lambda text: {"S": text}, TEXTS | st.sampled_from(["{", "[1]", "null", "1.2", "a#b", "9" * 30, "[" * 200_000])
    ),
    st.builds(lambda number: {"N": number}, st.sampled_from(["0", "-1", "1.5", "1e400", "9" * 38, "NaN", "", "x"])),
    st.builds(lambda data: {"B": data}, st.binary(max_size=8)),
    st.just({"NULL": True}),
    st.just({"BOOL": False}),
    st.just({}),
    st.builds(lambda values: {"L": values}, st.lists(st.just({"S": "R"}) | st.just({"N": "1"}), max_size=3)),
    st.builds(
        lambda values: {"M": values}, st.dictionaries(st.sampled_from("sencutx"), st.just({"S": "?"}), max_size=3)
    ),
    st.builds(lambda value: {"S": value}, VALUES),
)


@pytest.mark.parametrize("kind", ITEMS)
@given(data=st.data())
def test_a_broken_item_is_told_and_nothing_else(kind: str, data: st.DataObject) -> None:
    item, decode = ITEMS[kind]
    broken = dict(item)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(item)))
        if data.draw(st.booleans()):
            broken.pop(name, None)
        else:
            broken[name] = data.draw(ATTRIBUTES)
    with contextlib.suppress(CorruptItemError, UnsupportedFormatError):
        decode(broken)


@pytest.mark.parametrize("kind", ITEMS)
@pytest.mark.parametrize("ahead", [1, 2, 9999990])
def test_an_item_of_a_newer_version_is_refused_before_anything_in_it_is_read(kind: str, ahead: int) -> None:
    """Even where nothing else of it is as this version knows it."""
    item, decode = ITEMS[kind]
    version = str(NEWEST.get(kind, wire.USUAL_FORMAT) + ahead)
    for newer in ({**item, "f": {"N": version}}, {"pk": item["pk"], "sk": item["sk"], "f": {"N": version}}):
        with pytest.raises(UnsupportedFormatError):
            decode(newer)


@pytest.mark.parametrize("kind", ITEMS)
def test_what_was_written_is_read(kind: str) -> None:
    item, decode = ITEMS[kind]

    assert decode(item) is not None


@pytest.mark.parametrize(("kind", "name"), [("log", "d"), ("annotation", "o"), ("definition", "d"), ("record", "m")])
def test_json_that_is_too_deep_to_be_read_is_corrupt(kind: str, name: str) -> None:
    item, decode = ITEMS[kind]

    with pytest.raises(CorruptItemError):
        decode({**item, name: {"S": '{"a":' * 200_000 + "1" + "}" * 200_000}})
