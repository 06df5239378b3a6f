"""``workflow-engine graph``: a workflow as a picture.

The function is long for its signature alone: each parameter is an option.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def graph(
    workflow: Annotated[
        str | None, typer.Argument(help="The workflow's id; or name a run with --run.", show_default=False)
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="A run: its workflow, with its state on it.", show_default=False)
    ] = None,
    kind: Annotated[Literal["mermaid", "svg"], typer.Option("--format", help="Text for Mermaid, or SVG.")] = "mermaid",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write it (default: standard output).", show_default=False),
    ] = None,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Draw a workflow, in Mermaid's language or as SVG; with --run, with the state of a run on it.

    Example: workflow-engine graph document-analysis --format svg --output analysis.svg
    """
    from workflow_engine.cli.archives import write_to
    from workflow_engine.cli.graphs import Graph, document, mermaid, svg
    from workflow_engine.cli.output import print_json
    from workflow_engine.local.errors import InvalidOptionError
    from workflow_engine.local.project import Project

    if run is not None:
        from workflow_engine.cli.run_names import run_named
        from workflow_engine.cli.stacks import open_stack

        with open_stack(where) as opened:
            drawn = Graph.of_run(opened.kernel.queries.run(run_named(opened, run)))
    elif workflow is not None:
        with Project.find(where.template).registry() as registry:
            drawn = Graph.of_workflow(registry.get(workflow))
    else:
        raise InvalidOptionError(option="WORKFLOW", problem="name a workflow, or a run with --run")
    text = svg(drawn) if kind == "svg" else mermaid(drawn)
    if output is not None:
        write_to(output, text.encode())
    elif as_json:
        print_json(document(drawn))
    else:
        typer.echo(text, nl=False)
