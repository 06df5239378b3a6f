"""What every job transport must do.

One module, long as it is: sending, taking, hiding and dying are one life of a message.
"""
# ruff: noqa: D102 - a test's name is its docstring

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflow_engine.errors import PayloadTooLargeError
from workflow_engine.model.commands import CancelRun, Command, CreateRun, SignalRun, TransitionRun, parse_command
from workflow_engine.model.deliveries import DeadReason, Delivery, body_of, redelivery_delay
from workflow_engine.model.limits import MAX_MESSAGE_BYTES
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.testing.clock import FakeClock

NOTHING = timedelta(0)
A_MINUTE = timedelta(minutes=1)
COMMAND = TransitionRun(run_id="run-1")
DIED_AT = datetime(2030, 1, 1, 12, tzinfo=UTC)
REASON = DeadReason("InvalidInputError", "text: is missing", "run-1", "message-1", DIED_AT - A_MINUTE, DIED_AT)


def command_of_size(size_bytes: int) -> CreateRun:
    """A command whose message has exactly *size_bytes*."""
    empty = len(body_of(CreateRun(workflow_id="w", input={"text": ""})).encode())
    return CreateRun(workflow_id="w", input={"text": "x" * (size_bytes - empty)})


def commands(number: int) -> list[TransitionRun]:
    """Commands that can be told apart."""
    return [TransitionRun(run_id=f"run-{index}") for index in range(number)]


def take_all(transport: JobTransport, number: int) -> list[Command]:
    """Take and complete up to *number* messages; their commands, by run."""
    taken: list[Command] = []
    while len(taken) < number and (delivery := transport.dequeue(wait=timedelta(seconds=1))):
        transport.complete(delivery)
        taken.append(parse_command(delivery.body))
    return sorted(taken, key=str)


def receive(transport: JobTransport) -> Delivery:
    """Take a message that must be there."""
    delivery = transport.dequeue(wait=timedelta(seconds=1))
    assert delivery is not None, "no message came"
    return delivery


