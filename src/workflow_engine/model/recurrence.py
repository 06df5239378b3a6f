"""When a schedule of EventBridge Scheduler fires, and with which command. Pure.

Source: "Schedule types on EventBridge Scheduler" of its user guide.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from workflow_engine.errors import InvalidCommandError, PayloadTooLargeError
from workflow_engine.model.commands import Command, parse_command
from workflow_engine.model.cron import Cron
from workflow_engine.model.deliveries import Recurrence
from workflow_engine.model.limits import MAX_SCHEDULE_NAME

TIME_PLACEHOLDER = "{time}"
# EventBridge Scheduler documents no limit for a target's input; this is what SQS took for years, and its
# other targets still take.
MAX_SCHEDULE_INPUT_BYTES = 256 * 1024
# What adapters put before the name of a recurrence, where it shares a space with timers.
RECURRENCE_PREFIX = "recurring-"

_EXPRESSION = re.compile(r"(at|rate|cron)\(([^()]{1,200})\)")
_RATE = re.compile(r"(\d{1,6})\s+(minute|hour|day)s?", re.ASCII)
_AT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", re.ASCII)
# The name is a segment of the path of a request, and "." and ".." mean something there.
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
MAX_RECURRENCE_NAME = MAX_SCHEDULE_NAME - len(RECURRENCE_PREFIX)


def next_firing(
    expression: str, *, created_at: datetime, last: datetime | None = None, timezone: str = "UTC"
) -> datetime | None:
    """When a schedule fires next, in UTC; ``None`` where it does not any more.

    *last* is the scheduled time of its last firing (``None``: it has not fired). ``at(…)`` fires
    once, however long ago; ``rate(…)`` fires when it is created, and then counts from there, a day
    being 24 hours; ``cron(…)`` follows the wall clock: a time that a zone's clock leaves out is left
    out, and of a time that it shows twice only the first counts.

    Raises:
        InvalidCommandError: the service does not take the expression or the time zone.
    """
    kind, fields = _parse(expression)
    zone = _zone(timezone)
    if kind == "at":
        return _wall_time(fields, zone) if last is None else None
    if kind == "rate":
        return _next_of_rate(_interval(fields), created_at.replace(microsecond=0), last)
    return _next_of_cron(_cron(fields), zone, created_at if last is None else last)


def check_recurrence(recurrence: Recurrence) -> None:
    """Refuse a recurrence that cannot be kept, or whose firings would be no commands.

    Raises:
        InvalidCommandError: its name is not 1 to 54 of ``A-Za-z0-9_.-`` (the first no dot), its
            expression is no ``cron(…)`` or ``rate(…)`` that the service takes, its time zone is
            unknown, or its idempotency key is too long once the time is in it.
    """
    if not is_recurrence_name(recurrence.name):
        allowed = f"1 to {MAX_RECURRENCE_NAME} of A-Za-z0-9_.-, the first no dot"
        raise _invalid(f"name: {recurrence.name!r} is not {allowed}")
    if recurrence.expression.startswith("at("):
        raise _invalid("expression: at(…) does not recur")
    some_time = datetime(2000, 1, 1, tzinfo=UTC)
    next_firing(recurrence.expression, created_at=some_time, last=some_time, timezone=recurrence.timezone)
    command_at(recurrence, some_time)


def is_recurrence_name(name: str) -> bool:
    """Whether *name* may name a recurrence."""
    return len(name) <= MAX_RECURRENCE_NAME and _NAME.fullmatch(name) is not None


def check_schedule_input(text: str) -> None:
    """Refuse a message that is too large for a schedule.

    Raises:
        PayloadTooLargeError: it is above 256 KB.
    """
    size = len(text.encode())
    if size > MAX_SCHEDULE_INPUT_BYTES:
        raise PayloadTooLargeError(
            what="the message of a schedule", size_bytes=size, limit_bytes=MAX_SCHEDULE_INPUT_BYTES
        )


def command_at(recurrence: Recurrence, scheduled_at: datetime) -> Command:
    """The command to send for the firing of *scheduled_at*: ``{time}`` in its key becomes the time.

    Raises:
        InvalidCommandError: the key is longer than a key may be.
    """
    fields = recurrence.command.model_dump(mode="json")
    if isinstance(key := fields.get("idempotency_key"), str):
        fields["idempotency_key"] = key.replace(TIME_PLACEHOLDER, scheduled_time(scheduled_at))
    return parse_command(fields)


def scheduled_time(at: datetime) -> str:
    """*at* as ``<aws.scheduler.scheduled-time>`` gives it: ``2022-03-22T18:59:43Z``."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_correlation_id(correlation_id: str) -> None:
    """Refuse an id that cannot name a timer.

    Raises:
        ValueError: it is not 1 to 64 of ``A-Za-z0-9_.-`` (the first no dot), or it begins as the
            names of recurrences do.
    """
    if not _NAME.fullmatch(correlation_id) or len(correlation_id) > MAX_SCHEDULE_NAME:
        raise ValueError(f"a correlation id is 1 to {MAX_SCHEDULE_NAME} of A-Za-z0-9_.-, not {correlation_id!r}")
    if correlation_id.startswith(RECURRENCE_PREFIX):
        raise ValueError(f"{RECURRENCE_PREFIX} begins the names of recurrences: {correlation_id!r}")


def _invalid(problem: str) -> InvalidCommandError:
    return InvalidCommandError(problems=[problem])


def _parse(expression: str) -> tuple[str, str]:
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise _invalid(f"expression: {expression!r} is none of at(…), rate(…), cron(…)")
    return match[1], match[2]


def _zone(name: str) -> tzinfo:
    # ZoneInfo wants a time zone database even for UTC, and not every machine has one.
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise _invalid(f"timezone: {name!r} is unknown") from error


def _wall_time(text: str, zone: tzinfo) -> datetime:
    try:
        if not _AT.fullmatch(text):
            raise ValueError("not yyyy-mm-ddThh:mm:ss")
        return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _invalid(f"expression: at({text}): {error}") from error


def _interval(fields: str) -> timedelta:
    match = _RATE.fullmatch(fields)
    if match is None or int(match[1]) == 0:
        raise _invalid(f"expression: rate({fields}) is no positive number of minutes, hours or days")
    return timedelta(**{f"{match[2]}s": int(match[1])})


def _next_of_rate(interval: timedelta, start: datetime, last: datetime | None) -> datetime:
    return start if last is None else start + ((last - start) // interval + 1) * interval


def _cron(fields: str) -> Cron:
    try:
        return Cron.parse(fields)
    except ValueError as error:
        raise _invalid(f"expression: {error}") from error


def _next_of_cron(cron: Cron, zone: tzinfo, after: datetime) -> datetime | None:
    start = after.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0)
    for wall in cron.wall_times(start):
        instant = wall.replace(tzinfo=zone).astimezone(UTC)
        exists = instant.astimezone(zone).replace(tzinfo=None) == wall
        if exists and instant > after:
            return instant
    return None
