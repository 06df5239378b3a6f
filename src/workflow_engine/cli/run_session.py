"""Starts runs and stays with them until they are over: what ``workflow-engine run`` does."""

import shlex
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta

from workflow_engine.cli.display import Display
from workflow_engine.cli.errors import BAD_USAGE, COMPLETED, RUN_FAILED, UnreadableInputError
from workflow_engine.cli.inputs import RefusedInput
from workflow_engine.cli.interrupts import Interrupt, saying
from workflow_engine.cli.run_names import WHOLE
from workflow_engine.cli.run_requests import Ready, RunRequest, prepare, start, start_by_schedules
from workflow_engine.cli.run_watch import LOOK_EVERY, Watch
from workflow_engine.cli.stacks import Stack, open_stack
from workflow_engine.cli.streams import for_whoever_listens
from workflow_engine.cli.where import Where
from workflow_engine.kernel.queries.documents import Shown
from workflow_engine.local.functions import FunctionLog
from workflow_engine.local.project import Project
from workflow_engine.model.ids import RunId
from workflow_engine.model.status import Status

# What a queue that is not long takes to deliver, with room for a cold start.
NOT_YET = timedelta(seconds=20)


def run_workflows(request: RunRequest, where: Where, display: Display, *, verbose: bool) -> int:
    """Run *request* and answer the exit code.

    Raises:
        WorkflowEngineError: nothing was started.
    """
    with ExitStack() as entered:
        registry = entered.enter_context(Project.find(where.template, where.parameters).registry())
        ready, refused = prepare(request, registry)
        display.refused(refused)
        if not ready:
            return _nothing_to_run(refused, display)
        sources: dict[RunId, str] = {}
        with display.starting():
            log = FunctionLog(sys.stderr if verbose else None)
            stack = entered.enter_context(open_stack(where, embed=True, log=log))
            entered.enter_context(saying(lambda: _what_becomes_of(sources, stack, where), sources))
            unstarted = _start(request, ready, stack, sources)
        display.refused(unstarted)
        return _stay(request, stack, sources, [*refused, *unstarted], display=display)


def _nothing_to_run(refused: Sequence[RefusedInput], display: Display) -> int:
    if not refused:
        raise UnreadableInputError(
            source="--input", problem="nothing was given", advice="name a file, a folder or JSON"
        )
    display.finished([], refused)
    return BAD_USAGE


def _start(request: RunRequest, ready: Sequence[Ready], stack: Stack, sources: dict[RunId, str]) -> list[RefusedInput]:
    """Start the runs, each of which is in *sources* as soon as it is there; answers what was refused."""
    if request.by_schedule is not None:
        sources.update(start_by_schedules(ready, request.by_schedule, stack))
        return []
    return start(ready, stack, sources, submit=request.submit)


def _what_becomes_of(run_ids: Collection[str], stack: Stack, where: Where) -> str:
    """What somebody should know who leaves these runs, a line each."""
    if stack.driver is not None:
        advice = "ends with this process, which alone keeps it; `workflow-engine dev` keeps runs"
        return "\n".join(f"{run_id} {advice}" for run_id in run_ids)
    return goes_on(run_ids, where)


def goes_on(run_ids: Collection[str], where: Where) -> str:
    """How to come back to runs that go on without this process, a line each."""
    on = "" if where.stack is None else f" --stack {shlex.quote(where.stack)}"
    return "\n".join(f"{run_id} goes on: workflow-engine watch {run_id}{on}" for run_id in run_ids)


def _stay(
    request: RunRequest,
    stack: Stack,
    sources: Mapping[RunId, str],
    refused: Sequence[RefusedInput],
    *,
    display: Display,
) -> int:
    watch = Watch(stack=stack, run_ids=list(sources), signals=request.signals)
    # A stack in this process ends with it: there is nobody else to finish the runs.
    wait = request.wait or stack.driver is not None
    if wait:
        with display.following(watch, sources):
            watch.follow()
    there = stack.kernel.queries.find(list(sources))
    shown = [(source, Shown.of(stack.kernel, run_id)) for run_id, source in sources.items() if run_id in there]
    with for_whoever_listens():
        display.submitted({run_id: source for run_id, source in sources.items() if run_id not in there})
        display.finished(shown, refused)
        if stack.driver is not None:
            display.failures(stack.driver.runner)
    return _exit_code({one.view.head.status for _, one in shown}, refused, wait=wait)


def _exit_code(statuses: set[Status], refused: Sequence[RefusedInput], *, wait: bool) -> int:
    if wait and statuses - {Status.COMPLETED}:
        return RUN_FAILED
    return BAD_USAGE if refused else COMPLETED


def watch_run(stack: Stack, run_id: str, display: Display) -> int:
    """Stay with one run until it is over; answers the exit code. One that was submitted may be there in a moment.

    Raises:
        RunNotFoundError: there is none.
    """
    _await(stack, run_id)
    head = stack.kernel.queries.head(run_id)
    watch = Watch(stack=stack, run_ids=[head.run_id])
    with display.following(watch, {head.run_id: head.workflow_id}):
        watch.follow()
    shown = Shown.of(stack.kernel, head.run_id)
    with for_whoever_listens():
        display.finished([(head.workflow_id, shown)], [])
    return _exit_code({shown.view.head.status}, [], wait=True)


def _await(stack: Stack, run_id: str) -> None:
    """Wait for a run whose message may be on its way; what is no whole id is the name of none."""
    give_up = time.monotonic() + (NOT_YET.total_seconds() if len(run_id) == WHOLE else 0)
    with Interrupt() as interrupt:
        while run_id not in stack.kernel.queries.find([run_id]) and time.monotonic() < give_up:
            interrupt.check()
            threading.Event().wait(LOOK_EVERY.total_seconds())
