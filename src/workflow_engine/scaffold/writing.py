"""Writes files whole or not at all, whatever interrupts: each is written beside its place and then renamed into it."""

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from workflow_engine.scaffold.errors import FolderNotEmptyError, ProjectFileError

# What a folder may have in which a project begins: none of it is written by `init`.
UNTOUCHED = frozenset(
    {".DS_Store", ".git", ".hg", ".idea", ".jj", ".python-version", ".svn", ".tool-versions", ".vscode"}
)
_PARTLY = ".workflow-engine-init-"


def write_project(folder: Path, files: Mapping[str, str]) -> None:
    """Make the project *files* in *folder*, which is made where there is none.

    Raises:
        FolderNotEmptyError: there is something in it beside an environment, a repository and an editor's settings.
        ProjectFileError: it cannot be written.
    """
    try:
        made = _make(folder)
        _check_empty(folder)
        try:
            _move_in(folder, files)
        except BaseException:
            for one in made:
                one.rmdir()
            raise
    except (OSError, ValueError) as error:
        raise ProjectFileError(path=str(folder), problem=f"cannot be written: {reason_of(error)}") from error


def _make(folder: Path) -> list[Path]:
    """Make *folder* and what is missing above it; answers what was made, the innermost first."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _check_empty(folder: Path) -> None:
    found = sorted(one.name for one in folder.iterdir() if not _is_untouched(one))
    if found:
        raise FolderNotEmptyError(folder=str(folder), found=found)


def _is_untouched(path: Path) -> bool:
    return path.name in UNTOUCHED or (path / "pyvenv.cfg").is_file()


def _move_in(folder: Path, files: Mapping[str, str]) -> None:
    """Write *files* into a folder within *folder*, and then move them out of it."""
    moved: list[Path] = []
    partly = Path(tempfile.mkdtemp(prefix=_PARTLY, dir=folder))
    try:
        for name, text in files.items():
            path = partly / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        for source in sorted(partly.iterdir()):
            moved.append(folder / source.name)
            source.rename(moved[-1])
        partly.rmdir()
    except BaseException:
        for path in [*moved, partly]:
            _remove(path)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_file(path: Path) -> str:
    """The text of a file, its ends of lines as they are.

    Raises:
        ProjectFileError: there is none, it is a link or no file, or what is in it is no UTF-8.
    """
    try:
        if path.is_symlink():
            problem = f"is a symbolic link to {str(path.readlink())!r}; run this where the file itself is"
            raise ProjectFileError(path=str(path), problem=problem)
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            raise ProjectFileError(path=str(path), problem="is no file")
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProjectFileError(path=str(path), problem=f"is no UTF-8 text (byte {error.start})") from error
    except (OSError, ValueError) as error:
        raise ProjectFileError(path=str(path), problem=f"cannot be read: {reason_of(error)}") from error


def replace_files(files: Mapping[Path, str]) -> None:
    """Give each file its new text, with the permissions that it has. All are written before the first is replaced.

    Raises:
        ProjectFileError: one cannot be written.
    """
    ready: list[tuple[Path, Path]] = []
    try:
        for path, text in files.items():
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            ready.append((Path(name), path))
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
            shutil.copymode(path, name)
        for written, path in ready:
            written.replace(path)
    except OSError as error:
        raise ProjectFileError(path=str(path), problem=f"cannot be written: {reason_of(error)}") from error
    finally:
        for written, _ in ready:
            written.unlink(missing_ok=True)


def reason_of(error: Exception) -> str:
    """Why a file cannot be read or written, without the path, which the caller has."""
    return getattr(error, "strerror", None) or str(error)
