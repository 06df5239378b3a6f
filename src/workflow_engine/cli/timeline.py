"""A run's stages on a line of time, to be read at a glance."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.table import Table
from rich.text import Text

from workflow_engine.cli.option_values import took
from workflow_engine.cli.output import PIPE_WIDTH
from workflow_engine.kernel.queries.documents import waiting_since
from workflow_engine.kernel.queries.views import RunView, StageView, UndoView
from workflow_engine.model.runs import EntryState, Head, StageRecord
from workflow_engine.model.status import LIVE, Status

# What the other columns take of a line, at the most.
OTHER_COLUMNS, NARROWEST_BAR, WIDEST_BAR = 72, 12, 48
STYLES = {
    Status.PENDING: "dim",
    Status.RUNNING: "cyan",
    Status.SUSPENDED: "yellow",
    Status.COMPLETED: "green",
    Status.FAILED: "red",
    Status.CANCELLED: "magenta",
    Status.SKIPPED: "dim",
}
MARKS = {
    Status.PENDING: "·",
    Status.RUNNING: "▶",
    Status.SUSPENDED: "⏸",
    Status.COMPLETED: "✓",
    Status.FAILED: "✗",
    Status.CANCELLED: "⊘",
    Status.SKIPPED: "-",
}
UNDOING = "↺"
WORTH_SAYING = timedelta(milliseconds=10)
_WORK, _WAIT, _NOTHING = "━", "┄", " "


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a bar of *width* columns stands for: from *start*, *length* long."""

    start: datetime
    length: timedelta
    width: int

    def column(self, at: datetime) -> int:
        """The column of an instant, 0 to ``width``."""
        share = (at - self.start) / self.length if self.length else 0.0
        return min(max(round(share * self.width), 0), self.width)

    def columns(self, start: datetime, end: datetime) -> range:
        """The columns of a stretch of time; at least one, so that what took no time is seen as well."""
        first = min(self.column(start), self.width - 1)
        return range(first, max(self.column(end), first + 1))


def timeline(view: RunView, now: datetime, *, line_width: int) -> Table:
    """A row a stage: how it stands, how often it was tried, when it began and how long it took."""
    head = view.head
    bar_width = min(max(line_width - OTHER_COLUMNS, NARROWEST_BAR), WIDEST_BAR)
    span = Span(head.created_at, (head.ended_at or now) - head.created_at, bar_width)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("stage", max_width=None if line_width >= PIPE_WIDTH else 24, overflow="ellipsis", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for heading in ("tries", "began", "worked", "waited"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(took(span.length), no_wrap=True)
    for stage in view.stages:
        table.add_row(*_row(view, stage, span))
    for stage in reversed(view.stages):
        if stage.undo is not None:
            table.add_row(*_undo_row(stage, stage.undo, span))
    return table


def _undo_row(stage: StageView, undo: UndoView, span: Span) -> tuple[str | Text, ...]:
    """How far a stage is undone: what was undone first stands first."""
    name, tries = f"{UNDOING} {stage.stage_id}", str(max((record.attempt for record in undo.attempts), default=""))
    if not undo.attempts:
        return (name, status_text(undo.status), "", "", "", "", "")
    worked = sum((record.finished_at - record.started_at for record in undo.attempts), timedelta(0))
    first, end = undo.attempts[0].started_at, undo.attempts[-1].finished_at
    waited = max(end - first - worked, timedelta(0))
    return (
        name,
        status_text(undo.status),
        tries,
        f"+{took(first - span.start)}",
        took(worked),
        took(waited) if waited >= WORTH_SAYING else "",
        bar(stage, undo.attempts, end, span),
    )


def standing_text(head: Head) -> Text:
    """How a run stands: its status, or how it will end once what it did is undone."""
    if not head.is_closing or head.closing is None:
        return status_text(head.status)
    return Text(f"{UNDOING} {head.closing.status.value} (undoing)", style=STYLES[head.closing.status])


def status_text(status: Status) -> Text:
    """A status with its mark and colour."""
    return Text(f"{MARKS[status]} {status.value}", style=STYLES[status])


def _row(view: RunView, stage: StageView, span: Span) -> tuple[str | Text, ...]:
    records = sorted(stage.attempts, key=lambda record: record.started_at)
    is_waiting = stage.entry is not None and stage.entry.state is EntryState.WAITING
    if not records and not is_waiting:
        return (stage.stage_id, status_text(stage.status), "", "", "", "", "")
    worked = sum((record.finished_at - record.started_at for record in records), timedelta(0))
    first = records[0].started_at if records else waiting_since(view, stage)
    end = records[-1].finished_at if records and stage.status not in LIVE else span.start + span.length
    waited = max(end - first - worked, timedelta(0))
    return (
        stage.stage_id,
        status_text(stage.status),
        str(max((record.attempt for record in records), default="")),
        f"+{took(first - span.start)}",
        took(worked) if records else "",
        took(waited) if waited >= WORTH_SAYING else "",
        bar(stage, records, end, span, start=first),
    )


def bar(
    stage: StageView, records: Sequence[StageRecord], end: datetime, span: Span, *, start: datetime | None = None
) -> Text:
    """The stage's time: a thick line while an attempt worked (red where it failed), a dotted one
    between attempts, and from *start* where there was none."""
    cells = [(_NOTHING, "")] * span.width
    for column in span.columns(start or records[0].started_at, end):
        cells[column] = (_WAIT, "yellow")
    for record in records:
        style = "red" if record.status is Status.FAILED else "green" if record == stage.counted else "cyan"
        for column in span.columns(record.started_at, record.finished_at):
            cells[column] = (_WORK, style)
    return Text.assemble(*cells)
