"""``workflow-engine upgrade``: a project's template as the installed version has it."""

from typing import Annotated

import typer

from workflow_engine.cli import options


def upgrade(
    template: options.TemplateFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference, and write nothing.")] = False,
    discard_edits: Annotated[
        bool, typer.Option("--discard-edits", help="Let go of what was changed outside the parts that are yours.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Render template.yaml anew, as the version that is installed has it, and show the difference.

    What stands between the lines `>>> yours` and `<<< yours` is kept as it is. Where anything else was changed, that is
    shown and nothing is written. The engine's version in src/requirements.txt goes along.

    Example: workflow-engine upgrade --dry-run
    """
    from workflow_engine.cli.scaffolding import upgrade_project

    upgrade_project(template, dry_run=dry_run, discard_edits=discard_edits, as_json=as_json)
