from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_engine.errors import InvalidCommandError
from workflow_engine.model.commands import ClaimPendingRuns, CreateRun
from workflow_engine.model.cron import Cron
from workflow_engine.model.deliveries import Recurrence
from workflow_engine.model.recurrence import command_at, next_firing, scheduled_time

START = datetime(2024, 5, 1, 9, 0, tzinfo=UTC)  # a Wednesday
INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def firings(expression: str, *, number: int = 3, after: datetime = START, timezone: str = "UTC") -> list[str]:
    """The next times after *after*, as the wall clock of *timezone* shows them."""
    times: list[datetime] = []
    last = after
    while len(times) < number:
        following = next_firing(expression, created_at=after, last=last, timezone=timezone)
        if following is None:
            break
        times.append(following)
        last = following
    zone = UTC if timezone == "UTC" else ZoneInfo(timezone)
    return [f"{time.astimezone(zone):%Y-%m-%d %a %H:%M}" for time in times]


# The examples of AWS's own pages, and each wildcard of its table.
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cron(0 10 * * ? *)", ["2024-05-01 Wed 10:00", "2024-05-02 Thu 10:00", "2024-05-03 Fri 10:00"]),
        ("cron(0 18 ? * MON-FRI *)", ["2024-05-01 Wed 18:00", "2024-05-02 Thu 18:00", "2024-05-03 Fri 18:00"]),
        ("cron(0 8 1 * ? *)", ["2024-06-01 Sat 08:00", "2024-07-01 Mon 08:00", "2024-08-01 Thu 08:00"]),
        ("cron(0/15 * * * ? *)", ["2024-05-01 Wed 09:15", "2024-05-01 Wed 09:30", "2024-05-01 Wed 09:45"]),
        ("cron(*/20 9 * * ? *)", ["2024-05-01 Wed 09:20", "2024-05-01 Wed 09:40", "2024-05-02 Thu 09:00"]),
        ("cron(1/10 8-9 * * ? *)", ["2024-05-01 Wed 09:01", "2024-05-01 Wed 09:11", "2024-05-01 Wed 09:21"]),
        ("cron(10-50/20 9 * * ? *)", ["2024-05-01 Wed 09:10", "2024-05-01 Wed 09:30", "2024-05-01 Wed 09:50"]),
        ("cron(0,30 9 ? * 1,7 *)", ["2024-05-04 Sat 09:00", "2024-05-04 Sat 09:30", "2024-05-05 Sun 09:00"]),
        ("cron(15 10 ? * 6L 2024)", ["2024-05-31 Fri 10:15", "2024-06-28 Fri 10:15", "2024-07-26 Fri 10:15"]),
        ("cron(15 10 ? * friL *)", ["2024-05-31 Fri 10:15", "2024-06-28 Fri 10:15", "2024-07-26 Fri 10:15"]),
        ("cron(0 0 ? * L *)", ["2024-05-04 Sat 00:00", "2024-05-11 Sat 00:00", "2024-05-18 Sat 00:00"]),
        ("cron(0 0 L * ? *)", ["2024-05-31 Fri 00:00", "2024-06-30 Sun 00:00", "2024-07-31 Wed 00:00"]),
        ("cron(0 0 3W * ? *)", ["2024-05-03 Fri 00:00", "2024-06-03 Mon 00:00", "2024-07-03 Wed 00:00"]),
        ("cron(0 0 1W * ? *)", ["2024-06-03 Mon 00:00", "2024-07-01 Mon 00:00", "2024-08-01 Thu 00:00"]),
        ("cron(0 0 31W * ? *)", ["2024-05-31 Fri 00:00", "2024-07-31 Wed 00:00", "2024-08-30 Fri 00:00"]),
        ("cron(0 0 30W * ? *)", ["2024-05-30 Thu 00:00", "2024-06-28 Fri 00:00", "2024-07-30 Tue 00:00"]),
        ("cron(0 0 ? * 3#2 *)", ["2024-05-14 Tue 00:00", "2024-06-11 Tue 00:00", "2024-07-09 Tue 00:00"]),
        ("cron(0 0 ? * WED#5 *)", ["2024-05-29 Wed 00:00", "2024-07-31 Wed 00:00", "2024-10-30 Wed 00:00"]),
        ("cron(0 0 1 JAN,JUL ? *)", ["2024-07-01 Mon 00:00", "2025-01-01 Wed 00:00", "2025-07-01 Tue 00:00"]),
        ("cron(0 0 29 2 ? *)", ["2028-02-29 Tue 00:00", "2032-02-29 Sun 00:00", "2036-02-29 Fri 00:00"]),
        ("cron(0 0 1 1 ? 2024/4)", ["2028-01-01 Sat 00:00", "2032-01-01 Thu 00:00", "2036-01-01 Tue 00:00"]),
        ("cron(0 0 1 1 ? 2025-2026)", ["2025-01-01 Wed 00:00", "2026-01-01 Thu 00:00"]),
        ("cron(0 0 31 2 ? *)", []),
        ("cron(0 0 * * ? 2020)", []),
    ],
)
def test_cron_fires_as_aws_documents(expression: str, expected: list[str]) -> None:
    assert firings(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "cron(0 10 * * *)",
        "cron(0 10 * * ? * *)",
        "cron(0 10 * * * *)",
        "cron(0 10 ? * ? *)",
        "cron(60 10 * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 10 0 * ? *)",
        "cron(0 10 32 * ? *)",
        "cron(0 10 32W * ? *)",
        "cron(0 10 * 13 ? *)",
        "cron(0 10 ? * 0 *)",
        "cron(0 10 ? * 8 *)",
        "cron(0 10 ? * 2#6 *)",
        "cron(0 10 ? * 2#0 *)",
        "cron(0 10 ? * 3#1,6#3 *)",
        "cron(0 10 ? * 2/2 *)",
        "cron(0 10 ? * FRI-MON *)",
        "cron(0 10 * * ? 1969)",
        "cron(0 10 * * ? 2200)",
        "cron(0/0 10 * * ? *)",
        "cron(0, 10 * * ? *)",
        "cron(1-2-3 10 * * ? *)",
        "cron(-1 10 * * ? *)",
        "cron(+1 10 * * ? *)",
        "cron(\u0661 10 * * ? *)",
        "cron(? 10 * * ? *)",
        "cron(0 10 LW * ? *)",
        "cron(0 10 L-3 * ? *)",
        "cron(0 10 MON * ? *)",
        "rate(5)",
        "rate(\u0665 minutes)",
        "rate(5 weeks)",
        "rate(1.5 hours)",
        "rate(0 days)",
        "rate(1000000000 days)",
        "at(2024-05-01)",
        "at(2024-13-01T00:00:00)",
        "at(2024-05-01T00:00:00Z)",
        "at(2024-05-01T00:00:00",
        "Rate(5 minutes)",
        "",
    ],
)
def test_what_aws_would_not_take_is_refused(expression: str) -> None:
    with pytest.raises(InvalidCommandError, match="expression"):
        next_firing(expression, created_at=START)


