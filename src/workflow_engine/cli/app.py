"""The command ``workflow-engine``: its commands, and how an error becomes one line and an exit code."""

import json
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from workflow_engine.cli.commands.cost import cost
from workflow_engine.cli.commands.run import run
from workflow_engine.cli.errors import exit_code_of, one_line
from workflow_engine.errors import WorkflowEngineError, facts_of


class OneLineErrors(TyperGroup):
    """Says what went wrong in one line (in JSON with ``--json``), and exits with its code."""

    @override
    def invoke(self, ctx: Any) -> Any:
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except WorkflowEngineError as error:
            report(error, as_json=as_json)
            raise typer.Exit(exit_code_of(error)) from error


def report(error: WorkflowEngineError, *, as_json: bool) -> None:
    """Tell *error* to a person on standard error, or to a program on standard output."""
    if as_json:
        print(json.dumps(facts_of(error), ensure_ascii=False))
    else:
        print(f"{error.code}: {one_line(str(error))}", file=sys.stderr)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("workflow-engine"))
        raise typer.Exit


app = typer.Typer(
    name="workflow-engine",
    cls=OneLineErrors,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    help="Run workflows, see what they do, and put right what went wrong.",
    epilog="Exit codes: 0 completed, 1 the run failed, 2 bad usage or input, 3 AWS not reachable.",
)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """What comes before a command."""


app.command()(run)
app.command()(cost)


def main() -> None:
    """Run the command line of this process."""
    app()
