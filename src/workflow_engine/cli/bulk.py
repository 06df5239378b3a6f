"""Cancels many runs, chosen by a filter, and says what became of it."""

import sys
from dataclasses import dataclass
from itertools import islice
from typing import Any

from workflow_engine.adapters.system import RandomIds
from workflow_engine.cli import option_values
from workflow_engine.cli.errors import BAD_USAGE, COMPLETED
from workflow_engine.cli.interrupts import Interrupted
from workflow_engine.cli.output import complain, console, print_json, say
from workflow_engine.cli.run_actions import at_rate
from workflow_engine.cli.run_filters import RunFilter, runs
from workflow_engine.errors import WorkflowEngineError
from workflow_engine.kernel import Kernel
from workflow_engine.kernel.queries.documents import refusal_document, summary_document
from workflow_engine.local.errors import InvalidOptionError, one_line
from workflow_engine.model.commands import CancelRun
from workflow_engine.model.runs import Head
from workflow_engine.model.status import LIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkCancel:
    """Many runs to end: at most *limit*, and *rate* a second. With *confirm* somebody at a terminal is asked
    before the first."""

    wanted: RunFilter
    reason: str | None
    limit: int
    rate: float
    key: str | None
    dry_run: bool
    confirm: bool


def cancel_many(kernel: Kernel, bulk: BulkCancel, *, as_json: bool) -> int:
    """End all wanted runs that are alive, one after another; answers the exit code.

    Each is cancelled under a key made of the bulk's and its id: done again with the same key, it has no
    second effect, even on a run that goes again by then. One that cannot be cancelled holds up none.

    Raises:
        InvalidOptionError: runs that are over are wanted.
        Interrupted: somebody has pressed Ctrl-C; it says how to go on.
    """
    if bulk.wanted.status is not None and bulk.wanted.status not in LIVE:
        raise InvalidOptionError(option="--status", problem="only runs that are not over can be cancelled")
    alive = (head for head in runs(kernel, bulk.wanted) if head.status in LIVE)
    heads = list(islice(alive, bulk.limit))
    if bulk.dry_run:
        _say_which(heads, as_json=as_json)
        return COMPLETED
    if not heads or (bulk.confirm and not _is_meant(len(heads))):
        _say_what(bulk.key, [], [], as_json=as_json)
        return COMPLETED
    return _cancel(kernel, heads, bulk, as_json=as_json)


def _cancel(kernel: Kernel, heads: list[Head], bulk: BulkCancel, *, as_json: bool) -> int:
    from rich.progress import track

    key = bulk.key or f"cancel-{RandomIds().new_id()}"
    done: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    shown = console(sys.stderr)
    if not as_json:
        complain(f"if this is interrupted, go on with --key {key}", style="dim")
    try:
        for head in track(
            at_rate(heads, bulk.rate),
            "cancelling",
            total=len(heads),
            console=shown,
            transient=True,
            disable=as_json or not shown.is_terminal,
        ):
            command = option_values.valid(
                CancelRun, run_id=head.run_id, reason=bulk.reason, idempotency_key=f"{key}:{head.run_id}"
            )
            try:
                result = kernel.dispatch(command)
                done.append({"run_id": head.run_id, "cancelled": result.cancelled})
            except WorkflowEngineError as error:
                if error.retryable:
                    complain(f"{_so_far(done, heads)}; go on with --key {key}", style="dim")
                    raise
                refused.append(refusal_document(head.run_id, error))
    except KeyboardInterrupt as error:
        raise Interrupted(f"{_so_far(done, heads)}; the same command with --key {key} goes on") from error
    _say_what(key, done, refused, as_json=as_json)
    return BAD_USAGE if refused else COMPLETED


def _so_far(done: list[dict[str, Any]], heads: list[Head]) -> str:
    return f"{len(done)} of {len(heads)} runs are done"


def _is_meant(count: int) -> bool:
    import typer

    try:
        return typer.confirm(f"cancel {count} runs?", err=True)
    except typer.Abort as error:  # Ctrl-C, or nobody there to answer
        raise Interrupted("nothing was cancelled") from error


def _say_which(heads: list[Head], *, as_json: bool) -> None:
    if as_json:
        print_json({"runs": [summary_document(head) for head in heads]})
        return
    for head in heads:
        say(f"{head.run_id}  {head.status.value}")
    say(f"{len(heads)} runs would be cancelled")


def _say_what(key: str | None, done: list[dict[str, Any]], refused: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json({"key": key, "runs": done, "refused": refused})
        return
    for one in refused:
        complain(f"{one['source']}: {one['error']}: {one_line(one['message'])}")
    cancelled = sum(one["cancelled"] for one in done)
    say(f"{cancelled} runs are cancelled, {len(done) - cancelled} were over already, {len(refused)} cannot be")
