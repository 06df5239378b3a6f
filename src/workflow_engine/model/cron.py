"""The cron dialect of EventBridge Scheduler: ``minutes hours day-of-month month day-of-week year``.

As "Schedule types on EventBridge Scheduler" of its user guide says; what that page does not name
(``LW``, ``L-3``, ranges that wrap) is refused. Wall-clock times only: zones belong to ``recurrence``.
"""

import calendar
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

FIRST_YEAR, LAST_YEAR = 1970, 2199
_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
WEEKDAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
SATURDAY = 7

_STEPPED = re.compile(r"(?P<range>[^/]+)/(?P<step>\d{1,4})", re.ASCII)
_NEAREST_WEEKDAY = re.compile(r"(\d{1,2})W", re.ASCII)
_LAST_WEEKDAY = re.compile(r"([A-Z]{3}|\d)L", re.ASCII)
_NTH_WEEKDAY = re.compile(r"([A-Z]{3}|\d)#(\d)", re.ASCII)

Days = Callable[[int, int], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Cron:
    """When a cron expression fires. *days* answers the days of a year's month, ascending."""

    minutes: Sequence[int]
    hours: Sequence[int]
    days: Days
    months: Sequence[int]
    years: Sequence[int]

    @classmethod
    def parse(cls, fields: str) -> "Cron":
        """The meaning of the six *fields*.

        Raises:
            ValueError: the service would not take them; the message says why.
        """
        parts = fields.upper().split()
        if len(parts) != 6:
            raise ValueError(f"cron takes 6 fields, not {len(parts)}: {fields!r}")
        minute, hour, day_of_month, month, day_of_week, year = parts
        return cls(
            minutes=_values("minutes", minute, 0, 59),
            hours=_values("hours", hour, 0, 23),
            days=_days(day_of_month, day_of_week),
            months=_values("month", month, 1, 12, names=MONTHS),
            years=_values("year", year, FIRST_YEAR, LAST_YEAR),
        )

    def wall_times(self, start: datetime) -> Iterator[datetime]:
        """The times at which it fires from *start* on, ascending; all naive."""
        for day in self._dates(start.date()):
            for hour in self.hours:
                for minute in self.minutes:
                    time = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 - a wall clock
                    if time >= start:
                        yield time

    def _dates(self, start: date) -> Iterator[date]:
        for year in self.years:
            for month in self.months:
                if (year, month) >= (start.year, start.month):
                    days = (date(year, month, day) for day in self.days(year, month))
                    yield from (day for day in days if day >= start)


def _days(day_of_month: str, day_of_week: str) -> Days:
    if (day_of_month == "?") == (day_of_week == "?"):
        raise ValueError("exactly one of day-of-month and day-of-week is '?'")
    if day_of_week == "?":
        return _days_of_month(day_of_month)
    return _days_of_week(day_of_week)


def _days_of_month(field: str) -> Days:
    if field == "L":
        return lambda year, month: [_length(year, month)]
    if match := _NEAREST_WEEKDAY.fullmatch(field):
        wanted = _number("day-of-month", match[1], 1, 31)
        return lambda year, month: _nearest_weekday(year, month, wanted)
    values = _values("day-of-month", field, 1, 31)
    return lambda year, month: [day for day in values if day <= _length(year, month)]


def _days_of_week(field: str) -> Days:
    if field == "L":
        field = str(SATURDAY)
    if match := _LAST_WEEKDAY.fullmatch(field):
        last = _number("day-of-week", match[1], 1, 7, names=WEEKDAYS)
        return lambda year, month: _on_weekdays(year, month, [last])[-1:]
    if match := _NTH_WEEKDAY.fullmatch(field):
        weekday, nth = _number("day-of-week", match[1], 1, 7, names=WEEKDAYS), _number("#", match[2], 1, 5)
        return lambda year, month: _on_weekdays(year, month, [weekday])[nth - 1 : nth]
    if "/" in field:
        raise ValueError("day-of-week takes no '/'")
    values = _values("day-of-week", field, 1, 7, names=WEEKDAYS)
    return lambda year, month: _on_weekdays(year, month, values)


def _length(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


def _weekday(year: int, month: int, day: int) -> int:
    """1 is Sunday, 7 is Saturday."""
    return date(year, month, day).isoweekday() % 7 + 1


def _on_weekdays(year: int, month: int, weekdays: Sequence[int]) -> list[int]:
    days = range(1, _length(year, month) + 1)
    return [day for day in days if _weekday(year, month, day) in weekdays]


def _nearest_weekday(year: int, month: int, wanted: int) -> list[int]:
    """The weekday nearest to *wanted* in the same month; none where the month has no such day."""
    length = _length(year, month)
    if wanted > length:
        return []
    # The day itself, then its neighbours; two days off where a neighbour lies in another month.
    near = [wanted + offset for offset in (0, -1, 1, 2, -2) if 1 <= wanted + offset <= length]
    return [next(day for day in near if 2 <= _weekday(year, month, day) <= 6)]


def _values(
    what: str, field: str, lowest: int, highest: int, *, names: Mapping[str, int] | None = None
) -> Sequence[int]:
    found: set[int] = set()
    for term in field.split(","):
        found.update(_term(what, term, lowest, highest, names=names or {}))
    return sorted(found)


def _term(what: str, term: str, lowest: int, highest: int, *, names: Mapping[str, int]) -> range:
    step = 1
    if stepped := _STEPPED.fullmatch(term):
        term, step = stepped["range"], int(stepped["step"])
        if step == 0:
            raise ValueError(f"{what}: a step of 0")
    if term == "*":
        return range(lowest, highest + 1, step)
    first, dash, last = term.partition("-")
    start = _number(what, first, lowest, highest, names=names)
    end = _number(what, last, lowest, highest, names=names) if dash else highest if stepped else start
    if end < start:
        raise ValueError(f"{what}: {term} runs backwards")
    return range(start, end + 1, step)


def _number(what: str, text: str, lowest: int, highest: int, *, names: Mapping[str, int] | None = None) -> int:
    number = (names or {}).get(text)
    if number is None and text.isascii() and text.isdigit() and len(text) <= 4:
        number = int(text)
    if number is None or not lowest <= number <= highest:
        raise ValueError(f"{what}: {text!r} is not within {lowest} to {highest}")
    return number
