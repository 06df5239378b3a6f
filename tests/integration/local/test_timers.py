"""Rules and schedules: what moto stores and never fires."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.local.conftest import ROOT, Recorded
from workflow_engine.adapters.system import SystemClock
from workflow_engine.local.timers import Rule, ScheduleFirer
from workflow_engine.testing.clock import FakeClock
from workflow_engine.wiring.aws import client

GROUP = "timers"


@pytest.fixture
def clock() -> FakeClock:
    """Begins now: what a schedule was created at is told by moto's clock, which is the machine's."""
    return FakeClock(SystemClock().now())


@pytest.fixture
def firer(recorded: Recorded, clock: FakeClock) -> ScheduleFirer:
    return ScheduleFirer(
        scheduler=client("scheduler"),
        sqs=client("sqs"),
        place=recorded.aws.template.place,
        group_name=GROUP,
        clock=clock,
        started_at=clock.now() - timedelta(seconds=5),
    )


def schedule(recorded: Recorded, expression: str, *, text: str = "fired", name: str = "one", **more: Any) -> None:
    client("scheduler").create_schedule(
        Name=name,
        GroupName=GROUP,
        ScheduleExpression=expression,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": recorded.aws.template.identities["Other"].arn,
            "RoleArn": "arn:aws:iam::1:role/r",
            "Input": text,
        },
        **more,
    )


def names() -> list[str]:
    return [item["Name"] for item in client("scheduler").list_schedules(GroupName=GROUP)["Schedules"]]


def at(instant: datetime) -> str:
    return f"at({instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S})"


def test_a_schedule_fires_at_its_time_and_is_deleted(
    recorded: Recorded, firer: ScheduleFirer, clock: FakeClock
) -> None:
    schedule(recorded, at(clock.now() + timedelta(hours=1)), ActionAfterCompletion="DELETE")

    assert firer.fire_due(clock.now()) == 0
    assert recorded.bodies("Other") == []
    assert firer.fire_due(clock.advance(timedelta(hours=1))) == 1
    assert recorded.bodies("Other") == ["fired"]
    assert names() == []


def test_a_schedule_that_is_kept_fires_once(recorded: Recorded, firer: ScheduleFirer, clock: FakeClock) -> None:
    schedule(recorded, at(clock.now() - timedelta(days=1)), ActionAfterCompletion="NONE")

    assert [firer.fire_due(clock.now()), firer.fire_due(clock.now())] == [1, 0]
    assert names() == ["one"]


def test_a_rate_fires_when_it_is_created_and_then_by_its_interval(
    recorded: Recorded, firer: ScheduleFirer, clock: FakeClock
) -> None:
    schedule(recorded, "rate(5 minutes)")
    fired = [firer.fire_due(clock.advance(timedelta(minutes=1))) for _ in range(12)]

    assert sum(fired) == 3
    assert fired[0] == 1


def test_the_scheduled_time_is_written_into_the_message(
    recorded: Recorded, firer: ScheduleFirer, clock: FakeClock
) -> None:
    due = (clock.now() + timedelta(hours=1)).replace(microsecond=0)
    schedule(recorded, at(due), text='{"key": "<aws.scheduler.scheduled-time>", "n": "<aws.scheduler.attempt-number>"}')
    firer.fire_due(due + timedelta(minutes=10))
    (body,) = recorded.bodies("Other")

    assert json.loads(body) == {"key": f"{due:%Y-%m-%dT%H:%M:%SZ}", "n": "1"}


def test_a_paused_schedule_does_not_fire(recorded: Recorded, firer: ScheduleFirer, clock: FakeClock) -> None:
    schedule(recorded, "rate(1 minute)", State="DISABLED")

    assert firer.fire_due(clock.advance(timedelta(hours=1))) == 0


def test_a_changed_schedule_fires_as_it_is_now(recorded: Recorded, firer: ScheduleFirer, clock: FakeClock) -> None:
    schedule(recorded, at(clock.now() + timedelta(hours=1)), text="old")
    firer.fire_due(clock.now())
    client("scheduler").update_schedule(
        Name="one",
        GroupName=GROUP,
        ScheduleExpression=at(clock.now() + timedelta(hours=2)),
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": recorded.aws.template.identities["Other"].arn,
            "RoleArn": "arn:aws:iam::1:role/r",
            "Input": "new",
        },
    )

    assert firer.fire_due(clock.advance(timedelta(hours=1))) == 0
    assert firer.fire_due(clock.advance(timedelta(hours=1))) == 1
    assert recorded.bodies("Other") == ["new"]


def test_what_aws_would_not_have_taken_never_fires(recorded: Recorded, firer: ScheduleFirer, clock: FakeClock) -> None:
    schedule(recorded, "cron(not a cron)")

    assert firer.fire_due(clock.advance(timedelta(days=400))) == 0


def test_a_recurring_one_that_was_missed_while_nobody_looked_is_not_made_up_for(
    recorded: Recorded, clock: FakeClock
) -> None:
    schedule(recorded, "rate(1 minute)")
    later = clock.advance(timedelta(days=1))
    firer = ScheduleFirer(
        scheduler=client("scheduler"),
        sqs=client("sqs"),
        place=recorded.aws.template.place,
        group_name=GROUP,
        clock=clock,
        started_at=later,
    )

    assert firer.fire_due(later) == 0
    assert firer.fire_due(clock.advance(timedelta(minutes=1))) == 1


def test_one_that_was_made_right_before_a_new_start_fires_for_the_first_time(
    recorded: Recorded, clock: FakeClock
) -> None:
    """The functions start again when code changes, maybe between a schedule's making and its firing."""
    schedule(recorded, "rate(1 hour)")
    later = clock.advance(timedelta(seconds=2))
    firer = ScheduleFirer(
        scheduler=client("scheduler"),
        sqs=client("sqs"),
        place=recorded.aws.template.place,
        group_name=GROUP,
        clock=clock,
        started_at=later,
    )

    assert firer.fire_due(later) == 1
    assert firer.fire_due(clock.advance(timedelta(minutes=30))) == 0


def rule(recorded: Recorded, clock: FakeClock) -> Rule:
    (function,) = recorded.aws.template.functions()
    return Rule(recorded.runner, function, function.triggers[1], created_at=clock.now(), last=clock.now())


def test_a_rule_invokes_its_function_every_minute_with_the_event_of_the_event_files(
    recorded: Recorded, clock: FakeClock
) -> None:
    example = json.loads((ROOT / "events" / "maintenance-tick.json").read_text())
    minutely = rule(recorded, clock)
    fired = [minutely.fire_if_due(clock.advance(timedelta(seconds=20))) for _ in range(9)]

    assert fired.count(True) == 3
    event = recorded.handler.events[0]
    assert event.keys() == example.keys()
    assert {name: event[name] for name in ("detail-type", "source")} == {
        "detail-type": "Scheduled Event",
        "source": "aws.events",
    }
    assert recorded.handler.contexts[0].get_remaining_time_in_millis() > 0


def test_a_rule_that_was_late_fires_once(recorded: Recorded, clock: FakeClock) -> None:
    minutely = rule(recorded, clock)

    assert minutely.fire_if_due(clock.advance(timedelta(hours=1)))
    assert not minutely.fire_if_due(clock.now())
    assert len(recorded.handler.events) == 1
