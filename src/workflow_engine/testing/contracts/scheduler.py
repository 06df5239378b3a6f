"""What every scheduler must do."""
# ruff: noqa: D102 - a test's name is its docstring

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflow_engine.errors import InvalidCommandError, PayloadTooLargeError
from workflow_engine.model.commands import (
    ClaimPendingRuns,
    Command,
    CreateRun,
    SignalRun,
    TransitionRun,
)
from workflow_engine.model.deliveries import Recurrence
from workflow_engine.model.recurrence import MAX_SCHEDULE_INPUT_BYTES
from workflow_engine.ports.scheduler import Scheduler
from workflow_engine.testing.clock import START, FakeClock

AN_HOUR = timedelta(hours=1)
NO_ID = r"A-Za-z0-9|recurring-"
COMMAND = TransitionRun(run_id="run-1")
NIGHTLY = Recurrence(
    name="nightly",
    expression="cron(30 2 * * ? *)",
    command=CreateRun(workflow_id="report", input={"at": "{time}"}, idempotency_key="nightly-{time}"),
    timezone="Europe/Berlin",
)
ANY_SCHEDULER = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
)

Firings: TypeAlias = Callable[[datetime], Sequence[tuple[datetime, Command]]]


def nightly(**changes: Any) -> Recurrence:
    """The usual recurrence, but for *changes*."""
    return replace(NIGHTLY, **changes)


def start_of(key: str, **fields: Any) -> CreateRun:
    """A start of the nightly report."""
    return CreateRun(workflow_id="report", input={"at": "{time}"}, idempotency_key=key, **fields)


