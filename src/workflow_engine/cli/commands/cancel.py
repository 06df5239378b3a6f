"""``workflow-engine cancel``: end a run."""

from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def cancel(
    run: options.RunId,
    reason: Annotated[str | None, typer.Option(help="Why, for those who read it later.", show_default=False)] = None,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """End a run. A stage that is under way finishes, and its outcome is not seen.

    Example: workflow-engine cancel k3v5x2m7p4q6r8s2t4w6y2z4a6 --reason "wrong document"
    """
    from workflow_engine.cli.interrupts import saying
    from workflow_engine.cli.run_actions import cancel_run
    from workflow_engine.cli.run_names import run_named
    from workflow_engine.cli.stacks import open_stack

    unknown = f"whether {run} is cancelled is not known: workflow-engine show {run}"
    with saying(lambda: unknown, [run]), open_stack(where) as opened:
        cancel_run(opened.kernel, run_named(opened, run), reason, as_json=as_json)
