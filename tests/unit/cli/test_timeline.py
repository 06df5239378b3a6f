"""A run on a line of time."""

from dataclasses import replace
from datetime import timedelta

from rich.console import Console

from workflow_engine.cli.timeline import Span, bar, timeline
from workflow_engine.kernel.queries.views import RunView, StageView
from workflow_engine.model.ids import RunId, StageId, WorkflowId
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import Head, StageKey, StageRecord
from workflow_engine.model.status import Status
from workflow_engine.testing.clock import START

RUN = RunId("a" * 26)
SPAN = Span(START, timedelta(seconds=10), 10)


def record(start: float, end: float, *, epoch: int = 0, status: Status = Status.COMPLETED) -> StageRecord:
    return StageRecord(
        run_id=RUN,
        key=StageKey(0, StageId("work"), epoch),
        status=status,
        attempt=epoch + 1,
        started_at=START + timedelta(seconds=start),
        finished_at=START + timedelta(seconds=end),
        by="",
        expires_at=START,
        error=ErrorInfo("ValueError", "no") if status is Status.FAILED else None,
    )


def stage(*records: StageRecord) -> StageView:
    return StageView(
        group=0,
        ordinal=0,
        stage_id="work",
        status=Status.COMPLETED,
        attempts=records,
        counted=records[-1] if records else None,
    )


def drawn(*records: StageRecord, end: float) -> str:
    return bar(stage(*records), records, START + timedelta(seconds=end), SPAN).plain


def test_an_attempt_is_a_line_from_its_beginning_to_its_end() -> None:
    assert drawn(record(2, 5), end=5) == "  ━━━     "


def test_what_took_no_time_is_seen() -> None:
    assert drawn(record(10, 10), end=10) == "         ━"


def test_between_attempts_a_stage_waits() -> None:
    assert drawn(record(0, 2, status=Status.FAILED), record(6, 8, epoch=1), end=8) == "━━┄┄┄┄━━  "


def test_a_failed_attempt_is_told_from_the_one_that_counts() -> None:
    records = (record(0, 2, status=Status.FAILED), record(6, 8, epoch=1))
    styles = {span.style for span in bar(stage(*records), records, START + timedelta(seconds=8), SPAN).spans}

    assert {"red", "green", "yellow"} <= styles


def test_a_run_that_took_no_time_can_be_drawn() -> None:
    nothing = Span(START, timedelta(0), 10)

    assert bar(stage(record(0, 0)), (record(0, 0),), START, nothing).plain == "━" + " " * 9


def test_every_stage_has_a_row_also_one_that_has_not_begun() -> None:
    head = Head(RUN, WorkflowId("flow"), "f", Status.RUNNING, START, START, START, "")
    waiting = replace(stage(), stage_id="later", status=Status.PENDING)
    table = timeline(RunView(head, (stage(record(1, 4)), waiting), None), START + timedelta(seconds=10), line_width=100)
    console = Console(width=100, record=True)
    with console.capture() as captured:
        console.print(table)
    _, first, second = captured.get().splitlines()

    assert first.split()[:7] == ["work", "✓", "COMPLETED", "1", "+1.0", "s", "3.0"]
    assert second.split() == ["later", "·", "PENDING"]