class SchedulerContract:
    """Subclass it, and let ``scheduler`` give one without schedules, on ``clock``.

    ``firings`` moves the clock to an instant, lets fire what is due on the way, and answers the times
    that the schedules name and the commands that arrived in the queue, in order of time.
    """

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The clock that the scheduler reads."""
        return FakeClock()

    @pytest.fixture
    def scheduler(self, clock: FakeClock) -> Scheduler:
        """The scheduler to test, empty."""
        raise NotImplementedError

    @pytest.fixture
    def firings(self, scheduler: Scheduler, clock: FakeClock) -> Firings:
        """What *scheduler* sends until an instant."""
        raise NotImplementedError

    def test_a_command_is_sent_once_at_its_time(self, scheduler: Scheduler, firings: Firings) -> None:
        scheduler.schedule(COMMAND, START + AN_HOUR, "timer-1")
        assert list(firings(START + AN_HOUR - timedelta(seconds=1))) == []
        assert list(firings(START + AN_HOUR)) == [(START + AN_HOUR, COMMAND)]
        assert list(firings(START + 48 * AN_HOUR)) == []

    def test_a_time_of_any_zone_is_an_instant(self, scheduler: Scheduler, firings: Firings) -> None:
        run_at = datetime.fromisoformat("2030-01-01T09:30:00+05:30")
        scheduler.schedule(COMMAND, run_at, "timer-1")
        assert [at for at, _ in firings(START + 48 * AN_HOUR)] == [datetime(2030, 1, 1, 4, 0, tzinfo=UTC)]

    def test_a_command_is_never_sent_early(self, scheduler: Scheduler, firings: Firings) -> None:
        run_at = START + AN_HOUR + timedelta(milliseconds=1)
        scheduler.schedule(COMMAND, run_at, "timer-1")
        ((at, _),) = firings(START + 2 * AN_HOUR)
        assert run_at <= at <= run_at + timedelta(seconds=1)

    @pytest.mark.parametrize("ago", [timedelta(0), timedelta(seconds=1), timedelta(days=400)])
    def test_a_time_that_is_past_is_soon(self, scheduler: Scheduler, firings: Firings, ago: timedelta) -> None:
        scheduler.schedule(COMMAND, START - ago, "timer-1")
        assert [command for _, command in firings(START + timedelta(minutes=1))] == [COMMAND]

    def test_the_same_schedule_again_changes_nothing(self, scheduler: Scheduler, firings: Firings) -> None:
        scheduler.schedule(COMMAND, START + 2 * AN_HOUR, "timer-1")
        scheduler.schedule(COMMAND, START + 2 * AN_HOUR, "timer-1")
        scheduler.schedule(COMMAND, START + AN_HOUR, "timer-1")
        assert list(firings(START + 48 * AN_HOUR)) == [(START + 2 * AN_HOUR, COMMAND)]

    def test_schedules_of_different_ids_are_different(self, scheduler: Scheduler, firings: Firings) -> None:
        scheduler.schedule(COMMAND, START + AN_HOUR, "timer-1")
        scheduler.schedule(COMMAND, START + AN_HOUR, "timer-2")
        assert len(firings(START + 48 * AN_HOUR)) == 2

    def test_a_cancelled_schedule_is_not_sent(self, scheduler: Scheduler, firings: Firings) -> None:
        scheduler.schedule(COMMAND, START + AN_HOUR, "timer-1")
        scheduler.schedule(COMMAND, START + 2 * AN_HOUR, "timer-2")
        scheduler.cancel("timer-1")
        assert [at for at, _ in firings(START + 48 * AN_HOUR)] == [START + 2 * AN_HOUR]

    def test_a_cancelled_schedule_can_be_made_again(self, scheduler: Scheduler, firings: Firings) -> None:
        scheduler.schedule(COMMAND, START + AN_HOUR, "timer-1")
        scheduler.cancel("timer-1")
        scheduler.schedule(COMMAND, START + 2 * AN_HOUR, "timer-1")
        assert [at for at, _ in firings(START + 48 * AN_HOUR)] == [START + 2 * AN_HOUR]

    def test_to_cancel_what_is_absent_or_has_fired_is_no_error(self, scheduler: Scheduler, firings: Firings) -> None:
        scheduler.cancel("timer-1")
        scheduler.schedule(COMMAND, START + AN_HOUR, "timer-1")
        assert len(firings(START + AN_HOUR)) == 1
        scheduler.cancel("timer-1")

    def test_an_id_may_have_64_characters(self, scheduler: Scheduler, firings: Firings) -> None:
        scheduler.schedule(COMMAND, START + AN_HOUR, "a_B-9." + "x" * 58)
        assert len(firings(START + AN_HOUR)) == 1

    @pytest.mark.parametrize(
        "correlation_id",
        ["", "x" * 65, "a/b", "a#b", "a b", "a\n", "..", ".", ".hidden", "\u00e9", "\ud800", "recurring-nightly"],
        ids=ascii,
    )
    def test_what_is_no_id_is_refused(self, scheduler: Scheduler, correlation_id: str) -> None:
        with pytest.raises(ValueError, match=NO_ID):
            scheduler.schedule(COMMAND, START + AN_HOUR, correlation_id)
        with pytest.raises(ValueError, match=NO_ID):
            scheduler.cancel(correlation_id)

    def test_a_message_too_large_is_refused(self, scheduler: Scheduler, firings: Firings) -> None:
        command = CreateRun(workflow_id="w", input={"text": "x" * MAX_SCHEDULE_INPUT_BYTES})
        with pytest.raises(PayloadTooLargeError) as caught:
            scheduler.schedule(command, START + AN_HOUR, "timer-1")
        assert caught.value.limit_bytes == MAX_SCHEDULE_INPUT_BYTES
        with pytest.raises(PayloadTooLargeError):
            scheduler.put_recurrence(nightly(command=command))
        assert list(firings(START + 48 * AN_HOUR)) == []

    @ANY_SCHEDULER
    @given(text=st.text(st.characters(codec="utf-8"), max_size=50))
    def test_any_text_arrives_as_it_was_scheduled(self, scheduler: Scheduler, text: str) -> None:
        command = SignalRun(run_id="run-1", name="approval", payload={text: text})
        scheduler.put_recurrence(nightly(command=command))
        assert [recurrence.command for recurrence in scheduler.list_recurrences()] == [command]

    @pytest.mark.parametrize(
        "text",
        ["{time}", "<aws.scheduler.scheduled-time>", "<aws.scheduler.execution-id>", "\\u003caws.", '"}', "\x00"],
    )
    def test_nothing_but_the_key_is_replaced(self, scheduler: Scheduler, firings: Firings, text: str) -> None:
        once = CreateRun(workflow_id="report", input={text: text}, idempotency_key=text)
        scheduler.schedule(once, START + AN_HOUR, "timer-1")
        assert list(firings(START + AN_HOUR)) == [(START + AN_HOUR, once)]
        recurring = CreateRun(workflow_id="report", input={text: text}, idempotency_key="{time}" + text)
        scheduler.put_recurrence(nightly(command=recurring))
        ((_, command),) = firings(START + 25 * AN_HOUR)
        assert isinstance(command, CreateRun)
        assert command.input == {text: text}
        assert command.idempotency_key == "2030-01-01T01:30:00Z" + text.replace("{time}", "2030-01-01T01:30:00Z")
        assert [recurrence.command for recurrence in scheduler.list_recurrences()] == [recurring]

    def test_a_recurrence_is_sent_at_each_of_its_times(self, scheduler: Scheduler, firings: Firings) -> None:
        scheduler.put_recurrence(NIGHTLY)
        assert list(firings(START + 72 * AN_HOUR)) == [
            (datetime(2030, 1, day, 1, 30, tzinfo=UTC), start_of(f"nightly-2030-01-0{day}T01:30:00Z"))
            for day in (1, 2, 3)
        ]

    def test_a_rate_begins_at_once(self, scheduler: Scheduler, firings: Firings) -> None:
        scheduler.put_recurrence(nightly(expression="rate(6 hours)", timezone="UTC"))
        assert [at for at, _ in firings(START + 13 * AN_HOUR)] == [START, START + 6 * AN_HOUR, START + 12 * AN_HOUR]

    def test_a_command_without_a_key_recurs_too(self, scheduler: Scheduler, firings: Firings) -> None:
        command = ClaimPendingRuns(worker_id="{time}")
        scheduler.put_recurrence(nightly(command=command))
        assert [sent for _, sent in firings(START + 48 * AN_HOUR)] == [command, command]

    def test_recurrences_are_listed_by_name(self, scheduler: Scheduler) -> None:
        recurrences = [nightly(name=name) for name in ("weekly", "daily.1", "Z_a-2")]
        for recurrence in recurrences:
            scheduler.put_recurrence(recurrence)
        scheduler.schedule(COMMAND, START + AN_HOUR, "timer-1")
        assert list(scheduler.list_recurrences()) == sorted(recurrences, key=lambda item: item.name)

    def test_there_are_none_at_first(self, scheduler: Scheduler) -> None:
        assert list(scheduler.list_recurrences()) == []

    def test_a_recurrence_is_replaced(self, scheduler: Scheduler, firings: Firings) -> None:
        scheduler.put_recurrence(NIGHTLY)
        changed = nightly(expression="cron(0 12 * * ? *)", timezone="UTC", command=start_of("noon-{time}"))
        scheduler.put_recurrence(changed)
        assert list(scheduler.list_recurrences()) == [changed]
        assert [command for _, command in firings(START + 24 * AN_HOUR)] == [start_of("noon-2030-01-01T12:00:00Z")]

    def test_a_paused_recurrence_stays_and_sends_nothing(self, scheduler: Scheduler, firings: Firings) -> None:
        scheduler.put_recurrence(NIGHTLY)
        scheduler.put_recurrence(nightly(paused=True))
        assert list(scheduler.list_recurrences()) == [nightly(paused=True)]
        assert list(firings(START + 48 * AN_HOUR)) == []

    def test_a_recurrence_that_goes_on_does_not_catch_up(self, scheduler: Scheduler, firings: Firings) -> None:
        scheduler.put_recurrence(nightly(paused=True))
        assert list(firings(START + 48 * AN_HOUR)) == []
        scheduler.put_recurrence(NIGHTLY)
        assert [at.day for at, _ in firings(START + 72 * AN_HOUR)] == [3]

    def test_a_deleted_recurrence_sends_nothing(self, scheduler: Scheduler, firings: Firings) -> None:
        scheduler.put_recurrence(NIGHTLY)
        assert scheduler.delete_recurrence("nightly")
        assert not scheduler.delete_recurrence("nightly")
        assert list(scheduler.list_recurrences()) == []
        assert list(firings(START + 48 * AN_HOUR)) == []

    @pytest.mark.parametrize("name", ["", "..", "a/b", "x" * 65, "\ud800"], ids=ascii)
    def test_what_is_no_name_is_not_there(self, scheduler: Scheduler, name: str) -> None:
        assert not scheduler.delete_recurrence(name)

    @pytest.mark.parametrize("name", ["", ".x", "..", "a/b", "a#b", "a b", "a\n", "x" * 55, "\u00e9"], ids=ascii)
    def test_a_recurrence_needs_a_name(self, scheduler: Scheduler, name: str) -> None:
        with pytest.raises(InvalidCommandError, match="name"):
            scheduler.put_recurrence(nightly(name=name))

    @pytest.mark.parametrize(
        "expression",
        [
            "",
            "whenever",
            "30 2 * * ? *",
            "cron(30 2 * * *)",
            "cron(30 2 * * * *)",
            "cron(60 2 * * ? *)",
            "rate(0 minutes)",
            "rate(5 seconds)",
            "rate(-5 minutes)",
            "at(2030-01-01T00:00:00)",
            "rate(5 minutes)\n",
        ],
    )
    def test_an_expression_that_is_none_is_refused(self, scheduler: Scheduler, expression: str) -> None:
        with pytest.raises(InvalidCommandError, match="expression"):
            scheduler.put_recurrence(nightly(expression=expression))
        assert list(scheduler.list_recurrences()) == []

    @pytest.mark.parametrize("timezone", ["Mars/Olympus", "", "../../etc/passwd", "Europe/Berlin\x00", "/etc/passwd"])
    def test_a_time_zone_that_is_none_is_refused(self, scheduler: Scheduler, timezone: str) -> None:
        with pytest.raises(InvalidCommandError, match="timezone"):
            scheduler.put_recurrence(nightly(timezone=timezone))

    def test_a_key_too_long_with_the_time_in_it_is_refused(self, scheduler: Scheduler) -> None:
        with pytest.raises(InvalidCommandError, match="idempotency_key"):
            scheduler.put_recurrence(nightly(command=start_of("x" * 506 + "{time}")))
