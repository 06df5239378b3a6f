"""Reads runs for ``list``, ``show``, ``events`` and ``logs``, and shows them."""

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from workflow_engine.cli.display import failure_text, result_title
from workflow_engine.cli.graphs import text_graph
from workflow_engine.cli.option_values import took
from workflow_engine.cli.output import (
    SHORT_TEXT,
    Json,
    clock_time,
    complain,
    console,
    is_cut,
    json_text,
    print_json,
    print_table,
    show,
)
from workflow_engine.cli.run_filters import RunFilter, runs
from workflow_engine.cli.timeline import standing_text, timeline
from workflow_engine.kernel import Kernel
from workflow_engine.kernel.queries.documents import (
    Shown,
    input_document,
    moment,
    run_document,
    summary_document,
    waiting_since,
)
from workflow_engine.kernel.queries.views import RunView, StageView
from workflow_engine.local.errors import one_line
from workflow_engine.model.json_values import to_json
from workflow_engine.model.runs import EntryState, Head, LogLine, WaitKind
from workflow_engine.model.status import Status

FOLLOW_EVERY = timedelta(milliseconds=500)
LEVEL_STYLES = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}


def show_list(kernel: Kernel, wanted: RunFilter, limit: int, *, as_json: bool) -> None:
    """Print the newest *limit* runs that are wanted."""
    heads = list(islice(runs(kernel, wanted), limit + 1))
    more = len(heads) > limit
    if as_json:
        print_json({"runs": [summary_document(head) for head in heads[:limit]], "more": more})
        return
    now = kernel.clock.now()
    print_table(
        ("run", "workflow", "status", "created", "took", "error"),
        [_list_row(head, now, cut=is_cut(console(sys.stdout))) for head in heads[:limit]],
        empty="no such runs",
        whole=("run",),
    )
    if more:
        complain(f"there are more than {limit} (--limit)", style="dim")


def _list_row(head: Head, now: datetime, *, cut: bool) -> tuple[str | Text, ...]:
    error = head.failure.error if head.failure else None
    said = "" if error is None else one_line(f"{error.type}: {error.message}")
    return (
        head.run_id,
        head.workflow_id,
        standing_text(head),
        clock_time(head.created_at),
        took((head.ended_at or now) - head.created_at),
        said[:SHORT_TEXT] if cut else said,
    )


def show_run(kernel: Kernel, run_id: str, *, with_input: bool, as_json: bool) -> None:
    """Print one run, with all that is known of it."""
    shown = Shown.of(kernel, run_id)
    head = shown.view.head
    started_with = input_document(kernel, head)
    if as_json:
        print_json({**run_document(shown), **started_with})
        return
    out = console(sys.stdout)
    show(out, result_title(head.workflow_id, head), *_facts(shown, started_with))
    show(out, Text(), text_graph(shown.view), Text())
    show(out, timeline(shown.view, head.ended_at or kernel.clock.now(), line_width=out.width))
    show(out, *(part for stage in shown.view.stages for part in _steps(stage)))
    show(out, *(part for stage in shown.view.stages for part in _troubles(stage)))
    if with_input:
        show(out, Text("\ninput", style="bold"), Json(started_with.get("input")))
    if head.status is Status.COMPLETED:
        show(out, Text("\noutput", style="bold"), Json(shown.output))


def _facts(shown: Shown, started_with: Mapping[str, Any]) -> Iterator[RenderableType]:
    head = shown.view.head
    if (failure := failure_text(head)) is not None:
        yield failure
    if head.reason:
        yield Text(f"reason: {head.reason}")
    yield Text(f"created {clock_time(head.created_at)}, priority {head.priority}", style="dim")
    if attributes := started_with.get("attributes"):
        yield Text(f"attributes: {to_json(attributes).decode()}", style="dim")
    if head.untold:
        yield Text(f"{head.untold} events are not published yet", style="yellow")
    yield from _closing(shown.view)
    for stage in shown.view.stages:
        if (said := waiting_text(shown.view, stage)) is not None:
            yield Text(said, style="yellow")


def _closing(view: RunView) -> Iterator[RenderableType]:
    """What of the run is undone, or could not be."""
    closing = view.head.closing
    if closing is None:
        return
    if view.head.is_closing:
        until = clock_time(closing.until)
        yield Text(f"it is {closing.status.value} once what it did is undone, at {until} at the latest", style="yellow")
    failed = [stage.stage_id for stage in view.stages if stage.undo is not None and stage.undo.status is Status.FAILED]
    if failed:
        said = f"not undone: {', '.join(failed)} (workflow-engine undo {view.head.run_id} tries again)"
        yield Text(said, style="red")