class JobTransportContract:
    """Subclass it, and let ``transport`` give an empty queue.

    Its messages stay invisible for a minute, and die after ``max_receives`` deliveries.
    """

    max_receives: ClassVar[int] = 2

    @pytest.fixture
    def transport(self) -> JobTransport:
        """The transport to test, empty."""
        raise NotImplementedError

    def test_a_command_arrives_as_it_was_sent(self, transport: JobTransport) -> None:
        command = CreateRun(
            workflow_id="document-analysis",
            input={"text": "na\u00efve", "numbers": [1, 2.5, None, True], "nested": {"a": {}}},
            config={"count-words": {"minimum_length": 2}},
            idempotency_key="order-17",
        )
        transport.enqueue(command)
        delivery = receive(transport)
        assert parse_command(delivery.body) == command
        assert delivery.receive_count == 1
        assert delivery.message_id
        assert delivery.sent_at is not None

    def test_an_empty_queue_answers_none(self, transport: JobTransport) -> None:
        assert transport.dequeue() is None

    def test_what_could_be_taken_now_is_counted(self, transport: JobTransport) -> None:
        assert transport.waiting() == 0
        transport.enqueue_parallel(commands(3))
        transport.enqueue(COMMAND, delay=A_MINUTE)
        receive(transport)
        assert transport.waiting() == 2

    def test_a_message_that_was_taken_is_invisible(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND)
        receive(transport)
        assert transport.dequeue() is None

    def test_a_completed_message_never_comes_back(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND)
        delivery = receive(transport)
        transport.complete(delivery)
        transport.suspend(delivery)
        transport.touch(delivery, visibility=NOTHING)
        transport.fail(delivery)
        assert transport.dequeue() is None

    def test_to_complete_twice_is_no_error(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND)
        delivery = receive(transport)
        transport.complete(delivery)
        transport.complete(delivery)
        assert transport.dequeue() is None

    def test_a_suspended_message_is_delivered_again(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND)
        first = receive(transport)
        transport.suspend(first)
        second = receive(transport)
        assert (second.message_id, second.body) == (first.message_id, first.body)
        assert second.receive_count == 2
        assert second.receipt != first.receipt

    def test_a_message_suspended_with_a_delay_waits(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND)
        transport.suspend(receive(transport), delay=A_MINUTE)
        assert transport.dequeue() is None

    def test_a_failed_message_waits_some_seconds(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND)
        transport.fail(receive(transport))
        assert transport.dequeue() is None

    def test_a_delayed_message_waits(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND, delay=A_MINUTE)
        assert transport.dequeue() is None

    def test_messages_sent_together_all_arrive(self, transport: JobTransport) -> None:
        sent = commands(25)
        assert list(transport.enqueue_parallel(sent)) == []
        assert take_all(transport, 25) == sorted(sent, key=str)
        assert transport.dequeue() is None

    def test_no_messages_are_sent_for_no_commands(self, transport: JobTransport) -> None:
        assert list(transport.enqueue_parallel([])) == []
        assert transport.dequeue() is None

    def test_messages_too_large_for_one_request_all_arrive(self, transport: JobTransport) -> None:
        sizes = [600_000, 600_000, MAX_MESSAGE_BYTES, 400, 400]
        assert list(transport.enqueue_parallel([command_of_size(size) for size in sizes])) == []
        assert sorted(len(body_of(command)) for command in take_all(transport, 5)) == sorted(sizes)

    def test_the_largest_message_arrives(self, transport: JobTransport) -> None:
        command = command_of_size(MAX_MESSAGE_BYTES)
        transport.enqueue(command)
        assert parse_command(receive(transport).body) == command

    def test_a_larger_message_is_refused_before_it_is_sent(self, transport: JobTransport) -> None:
        command = command_of_size(MAX_MESSAGE_BYTES + 1)
        with pytest.raises(PayloadTooLargeError) as caught:
            transport.enqueue(command)
        assert (caught.value.size_bytes, caught.value.limit_bytes) == (MAX_MESSAGE_BYTES + 1, MAX_MESSAGE_BYTES)
        with pytest.raises(PayloadTooLargeError):
            transport.enqueue_parallel([COMMAND, command])
        assert transport.dequeue() is None

    @pytest.mark.parametrize("delay", [timedelta(seconds=-1), timedelta(seconds=901)])
    def test_a_delay_that_cannot_be_is_refused(self, transport: JobTransport, delay: timedelta) -> None:
        with pytest.raises(ValueError, match="delay"):
            transport.enqueue(COMMAND, delay=delay)
        assert transport.dequeue() is None

    @pytest.mark.parametrize("visibility", [timedelta(seconds=-1), timedelta(hours=12, seconds=1)])
    def test_a_visibility_that_cannot_be_is_refused(self, transport: JobTransport, visibility: timedelta) -> None:
        transport.enqueue(COMMAND)
        delivery = receive(transport)
        with pytest.raises(ValueError, match="visibility"):
            transport.touch(delivery, visibility=visibility)
        with pytest.raises(ValueError, match="visibility"):
            transport.suspend(delivery, delay=visibility)

    @pytest.mark.parametrize("wait", [timedelta(seconds=-1), timedelta(seconds=21)])
    def test_a_wait_that_cannot_be_is_refused(self, transport: JobTransport, wait: timedelta) -> None:
        with pytest.raises(ValueError, match="wait"):
            transport.dequeue(wait=wait)

    def test_the_longest_times_are_taken(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND, delay=timedelta(seconds=900))
        transport.enqueue(COMMAND)
        transport.touch(receive(transport), visibility=timedelta(hours=11, minutes=59))
        assert transport.dequeue() is None

    @settings(
        max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
    )
    @given(text=st.text(st.characters(codec="utf-8"), max_size=100))
    def test_any_text_arrives_as_it_was_sent(self, transport: JobTransport, text: str) -> None:
        command = SignalRun(run_id="run-1", name="approval", payload={text: text})
        transport.enqueue(command)
        delivery = receive(transport)
        transport.complete(delivery)
        assert parse_command(delivery.body) == command

    @pytest.mark.parametrize(
        "text", ["\x00", "\ufffe", "\uffff", "\U0001ffff", "\r\n", "]]>", "\\ufffe", '"', "\x85\u2028"]
    )
    def test_characters_that_queues_refuse_arrive(self, transport: JobTransport, text: str) -> None:
        transport.enqueue(CancelRun(run_id="run-1", reason=text))
        command = parse_command(receive(transport).body)
        assert isinstance(command, CancelRun)
        assert command.reason == text

    def test_a_message_delivered_too_often_is_dead(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND)
        self._kill(transport)
        (dead,) = transport.list_dead()
        assert parse_command(dead.body) == COMMAND

    def test_dead_letters_stay_where_they_are_when_listed(self, transport: JobTransport) -> None:
        self._kill_all(transport, commands(3))
        bodies = {delivery.body for delivery in transport.list_dead()}
        assert len(bodies) == 3
        assert {delivery.body for delivery in transport.list_dead()} == bodies
        assert len(transport.list_dead(limit=2)) == 2
        assert transport.dequeue() is None

    def test_redriven_messages_start_anew(self, transport: JobTransport) -> None:
        sent = commands(12)
        self._kill_all(transport, sent)
        assert len(transport.list_dead()) == 12
        assert transport.redrive_dead() == 12
        assert list(transport.list_dead()) == []
        first = receive(transport)
        assert first.receive_count == 1
        transport.suspend(first)
        assert take_all(transport, 12) == sorted(sent, key=str)

    def test_no_more_than_the_limit_is_redriven(self, transport: JobTransport) -> None:
        self._kill_all(transport, commands(3))
        assert transport.redrive_dead(limit=2) == 2
        assert len(transport.list_dead()) == 1
        assert transport.redrive_dead() == 1
        assert transport.redrive_dead() == 0

    def test_a_buried_message_is_a_dead_letter_with_its_reason(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND)
        assert transport.bury(receive(transport), REASON)
        (dead,) = transport.list_dead()
        assert (parse_command(dead.body), dead.reason) == (COMMAND, REASON)
        assert transport.dequeue() is None

    def test_a_message_that_is_no_command_is_buried_as_it_is(self, transport: JobTransport) -> None:
        transport.enqueue(COMMAND)
        delivery = replace(receive(transport), body="no json \U0001f600")
        assert transport.bury(delivery, DeadReason("InvalidCommandError"))
        (dead,) = transport.list_dead()
        assert (dead.body, dead.reason) == (delivery.body, DeadReason("InvalidCommandError"))

    @pytest.mark.parametrize("text", ["", "caf\udce9", "a\x00b\x1b", "\ufffe", "\u2028\U0001f600", "x" * 5000])
    def test_a_reason_is_told_whatever_characters_it_has(self, transport: JobTransport, text: str) -> None:
        transport.enqueue(COMMAND)
        assert transport.bury(receive(transport), DeadReason("Error", text))
        (dead,) = transport.list_dead()
        assert dead.reason is not None
        assert dead.reason.code == "Error"
        # What no queue takes may be told by U+FFFD.
        assert dead.reason.message[:1] in {text[:1], "\ufffd"}

    def test_the_largest_message_is_buried_or_given_back(self, transport: JobTransport) -> None:
        transport.enqueue(command_of_size(MAX_MESSAGE_BYTES))
        assert not transport.bury(receive(transport), REASON)
        assert list(transport.list_dead()) == []
        transport.enqueue(command_of_size(MAX_MESSAGE_BYTES - 500))
        assert transport.bury(receive(transport), replace(REASON, message="x" * 1000))
        (dead,) = transport.list_dead()
        assert dead.reason is not None
        assert dead.reason.code == REASON.code

    def test_a_buried_command_keeps_the_key_that_its_message_stood_for(self, transport: JobTransport) -> None:
        transport.enqueue(CreateRun(workflow_id="w", input={}))
        delivery = receive(transport)
        transport.bury(delivery, REASON)
        transport.redrive_dead()
        (again,) = take_all(transport, 1)
        assert again == CreateRun(workflow_id="w", input={}, idempotency_key=f"sqs:{delivery.message_id}")

    def test_a_message_that_crashed_between_its_burial_and_its_removal_has_one_key(
        self, transport: JobTransport
    ) -> None:
        transport.enqueue(SignalRun(run_id="run-1", name="go"))
        first = receive(transport)
        transport.bury(replace(first, receipt=first.receipt), REASON)
        # As if the removal had not come through: the same message once more.
        transport.bury(first, REASON)
        transport.redrive_dead()
        keys = {command.idempotency_key for command in take_all(transport, 2) if isinstance(command, SignalRun)}
        assert keys == {f"sqs:{first.message_id}"}

    @pytest.mark.parametrize("key", [None, "mine"])
    def test_a_redriven_command_keeps_the_key_that_its_message_stood_for(
        self, transport: JobTransport, key: str | None
    ) -> None:
        transport.enqueue(CreateRun(workflow_id="w", input={}, idempotency_key=key))
        first = receive(transport)
        transport.suspend(first)
        for _ in range(self.max_receives - 1):
            transport.suspend(receive(transport))
        assert transport.dequeue() is None
        assert transport.redrive_dead() == 1
        (again,) = take_all(transport, 1)
        assert isinstance(again, CreateRun)
        assert again.idempotency_key == (key or f"sqs:{first.message_id}")

    def test_dead_letters_are_forgotten_one_by_one_or_all(self, transport: JobTransport) -> None:
        self._kill_all(transport, commands(3))
        chosen = transport.list_dead()[1]
        assert transport.forget_dead(message_ids=["nobody's"]) == 0
        assert transport.forget_dead(message_ids=[chosen.message_id]) == 1
        assert chosen.body not in {dead.body for dead in transport.list_dead()}
        assert transport.forget_dead(limit=1) == 1
        assert transport.forget_dead() == 1
        assert (list(transport.list_dead()), transport.dequeue()) == ([], None)

    def _kill_all(self, transport: JobTransport, sent: Sequence[Command]) -> None:
        for command in sent:
            transport.enqueue(command)
            self._kill(transport)

    def _kill(self, transport: JobTransport) -> None:
        for _ in range(self.max_receives):
            transport.suspend(receive(transport))
        assert transport.dequeue() is None


