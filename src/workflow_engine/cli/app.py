"""The command ``workflow-engine``: its commands, and how an error becomes one line and an exit code."""

import os
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from workflow_engine.cli.checked import Command
from workflow_engine.cli.commands import dead_letters, dev, schedules
from workflow_engine.cli.commands.cancel import cancel
from workflow_engine.cli.commands.check import check
from workflow_engine.cli.commands.cost import cost
from workflow_engine.cli.commands.events import events
from workflow_engine.cli.commands.export import export
from workflow_engine.cli.commands.graph import graph
from workflow_engine.cli.commands.init import init
from workflow_engine.cli.commands.list_runs import list_runs
from workflow_engine.cli.commands.logs import logs
from workflow_engine.cli.commands.rerun import rerun
from workflow_engine.cli.commands.run import run
from workflow_engine.cli.commands.show import show
from workflow_engine.cli.commands.signal import signal
from workflow_engine.cli.commands.undo import undo
from workflow_engine.cli.commands.upgrade import upgrade
from workflow_engine.cli.commands.waiting import waiting
from workflow_engine.cli.commands.watch import watch
from workflow_engine.cli.commands.worker import worker
from workflow_engine.cli.entry import DISTRIBUTION
from workflow_engine.cli.errors import COMPLETED
from workflow_engine.cli.streams import for_whoever_listens, silence, take_anything

# Beside a command's help: the indentation, and the gap after its name. Help is cut at words to what is left.
COLUMNS_BESIDE, NARROWEST_HELP = 6, 20


class OneLineErrors(TyperGroup):
    """Says what went wrong in one line (in JSON with ``--json``), and exits with its code."""

    @override
    def main(self, *args: Any, **extra: Any) -> Any:
        standalone, extra["standalone_mode"] = extra.get("standalone_mode", True), False
        take_anything()
        try:
            answer = super().main(*args, **extra)
        except SystemExit as error:
            # What typer and rich make of a reader of --help who has gone away.
            if not isinstance(error.__context__, BrokenPipeError):
                raise
            answer = report(error.__context__, as_json=False)
        except Exception as error:  # of this level's own options
            answer = report(error, as_json=False)
        code = _flushed(answer if isinstance(answer, int) else COMPLETED)
        if standalone:
            sys.exit(code)
        return code

    @override
    def invoke(self, ctx: Any) -> Any:
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except typer.Exit:
            raise
        except (Exception, KeyboardInterrupt) as error:  # none of them may look as if a run had failed
            raise typer.Exit(report(error, as_json=as_json)) from error

    @override
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Commands under the heading that each was registered with."""
        shown = {name: command for name, command in self.commands.items() if not command.hidden}
        room = formatter.width - COLUMNS_BESIDE - max(map(len, shown), default=0)
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in shown.items():
            panel = getattr(command, "rich_help_panel", None)
            heading = panel if isinstance(panel, str) else "Commands"
            panels.setdefault(heading, []).append((name, command.get_short_help_str(max(room, NARROWEST_HELP))))
        for heading, rows in panels.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


def _flushed(code: int) -> int:
    """*code*, once all that was printed has been taken. A reader who has gone away changes nothing."""
    try:
        with for_whoever_listens():
            pass
    except OSError as error:  # a disk that is full, for instance
        silence()
        return report(error, as_json=False)
    return code


def report(error: BaseException, *, as_json: bool) -> int:
    """Tell *error* to a person on standard error, or to a program on standard output; answers its exit code."""
    if isinstance(error, BrokenPipeError):
        silence()
        return COMPLETED
    # Imported here, for --help and the completion of names to be quick.
    from workflow_engine.cli.failures import TRACEBACK, failure_of
    from workflow_engine.cli.output import json_text

    said = failure_of(error)
    if said.facts is None:
        return said.exit_code
    with for_whoever_listens():
        if as_json:
            print(json_text(said.facts, sys.stdout, indent=None))
        else:
            print(said.text, file=sys.stderr)
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    return said.exit_code


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version(DISTRIBUTION))
        raise typer.Exit


app = typer.Typer(
    name="workflow-engine",
    cls=OneLineErrors,
    no_args_is_help=True,
    # Help in plain letters: what draws boxes around it takes longer to load than all the rest of a --help.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Run workflows, see what they do, and put right what went wrong.",
    epilog="Exit codes: 0 completed, 1 the run failed, 2 bad usage or input, 3 AWS not reachable, 130 interrupted.",
)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """What comes before a command."""


BEGIN, START, LOOK, ACT, DEVELOP = "Begin", "Start runs", "Look at runs", "Put right", "Develop and operate"
app.command(cls=Command, rich_help_panel=BEGIN)(init)
app.command(cls=Command, rich_help_panel=BEGIN)(upgrade)
app.command(cls=Command, rich_help_panel=START)(run)
app.add_typer(schedules.app, name="schedules", rich_help_panel=START)
app.command("list", cls=Command, rich_help_panel=LOOK)(list_runs)
app.command(cls=Command, rich_help_panel=LOOK)(show)
app.command(cls=Command, rich_help_panel=LOOK)(watch)
app.command(cls=Command, rich_help_panel=LOOK)(waiting)
app.command(cls=Command, rich_help_panel=LOOK)(events)
app.command(cls=Command, rich_help_panel=LOOK)(logs)
app.command(cls=Command, rich_help_panel=LOOK)(export)
app.command(cls=Command, rich_help_panel=ACT)(cancel)
app.command(cls=Command, rich_help_panel=ACT)(signal)
app.command(cls=Command, rich_help_panel=ACT)(rerun)
app.command(cls=Command, rich_help_panel=ACT)(undo)
app.add_typer(dead_letters.app, name="dead-letters", rich_help_panel=ACT)
app.command(cls=Command, rich_help_panel=DEVELOP)(graph)
app.command(cls=Command, rich_help_panel=DEVELOP)(check)
app.add_typer(dev.app, name="dev", rich_help_panel=DEVELOP)
app.command(cls=Command, rich_help_panel=DEVELOP)(worker)
app.command(cls=Command, rich_help_panel=DEVELOP)(cost)
