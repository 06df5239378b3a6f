"""``workflow-engine watch``: stay with a run until it is over."""

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def watch(
    run: options.RunId,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Stay with a run until it is over, and show how it ended.

    Example: workflow-engine watch k3v5x2m7p4q6r8s2t4w6y2z4a6
    """
    from workflow_engine.cli.display import Display, JsonDisplay, TerminalDisplay
    from workflow_engine.cli.interrupts import saying
    from workflow_engine.cli.run_names import run_named
    from workflow_engine.cli.run_session import goes_on, watch_run
    from workflow_engine.cli.stacks import open_stack

    with saying(lambda: goes_on([run], where), [run]), open_stack(where) as opened:
        display: Display = JsonDisplay() if as_json else TerminalDisplay(full=True)
        raise typer.Exit(watch_run(opened, run_named(opened, run), display))
