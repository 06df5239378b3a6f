"""``workflow-engine init``: a project of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from workflow_engine.cli import options


def init(
    folder: Annotated[
        str, typer.Argument(metavar="[DIR]", help="An empty folder, or one that is made.", show_default=False)
    ] = ".",
    name: Annotated[
        str | None, typer.Option(help="What its package is called (default: as the folder).", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    as_json: options.Json = False,
) -> None:
    """Begin a project: a workflow, its test, and the stack that runs it.

    Writes into an empty folder (an environment, a repository and an editor's settings may be there), all or nothing.

    Example: workflow-engine init orders --yes
    """
    from workflow_engine.cli.scaffolding import begin_project

    begin_project(Path(folder), name=name, ask=not (yes or as_json), as_json=as_json)
