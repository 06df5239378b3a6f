"""Begins projects and upgrades their templates: asks, and says what was done."""

import shlex
import sys
from importlib.metadata import version
from pathlib import Path

import typer

from workflow_engine.cli.entry import DISTRIBUTION
from workflow_engine.cli.errors import BAD_USAGE
from workflow_engine.cli.output import complain, print_json, say
from workflow_engine.errors import facts_of
from workflow_engine.local.errors import reason_of
from workflow_engine.local.project import Project
from workflow_engine.scaffold import names, new_project
from workflow_engine.scaffold.errors import ProjectFileError, TemplateEditedError
from workflow_engine.scaffold.upgrade import Upgrade, carry_out, planned


def begin_project(folder: Path, *, name: str | None, ask: bool, as_json: bool) -> None:
    """Write a project into *folder*, and say what is next.

    Raises:
        PackageNameError, FolderNotEmptyError, ProjectFileError: nothing was written.
    """
    package = name or _name_of(folder)
    if name is None and ask and sys.stdin.isatty() and sys.stdout.isatty():
        package = _asked("What the package is called", package)
    begun = new_project.begin(folder, package=package, version=version(DISTRIBUTION))
    if as_json:
        document = {"folder": str(_resolved(folder)), "package": begun.package, "application": begun.application}
        print_json({**document, "files": list(begun.files)})
        return
    say(f"✓ {begun.application}, its package {begun.package}: {len(begun.files)} files in {folder}")
    for path in begun.files:
        say(f"  {path}")
    enter = "" if _resolved(folder) == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    say(f"next: {enter}workflow-engine run")


def _asked(question: str, default: str) -> str:
    try:
        return input(f"{question} [{default}]: ").strip() or default
    except EOFError:
        return default


def _name_of(folder: Path) -> str:
    """The package's name after *folder*. Where it is the folder that somebody is in, any name is made into one; where it
    was typed, dashes and the like are.

    Raises:
        PackageNameError: it was typed, and is a keyword, begins with a digit, is taken or has no letters.
    """
    here = _resolved(folder)
    if here == Path.cwd() or names.proposed(here.name) == names.mended(here.name):
        return names.proposed(here.name)
    return names.checked(here.name)


def _resolved(folder: Path) -> Path:
    try:
        return folder.resolve()
    except (OSError, RuntimeError) as error:
        raise ProjectFileError(path=str(folder), problem=f"cannot be reached: {reason_of(error)}") from error


def upgrade_project(template: Path | None, *, dry_run: bool, discard_edits: bool, as_json: bool) -> None:
    """Render the template anew, unless *dry_run*, and show the difference.

    Raises:
        TemplateEditedError, NotRenderedError, NewerTemplateError, ProjectFileError: nothing was written.
    """
    path = template or Project.find(None).template_path
    try:
        upgrade = planned(path, installed=version(DISTRIBUTION), discard_edits=discard_edits)
    except TemplateEditedError as error:
        if as_json:
            print_json({**facts_of(error), "difference": error.difference})
            raise typer.Exit(BAD_USAGE) from error
        say(error.difference.rstrip("\n"))
        raise
    if upgrade.files and not dry_run:
        carry_out(upgrade)
    if as_json:
        print_json(_document(upgrade, dry_run=dry_run))
    else:
        _say(upgrade, path, dry_run=dry_run)


def _document(upgrade: Upgrade, *, dry_run: bool) -> dict[str, object]:
    return {
        "changed": bool(upgrade.files) and not dry_run,
        "rendered_by": upgrade.rendered_by,
        "installed": upgrade.installed,
        "files": [str(path) for path in upgrade.files],
        "difference": upgrade.difference,
    }


def _say(upgrade: Upgrade, path: Path, *, dry_run: bool) -> None:
    if upgrade.unpinned is not None:
        advice = f"has no line {DISTRIBUTION}=={upgrade.installed} yet: the functions need it for this template"
        complain(f"! {upgrade.unpinned} {advice}", style="yellow")
    if not upgrade.files:
        say(f"✓ {path.name} is as version {upgrade.installed} renders it")
        return
    say(upgrade.difference.rstrip("\n"))
    versions = f"from {upgrade.rendered_by} to {upgrade.installed}"
    changed = ", ".join(one.name for one in upgrade.files)
    say(f"{changed} would change, {versions}" if dry_run else f"✓ {changed} changed, {versions}")
