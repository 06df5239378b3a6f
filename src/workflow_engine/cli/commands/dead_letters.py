"""``workflow-engine dead-letters``: what could not be delivered, and how to send it again."""

from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.checked import Command, Group
from workflow_engine.cli.where import HERE, Where, located

app = typer.Typer(cls=Group)


@app.callback(invoke_without_command=True)
@located
def dead_letters(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many at the most.")] = 100,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """List events that EventBridge refused too often, messages that cannot be handled, timers and recurring
    starts that could not be delivered, and ticks that failed, each with its reason.

    Example: workflow-engine dead-letters --stack workflow-engine-prod
    """
    if context.invoked_subcommand is not None:
        return
    from workflow_engine.cli.dead_letters import show_letters
    from workflow_engine.cli.stacks import open_stack

    with open_stack(where) as opened:
        show_letters(opened, limit, as_json=as_json)


@app.command(cls=Command)
@located
def replay(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many of each at the most.")] = 100,
    events: Annotated[bool, typer.Option(help="Publish events again, in order per run.")] = True,
    jobs: Annotated[bool, typer.Option(help="Send messages back to the job queue.")] = True,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Send dead letters again: events to the bus, messages and schedules to the job queue, each under its
    old key.

    Example: workflow-engine dead-letters replay --stack workflow-engine-prod --no-jobs
    """
    from workflow_engine.cli.dead_letters import replay_letters
    from workflow_engine.cli.stacks import open_stack

    with open_stack(where) as opened:
        replay_letters(opened, limit, events=events, jobs=jobs, as_json=as_json)


@app.command()
@located
def forget(
    messages: Annotated[
        list[str] | None, typer.Argument(help="Ids of messages, as dead-letters lists them; none: all dead ticks.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many at the most.")] = 1000,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Remove dead letters for good: these messages, or else the ticks that failed, whose work the next
    one did.

    Example: workflow-engine dead-letters forget --stack workflow-engine-prod
    """
    from workflow_engine.cli.dead_letters import forget_letters
    from workflow_engine.cli.stacks import open_stack

    with open_stack(where) as opened:
        forget_letters(opened, messages or [], limit, as_json=as_json)
