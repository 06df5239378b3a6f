"""Creates runs: at once by the kernel, or by schedules of their own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from workflow_engine.adapters.system import RandomIds
from workflow_engine.authoring import Registry, WorkflowDefinition
from workflow_engine.cli.inputs import ReadInput, RefusedInput, read_inputs
from workflow_engine.cli.option_values import valid
from workflow_engine.cli.stacks import Stack
from workflow_engine.errors import InvalidCommandError, InvalidInputError, WorkflowEngineError, WorkflowNotFoundError
from workflow_engine.local.errors import InvalidOptionError, listed
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.deliveries import Recurrence
from workflow_engine.model.ids import RunId, run_id_for
from workflow_engine.model.recurrence import next_firing, scheduled_time

# A rate fires when it is created; a cron expression may take its time.
FIRST_FIRING_WITHIN = timedelta(minutes=2)
SECOND = timedelta(seconds=1)
# What a workflow is given of which nothing was said.
DEFAULTS = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What is to be run, and how.

    *inputs* are what *workflow* is given, the only one that there is if it is not named; *others* are pairs of another
    workflow's id and what that is given. *config* is by stage id. *signals* are sent to runs that wait for them.
    *by_schedule* is the expression of schedules that are to start the runs. To *submit* them leaves their creation to the
    queue.
    """

    workflow: str | None = None
    inputs: Sequence[str] = ()
    others: Sequence[tuple[str, str]] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 5
    key: str | None = None
    signals: Mapping[str, Any] = field(default_factory=dict)
    by_schedule: str | None = None
    wait: bool = True
    submit: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """A command that can be sent, and what its input was made of."""

    source: str
    command: CreateRun


def prepare(request: RunRequest, registry: Registry) -> tuple[list[Ready], list[RefusedInput]]:
    """The commands of *request*, and the inputs that cannot be used. Sends nothing.

    Raises:
        WorkflowNotFoundError, InvalidConfigError, InvalidOptionError: nothing of it can be run.
    """
    wanted = list(_wanted(request, registry))
    definitions = {workflow_id: registry.get(workflow_id) for workflow_id, _ in wanted}
    configs = {name: _config(request.config, definition) for name, definition in definitions.items()}
    _check_config(request.config, definitions.values())
    found: list[tuple[str, ReadInput]] = []
    refused: list[RefusedInput] = []
    for workflow_id, text in wanted:
        read, bad = read_inputs([text], definitions[workflow_id])
        found += [(workflow_id, item) for item in read]
        refused += bad
    alone = len(found) == 1
    ready: list[Ready] = []
    for workflow_id, item in found:
        try:
            ready.append(Ready(item.source, _command(request, workflow_id, item, configs[workflow_id], alone=alone)))
        except InvalidCommandError as error:
            refused.append(RefusedInput(item.source, error))
    return ready, refused


def _wanted(request: RunRequest, registry: Registry) -> Iterator[tuple[str, str]]:
    """The workflows that are asked for, each with what it is given."""
    if request.workflow is not None or request.inputs or not request.others:
        workflow_id = request.workflow or _only(registry)
        if not request.inputs:
            _check_defaults(registry.get(workflow_id))
        yield from ((workflow_id, text) for text in request.inputs or [DEFAULTS])
    yield from request.others


def _only(registry: Registry) -> str:
    known = {definition.id for definition in registry}
    if len(known) != 1:
        raise InvalidOptionError(option="WORKFLOW", problem=f"name one; there are {listed(known)}")
    return known.pop()


def _check_defaults(definition: WorkflowDefinition) -> None:
    try:
        definition.validate_input({})
    except InvalidInputError as error:
        raise InvalidOptionError(option="--input", problem=f"is needed: {error}") from error


def start(
    ready: Sequence[Ready], stack: Stack, sources: dict[RunId, str], *, submit: bool = False
) -> list[RefusedInput]:
    """Create the runs, or *submit* them, with each its source in *sources*; answers what the kernel refused.

    Raises:
        TransientError, WorkflowNotFoundError: it would refuse the rest as well.
    """
    refused: list[RefusedInput] = []
    for one in ready:
        try:
            kernel = stack.kernel
            run_id = kernel.submit(one.command) if submit else RunId(kernel.dispatch(one.command).run_id)
            sources[run_id] = one.source
        except WorkflowEngineError as error:
            if error.retryable or isinstance(error, WorkflowNotFoundError):
                raise
            refused.append(RefusedInput(one.source, error))
    return refused


