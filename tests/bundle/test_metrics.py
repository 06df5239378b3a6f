"""What the functions count, as CloudWatch reads it out of their logs: apart by stack, and nothing while nothing happens."""

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.bundle.flows import RecordedStack, recorded_stack

Written = set[tuple[str, str, tuple[tuple[str, str], ...]]]


@pytest.fixture
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def stack(printed: io.StringIO) -> Iterator[RecordedStack]:
    with recorded_stack(copy_to=printed) as stack:
        yield stack


def written(printed: io.StringIO) -> Written:
    """Namespace, name and dimensions of each metric that was written (CloudWatch user guide, "Embedded metric format")."""
    found: Written = set()
    for line in map(json.loads, printed.getvalue().splitlines()):
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            for names in directive["Dimensions"]:
                dimensions = tuple((name, line[name]) for name in names)
                found |= {(directive["Namespace"], metric["Name"], dimensions) for metric in directive["Metrics"]}
    return found


def watched(stack: RecordedStack) -> dict[str, tuple[str, str, tuple[tuple[str, str], ...]]]:
    """The same of each alarm."""
    alarms: dict[str, Any] = {
        one.logical_id: one.properties for one in stack.aws.template.resources({"AWS::CloudWatch::Alarm"})
    }
    return {
        name: (
            alarm["Namespace"],
            alarm["MetricName"],
            tuple((dimension["Name"], dimension["Value"]) for dimension in alarm["Dimensions"]),
        )
        for name, alarm in alarms.items()
    }


def test_an_alarm_watches_the_metrics_of_its_own_stack(stack: RecordedStack, printed: io.StringIO) -> None:
    stack.recorder.refuse_events = True
    stack.create("chatty")
    for _ in range(7):
        stack.tick()
    said = written(printed)
    names = {name for _, name, _ in said}
    own = {alarm: metric for alarm, metric in watched(stack).items() if metric[1] in names}

    assert {"UntoldEventAlarm", "DeadEventAlarm", "TickBacklogAlarm"} <= own.keys()
    assert set(own.values()) <= said
    assert {dimensions for _, _, dimensions in said} == {(("service", stack.aws.template.place.stack_name),)}


def test_an_idle_stack_writes_no_metric(stack: RecordedStack, printed: io.StringIO) -> None:
    """A custom metric is billed for each hour in which it is sent (CloudWatch, pricing), and the tick runs in every hour."""
    for _ in range(3):
        stack.tick(after=timedelta(minutes=1))

    assert sum('"tick"' in line for line in printed.getvalue().splitlines()) == 3
    assert written(printed) == set()


def test_a_tick_that_looks_at_a_run_says_how_it_went(stack: RecordedStack, printed: io.StringIO) -> None:
    stack.create("approval")
    before = written(printed)
    stack.tick(after=timedelta(hours=2))

    names = {name for _, name, _ in written(printed) - before}
    assert names >= {"TickDuration", "TickBacklog", "OldestUntoldEventAge"}
