"""Cancels or reruns many runs, chosen by a filter: at a rate, each once under a key, and says what became of them."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from workflow_engine.adapters.system import RandomIds
from workflow_engine.cli import option_values
from workflow_engine.cli.errors import BAD_USAGE, COMPLETED
from workflow_engine.cli.interrupts import Interrupted
from workflow_engine.cli.output import complain, console, print_json, say
from workflow_engine.cli.run_actions import HowAgain, send_rerun
from workflow_engine.cli.run_filters import RunFilter, runs
from workflow_engine.errors import WorkflowEngineError
from workflow_engine.kernel import Kernel
from workflow_engine.kernel.queries.documents import refusal_document, summary_document
from workflow_engine.local.errors import InvalidOptionError, one_line
from workflow_engine.model.commands import CancelRun
from workflow_engine.model.results import dump_result
from workflow_engine.model.runs import Head
from workflow_engine.model.status import LIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """Many runs: at most *limit*, and *rate* a second. Each is acted on under a key made of *key* and its id: done
    again with the same key, that has no second effect. With *confirm* somebody at a terminal is asked first."""

    wanted: RunFilter
    limit: int
    rate: float
    key: str | None
    dry_run: bool
    confirm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Action:
    """What is done to each: *act* takes a head and a key, and answers a document of those listed under *name*. *said*
    sums them up; the others are words for people."""

    act: Callable[[Head, str], dict[str, Any]]
    name: str
    verb: str
    would: str
    said: Callable[[Sequence[dict[str, Any]]], str]


def cancel_many(kernel: Kernel, bulk: Bulk, reason: str | None, *, as_json: bool, undo: bool = True) -> int:
    """End all wanted runs that are alive, one after another; answers the exit code. One that goes again by the time
    of a repeat with the same key is left alone, and one that cannot be cancelled holds up none.

    Raises:
        InvalidOptionError: runs that are over are wanted.
        Interrupted: somebody has pressed Ctrl-C; it says how to go on.
    """
    if bulk.wanted.status is not None and bulk.wanted.status not in LIVE:
        raise InvalidOptionError(option="--status", problem="only runs that are not over can be cancelled")

    def act(head: Head, key: str) -> dict[str, Any]:
        command = option_values.valid(CancelRun, run_id=head.run_id, reason=reason, undo=undo, idempotency_key=key)
        return {"run_id": head.run_id, "cancelled": kernel.dispatch(command).cancelled}

    def said(done: Sequence[dict[str, Any]]) -> str:
        cancelled = sum(one["cancelled"] for one in done)
        return f"{cancelled} runs are cancelled, {len(done) - cancelled} were over already"

    alive = (head for head in runs(kernel, bulk.wanted) if head.status in LIVE)
    action = _Action(act=act, name="runs", verb="cancel", would="would be cancelled", said=said)
    return _carry_out(list(islice(alive, bulk.limit)), bulk, action, as_json=as_json)


def rerun_many(kernel: Kernel, bulk: Bulk, how: HowAgain, *, as_json: bool) -> int:
    """Let all wanted runs go again, one after another; answers the exit code. One that cannot (the workflow changed,
    its outputs expired) is reported and holds up none.

    Raises:
        InvalidOptionError: live runs are wanted.
        Interrupted: somebody has pressed Ctrl-C; it says how to go on.
    """
    if bulk.wanted.status in LIVE:
        raise InvalidOptionError(option="--status", problem="only finished runs can go again")

    def act(head: Head, key: str) -> dict[str, Any]:
        return dump_result(send_rerun(kernel, head, how, key=key))

    def said(done: Sequence[dict[str, Any]]) -> str:
        return f"{len(done)} runs go again"

    # All are read before the first is sent: a run that goes again is not FAILED any more.
    heads = list(islice(runs(kernel, bulk.wanted), bulk.limit))
    action = _Action(act=act, name="rerun", verb="rerun", would="would go again", said=said)
    return _carry_out(heads, bulk, action, as_json=as_json)


def _carry_out(heads: list[Head], bulk: Bulk, action: _Action, *, as_json: bool) -> int:
    if bulk.dry_run:
        _say_which(heads, action, as_json=as_json)
        return COMPLETED
    done: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    key = bulk.key
    if heads and (not bulk.confirm or _is_meant(len(heads), action)):
        key = bulk.key or f"{action.verb}-{RandomIds().new_id()}"
        if not as_json:
            complain(f"if this is interrupted, go on with --key {key}", style="dim")
        try:
            _act(heads, bulk.rate, key, action, done=done, refused=refused, quiet=as_json)
        except KeyboardInterrupt as error:
            so_far = f"{len(done)} of {len(heads)} runs are done"
            raise Interrupted(f"{so_far}; the same command with --key {key} goes on") from error
    if as_json:
        print_json({"key": key, action.name: done, "refused": refused})
    else:
        for one in refused:
            complain(f"{one['source']}: {one['error']}: {one_line(one['message'])}")
        say(f"{action.said(done)}, {len(refused)} cannot")
    return BAD_USAGE if refused else COMPLETED


def _act(
    heads: list[Head],
    rate: float,
    key: str,
    action: _Action,
    *,
    done: list[dict[str, Any]],
    refused: list[dict[str, Any]],
    quiet: bool,
) -> None:
    from rich.progress import track

    shown = console(sys.stderr)
    silent = quiet or not shown.is_terminal
    steps = track(at_rate(heads, rate), action.verb, len(heads), console=shown, transient=True, disable=silent)
    for head in steps:
        try:
            done.append(action.act(head, f"{key}:{head.run_id}"))
        except WorkflowEngineError as error:
            if error.retryable:
                complain(f"{len(done)} of {len(heads)} runs are done; go on with --key {key}", style="dim")
                raise
            refused.append(refusal_document(head.run_id, error))


def at_rate(heads: Sequence[Head], rate: float) -> Iterator[Head]:
    """*heads* one after another, *rate* a second at the most."""
    never = threading.Event()
    for number, head in enumerate(heads):
        if number:
            never.wait(1 / rate)
        yield head


def _is_meant(count: int, action: _Action) -> bool:
    import typer

    try:
        return typer.confirm(f"{action.verb} {count} runs?", err=True)
    except typer.Abort as error:  # Ctrl-C, or nobody there to answer
        raise Interrupted("nothing was changed") from error


def _say_which(heads: list[Head], action: _Action, *, as_json: bool) -> None:
    if as_json:
        print_json({"runs": [summary_document(head) for head in heads]})
        return
    for head in heads:
        why = head.failure.error if head.failure else None
        said = "" if why is None else f"  {one_line(f'{why.type}: {why.message}')}"
        say(f"{head.run_id}  {head.status.value}{said}")
    say(f"{len(heads)} runs {action.would}")
