"""The command ``workflow-engine``: its commands, and how an error becomes one line and an exit code."""

import json
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from workflow_engine.cli.commands import dead_letters, dev, schedules
from workflow_engine.cli.commands.cancel import cancel
from workflow_engine.cli.commands.check import check
from workflow_engine.cli.commands.cost import cost
from workflow_engine.cli.commands.events import events
from workflow_engine.cli.commands.export import export
from workflow_engine.cli.commands.graph import graph
from workflow_engine.cli.commands.list_runs import list_runs
from workflow_engine.cli.commands.logs import logs
from workflow_engine.cli.commands.rerun import rerun
from workflow_engine.cli.commands.run import run
from workflow_engine.cli.commands.show import show
from workflow_engine.cli.commands.signal import signal
from workflow_engine.cli.commands.watch import watch
from workflow_engine.cli.commands.worker import worker
from workflow_engine.cli.errors import INTERRUPTED, exit_code_of, one_line
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
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None


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


START, LOOK, ACT, DEVELOP = "Start runs", "Look at runs", "Put right", "Develop and operate"
app.command(rich_help_panel=START)(run)
app.add_typer(schedules.app, name="schedules", rich_help_panel=START)
app.command("list", rich_help_panel=LOOK)(list_runs)
app.command(rich_help_panel=LOOK)(show)
app.command(rich_help_panel=LOOK)(watch)
app.command(rich_help_panel=LOOK)(events)
app.command(rich_help_panel=LOOK)(logs)
app.command(rich_help_panel=LOOK)(export)
app.command(rich_help_panel=ACT)(cancel)
app.command(rich_help_panel=ACT)(signal)
app.command(rich_help_panel=ACT)(rerun)
app.add_typer(dead_letters.app, name="dead-letters", rich_help_panel=ACT)
app.command(rich_help_panel=DEVELOP)(graph)
app.command(rich_help_panel=DEVELOP)(check)
app.add_typer(dev.app, name="dev", rich_help_panel=DEVELOP)
app.command(rich_help_panel=DEVELOP)(worker)
app.command(rich_help_panel=DEVELOP)(cost)


def main() -> None:
    """Run the command line of this process."""
    app()
