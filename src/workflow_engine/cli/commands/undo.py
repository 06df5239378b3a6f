"""``workflow-engine undo``: undo what a run did that is over."""

from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def undo(
    run: options.RunId,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same again has no effect.", show_default=False)
    ] = None,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Undo what a failed or cancelled run did: what could not be undone when it ended, or all of it.

    Example: workflow-engine undo k3v5x2m7p4q6r8s2t4w6y2z4a6
    """
    from workflow_engine.cli.interrupts import saying
    from workflow_engine.cli.run_actions import undo_run
    from workflow_engine.cli.run_names import run_named
    from workflow_engine.cli.stacks import open_stack

    unknown = f"whether {run} is undone is not known: workflow-engine show {run}"
    with saying(lambda: unknown, [run]), open_stack(where) as opened:
        undo_run(opened.kernel, run_named(opened, run), key=key, as_json=as_json)
