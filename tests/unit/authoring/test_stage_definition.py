"""What the kernel asks of a stage: read the input, write the output, keep the state."""

from datetime import timedelta

import pytest
from pydantic import BaseModel

from workflow_engine import (
    InvalidInputError,
    InvalidOutputError,
    NotReady,
    StageContext,
    Suspended,
    WaitForSignal,
    stage,
)


class Words(BaseModel):
    count: int


class State(BaseModel):
    batch: str


@stage("embed")
def embed(words: Words) -> Words | Suspended[State] | WaitForSignal[State]:
    return Suspended(State(batch="b"), poll_every=timedelta(minutes=1))


@embed.check_completion
def check(state: State, ctx: StageContext) -> Words | NotReady:
    return NotReady()


@embed.on_signal
def handle(payload: State) -> Words:
    return Words(count=len(payload.batch))


@stage("plain")
def plain(words: Words) -> None: ...


def test_input_output_and_state_go_through_json_and_come_back() -> None:
    definition = embed.definition
    assert definition.load_input(b'{"count":1}') == Words(count=1)
    data, output = definition.dump_output(Words(count=2))
    assert definition.load_output(data) == output == Words(count=2)
    assert definition.load_state(definition.dump_state(State(batch="b"))) == State(batch="b")


def test_a_stage_without_output_answers_null() -> None:
    assert plain.definition.dump_output(None) == (b"null", None)
    with pytest.raises(InvalidOutputError, match="expected None, got Words"):
        plain.definition.dump_output(Words(count=1))


def test_what_does_not_fit_is_told_with_the_stage_and_without_the_value() -> None:
    wrong = b'{"count":"secret"}'
    with pytest.raises(InvalidInputError) as unread:
        embed.definition.load_input(wrong)
    with pytest.raises(InvalidOutputError) as unreadable:
        embed.definition.load_output(wrong)
    with pytest.raises(InvalidOutputError) as unfit:
        embed.definition.dump_output({"count": "secret"})
    assert unread.value.what == "input of stage 'embed'"
    assert unreadable.value.stage_id == unfit.value.stage_id == "embed"
    for refused in (unread, unreadable, unfit):
        assert "secret" not in str(refused.value)
        assert not refused.value.retryable


def test_a_state_of_another_type_is_refused_when_it_is_kept() -> None:
    with pytest.raises(InvalidOutputError, match="expected State, got Words"):
        embed.definition.dump_state(Words(count=1))


def test_a_state_cannot_be_read_by_a_stage_that_has_no_check() -> None:
    with pytest.raises(InvalidOutputError, match="has no check_completion"):
        plain.definition.load_state(b'{"batch":"b"}')


def test_a_payload_that_does_not_fit_is_refused() -> None:
    signal = embed.definition.signal
    assert signal is not None
    with pytest.raises(InvalidInputError, match="payload of the signal: batch: Field required"):
        signal.load_payload(b"{}")
