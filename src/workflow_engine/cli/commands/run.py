"""``workflow-engine run``: start runs of a workflow and see them through.

The function is long for its signature alone: each parameter is an option.
"""

from dataclasses import replace
from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def run(
    workflow: Annotated[
        str | None, typer.Argument(help="The workflow's id (default: the only one that there is).", show_default=False)
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE|FOLDER|JSON|-",
            help="Its input. A .json file or JSON text is taken as it is; any other file is a document, "
            'given as {"text", "name"}; of a folder each file becomes a run. May be repeated. '
            "Left out, every field has its default.",
            show_default=False,
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option("--and", metavar="WORKFLOW=INPUT", help="A run of another workflow, beside.", show_default=False),
    ] = None,
    config: Annotated[str | None, typer.Option(help="Config by stage id, as JSON.", show_default=False)] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE to go with the run and be found by.", show_default=False)
    ] = None,
    priority: Annotated[
        int, typer.Option(min=0, max=10, help="Of runs that `run.claim_pending` starts, higher comes first.")
    ] = 5,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same again starts nothing new.", show_default=False)
    ] = None,
    signal: Annotated[
        list[str] | None,
        typer.Option(help="NAME=JSON to send once the run waits for that signal.", show_default=False),
    ] = None,
    by_schedule: Annotated[
        str | None,
        typer.Option(help="Let schedules start them, such as 'rate(1 day)' (local mode).", show_default=False),
    ] = None,
    submit: Annotated[
        bool, typer.Option("--submit", help="Leave it to the queue to start them: one request a run.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Stay until the runs are over.")] = True,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Jobs at the same time, in local mode.")] = 1,
    full: Annotated[bool, typer.Option("--full", help="Show outputs whole.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the functions' logs (local mode).")] = False,
    as_json: options.Json = False,
    where: Where = HERE,
    parameter: options.Parameters = None,
) -> None:
    """Start runs of a workflow, and see them through.

    Runs in this process, against an embedded AWS made from template.yaml; in the stack that
    `workflow-engine dev` keeps, if it is running; or in a deployed one with --stack.

    Example: workflow-engine run document-analysis --input README.md
    """
    from workflow_engine.cli import option_values
    from workflow_engine.cli.display import Display, JsonDisplay, TerminalDisplay
    from workflow_engine.cli.run_requests import RunRequest
    from workflow_engine.cli.run_session import run_workflows

    display: Display = JsonDisplay() if as_json else TerminalDisplay(full=full)
    request = RunRequest(
        workflow=workflow,
        inputs=inputs or [],
        others=option_values.pair_list("--and", also),
        config=option_values.json_object("--config", config),
        attributes=option_values.json_pairs("--attribute", attribute),
        priority=priority,
        key=key,
        signals=option_values.json_pairs("--signal", signal),
        by_schedule=by_schedule,
        wait=wait,
        submit=submit,
    )
    where = replace(
        where,
        parameters=option_values.pairs("--parameter", parameter),
        workers=workers,
    )
    raise typer.Exit(run_workflows(request, where, display, verbose=verbose))
