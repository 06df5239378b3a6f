"""Renders the template of a project anew, with what is the user's in it as it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from workflow_engine.scaffold import rendering
from workflow_engine.scaffold.errors import NewerTemplateError, NotRenderedError, TemplateEditedError
from workflow_engine.scaffold.marks import Marked, is_newer, take_apart
from workflow_engine.scaffold.writing import read_file, replace_files

# The line of a project's requirements that says which engine its functions have. One with hashes was compiled, and is for
# whoever compiles it.
_PIN = re.compile(
    r"^(workflow[-_.]engine[-_.]aws(?:\[[^\]\n]*\])?[ \t]*==[ \t]*)([^\s;#\\]+)(?![^\n]*(?:\\|--hash))",
    re.MULTILINE | re.IGNORECASE,
)
_PINNED = re.compile(
    r"^workflow[-_.]engine[-_.]aws(?:\[[^\]\n]*\])?[ \t]*==[ \t]*([^\s;#\\]+)", re.MULTILINE | re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """What an upgrade changes: *files* are the new texts by path, *difference* shows them as a unified diff. *unpinned*
    is the file of requirements where it has another version of the engine, or none, in a line that is not for us."""

    rendered_by: str
    installed: str
    files: Mapping[Path, str]
    difference: str
    unpinned: Path | None = None


def planned(path: Path, *, installed: str, discard_edits: bool = False) -> Upgrade:
    """What it takes to have the template at *path* as version *installed* renders it. Writes nothing.

    Raises:
        ProjectFileError: a file cannot be read.
        NotRenderedError: it is no template of ours, or a mark is missing.
        NewerTemplateError: a newer version rendered it.
        TemplateEditedError: it was changed outside its marks, which *discard_edits* lets go of.
    """
    text = read_file(path)
    there = take_apart(text, str(path))
    if is_newer(there.header.version, than=installed):
        raise NewerTemplateError(path=str(path), rendered_by=there.header.version, installed=installed)
    wanted = rendering.template(version=installed, workflows=there.header.workflows, mine=there)
    if not discard_edits:
        _check_edits(there, wanted, path)
    _check_parts(there, wanted, path)
    changed = {path: (text, wanted.text())}
    requirements, unpinned = path.parent / rendering.REQUIREMENTS, None
    if requirements.exists() or requirements.is_symlink():
        pinned = read_file(requirements)
        changed[requirements] = pinned, _PIN.sub(rf"\g<1>{installed}", pinned)
        unpinned = None if _has(changed[requirements][1], installed) else requirements
    changed = {one: (before, after) for one, (before, after) in changed.items() if before != after}
    return Upgrade(
        rendered_by=there.header.version,
        installed=installed,
        files={one: after for one, (_, after) in changed.items()},
        difference="".join(difference(before, after, one.name, one.name) for one, (before, after) in changed.items()),
        unpinned=unpinned,
    )


def _has(requirements: str, version: str) -> bool:
    return [match[1] for match in _PINNED.finditer(requirements)] == [version]


def carry_out(upgrade: Upgrade) -> None:
    """Write what *upgrade* changes: all of it, or nothing.

    Raises:
        ProjectFileError: a file cannot be written.
    """
    replace_files(upgrade.files)


def _check_edits(there: Marked, wanted: Marked, path: Path) -> None:
    if there.digest in (there.header.digest, wanted.digest):
        return
    shown = difference(wanted.rest, there.rest, f"{path.name} as rendered", f"{path.name} as it is")
    exact = there.header.version == wanted.header.version
    raise TemplateEditedError(path=str(path), difference=shown, exact=exact)


def _check_parts(there: Marked, wanted: Marked, path: Path) -> None:
    """No part of the user's may have nowhere to go."""
    for name in there.parts:
        if f"# >>> yours: {name}\n" not in wanted.rest:
            problem = f"version {wanted.header.version} has no part {name!r}; move what is in it to another part"
            raise NotRenderedError(path=str(path), problem=problem)


def difference(before: str, after: str, before_name: str, after_name: str) -> str:
    """A unified diff, lines ending in a line feed; ends of lines alone are no difference."""
    old, new = (text.replace("\r\n", "\n").split("\n") for text in (before, after))
    return "".join(f"{line}\n" for line in unified_diff(old, new, before_name, after_name, lineterm=""))
