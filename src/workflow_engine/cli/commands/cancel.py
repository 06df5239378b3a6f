"""``workflow-engine cancel``: end runs, one or many.

The function is long for its signature alone: each parameter is an option.
"""

from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def cancel(
    run: options.RunOfMany = None,
    reason: Annotated[str | None, typer.Option(help="Why, for those who read it later.", show_default=False)] = None,
    undo: Annotated[bool, typer.Option("--undo/--no-undo", help="Undo what it did, where its stages say how.")] = True,
    workflow: options.ManyOf = None,
    status: options.StatusName = None,
    attribute: options.Attributes = None,
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = 1000,
    rate: options.Rate = 10,
    key: options.BulkKey = None,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """End a run; or many, by filters. A stage that is under way finishes, and its outcome is not seen.

    What the run did is undone first, where its stages have an undo; with --no-undo it ends at once.

    Example: workflow-engine cancel --workflow document-analysis --since 1h --reason "wrong documents" --dry-run
    """
    import sys

    from workflow_engine.cli import option_values
    from workflow_engine.cli.bulk import Bulk, cancel_many
    from workflow_engine.cli.interrupts import saying
    from workflow_engine.cli.run_actions import cancel_run
    from workflow_engine.cli.run_filters import read_run_filter
    from workflow_engine.cli.run_names import run_named
    from workflow_engine.cli.stacks import open_stack

    option_values.one_or_many(run, workflow, rate)
    if run is not None:
        unknown = f"whether {run} is cancelled is not known: workflow-engine show {run}"
        with saying(lambda: unknown, [run]), open_stack(where) as opened:
            cancel_run(opened.kernel, run_named(opened, run), reason, undo=undo, as_json=as_json)
        return
    with open_stack(where) as opened:
        wanted = read_run_filter(workflow, status, attribute, since, until=until, now=opened.kernel.clock.now())
        confirm = not yes and not as_json and sys.stdin.isatty()
        bulk = Bulk(wanted=wanted, limit=limit, rate=rate, key=key, dry_run=dry_run, confirm=confirm)
        raise typer.Exit(cancel_many(opened.kernel, bulk, reason, undo=undo, as_json=as_json))
