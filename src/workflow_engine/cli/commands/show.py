"""``workflow-engine show``: one run, with all that is known of it."""

from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def show(
    run: options.RunId,
    with_input: Annotated[bool, typer.Option("--input", help="Show what it was started with, too.")] = False,
    archived_on: options.ArchivedOn = None,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Show a run: how it stands, its stages, attempts and errors, its output. One that is not
    kept any more is shown from its archive, if it has one.

    Example: workflow-engine show k3v5x2m7p4q6r8s2t4w6y2z4a6
    """
    from workflow_engine.cli.archives import kernel_with
    from workflow_engine.cli.run_names import run_named
    from workflow_engine.cli.run_views import show_run
    from workflow_engine.cli.stacks import open_stack

    with open_stack(where) as opened:
        run = run_named(opened, run)
        show_run(kernel_with(opened.kernel, run, archived_on), run, with_input=with_input, as_json=as_json)