def test_a_time_that_the_clock_leaves_out_is_left_out() -> None:
    after = datetime(2024, 3, 9, tzinfo=UTC)
    assert firings("cron(30 2 * * ? *)", after=after, timezone="America/New_York") == [
        "2024-03-09 Sat 02:30",
        "2024-03-11 Mon 02:30",
        "2024-03-12 Tue 02:30",
    ]


def test_a_time_that_the_clock_shows_twice_fires_once() -> None:
    after = datetime(2024, 11, 3, 5, 15, tzinfo=UTC)
    times = firings("cron(0/30 1 * * ? *)", after=after, timezone="America/New_York")
    assert times == ["2024-11-03 Sun 01:30", "2024-11-04 Mon 01:00", "2024-11-04 Mon 01:30"]


def test_in_the_second_of_two_equal_hours_the_next_time_is_behind_both() -> None:
    in_the_second = datetime(2024, 11, 3, 6, 45, tzinfo=UTC)
    assert firings("cron(0/10 1-2 * * ? *)", after=in_the_second, timezone="America/New_York", number=1) == [
        "2024-11-03 Sun 02:00"
    ]


def test_the_wall_clock_of_the_zone_counts() -> None:
    assert next_firing("cron(0 9 * * ? *)", created_at=START, timezone="Asia/Kolkata") == datetime(
        2024, 5, 2, 3, 30, tzinfo=UTC
    )


