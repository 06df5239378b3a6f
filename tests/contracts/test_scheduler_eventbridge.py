import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count

import boto3
import pytest
from mypy_boto3_scheduler import EventBridgeSchedulerClient
from mypy_boto3_scheduler.type_defs import GetScheduleOutputTypeDef
from typing_extensions import override

from workflow_engine.adapters.aws.scheduler import EventBridgeScheduler
from workflow_engine.errors import CorruptItemError
from workflow_engine.model.commands import Command, parse_command
from workflow_engine.model.recurrence import next_firing, scheduled_time
from workflow_engine.ports.scheduler import Scheduler
from workflow_engine.testing.clock import START, FakeClock
from workflow_engine.testing.contracts import SchedulerContract
from workflow_engine.testing.contracts.scheduler import AN_HOUR, COMMAND, NIGHTLY, Firings, nightly

NUMBERS = count()
QUEUE = "arn:aws:sqs:us-east-1:123456789012:jobs"
DEAD_LETTERS = "arn:aws:sqs:us-east-1:123456789012:dead-schedules"
ROLE = "arn:aws:iam::123456789012:role/scheduler"


@pytest.fixture(scope="module")
def client(moto_url: str) -> EventBridgeSchedulerClient:
    return boto3.client("scheduler", endpoint_url=moto_url)


@pytest.fixture
def group_name(client: EventBridgeSchedulerClient) -> str:
    name = f"group-{next(NUMBERS)}"
    client.create_schedule_group(Name=name)
    return name


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def scheduler(client: EventBridgeSchedulerClient, group_name: str, clock: FakeClock) -> EventBridgeScheduler:
    return EventBridgeScheduler(client, group_name=group_name, role_arn=ROLE, queue_arn=QUEUE, clock=clock)


class Service:
    """What EventBridge Scheduler does with the schedules of a group when their time comes; moto does not."""

    def __init__(self, client: EventBridgeSchedulerClient, group_name: str, clock: FakeClock) -> None:
        self._client, self._group_name, self._clock = client, group_name, clock
        self._last: dict[str, datetime] = {}

    def fire(self, until: datetime) -> Sequence[tuple[datetime, Command]]:
        start = self._clock.now()
        fired = [firing for schedule in self._schedules() for firing in self._fire_one(schedule, start, until)]
        self._clock.set(until)
        return sorted(fired, key=lambda firing: firing[0])

    def _schedules(self) -> list[GetScheduleOutputTypeDef]:
        pages = self._client.get_paginator("list_schedules").paginate(GroupName=self._group_name)
        names = [item["Name"] for page in pages for item in page["Schedules"]]
        return [self._client.get_schedule(Name=name, GroupName=self._group_name) for name in names]

    def _fire_one(
        self, schedule: GetScheduleOutputTypeDef, start: datetime, until: datetime
    ) -> list[tuple[datetime, Command]]:
        fired: list[tuple[datetime, Command]] = []
        while schedule["State"] == "ENABLED" and (due_at := self._next(schedule, start)) and due_at <= until:
            text = schedule["Target"]["Input"]
            for attribute, value in {
                "<aws.scheduler.scheduled-time>": scheduled_time(due_at),
                "<aws.scheduler.execution-id>": "d32c5kddcf5bb8c3",
            }.items():
                text = text.replace(attribute, value)
            fired.append((due_at, parse_command(text)))
            self._last[schedule["Name"]] = due_at
            if schedule.get("ActionAfterCompletion") == "DELETE":
                self._client.delete_schedule(Name=schedule["Name"], GroupName=self._group_name)
                del self._last[schedule["Name"]]
                break
        return fired

    def _next(self, schedule: GetScheduleOutputTypeDef, start: datetime) -> datetime | None:
        return next_firing(
            schedule["ScheduleExpression"],
            created_at=start,
            last=self._last.get(schedule["Name"]),
            timezone=schedule["ScheduleExpressionTimezone"],
        )


