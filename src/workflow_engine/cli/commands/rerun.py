"""``workflow-engine rerun``: let finished runs go again, one or many.

The function is long for its signature alone: each parameter is an option.
"""

from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def rerun(
    run: options.RunOfMany = None,
    from_stage: Annotated[
        str | None,
        typer.Option("--from", help="The stage to begin with (default: where it ended).", show_default=False),
    ] = None,
    new_input: Annotated[
        str | None, typer.Option("--input", help="Another input, as JSON; from the first stage.", show_default=False)
    ] = None,
    keep_steps: Annotated[
        bool, typer.Option("--keep-steps", help="Keep what the steps of the stage that it begins with came to.")
    ] = False,
    discard_step: Annotated[
        list[str] | None,
        typer.Option(
            "--discard-step", help="A step to be taken anew all the same; more than once.", show_default=False
        ),
    ] = None,
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
    """Let a finished run go again from a stage, with the workflow as it is now; or many, by filters.

    Outputs of the stages before are kept. Many are sent at a bounded rate; each is sent once under
    the key that is printed, so that an interrupted rerun can be repeated with --key.

    Example: workflow-engine rerun --workflow document-analysis --status FAILED --since 24h --rate 5
    """
    import sys

    from workflow_engine.cli import option_values
    from workflow_engine.cli.bulk import Bulk, rerun_many
    from workflow_engine.cli.interrupts import saying
    from workflow_engine.cli.run_actions import HowAgain, rerun_one
    from workflow_engine.cli.run_filters import read_run_filter
    from workflow_engine.cli.run_names import run_named
    from workflow_engine.cli.stacks import open_stack

    option_values.one_or_many(run, workflow, rate)
    changed = None if new_input is None else option_values.json_object("--input", new_input)
    how = HowAgain(
        from_stage=from_stage,
        new_input=changed,
        keep_steps=keep_steps,
        discard_steps=tuple(discard_step or ()),
    )
    named = [] if run is None else [run]
    unknown = f"whether {run} goes again is not known: workflow-engine show {run}"
    with saying(lambda: unknown, named), open_stack(where) as opened:
        if run is not None:
            rerun_one(opened.kernel, run_named(opened, run), how, key=key, as_json=as_json)
            return
        wanted = read_run_filter(
            workflow, status or "FAILED", attribute, since, until=until, now=opened.kernel.clock.now()
        )
        confirm = not yes and not as_json and sys.stdin.isatty()
        bulk = Bulk(wanted=wanted, limit=limit, rate=rate, key=key, dry_run=dry_run, confirm=confirm)
        raise typer.Exit(rerun_many(opened.kernel, bulk, how, as_json=as_json))