class JobTransportTimeContract:
    """What only a transport whose time a test can move is able to show.

    Subclass it beside ``JobTransportContract``; messages stay invisible for a minute.
    """

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The clock that the transport reads."""
        return FakeClock()

    @pytest.fixture
    def transport(self, clock: FakeClock) -> JobTransport:
        """The transport to test, empty, on *clock*."""
        raise NotImplementedError

    def test_a_delayed_message_comes_when_its_delay_is_over(self, transport: JobTransport, clock: FakeClock) -> None:
        transport.enqueue(COMMAND, delay=timedelta(seconds=900))
        clock.advance(timedelta(seconds=899))
        assert transport.dequeue() is None
        clock.advance(timedelta(seconds=1))
        assert receive(transport).sent_at == clock.now() - timedelta(seconds=900)

    def test_a_message_comes_again_when_its_visibility_is_over(self, transport: JobTransport, clock: FakeClock) -> None:
        transport.enqueue(COMMAND)
        receive(transport)
        clock.advance(A_MINUTE - timedelta(seconds=1))
        assert transport.dequeue() is None
        clock.advance(timedelta(seconds=1))
        assert receive(transport).receive_count == 2

    def test_a_touch_keeps_it_invisible_from_now_on(self, transport: JobTransport, clock: FakeClock) -> None:
        transport.enqueue(COMMAND)
        delivery = receive(transport)
        clock.advance(A_MINUTE / 2)
        transport.touch(delivery, visibility=A_MINUTE)
        clock.advance(A_MINUTE - timedelta(seconds=1))
        assert transport.dequeue() is None
        clock.advance(timedelta(seconds=1))
        assert receive(transport).receive_count == 2

    def test_a_suspended_message_comes_after_its_delay(self, transport: JobTransport, clock: FakeClock) -> None:
        transport.enqueue(COMMAND)
        transport.suspend(receive(transport), delay=timedelta(hours=1))
        clock.advance(timedelta(minutes=59))
        assert transport.dequeue() is None
        clock.advance(A_MINUTE)
        assert receive(transport).receive_count == 2

    def test_a_failed_message_comes_after_its_redelivery_delay(self, transport: JobTransport, clock: FakeClock) -> None:
        transport.enqueue(COMMAND)
        delivery = receive(transport)
        transport.fail(delivery)
        clock.advance(redelivery_delay(delivery) - timedelta(milliseconds=1))
        assert transport.dequeue() is None
        clock.advance(timedelta(milliseconds=1))
        assert receive(transport).receive_count == 2

    def test_who_was_too_slow_changes_nothing(self, transport: JobTransport, clock: FakeClock) -> None:
        transport.enqueue(COMMAND)
        slow = receive(transport)
        clock.advance(A_MINUTE)
        transport.touch(slow, visibility=A_MINUTE)
        quick = receive(transport)
        transport.suspend(slow)
        transport.complete(slow)
        assert transport.dequeue() is None
        assert list(transport.list_dead()) == []
        transport.suspend(quick)
        clock.advance(timedelta(seconds=1))
        assert transport.dequeue() is None, "two deliveries were allowed"
        assert len(transport.list_dead()) == 1
