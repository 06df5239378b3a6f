"""``workflow-engine list``: runs, newest first."""

from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def list_runs(
    workflow: Annotated[
        str | None, typer.Argument(help="Only runs of this workflow (default: of all).", show_default=False)
    ] = None,
    status: options.StatusName = None,
    attribute: options.Attributes = None,
    since: options.Since = None,
    until: options.Until = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many at the most.")] = 20,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """List runs, newest first.

    Example: workflow-engine list document-analysis --status FAILED --since 24h
    """
    from workflow_engine.cli.run_filters import read_run_filter
    from workflow_engine.cli.run_views import show_list
    from workflow_engine.cli.stacks import open_stack

    with open_stack(where) as opened:
        wanted = read_run_filter(workflow, status, attribute, since, until=until, now=opened.kernel.clock.now())
        show_list(opened.kernel, wanted, limit, as_json=as_json)
