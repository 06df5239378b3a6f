"""Starts runs of a workflow and stays with them until they are over."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from workflow_engine.cli.display import Display
from workflow_engine.cli.documents import Shown
from workflow_engine.cli.embedded.functions import FunctionLog
from workflow_engine.cli.errors import BAD_USAGE, COMPLETED, RUN_FAILED, InvalidOptionError, UnreadableInputError
from workflow_engine.cli.inputs import ReadInput, RefusedInput, read_inputs
from workflow_engine.cli.project import Project
from workflow_engine.cli.target import Stack, Wanted, open_stack
from workflow_engine.cli.watching import Watch
from workflow_engine.errors import WorkflowEngineError, WorkflowNotFoundError
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.deliveries import Recurrence
from workflow_engine.model.ids import RunId
from workflow_engine.model.status import Status

# A rate fires when it is created; a cron expression may take its time.
FIRST_FIRING_WITHIN = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is to be run, and how. *signals* are sent to a run that waits for them; *by_schedule* is
    the expression of a schedule that is to start it."""

    workflow_id: str
    inputs: Sequence[str]
    config: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 5
    key: str | None = None
    signals: Mapping[str, Any] = field(default_factory=dict)
    by_schedule: str | None = None
    wait: bool = True


def run_workflow(request: RunRequest, wanted: Wanted, display: Display, *, verbose: bool) -> int:
    """Run *request* and answer the exit code.

    Raises:
        WorkflowEngineError: nothing was started.
    """
    with ExitStack() as entered:
        registry = entered.enter_context(Project.find(wanted.template, wanted.parameters).registry())
        definition = registry.get(request.workflow_id)
        definition.validate_config(request.config)
        read, refused = read_inputs(request.inputs, definition)
        display.refused(refused)
        if not read:
            return _nothing_to_run(refused, display)
        log = FunctionLog(sys.stderr if verbose else None)
        with display.starting():
            stack = entered.enter_context(open_stack(wanted, embed=True, log=log))
            sources, unstarted = _start(request, read, stack)
        display.refused(unstarted)
        return _stay(request, stack, sources, [*refused, *unstarted], display)


def _nothing_to_run(refused: Sequence[RefusedInput], display: Display) -> int:
    if not refused:
        raise UnreadableInputError(
            source="--input", problem="nothing was given", advice="name a file, a folder or JSON"
        )
    display.finished([], refused)
    return BAD_USAGE


def _start(
    request: RunRequest, inputs: Sequence[ReadInput], stack: Stack
) -> tuple[dict[RunId, str], list[RefusedInput]]:
    """Create the runs; answers their sources by run id, and what the kernel refused."""
    if request.by_schedule is not None:
        return _start_by_schedule(request, inputs, stack), []
    sources: dict[RunId, str] = {}
    unstarted: list[RefusedInput] = []
    for item in inputs:
        key = request.key if request.key is None or len(inputs) == 1 else f"{request.key}:{item.source}"
        try:
            run_id = stack.kernel.dispatch(_command(request, item, key)).run_id
            sources[RunId(run_id)] = item.source
        except WorkflowEngineError as error:
            if error.retryable or isinstance(error, WorkflowNotFoundError):
                raise
            unstarted.append(RefusedInput(item.source, error))
    return sources, unstarted


def _command(request: RunRequest, item: ReadInput, key: str | None) -> CreateRun:
    return CreateRun(
        workflow_id=request.workflow_id,
        input=item.data,
        config=dict(request.config),
        attributes=dict(request.attributes),
        priority=request.priority,
        idempotency_key=key,
    )


def _start_by_schedule(request: RunRequest, inputs: Sequence[ReadInput], stack: Stack) -> dict[RunId, str]:
    """Have a schedule start the run: put it, wait for its first firing, and delete it.

    Raises:
        InvalidOptionError: it did not fire in time, or there is nobody here who fires it.
    """
    if stack.driver is None or len(inputs) != 1 or request.by_schedule is None:
        raise InvalidOptionError(option="--by-schedule", problem="is for one input, in local mode")
    kernel, (item,) = stack.kernel, inputs
    started = kernel.clock.now().replace(microsecond=0)
    name = f"run-{kernel.ids.new_id()}"
    command = _command(request, item, f"{name}-{{time}}")
    kernel.scheduler.put_recurrence(Recurrence(name, request.by_schedule, command))
    found: list[str] = []

    def has_fired() -> bool:
        found.extend(head.run_id for head in kernel.queries.runs(request.workflow_id, since=started).heads)
        return bool(found) or kernel.clock.now() > started + FIRST_FIRING_WITHIN

    try:
        stack.driver.drive(has_fired)
    finally:
        kernel.scheduler.delete_recurrence(name)
    if not found:
        problem = f"{request.by_schedule!r} did not fire within {FIRST_FIRING_WITHIN}"
        raise InvalidOptionError(option="--by-schedule", problem=problem)
    return {RunId(found[0]): item.source}


def _stay(
    request: RunRequest,
    stack: Stack,
    sources: Mapping[RunId, str],
    refused: Sequence[RefusedInput],
    display: Display,
) -> int:
    watch = Watch(stack, list(sources), request.signals)
    if request.wait or stack.driver is not None:
        with display.following(watch, sources):
            watch.follow()
    watch.look()
    shown = [(source, Shown.of(stack.kernel, run_id)) for run_id, source in sources.items()]
    display.finished(shown, refused)
    if stack.driver is not None:
        display.failures(stack.driver.runner)
    statuses = {one.view.head.status for _, one in shown}
    return _exit_code(statuses, refused, wait=request.wait)


def _exit_code(statuses: set[Status], refused: Sequence[RefusedInput], *, wait: bool) -> int:
    if wait and statuses - {Status.COMPLETED}:
        return RUN_FAILED
    return BAD_USAGE if refused else COMPLETED
