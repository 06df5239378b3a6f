"""What moto stores and never does: invoke a function by a rule's rate, and fire EventBridge
Scheduler's schedules."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from workflow_engine.adapters.system import RandomIds
from workflow_engine.errors import InvalidCommandError
from workflow_engine.local.functions import FunctionRunner
from workflow_engine.local.place import Place
from workflow_engine.local.template import Function, Trigger
from workflow_engine.model.recurrence import next_firing, scheduled_time
from workflow_engine.ports.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_scheduler.type_defs import GetScheduleOutputTypeDef
    from mypy_boto3_sqs import SQSClient

SCHEDULE_TYPES = ("Schedule", "ScheduleV2")
# Whoever starts again forgets what has fired; a schedule that is younger than this is taken for one that has not.
JUST_MADE = timedelta(minutes=1)


@dataclass(slots=True)
class Rule:
    """Invokes *function* by the rate or cron expression of its *trigger*."""

    runner: FunctionRunner
    function: Function
    trigger: Trigger
    created_at: datetime
    last: datetime | None = None

    @property
    def expression(self) -> str:
        """``rate(…)`` or ``cron(…)``."""
        return str(self.trigger.properties.get("Schedule") or self.trigger.properties["ScheduleExpression"])

    def next_at(self) -> datetime | None:
        """When it fires next."""
        return next_firing(self.expression, created_at=self.created_at, last=self.last)

    def fire_if_due(self, now: datetime) -> bool:
        """Invoke the function if its time has come; once, however often it was missed."""
        due = self.next_at()
        if due is None or due > now:
            return False
        while due is not None and due <= now:
            self.last, due = due, next_firing(self.expression, created_at=self.created_at, last=due)
        self.fire(self.last or now)
        return True

    def fire(self, at: datetime) -> None:
        """Invoke the function with the event of *at*."""
        self.runner.invoke(self.function, self._event(at))

    def _event(self, at: datetime) -> dict[str, Any]:
        """EventBridge user guide, "Events from scheduled rules"."""
        place = self.runner.place
        rule = f"{place.stack_name}-{self.function.logical_id}{self.trigger.logical_id}"
        return {
            "version": "0",
            "id": self.runner.ids.new_id(),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": place.account_id,
            "time": scheduled_time(at),
            "region": place.region,
            "resources": [f"arn:{place.partition}:events:{place.region}:{place.account_id}:rule/{rule}"],
            "detail": {},
        }


@dataclass(slots=True, kw_only=True)
class ScheduleFirer:
    """Fires the schedules of *group_name* whose targets are queues.

    Firings that were missed while nobody looked are made up for where a schedule fires once; of a
    recurring one only those from *started_at* on. One that was just made then may not have fired
    yet: what it fires twice has one scheduled time, and with it one idempotency key.
    """

    scheduler: "EventBridgeSchedulerClient"
    sqs: "SQSClient"
    place: Place
    group_name: str
    clock: Clock
    started_at: datetime
    _known: dict[str, tuple[datetime, "GetScheduleOutputTypeDef"]] = field(default_factory=dict)
    _last: dict[str, datetime] = field(default_factory=dict)

    def fire_due(self, now: datetime) -> int:
        """Fire what is due; answers how many firings there were."""
        return sum(self._fire(schedule, now) for schedule in self._schedules())

    def next_at(self) -> datetime | None:
        """When the next of the schedules seen by the last look fires."""
        times = [self._next(schedule) for _, schedule in self._known.values() if schedule.get("State") != "DISABLED"]
        return min((at for at in times if at is not None), default=None)

    def _schedules(self) -> Iterator["GetScheduleOutputTypeDef"]:
        """All enabled schedules; one that did not change since the last look is not read again."""
        seen: dict[str, tuple[datetime, GetScheduleOutputTypeDef]] = {}
        for page in self.scheduler.get_paginator("list_schedules").paginate(GroupName=self.group_name):
            for item in page["Schedules"]:
                name, changed = item["Name"], item["LastModificationDate"]
                known = self._known.get(name)
                if known is None or known[0] != changed:
                    known = (changed, self.scheduler.get_schedule(Name=name, GroupName=self.group_name))
                seen[name] = known
        for gone in self._known.keys() - seen.keys():
            self._last.pop(gone, None)
        self._known = seen
        # Only queues can be targets here; other services do not run.
        wanted = [schedule for _, schedule in seen.values() if ":sqs:" in schedule["Target"]["Arn"]]
        yield from [schedule for schedule in wanted if schedule.get("State") != "DISABLED"]

    def _next(self, schedule: "GetScheduleOutputTypeDef") -> datetime | None:
        created_at, last = schedule["CreationDate"], self._last.get(schedule["Name"])
        if (
            last is None
            and created_at < self.started_at - JUST_MADE
            and not schedule["ScheduleExpression"].startswith("at(")
        ):
            last = self.started_at
        try:
            zone = schedule.get("ScheduleExpressionTimezone", "UTC")
            return next_firing(schedule["ScheduleExpression"], created_at=created_at, last=last, timezone=zone)
        except InvalidCommandError:
            # AWS would have refused it; moto takes everything, and it never fires.
            return None

    def _fire(self, schedule: "GetScheduleOutputTypeDef", now: datetime) -> int:
        fired = 0
        while (due := self._next(schedule)) is not None and due <= now:
            self._last[schedule["Name"]] = due
            self._send(schedule, due)
            fired += 1
        if fired and due is None and schedule.get("ActionAfterCompletion") == "DELETE":
            self.scheduler.delete_schedule(Name=schedule["Name"], GroupName=self.group_name)
        return fired

    def _send(self, schedule: "GetScheduleOutputTypeDef", at: datetime) -> None:
        target = schedule["Target"]
        queue = target["Arn"].rpartition(":")[2]
        url = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        self.sqs.send_message(QueueUrl=url, MessageBody=self._input(schedule, target.get("Input", ""), at))

    def _input(self, schedule: "GetScheduleOutputTypeDef", text: str, at: datetime) -> str:
        """EventBridge Scheduler user guide, "Adding context attributes"."""
        values = {
            "<aws.scheduler.schedule-arn>": schedule["Arn"],
            "<aws.scheduler.scheduled-time>": scheduled_time(at),
            "<aws.scheduler.execution-id>": RandomIds().new_id(),
            "<aws.scheduler.attempt-number>": "1",
        }
        for placeholder, value in values.items():
            text = text.replace(placeholder, value)
        return text


def soonest(*times: datetime | None) -> datetime | None:
    """The earliest of *times*, of those that there are."""
    return min((at for at in times if at is not None), default=None)


def until(at: datetime | None, now: datetime, *, at_most: timedelta) -> timedelta:
    """How long to wait for *at*: 0 to *at_most*."""
    return at_most if at is None else min(max(at - now, timedelta(0)), at_most)
