"""Timers and recurring starts in EventBridge Scheduler."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from typing_extensions import override

from workflow_engine.adapters.aws.errors import check_answer, code_of, translating
from workflow_engine.adapters.aws.letters import SCHEDULED_TIME
from workflow_engine.errors import AwsRequestError, CorruptItemError, InvalidCommandError
from workflow_engine.model.commands import Command, parse_command
from workflow_engine.model.deliveries import Recurrence, body_of
from workflow_engine.model.limits import CLOCK_SKEW
from workflow_engine.model.recurrence import (
    RECURRENCE_PREFIX,
    TIME_PLACEHOLDER,
    check_correlation_id,
    check_recurrence,
    check_schedule_input,
    is_recurrence_name,
)
from workflow_engine.ports.clock import Clock
from workflow_engine.ports.scheduler import Scheduler

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_scheduler.type_defs import CreateScheduleInputTypeDef, GetScheduleOutputTypeDef, TargetTypeDef

SERVICE = "Scheduler"
# The longest and most that the service takes (API reference, RetryPolicy): what arrives late does no harm.
RETRY_FOR = timedelta(hours=24)
MAX_RETRIES = 185


class EventBridgeScheduler(Scheduler):
    """Keeps schedules in *group_name* that send to *queue_arn* with *role_arn*.

    What the service cannot deliver within a day goes to *dead_letter_arn*.
    """

    def __init__(
        self,
        client: "EventBridgeSchedulerClient",
        *,
        group_name: str,
        role_arn: str,
        queue_arn: str,
        clock: Clock,
        dead_letter_arn: str | None = None,
    ) -> None:
        self._client = client
        self._group_name = group_name
        self._role_arn = role_arn
        self._queue_arn = queue_arn
        self._dead_letter_arn = dead_letter_arn
        self._clock = clock

    @override
    def schedule(self, command: Command, run_at: datetime, correlation_id: str) -> None:
        check_correlation_id(correlation_id)
        text = _literal(body_of(command))
        check_schedule_input(text)
        # The service refuses a time that is past, and its clock is not ours.
        soonest = self._clock.now() + CLOCK_SKEW
        self._create(
            {
                "Name": correlation_id,
                "GroupName": self._group_name,
                "ScheduleExpression": _at(max(run_at, soonest)),
                "ScheduleExpressionTimezone": "UTC",
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "ActionAfterCompletion": "DELETE",
                "Target": self._target(text),
            }
        )

    @override
    def cancel(self, correlation_id: str) -> None:
        check_correlation_id(correlation_id)
        self._delete(correlation_id)

    @override
    def put_recurrence(self, recurrence: Recurrence) -> None:
        check_recurrence(recurrence)
        text = _recurring_input(recurrence.command)
        check_schedule_input(text)
        request: CreateScheduleInputTypeDef = {
            "Name": RECURRENCE_PREFIX + recurrence.name,
            "GroupName": self._group_name,
            "ScheduleExpression": recurrence.expression,
            "ScheduleExpressionTimezone": recurrence.timezone,
            "State": "DISABLED" if recurrence.paused else "ENABLED",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": self._target(text),
        }
        with _refusals_are_the_callers():
            if not self._create(request):
                self._update(request)

    @override
    def list_recurrences(self) -> Sequence[Recurrence]:
        found = [self._load(name) for name in self._names()]
        return sorted((item for item in found if item), key=lambda item: item.name)

    @override
    def delete_recurrence(self, name: str) -> bool:
        return is_recurrence_name(name) and self._delete(RECURRENCE_PREFIX + name)

    def _create(self, request: "CreateScheduleInputTypeDef") -> bool:
        """Whether it was created; ``False`` where the name is taken."""
        with translating(SERVICE, "CreateSchedule"):
            try:
                answer = self._client.create_schedule(**request)
            except ClientError as error:
                if code_of(error) == "ConflictException":
                    return False
                raise
        check_answer(answer, "ScheduleArn", service=SERVICE, operation="CreateSchedule")
        return True

    def _update(self, request: "CreateScheduleInputTypeDef") -> None:
        # Somebody else updates or deletes it at this moment: the next try sees what they left.
        with translating(SERVICE, "UpdateSchedule", also_transient=("ConflictException", "ResourceNotFoundException")):
            answer = self._client.update_schedule(**request)
        check_answer(answer, "ScheduleArn", service=SERVICE, operation="UpdateSchedule")

    def _delete(self, name: str) -> bool:
        with translating(SERVICE, "DeleteSchedule", also_transient=("ConflictException",)):
            try:
                self._client.delete_schedule(Name=name, GroupName=self._group_name)
            except ClientError as error:
                if code_of(error) == "ResourceNotFoundException":
                    return False
                raise
        return True

    def _names(self) -> Iterator[str]:
        paginator = self._client.get_paginator("list_schedules")
        pages = iter(paginator.paginate(GroupName=self._group_name, NamePrefix=RECURRENCE_PREFIX))
        while True:
            with translating(SERVICE, "ListSchedules"):
                page = next(pages, None)
            if page is None:
                return
            check_answer(page, "Schedules", service=SERVICE, operation="ListSchedules")
            yield from (item["Name"] for item in page["Schedules"] if "Name" in item)

    def _load(self, name: str) -> Recurrence | None:
        with translating(SERVICE, "GetSchedule"):
            try:
                answer = self._client.get_schedule(Name=name, GroupName=self._group_name)
            except ClientError as error:
                if code_of(error) == "ResourceNotFoundException":
                    return None
                raise
        check_answer(answer, "Target", service=SERVICE, operation="GetSchedule")
        return _recurrence(name.removeprefix(RECURRENCE_PREFIX), answer)

    def _target(self, text: str) -> "TargetTypeDef":
        target: TargetTypeDef = {
            "Arn": self._queue_arn,
            "RoleArn": self._role_arn,
            "Input": text,
            "RetryPolicy": {
                "MaximumEventAgeInSeconds": int(RETRY_FOR.total_seconds()),
                "MaximumRetryAttempts": MAX_RETRIES,
            },
        }
        if self._dead_letter_arn is not None:
            target["DeadLetterConfig"] = {"Arn": self._dead_letter_arn}
        return target


@contextmanager
def _refusals_are_the_callers() -> Iterator[None]:
    """What the service finds wrong with a recurrence is the caller's to mend."""
    try:
        yield
    except AwsRequestError as error:
        if error.service_code != "ValidationException":
            raise
        raise InvalidCommandError(problems=[error.detail]) from error


