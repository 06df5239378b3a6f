"""``workflow-engine export``: one run as JSON lines."""

from pathlib import Path
from typing import Annotated

import typer

from workflow_engine.cli import options
from workflow_engine.cli.where import HERE, Where, located


@located
def export(
    run: options.RunId,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write to this file instead of standard output.", show_default=False),
    ] = None,
    with_logs: Annotated[bool, typer.Option("--logs", help="With what the stages logged, of all attempts.")] = False,
    archived_on: options.ArchivedOn = None,
    where: Where = HERE,
) -> None:
    """Write a run as JSON lines: the run, then a line an attempt with its output, then annotations.

    One that is not kept any more is written from its archive, if it has one.

    Example: workflow-engine export k3v5x2m7p4q6r8s2t4w6y2z4a6 --output run.jsonl
    """
    from workflow_engine.cli.archives import export_run
    from workflow_engine.cli.run_names import run_named
    from workflow_engine.cli.stacks import open_stack

    with open_stack(where) as opened:
        export_run(opened.kernel, run_named(opened, run), output=output, with_logs=with_logs, archived_on=archived_on)
