"""``workflow-engine logs``: what the stages of a run logged."""

from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def logs(
    run: options.RunId,
    stage: Annotated[str | None, typer.Option(help="Only lines of this stage.", show_default=False)] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is over.")] = False,
    all_attempts: Annotated[
        bool, typer.Option("--all", help="Also of attempts that do not count: failed ones, ghosts.")
    ] = False,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Show what the stages of a run logged with ctx.log. Lines are stored when an attempt ends.

    With --json one document a line.

    Example: workflow-engine logs k3v5x2m7p4q6r8s2t4w6y2z4a6 --follow
    """
    import threading

    from workflow_engine.cli.interrupts import saying
    from workflow_engine.cli.run_names import run_named
    from workflow_engine.cli.run_session import goes_on
    from workflow_engine.cli.run_views import LogReader
    from workflow_engine.cli.stacks import open_stack

    with saying(lambda: goes_on([run], where), [run]), open_stack(where) as opened:
        run = run_named(opened, run)
        reader = LogReader(kernel=opened.kernel, run_id=run, stage_id=stage, all_attempts=all_attempts, as_json=as_json)
        if follow:
            reader.follow(threading.Event())
        else:
            reader.print(reader.look())
