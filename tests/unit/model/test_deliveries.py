import json
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workflow_engine.model.commands import SignalRun, TransitionRun, parse_command
from workflow_engine.model.deliveries import Delivery, body_of, redelivery_delay


def delay_of(receive_count: int, message_id: str = "m") -> timedelta:
    return redelivery_delay(Delivery(message_id=message_id, body="", receipt="", receive_count=receive_count))


@pytest.mark.parametrize(
    ("receive_count", "ceiling"), [(1, 5), (2, 10), (3, 20), (6, 160), (7, 320), (8, 640), (9, 900), (1000, 900)]
)
def test_a_failed_message_waits_longer_each_time(receive_count: int, ceiling: int) -> None:
    assert ceiling / 2 - 1 <= delay_of(receive_count).total_seconds() <= ceiling


def test_messages_that_failed_together_come_back_apart() -> None:
    assert len({delay_of(7, message_id=str(number)) for number in range(200)}) > 50


@given(receive_count=st.integers(1, 10_000), message_id=st.text(st.characters(codec="utf-8")))
def test_a_redelivery_is_whole_seconds_within_fifteen_minutes(receive_count: int, message_id: str) -> None:
    delay = delay_of(receive_count, message_id)
    assert timedelta(seconds=2) <= delay <= timedelta(minutes=15)
    assert delay.microseconds == 0


@given(text=st.text(st.characters(codec="utf-8")))
@example(text="\ufffe")
@example(text="\uffff")
@example(text="\x00\x1f\x7f")
def test_a_body_has_only_characters_that_sqs_takes(text: str) -> None:
    body = body_of(SignalRun(run_id="r", name="n", payload=text))
    assert all(
        character in "\t\n\r"
        or " " <= character <= "\ud7ff"
        or "\ue000" <= character <= "\ufffd"
        or "\U00010000" <= character <= "\U0010ffff"
        for character in body
    )
    assert json.loads(body)["payload"] == text


def test_a_body_is_the_command_again() -> None:
    command = TransitionRun(run_id="run-1")
    assert parse_command(body_of(command)) == command
