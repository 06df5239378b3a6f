"""Begins a project: which package it has, and its files."""

from dataclasses import dataclass
from pathlib import Path

from workflow_engine.scaffold import names, rendering
from workflow_engine.scaffold.writing import write_project


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProject:
    """A project that was begun: *files* are paths in *folder*, sorted."""

    folder: Path
    package: str
    application: str
    files: tuple[str, ...]


def begin(folder: Path, *, package: str, version: str) -> NewProject:
    """Write a project with a workflow into *folder*, an empty one or a new one.

    Raises:
        PackageNameError: no package can be called *package*.
        FolderNotEmptyError: there is something in the folder.
        ProjectFileError: it cannot be written.
    """
    files = rendering.project(version=version, package=names.checked(package))
    write_project(folder, files)
    return NewProject(
        folder=folder,
        package=package,
        application=names.application_of(package),
        files=tuple(sorted(files)),
    )
