"""Compares the workflows of a project with the runs that are in flight."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from rich.text import Text

from workflow_engine.authoring import Registry, WorkflowDefinition
from workflow_engine.cli.concurrency import Concurrency, concurrency_of
from workflow_engine.cli.errors import COMPLETED, RUN_FAILED
from workflow_engine.cli.output import print_json, say
from workflow_engine.cli.stacks import open_stack, running_dev, stack_outputs
from workflow_engine.cli.where import Where
from workflow_engine.errors import AwsRequestError, TransientError, WorkflowEngineError, WorkflowNotFoundError
from workflow_engine.kernel import Kernel, KernelSettings
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.lifetimes import lifetime_problem
from workflow_engine.local.project import Project
from workflow_engine.model import plans
from workflow_engine.model.runs import Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranded:
    """Runs in flight of one definition, at one group, that cannot go on with the workflow as it is."""

    workflow_id: str
    fingerprint: str
    group: int
    runs: int
    differences: tuple[str, ...]


def check_project(where: Where, *, as_json: bool) -> int:
    """Check the project, and the runs of its stack where there is one; answers the exit code.

    Raises:
        WorkflowEngineError: the template or a workflow cannot be read.
    """
    project = Project.find(where.template, where.parameters)
    with project.registry() as registry:
        workflows = sorted(registry, key=lambda definition: (definition.id, definition.version))
        settings = lifetimes_in(project.template().variables())
        looked, stranded, room = 0, list[Stranded](), None
        if where.is_deployed or running_dev(project) is not None:
            with open_stack(where) as stack:
                looked, stranded = stranded_runs(stack.kernel, registry)
                settings = stack.kernel.settings
                room = _room_for_the_tick(where.stack) if where.stack else None
    short = outlived(workflows, settings)
    if as_json:
        document = _document(workflows, looked, stranded)
        print_json({**document, "outlived": short, "concurrency": _facts(room)})
    else:
        _say(workflows, looked, stranded)
        _say_room(room)
        for problem in short.values():
            say(Text(problem, style="red"))
    return RUN_FAILED if stranded or short else COMPLETED


def outlived(workflows: list[WorkflowDefinition], settings: KernelSettings) -> dict[str, str]:
    """The workflows whose runs would outlive their payloads, and why: ``run.create`` refuses them."""
    problems = {one.id: lifetime_problem(one, settings) for one in workflows}
    return {name: f"workflow {name!r}: {problem}" for name, problem in problems.items() if problem is not None}


def lifetimes_in(variables: Mapping[str, str]) -> KernelSettings:
    """How long runs and payloads are kept where the functions have *variables*."""
    payload_days = variables.get("PAYLOAD_DAYS")
    return KernelSettings(
        retention=timedelta(days=int(variables.get("RETENTION_DAYS", 30))),
        payload_lifetime=None if payload_days is None else timedelta(days=int(payload_days)),
    )


def stranded_runs(kernel: Kernel, registry: Registry) -> tuple[int, list[Stranded]]:
    """How many runs are in flight, and which of them could not go on with *registry*."""
    counts, looked = Counter[tuple[str, str, int, tuple[str, ...]]](), 0
    definitions = kernel.queries.definitions_of(registry)
    for head in kernel.queries.live():
        looked += 1
        differences = _differences(definitions, head)
        if differences:
            counts[(head.workflow_id, head.fingerprint, head.group, differences)] += 1
    found = [
        Stranded(workflow_id=workflow_id, fingerprint=fingerprint, group=group, runs=runs, differences=differences)
        for (workflow_id, fingerprint, group, differences), runs in counts.items()
    ]
    return looked, found


def _room_for_the_tick(stack_name: str) -> Concurrency | WorkflowEngineError | None:
    """What may run at once, or why nobody knows; ``None`` for a stack without both functions."""
    outputs = stack_outputs(stack_name)
    functions = outputs.get("JobFunctionName"), outputs.get("TickFunctionName")
    if functions[0] is None or functions[1] is None:
        return None
    try:
        return concurrency_of(functions[0], functions[1])
    except (AwsRequestError, TransientError) as error:
        # The runs in flight were what was asked for, and whoever may see those need not see the account's limits.
        return error


def _differences(definitions: Definitions, head: Head) -> tuple[str, ...]:
    try:
        definition = definitions.closest(head)
    except WorkflowNotFoundError:
        return ("the workflow is not there any more",)
    if definition.fingerprint == head.fingerprint:
        return ()
    return definitions.differences(head, definition)


def _document(workflows: list[WorkflowDefinition], looked: int, stranded: list[Stranded]) -> dict[str, Any]:
    return {
        "workflows": [
            {
                "id": one.id,
                "version": one.version,
                "fingerprint": one.fingerprint,
                "groups": [list(g) for g in one.plan],
                **({"choices": _choices(one)} if one.choices else {}),
                **({"conditional": _conditional(one)} if _conditional(one) else {}),
            }
            for one in workflows
        ],
        "runs_in_flight": looked,
        "stranded": [
            {
                "workflow_id": one.workflow_id,
                "fingerprint": one.fingerprint,
                "group": plans.number(one.group),
                "runs": one.runs,
                "differences": list(one.differences),
            }
            for one in stranded
        ],
    }


def _choices(workflow: WorkflowDefinition) -> list[dict[str, Any]]:
    return [{"group": plans.number(group), **choice.facts()} for group, choice in sorted(workflow.choices.items())]


def _conditional(workflow: WorkflowDefinition) -> list[str]:
    return [stage.id for group in workflow.groups for stage in group if stage.when is not None]


def _say(workflows: list[WorkflowDefinition], looked: int, stranded: list[Stranded]) -> None:
    for one in workflows:
        stages = sum(len(group) for group in one.plan)
        say(Text(f"✓ {one.id}  version {one.version}  {one.fingerprint}  {stages} stages", style="green"))
        for choice in _choices(one):
            cases = ", ".join(f"{case}: {stage_id}" for case, stage_id in choice["cases"].items())
            last = f", otherwise: {choice['otherwise']}" if "otherwise" in choice else ""
            say(Text(f"    group {choice['group']} chooses {cases}{last}", style="dim"))
        if conditional := _conditional(one):
            say(Text(f"    may be skipped: {', '.join(conditional)}", style="dim"))
    for bad in stranded:
        why = "; ".join(bad.differences)
        text = f"✗ {bad.runs} runs of {bad.workflow_id} ({bad.fingerprint}, group {plans.number(bad.group)}) cannot go on: {why}"
        say(Text(text, style="red"))
    if looked and not stranded:
        say(Text(f"✓ all {looked} runs in flight can go on", style="green"))


def _facts(room: Concurrency | WorkflowEngineError | None) -> dict[str, Any] | None:
    if isinstance(room, Concurrency):
        return {**asdict(room), "starves_the_tick": room.starves_the_tick}
    return {"problem": str(room)} if room else None


def _say_room(room: Concurrency | WorkflowEngineError | None) -> None:
    if isinstance(room, Concurrency):
        sign, style = ("!", "yellow") if room.starves_the_tick else ("✓", "green")
        say(Text(f"{sign} {room.said()}", style=style))
    elif room is not None:
        say(Text(f"? what may run at once is not known: {room}", style="yellow"))
