"""Reads who waits for what, for ``waiting``, and shows it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from workflow_engine.cli.output import clock_time, complain, print_json, print_table
from workflow_engine.errors import RunNotFoundError
from workflow_engine.kernel import Kernel
from workflow_engine.kernel.queries.documents import waiting_document, waiting_since
from workflow_engine.kernel.queries.views import RunView, StageView
from workflow_engine.local.errors import printable
from workflow_engine.model.runs import EntryState, Head, WaitKind

_SAID: Final[Mapping[WaitKind, str]] = {
    WaitKind.START: "start",
    WaitKind.RETRY: "retry",
    WaitKind.POLL: "check",
    WaitKind.SIGNAL: "signal",
    WaitKind.SLEEP: "sleep",
    WaitKind.CONTINUES: "next invocation",
}


@dataclass(slots=True)
class Waits:
    """The stages that wait, of live runs of *workflow_id* (``None``: of all workflows).

    Live runs are read by pages of the due index, which has no other. Of a run that waits its records
    are read, too, for they say since when. *read* counts the live runs that were looked at.
    """

    kernel: Kernel
    workflow_id: str | None = None
    read: int = 0

    def __iter__(self) -> Iterator[tuple[RunView, StageView]]:
        for head in self.kernel.queries.live():
            self.read += 1
            if self.workflow_id in (None, head.workflow_id) and _waits(head):
                yield from self._of(head)

    def _of(self, head: Head) -> Iterator[tuple[RunView, StageView]]:
        try:
            view = self.kernel.queries.run(head.run_id)
        except RunNotFoundError:
            # It went while the page was read.
            return
        yield from ((view, stage) for stage in view.stages if waiting_document(view, stage) is not None)


def show_waiting(kernel: Kernel, workflow_id: str | None, limit: int, *, as_json: bool) -> None:
    """Print up to *limit* stages that wait; of these, those that wait longest first."""
    waits, found, more = Waits(kernel, workflow_id), list[tuple[RunView, StageView]](), False
    for one in waits:
        if len(found) == limit:
            more = True
            break
        found.append(one)
    found.sort(key=lambda one: waiting_since(*one))
    if as_json:
        print_json({"waiting": [_document(*one) for one in found], "live_runs_read": waits.read, "more": more})
        return
    print_table(
        ("run", "workflow", "stage", "waits for", "since", "until"),
        [_row(*one) for one in found],
        empty="nothing waits",
        whole=("run",),
    )
    said = f"read {waits.read} live runs"
    complain(f"{said}; there are more that wait than {limit} (--limit)" if more else said, style="dim")


def _waits(head: Head) -> bool:
    return not head.status.is_terminal and any(entry.state is EntryState.WAITING for entry in head.active)


def _document(view: RunView, stage: StageView) -> dict[str, Any]:
    return {
        "run_id": view.head.run_id,
        "workflow_id": view.head.workflow_id,
        "stage_id": stage.stage_id,
        **(waiting_document(view, stage) or {}),
    }


def _row(view: RunView, stage: StageView) -> tuple[str, ...]:
    entry = stage.entry
    until = None if entry is None else entry.until
    return (
        view.head.run_id,
        printable(view.head.workflow_id),
        printable(stage.stage_id),
        _waited_for(stage),
        clock_time(waiting_since(view, stage)),
        clock_time(until),
    )


def _waited_for(stage: StageView) -> str:
    entry = stage.entry
    if entry is None or entry.wait is None:
        return ""
    if entry.wait is WaitKind.SIGNAL:
        return f"signal {printable(entry.signal or '')}"
    said = _SAID[entry.wait]
    return said if entry.step is None else f"{said} ({printable(entry.step)})"
