"""``workflow-engine worker``: execute jobs in this process, as Lambda would."""

from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def worker(
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Jobs at the same time.")] = 1,
    tick_seconds: Annotated[int, typer.Option(min=1, max=3600, help="Seconds between two maintenance ticks.")] = 10,
    name: Annotated[
        str | None, typer.Option(help="The worker's name (default: host and process).", show_default=False)
    ] = None,
    as_json: options.Json = False,
    where: Where = HERE,
) -> None:
    """Execute jobs of a stack in this process until SIGTERM or SIGINT, which let the job in hand finish.

    Beside Lambda or instead of it: for stages that run longer than 15 minutes, or on machines of your own.

    Example: workflow-engine worker --stack workflow-engine-prod --concurrency 4
    """
    from workflow_engine.cli.stacks import open_stack
    from workflow_engine.cli.worker import work

    with open_stack(where) as opened:
        work(opened, name, concurrency, tick_seconds, as_json=as_json)