def _at(instant: datetime) -> str:
    """``at(…)`` counts whole seconds; rounded up, since a timer may be late and not early."""
    whole = (instant.astimezone(UTC) + timedelta(seconds=1, microseconds=-1)).replace(microsecond=0)
    return f"at({whole:%Y-%m-%dT%H:%M:%S})"


def _literal(text: str) -> str:
    """The same JSON, in which the service finds nothing to replace."""
    return text.replace("<aws.", "\\u003caws.")


def _recurring_input(command: Command) -> str:
    """The JSON of *command*, in which the service writes the time into the idempotency key alone."""
    fields = command.model_dump(mode="json")
    key = fields.pop("idempotency_key", None)
    if key is None:
        return _literal(body_of(command))
    timed = _literal(json.dumps(key)).replace(TIME_PLACEHOLDER, SCHEDULED_TIME)
    return f'{_literal(json.dumps(fields))[:-1]}, "idempotency_key": {timed}}}'


def _recurrence(name: str, answer: "GetScheduleOutputTypeDef") -> Recurrence:
    text = answer["Target"].get("Input", "").replace(SCHEDULED_TIME, TIME_PLACEHOLDER)
    try:
        command = parse_command(text)
    except InvalidCommandError as error:
        raise CorruptItemError(what=f"recurrence {name!r}", problem=str(error)) from error
    return Recurrence(
        name=name,
        expression=answer["ScheduleExpression"],
        command=command,
        timezone=answer.get("ScheduleExpressionTimezone", "UTC"),
        paused=answer["State"] == "DISABLED",
    )