def test_a_rate_fires_at_once_and_then_counts_from_its_creation() -> None:
    created_at = START + timedelta(seconds=7, microseconds=5)
    first = next_firing("rate(90 minutes)", created_at=created_at)
    assert first == START + timedelta(seconds=7)
    assert next_firing("rate(90 minutes)", created_at=created_at, last=first) == first + timedelta(minutes=90)
    late = first + timedelta(minutes=200)
    assert next_firing("rate(90 minutes)", created_at=created_at, last=late) == first + timedelta(minutes=270)


@pytest.mark.parametrize(
    ("expression", "interval"),
    [
        ("rate(1 minute)", timedelta(minutes=1)),
        ("rate(5 minutes)", timedelta(minutes=5)),
        ("rate(1 hours)", timedelta(hours=1)),
        ("rate(2 day)", timedelta(days=2)),
    ],
)
def test_a_rate_has_minutes_hours_or_days(expression: str, interval: timedelta) -> None:
    assert next_firing(expression, created_at=START, last=START) == START + interval


def test_a_day_of_a_rate_is_24_hours_whatever_the_clock_does() -> None:
    before_the_change = datetime(2024, 3, 10, 6, 0, tzinfo=UTC)
    following = next_firing(
        "rate(1 day)", created_at=before_the_change, last=before_the_change, timezone="America/New_York"
    )
    assert following == before_the_change + timedelta(hours=24)


def test_at_fires_once_in_its_zone_however_long_ago() -> None:
    expression = "at(2024-05-01T08:00:00)"
    at = datetime(2024, 5, 1, 6, 0, tzinfo=UTC)
    assert next_firing(expression, created_at=START, timezone="Europe/Berlin") == at
    assert next_firing(expression, created_at=START, timezone="Europe/Berlin", last=at) is None


@given(
    minute=st.sampled_from(["*", "7", "0/13", "5-20", "59,0"]),
    hour=st.sampled_from(["*", "3", "*/5", "22-23"]),
    days=st.sampled_from([("*", "?"), ("L", "?"), ("?", "MON-FRI"), ("?", "5L"), ("15W", "?")]),
    month=st.sampled_from(["*", "2", "JUN-AUG"]),
    after=INSTANTS,
)
def test_the_next_firing_is_the_first_time_that_matches(
    minute: str, hour: str, days: tuple[str, str], month: str, after: datetime
) -> None:
    day_of_month, day_of_week = days
    expression = f"cron({minute} {hour} {day_of_month} {month} {day_of_week} *)"
    found = next_firing(expression, created_at=after)
    assert found is not None
    assert found > after
    cron = Cron.parse(expression[5:-1])
    assert matches(cron, found)
    # Nothing in the hours before it matches, nor at any hour of the days since.
    near = [found - timedelta(minutes=back) for back in range(1, 180)]
    far = [found - timedelta(minutes=back) for back in range(180, int((found - after).total_seconds()) // 60, 61)]
    assert not [time for time in near + far if time > after and matches(cron, time)]


def matches(cron: Cron, time: datetime) -> bool:
    return (
        time.minute in cron.minutes
        and time.hour in cron.hours
        and time.month in cron.months
        and time.year in cron.years
        and time.day in cron.days(time.year, time.month)
    )


@given(text=st.text(max_size=40))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    for expression in (text, f"cron({text})", f"rate({text})", f"at({text})"):
        with suppress(InvalidCommandError):
            next_firing(expression, created_at=START)


def test_the_time_is_written_into_the_key_alone() -> None:
    command = CreateRun(workflow_id="report", input={"at": "{time}"}, idempotency_key="{time}/{time}")
    recurrence = Recurrence(name="n", expression="rate(1 day)", command=command)
    sent = command_at(recurrence, datetime(2024, 5, 1, 11, 0, tzinfo=ZoneInfo("Europe/Berlin")))
    assert sent == command.model_copy(update={"idempotency_key": "2024-05-01T09:00:00Z/2024-05-01T09:00:00Z"})


def test_a_command_without_a_key_is_sent_as_it_is() -> None:
    command = ClaimPendingRuns(worker_id="{time}")
    assert command_at(Recurrence(name="n", expression="rate(1 day)", command=command), START) == command


def test_the_time_is_written_as_aws_writes_it() -> None:
    assert scheduled_time(datetime(2022, 3, 22, 18, 59, 43, tzinfo=UTC)) == "2022-03-22T18:59:43Z"
