"""``workflow-engine waiting``: who waits for what."""

from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def waiting(
    workflow: Annotated[
        str | None, typer.Argument(help="Only runs of this workflow (default: of all).", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many at the most.")] = 100,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """List stages that wait: for which signal, for a check, a retry or a start, since when and until when.

    Reads live runs alone, by pages, and says how many it read.

    Example: workflow-engine waiting publish-report
    """
    from workflow_engine.cli.stacks import open_stack
    from workflow_engine.cli.waits import show_waiting

    with open_stack(where) as opened:
        show_waiting(opened.kernel, workflow, limit, as_json=as_json)
