"""``workflow-engine signal``: send a run what one of its stages waits for."""

from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def signal(
    run: options.RunId,
    name: Annotated[str, typer.Argument(help="The signal's name.", show_default=False)],
    payload: Annotated[str, typer.Argument(help="Its payload, as JSON.")] = "null",
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same again has no effect.", show_default=False)
    ] = None,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Send a signal to a run. One that comes before it is waited for is kept.

    Example: workflow-engine signal k3v5x2m7p4q6r8s2t4w6y2z4a6 approval '{"approved": true, "by": "me"}'
    """
    from workflow_engine.cli.interrupts import saying
    from workflow_engine.cli.run_actions import signal_run
    from workflow_engine.cli.run_names import run_named
    from workflow_engine.cli.stacks import open_stack

    unknown = f"whether {run} has the signal is not known: workflow-engine show {run}"
    with saying(lambda: unknown, [run]), open_stack(where) as opened:
        signal_run(opened.kernel, run_named(opened, run), name, payload, key=key, as_json=as_json)