def waiting_text(view: RunView, stage: StageView) -> str | None:
    """What a stage waits for, in words, since when and until when."""
    entry = stage.entry
    if entry is None or entry.state is not EntryState.WAITING or entry.wait is None or entry.until is None:
        return None
    since, until = clock_time(waiting_since(view, stage)), clock_time(entry.until)
    if entry.wait is WaitKind.SLEEP:
        return f"{stage.stage_id} sleeps ({entry.step}) since {since}, until {until}"
    if entry.wait is WaitKind.SIGNAL:
        return f"{stage.stage_id} waits for signal {entry.signal} since {since}, until {until} at the latest"
    if entry.wait is WaitKind.POLL:
        gives_up = clock_time(entry.give_up_at or view.head.deadline)
        return f"{stage.stage_id} waits since {since}; the next check is at {until}, and it gives up at {gives_up}"
    return f"{stage.stage_id} waits since {since} until {until} ({entry.wait.name.lower()})"


MOST_STEPS = 30


def _steps(stage: StageView) -> Iterator[RenderableType]:
    """The steps of a stage, the last ones where they are many."""
    if not stage.steps:
        return
    yield Text(f"\n{stage.stage_id}: {len(stage.steps)} steps", style="bold")
    for step in stage.steps[-MOST_STEPS:]:
        tries = f", {step.tries} tries" if step.tries > 1 else ""
        said = f"  {clock_time(step.finished_at)}  {step.name} ({took(step.finished_at - step.started_at)}{tries})"
        if step.error is None:
            yield Text(one_line(said))
        else:
            yield Text(one_line(f"{said}  {step.error.type}: {step.error.message}"), style="yellow")


def _troubles(stage: StageView) -> Iterator[RenderableType]:
    for record in (*stage.attempts, *(stage.undo.attempts if stage.undo is not None else ())):
        if record.error is not None:
            what = f"{stage.stage_id}, {'undo, ' if record.key.part else ''}attempt {record.attempt}"
            title = f"\n{what}: {record.error.type}: {record.error.message}"
            yield Text(title, style="red")
            if record.error.trace:
                yield Text(record.error.trace.rstrip(), style="dim")


def show_events(kernel: Kernel, run_id: str, *, as_json: bool) -> None:
    """Print what happened to a run. Published events are told by the records that they left; those
    that are not published yet have their sequence."""
    events = kernel.queries.events(run_id)
    if as_json:
        print_json(
            [
                {"at": moment(one.at), "type": one.type, **dict(one.facts), "untold_sequence": one.sequence}
                for one in events
            ]
        )
        return
    rows = [
        (
            clock_time(one.at),
            one.type,
            ", ".join(f"{name}={value}" for name, value in one.facts.items() if value is not None),
            "" if one.sequence is None else Text(f"not published yet: {one.sequence}", style="yellow"),
        )
        for one in events
    ]
    print_table(("at", "event", "", ""), rows, empty="nothing yet")


@dataclass(slots=True, kw_only=True)
class LogReader:
    """Prints the log lines of a run, each once, however often it looks."""

    kernel: Kernel
    run_id: str
    stage_id: str | None
    all_attempts: bool
    as_json: bool
    _printed: set[tuple[Any, ...]] = field(default_factory=set)

    def look(self) -> list[LogLine]:
        """The lines that were not there the last time."""
        found = self.kernel.queries.logs(self.run_id, stage_id=self.stage_id, all_attempts=self.all_attempts)
        fresh = [line for line in found if (line.key, line.index) not in self._printed]
        self._printed |= {(line.key, line.index) for line in fresh}
        return fresh

    def print(self, lines: Sequence[LogLine]) -> None:
        """Print lines: for programs one JSON document a line."""
        out = console(sys.stdout)
        for line in lines:
            if self.as_json:
                print(json_text(_log_document(line), sys.stdout, indent=None))
                continue
            fields = " ".join(f"{name}={value}" for name, value in line.fields.items())
            text = Text.assemble(
                (f"{line.at.astimezone():%H:%M:%S.%f}"[:12], "dim"),
                "  ",
                (f"{line.key.stage_id}#{line.attempt}", "cyan"),
                "  ",
                (line.level, LEVEL_STYLES.get(line.level, "")),
                f"  {line.message}  ",
                (fields, "dim"),
            )
            out.print(text, soft_wrap=True)

    def follow(self, stop: threading.Event) -> None:
        """Print lines as they are stored (at the end of each attempt), until the run is over."""
        version = 0
        while True:
            head = self.kernel.queries.head(self.run_id)
            if head.version != version:
                # An attempt's lines are stored before the commit that says what came of it.
                self.print(self.look())
                version = head.version
            if head.status.is_terminal or stop.wait(FOLLOW_EVERY.total_seconds()):
                return


def _log_document(line: LogLine) -> dict[str, Any]:
    return {
        "at": moment(line.at),
        "stage_id": line.key.stage_id,
        "attempt": line.attempt,
        "level": line.level,
        "message": line.message,
        "fields": dict(line.fields),
    }
