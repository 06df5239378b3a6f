"""Runs what is to be priced: once to warm up, as a deployed function is, and once for the figures."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from workflow_engine.authoring import Registry, WorkflowDefinition
from workflow_engine.costing.deployment import Deployment
from workflow_engine.costing.metered_engine import MeteredEngine, Outcome, open_metered_engine
from workflow_engine.costing.report import Report
from workflow_engine.costing.workloads import Workload
from workflow_engine.local.server import MotoServer


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRun:
    """A run of a workflow of the user's: its input, and the signals that it gets."""

    name: str
    definition: WorkflowDefinition
    input: Mapping[str, Any]
    signals: Mapping[str, Any] = field(default_factory=dict)


def measure(
    workloads: Sequence[Workload],
    own: Sequence[OwnRun],
    deployment: Deployment,
    *,
    dynamodb_url: str | None,
    memory_megabytes: int,
) -> Report:
    """Run *workloads* and *own* runs as in *deployment*, and price them; with *workloads* an idle tick, too.

    Raises:
        RunDoesNotEndError: one of them has no end.
    """
    found = [load.definition for load in workloads] + [one.definition for one in own]
    definitions = {id(definition): definition for definition in found}
    with ExitStack() as stack:
        server = stack.enter_context(MotoServer())
        engine = open_metered_engine(
            Registry(definitions.values()), deployment, services_url=server.url, dynamodb_url=dynamodb_url
        )
        measured = [(load, _measured(engine, load.definition, load.input, load.signals)) for load in workloads]
        others = [(one.name, _measured(engine, one.definition, one.input, one.signals)) for one in own]
        tick = engine.tick() if workloads else None
    return Report(measured, others, tick, dynamodb_url is not None, memory_megabytes, deployment)


def _measured(
    engine: MeteredEngine, definition: WorkflowDefinition, input: Mapping[str, Any], signals: Mapping[str, Any]
) -> Outcome:
    # What is done once a process, or every half an hour, such as keeping the workflow's structure, is
    # not a run's cost.
    engine.run(definition, input, signals)
    engine.kernel.parts.definitions.keep(definition)
    return engine.run(definition, input, signals)
