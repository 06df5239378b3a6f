"""``workflow-engine dev``: a local stack that stays."""

import json
import shlex
from typing import Annotated, Literal

import typer

from workflow_engine.cli import options
from workflow_engine.cli.checked import Command, Group

app = typer.Typer(cls=Group)


@app.callback(invoke_without_command=True)
def dev(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 for containers.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what was there.")] = False,
    as_json: options.Json = False,
    template: options.TemplateFile = None,
    parameter: options.Parameters = None,
) -> None:
    """Keep an embedded AWS running until Ctrl-C: the functions start again when code changes, and
    what is in it is there again after the next start (.workflow-engine/state.json).

    Example: workflow-engine dev
    """
    if context.invoked_subcommand is not None:
        return
    from workflow_engine.cli import option_values
    from workflow_engine.cli.dev_stack import develop
    from workflow_engine.local.project import Project

    project = Project.find(template, option_values.pairs("--parameter", parameter))
    develop(project, host=host, port=port, fresh=fresh, as_json=as_json)


@app.command(cls=Command)
def env(
    kind: Annotated[
        Literal["shell", "json", "sam"],
        typer.Option("--format", help="For a shell's eval, as JSON, or as a file for sam local invoke --env-vars."),
    ] = "shell",
    host: Annotated[
        str | None, typer.Option(help="The name of this machine where they are used.", show_default=False)
    ] = None,
    template: options.TemplateFile = None,
) -> None:
    """Print the environment by which other programs reach the stack that runs.

    Example: eval "$(workflow-engine dev env)"; aws dynamodb list-tables
    """
    from workflow_engine.cli.dev_stack import variables_of_dev
    from workflow_engine.local.project import Project

    project = Project.find(template)
    variables = variables_of_dev(project, host)
    if kind == "shell":
        for name, value in variables.items():
            typer.echo(f"export {name}={shlex.quote(value)}")
    elif kind == "json":
        typer.echo(json.dumps(variables, indent=2))
    else:
        functions = [function.logical_id for function in project.template().functions()]
        typer.echo(json.dumps(dict.fromkeys(functions, variables), indent=2))
