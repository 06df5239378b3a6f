"""Which stack a command talks to: a deployed one, the one that ``workflow-engine dev`` keeps, or one
in this process. Whichever it is, its variables are in the environment while it is open."""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from workflow_engine.adapters.aws.errors import translating
from workflow_engine.adapters.aws.sqs import SqsJobTransport
from workflow_engine.adapters.system import RandomIds, SystemClock
from workflow_engine.authoring import Registry
from workflow_engine.cli.where import Where
from workflow_engine.errors import SettingsError, WorkflowDefinitionError
from workflow_engine.kernel import Kernel
from workflow_engine.local.environment import check_endpoints, code_on_path, environment
from workflow_engine.local.errors import StackNotFoundError
from workflow_engine.local.project import Project, workflows_at
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.wiring.aws import build_kernel, client, forget_clients
from workflow_engine.wiring.settings import Settings

if TYPE_CHECKING:
    from workflow_engine.local.driver import Driver
    from workflow_engine.local.functions import FunctionLog

DEV_FILE = "dev.json"
ANSWERS_WITHIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack to talk to. *driver* is there where this process has to keep it going itself; *letters*
    reads other dead-letter queues than the job queue's, by what died there."""

    name: str
    kernel: Kernel
    driver: "Driver | None" = None
    letters: Mapping[str, JobTransport] = field(default_factory=dict)

    @property
    def jobs(self) -> JobTransport:
        """Its job queue."""
        return self.kernel.parts.job_transport


@contextmanager
def open_stack(where: Where, *, embed: bool = False, log: "FunctionLog | None" = None) -> Iterator[Stack]:
    """The stack that *where* says; with *embed* one in this process where none runs.

    Raises:
        StackNotFoundError: there is none.
    """
    if where.is_deployed:
        opened = _deployed(where)
    else:
        project = Project.find(where.template, where.parameters)
        variables = running_dev(project)
        if variables is not None:
            opened = _dev(project, variables)
        elif embed:
            opened = _embedded(project, where, log)
        else:
            raise StackNotFoundError(
                problem="no local stack is running",
                advice="start `workflow-engine dev` in another terminal, or name a deployed one with --stack",
            )
    with opened as stack:
        yield stack


def running_dev(project: Project) -> dict[str, str] | None:
    """The variables of the stack that ``workflow-engine dev`` keeps for *project*, while it runs."""
    try:
        said = json.loads((project.state_folder / DEV_FILE).read_text(encoding="utf-8"))
        address = urlsplit(said["AWS_ENDPOINT_URL"])
        with socket.create_connection((address.hostname, address.port), timeout=ANSWERS_WITHIN_SECONDS):
            return {str(name): str(value) for name, value in said.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Not there, half written, or left behind by one that was killed.
        return None


@contextmanager
def _embedded(project: Project, where: Where, log: "FunctionLog | None") -> Iterator[Stack]:
    # Whoever talks to a stack that is there already needs no AWS of its own.
    from workflow_engine.local.driver import Driver
    from workflow_engine.local.embedded_aws import EmbeddedAws
    from workflow_engine.local.functions import FunctionLog, FunctionRunner

    with EmbeddedAws(project.template_path, overrides=project.overrides) as aws:
        clock = SystemClock()
        runner = FunctionRunner(place=aws.template.place, ids=RandomIds(), clock=clock, log=log or FunctionLog())
        driver = Driver(aws.template, runner, clock, workers=where.workers)
        yield _stack("embedded", _registry(), driver)


@contextmanager
def _dev(project: Project, variables: Mapping[str, str]) -> Iterator[Stack]:
    with _talking_to(variables), code_on_path(project.template().code_folder()):
        yield _stack("dev", _registry())


@contextmanager
def _deployed(where: Where) -> Iterator[Stack]:
    chosen = {"AWS_PROFILE": where.profile, "AWS_REGION": where.region, "AWS_DEFAULT_REGION": where.region}
    name = where.stack or ""
    check_endpoints(os.environ)
    with ExitStack() as entered:
        kept = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
        own = {key: value for key, value in chosen.items() if value is not None}
        entered.enter_context(_talking_to({**kept, **own}))
        entered.enter_context(environment({**kept, **own, **function_environment(name)}))
        yield _stack(name, _registry())


def function_environment(stack_name: str) -> dict[str, str]:
    """The environment of a deployed stack's job function, found through the stack's outputs.

    Raises:
        StackNotFoundError: there is no such stack, or it is none of ours.
        AwsRequestError: AWS refused to tell.
    """
    function = stack_outputs(stack_name).get("JobFunctionName")
    if function is None:
        raise StackNotFoundError(
            problem=f"stack {stack_name!r} has no output JobFunctionName",
            advice="name a stack that was deployed from this project's template.yaml",
        )
    with translating("Lambda", "GetFunctionConfiguration"):
        answer = client("lambda").get_function_configuration(FunctionName=function)
    return dict(answer.get("Environment", {}).get("Variables", {}))


def stack_outputs(stack_name: str) -> dict[str, str]:
    """The outputs of a deployed stack.

    Raises:
        AwsRequestError: AWS refused to tell, or there is no such stack.
    """
    with translating("CloudFormation", "DescribeStacks"):
        found = client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", ())}


@contextmanager
def _talking_to(variables: Mapping[str, str]) -> Iterator[None]:
    with environment(variables):
        forget_clients()
        try:
            yield
        finally:
            forget_clients()


def _registry() -> Registry:
    """The workflows of the environment; none where their code is not here or does not work, which a
    command that only looks or cancels can do without."""
    try:
        return workflows_at(Settings.from_environment().workflows)
    except (SettingsError, WorkflowDefinitionError):
        return Registry([])


def _stack(name: str, registry: Registry, driver: "Driver | None" = None) -> Stack:
    settings = Settings.from_environment()
    queues = {"schedules": settings.schedule_dead_letter_url, "ticks": settings.tick_dead_letter_url}
    letters = {
        kind: SqsJobTransport(client("sqs"), settings.job_queue_url, url)
        for kind, url in queues.items()
        if url is not None
    }
    return Stack(name=name, kernel=build_kernel(settings, registry), driver=driver, letters=letters)