class TestEventBridgeScheduler(SchedulerContract):
    @override
    @pytest.fixture
    def scheduler(self, client: EventBridgeSchedulerClient, group_name: str, clock: FakeClock) -> Scheduler:
        return EventBridgeScheduler(client, group_name=group_name, role_arn=ROLE, queue_arn=QUEUE, clock=clock)

    @override
    @pytest.fixture
    def firings(
        self, scheduler: Scheduler, client: EventBridgeSchedulerClient, group_name: str, clock: FakeClock
    ) -> Firings:
        return Service(client, group_name, clock).fire


def test_a_timer_is_stored_as_the_service_wants_it(
    client: EventBridgeSchedulerClient, group_name: str, clock: FakeClock
) -> None:
    scheduler = EventBridgeScheduler(
        client, group_name=group_name, role_arn=ROLE, queue_arn=QUEUE, clock=clock, dead_letter_arn=DEAD_LETTERS
    )
    scheduler.schedule(COMMAND, START + AN_HOUR + timedelta(milliseconds=1), "timer-1")
    stored = client.get_schedule(Name="timer-1", GroupName=group_name)
    assert stored["ScheduleExpression"] == "at(2030-01-01T01:00:01)"
    assert stored["ScheduleExpressionTimezone"] == "UTC"
    assert stored["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert stored["ActionAfterCompletion"] == "DELETE"
    target = stored["Target"]
    assert json.loads(target.pop("Input")) == {"type": "run.transition", "run_id": "run-1"}
    assert target == {
        "Arn": QUEUE,
        "RoleArn": ROLE,
        "DeadLetterConfig": {"Arn": DEAD_LETTERS},
        "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
    }


def test_a_whole_second_stays_as_it_is(
    client: EventBridgeSchedulerClient, scheduler: EventBridgeScheduler, group_name: str
) -> None:
    scheduler.schedule(COMMAND, START + AN_HOUR, "timer-1")
    stored = client.get_schedule(Name="timer-1", GroupName=group_name)
    assert stored["ScheduleExpression"] == "at(2030-01-01T01:00:00)"


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(days=1), timedelta(seconds=-4)])
def test_no_time_is_past_when_the_service_reads_it(
    client: EventBridgeSchedulerClient, scheduler: EventBridgeScheduler, group_name: str, ago: timedelta
) -> None:
    """It refuses those, and its clock may be ahead of ours."""
    scheduler.schedule(COMMAND, START - ago, "timer-1")
    stored = client.get_schedule(Name="timer-1", GroupName=group_name)
    assert stored["ScheduleExpression"] == "at(2030-01-01T00:00:05)"


def test_a_recurrence_is_stored_as_the_service_wants_it(
    client: EventBridgeSchedulerClient, scheduler: EventBridgeScheduler, group_name: str
) -> None:
    scheduler.put_recurrence(NIGHTLY)
    stored = client.get_schedule(Name="recurring-nightly", GroupName=group_name)
    assert stored["ScheduleExpression"] == "cron(30 2 * * ? *)"
    assert stored["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert stored["State"] == "ENABLED"
    assert json.loads(stored["Target"]["Input"])["idempotency_key"] == "nightly-<aws.scheduler.scheduled-time>"


def test_all_pages_are_listed(client: EventBridgeSchedulerClient, scheduler: EventBridgeScheduler) -> None:
    recurrences = [nightly(name=f"{number:03}") for number in range(120)]
    for recurrence in recurrences:
        scheduler.put_recurrence(recurrence)
    assert list(scheduler.list_recurrences()) == recurrences


def test_a_recurrence_that_cannot_be_read_is_named(
    client: EventBridgeSchedulerClient, scheduler: EventBridgeScheduler, group_name: str
) -> None:
    client.create_schedule(
        Name="recurring-foreign",
        GroupName=group_name,
        ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": QUEUE, "RoleArn": ROLE, "Input": "{}"},
    )
    with pytest.raises(CorruptItemError, match="recurrence 'foreign'"):
        scheduler.list_recurrences()
    assert scheduler.delete_recurrence("foreign")
