"""``workflow-engine cost``: what AWS would bill for a workflow."""

from typing import Annotated

import typer

from workflow_engine.cli import options


def cost(
    workflow: Annotated[
        str | None, typer.Argument(help="The workflow's id (default: the reference workloads).", show_default=False)
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="FILE|FOLDER|JSON|-", help="Its input, as `run` takes it."),
    ] = None,
    signal: Annotated[
        list[str] | None,
        typer.Option(help="NAME=JSON to send once the run waits for that signal.", show_default=False),
    ] = None,
    memory: Annotated[int, typer.Option(min=128, max=10240, help="The function's memory in MB.")] = 1024,
    dynamodb: Annotated[
        str | None,
        typer.Option(
            envvar="WORKFLOW_ENGINE_DYNAMODB_LOCAL",
            metavar="URL",
            help="A DynamoDB Local to take the consumed units from (default: they are computed).",
            show_default=False,
        ),
    ] = None,
    as_json: options.Json = False,
    template: options.TemplateFile = None,
    parameter: options.Parameters = None,
) -> None:
    """Tell what AWS would bill for a run: each request counted on the engine's own adapters.

    Runs the workflow's stages for real, in virtual time, against emulators; without a workflow,
    reference workloads beside what they cost elsewhere.

    Example: workflow-engine cost document-analysis --input README.md
    """
    import sys

    from workflow_engine.cli import option_values
    from workflow_engine.cli.cost_report import show
    from workflow_engine.cli.inputs import read_inputs
    from workflow_engine.cli.output import console, print_json
    from workflow_engine.costing.deployment import Deployment
    from workflow_engine.costing.measurement import OwnRun, measure
    from workflow_engine.costing.workloads import reference_workloads
    from workflow_engine.local.environment import problem_of_url
    from workflow_engine.local.errors import InvalidOptionError
    from workflow_engine.local.project import Project

    project = Project.find(template, option_values.pairs("--parameter", parameter))
    deployment = Deployment.of(project.template())
    if dynamodb is not None and (problem := problem_of_url(dynamodb)):
        raise InvalidOptionError(option="--dynamodb", problem=problem)
    if workflow is None:
        if inputs:
            raise InvalidOptionError(option="--input", problem="is for a workflow; name it")
        report = measure(reference_workloads(), (), deployment, dynamodb_url=dynamodb, memory_megabytes=memory)
    else:
        with project.registry() as registry:
            definition = registry.get(workflow)
            read, refused = read_inputs(inputs or ["{}"], definition)
            if refused:
                raise refused[0].error
            signals = option_values.json_pairs("--signal", signal)
            own = [OwnRun(name=one.source, definition=definition, input=one.data, signals=signals) for one in read]
            report = measure((), own, deployment, dynamodb_url=dynamodb, memory_megabytes=memory)
    if as_json:
        print_json(report.document())
    else:
        show(report, console(sys.stdout))
