"""``workflow-engine schedules``: recurring starts."""

from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.checked import Command, Group
from workflow_engine.cli.where import HERE, Where, located

app = typer.Typer(cls=Group)
Name = Annotated[str, typer.Argument(help="The schedule's name.", show_default=False)]


@app.callback(invoke_without_command=True)
@located
def schedules(
    context: typer.Context,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """List recurring starts, and when they fire next.

    Example: workflow-engine schedules
    """
    if context.invoked_subcommand is not None:
        return
    from workflow_engine.cli.schedule_views import show_schedules
    from workflow_engine.cli.stacks import open_stack

    with open_stack(where) as opened:
        show_schedules(opened.kernel, as_json=as_json)


@app.command(cls=Command)
@located
def put(
    name: Name,
    workflow: Annotated[str, typer.Argument(help="The workflow to start.", show_default=False)],
    expression: Annotated[str, typer.Argument(help="rate(5 minutes), or cron(0 9 ? * MON-FRI *).", show_default=False)],
    new_input: Annotated[str, typer.Option("--input", "-i", help="Its input, as `run` takes it.", show_default=False)],
    config: Annotated[str | None, typer.Option(help="Config by stage id, as JSON.", show_default=False)] = None,
    timezone: Annotated[str, typer.Option(help="Of a cron expression: an IANA name.")] = "UTC",
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Start a workflow again and again, or change when and with what. A rate starts it at once, too.

    Example: workflow-engine schedules put nightly document-analysis "cron(0 3 * * ? *)" --input README.md
    """
    from workflow_engine.cli import option_values
    from workflow_engine.cli.schedule_views import ScheduleRequest, put_schedule
    from workflow_engine.cli.stacks import open_stack

    request = ScheduleRequest(
        name=name,
        workflow_id=workflow,
        expression=expression,
        given=new_input,
        config=option_values.json_object("--config", config),
        timezone=timezone,
    )
    with open_stack(where) as opened:
        put_schedule(opened.kernel, request, as_json=as_json)


@app.command(cls=Command)
@located
def pause(
    name: Name,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Let a schedule fire no more, until it is resumed.

    Example: workflow-engine schedules pause nightly
    """
    _change("pause", name, as_json, where)


@app.command(cls=Command)
@located
def resume(
    name: Name,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Let a paused schedule fire again. What it missed is not made up for.

    Example: workflow-engine schedules resume nightly
    """
    _change("resume", name, as_json, where)


@app.command(cls=Command)
@located
def delete(
    name: Name,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Forget a schedule. Runs that it started go on.

    Example: workflow-engine schedules delete nightly
    """
    _change("delete", name, as_json, where)


@app.command()
@located
def sync(
    from_table: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="A table that another stack left behind.", show_default=False),
    ] = None,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Make the schedules again that are kept in the table and do not fire, such as those that were
    deleted with their stack or restored with its table. What is in order is left alone.

    Example: workflow-engine schedules sync --stack workflow-engine-prod
    """
    from workflow_engine.cli.schedule_views import sync_schedules
    from workflow_engine.cli.stacks import open_stack

    with open_stack(where) as opened:
        sync_schedules(opened.kernel, from_table, as_json=as_json)


def _change(
    verb: str,
    name: str,
    as_json: bool,
    where: Where,
) -> None:
    from workflow_engine.cli.schedule_views import change_schedule
    from workflow_engine.cli.stacks import open_stack

    with open_stack(where) as opened:
        change_schedule(opened.kernel, verb, name, as_json=as_json)
