"""``workflow-engine cancel``: end runs, one or many.

The function is long for its signature alone: each parameter is an option.
"""

from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def cancel(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="The run's id, the first 8 characters of it or more, or `last`; or choose many by filters.",
            show_default=False,
        ),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for those who read it later.", show_default=False)] = None,
    workflow: Annotated[str | None, typer.Option(help="Many: runs of this workflow.", show_default=False)] = None,
    status: options.StatusName = None,
    attribute: options.Attributes = None,
    since: options.Since = None,
    until: options.Until = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="How many at the most.")] = 1000,
    rate: Annotated[float, typer.Option(min=0.01, max=1000, help="Runs a second at the most.")] = 10,
    key: Annotated[
        str | None,
        typer.Option(help="Go on with what was interrupted: what this key did is not done again.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which runs there are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before many are cancelled.")] = False,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """End a run; or many, by filters. A stage that is under way finishes, and its outcome is not seen.

    Example: workflow-engine cancel --workflow document-analysis --since 1h --reason "wrong documents" --dry-run
    """
    import sys

    from workflow_engine.cli.bulk import BulkCancel, cancel_many
    from workflow_engine.cli.interrupts import saying
    from workflow_engine.cli.run_actions import cancel_run
    from workflow_engine.cli.run_filters import read_run_filter
    from workflow_engine.cli.run_names import run_named
    from workflow_engine.cli.stacks import open_stack
    from workflow_engine.local.errors import InvalidOptionError

    if (run is None) == (workflow is None):
        raise InvalidOptionError(option="RUN", problem="name one run, or choose many with --workflow")
    if not rate > 0:  # nan is neither above nor below
        raise InvalidOptionError(option="--rate", problem="is no number")
    if run is not None:
        unknown = f"whether {run} is cancelled is not known: workflow-engine show {run}"
        with saying(lambda: unknown, [run]), open_stack(where) as opened:
            cancel_run(opened.kernel, run_named(opened, run), reason, as_json=as_json)
        return
    with open_stack(where) as opened:
        wanted = read_run_filter(workflow, status, attribute, since, until=until, now=opened.kernel.clock.now())
        confirm = not yes and not as_json and sys.stdin.isatty()
        bulk = BulkCancel(
            wanted=wanted, reason=reason, limit=limit, rate=rate, key=key, dry_run=dry_run, confirm=confirm
        )
        raise typer.Exit(cancel_many(opened.kernel, bulk, as_json=as_json))