def start_by_schedules(ready: Sequence[Ready], expression: str, stack: Stack) -> dict[RunId, str]:
    """Have each run started by a schedule: put them, wait for their first firings, delete them.

    Raises:
        InvalidOptionError: one did not fire in time, or there is nobody here who fires them.
        PayloadTooLargeError: an input is above what a schedule carries, 256 KB.
    """
    if stack.driver is None:
        raise InvalidOptionError(option="--by-schedule", problem="is for local mode without `workflow-engine dev`")
    kernel = stack.kernel
    candidates: dict[RunId, Ready] = {}
    with ExitStack() as cleanup:
        for one in ready:
            name = f"run-{RandomIds().new_id()}"
            command = one.command.model_copy(update={"idempotency_key": f"{name}-{{time}}"})
            earliest = kernel.clock.now()
            kernel.schedules.put_for_now(Recurrence(name, expression, command))
            cleanup.callback(kernel.schedules.delete, name)
            for at in _first_firings(expression, earliest, kernel.clock.now()):
                candidates[run_id_for(command.workflow_id, f"{name}-{scheduled_time(at)}")] = one
        return _started(candidates, len(ready), expression, stack)


def _started(candidates: Mapping[RunId, Ready], wanted: int, expression: str, stack: Stack) -> dict[RunId, str]:
    kernel, found = stack.kernel, dict[RunId, str]()
    give_up_at = kernel.clock.now() + FIRST_FIRING_WITHIN

    def have_fired() -> bool:
        heads = kernel.queries.find([run_id for run_id in candidates if run_id not in found])
        found.update({run_id: candidates[run_id].source for run_id in heads})
        return len(found) == wanted or kernel.clock.now() > give_up_at

    if stack.driver is not None:
        stack.driver.drive(have_fired)
    if len(found) < wanted:
        problem = f"{expression!r} did not start {wanted - len(found)} of {wanted} runs within {FIRST_FIRING_WITHIN}"
        raise InvalidOptionError(option="--by-schedule", problem=problem)
    order = {id(one): index for index, one in enumerate(candidates.values())}
    return dict(sorted(found.items(), key=lambda item: order[id(candidates[item[0]])]))


def _first_firings(expression: str, earliest: datetime, latest: datetime) -> set[datetime]:
    """When a schedule fires first that was created at some second from *earliest* to *latest*."""
    seconds = [earliest.replace(microsecond=0)]
    while seconds[-1] + SECOND <= latest:
        seconds.append(seconds[-1] + SECOND)
    firings = (next_firing(expression, created_at=at) for at in seconds)
    return {at for at in firings if at is not None}


def _command(
    request: RunRequest, workflow_id: str, item: ReadInput, config: Mapping[str, Any], *, alone: bool
) -> CreateRun:
    return valid(
        CreateRun,
        workflow_id=workflow_id,
        input=item.data,
        config=dict(config),
        attributes=dict(request.attributes),
        priority=request.priority,
        # One key stands for one run: of several, each has the name of its source in it.
        idempotency_key=request.key if request.key is None or alone else f"{request.key}:{item.source}",
    )


def _config(config: Mapping[str, Any], definition: WorkflowDefinition) -> dict[str, Any]:
    """The part of *config* that is about stages of one workflow."""
    own = {stage_id: part for stage_id, part in config.items() if _has(definition, stage_id)}
    definition.validate_config(own)
    return own


def _check_config(config: Mapping[str, Any], definitions: Iterable[WorkflowDefinition]) -> None:
    known = {stage_id for definition in definitions for group in definition.plan for stage_id in group}
    for stage_id in config:
        if stage_id not in known:
            raise InvalidOptionError(option="--config", problem=f"no stage {stage_id!r}; there are {listed(known)}")


def _has(definition: WorkflowDefinition, stage_id: str) -> bool:
    return any(stage_id in group for group in definition.plan)
