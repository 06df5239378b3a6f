"""Makes inputs of what the command line is given: JSON, files, folders.

The rule: text that begins with ``{`` is the input itself; ``-`` is JSON on standard input; a file whose
name ends in ``.json`` holds it. Any other file is a document: it becomes ``{"text": …, "name": …}``,
for workflows whose input has a field ``text`` (and takes the file's name where there is a ``name``).
A folder stands for each file in it.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from workflow_engine.authoring import WorkflowDefinition
from workflow_engine.cli.errors import UnreadableInputError
from workflow_engine.errors import PayloadTooLargeError, WorkflowEngineError
from workflow_engine.local.errors import MAX_QUOTED, InvalidOptionError, reason_of, shortened
from workflow_engine.model.json_values import to_json
from workflow_engine.model.limits import MAX_PAYLOAD_BYTES

INLINE = "the command line"
STANDARD_INPUT = "standard input"
TEXT_FIELD, NAME_FIELD = "text", "name"
# A folder that has more was not meant: each file becomes a run.
MAX_FILES = 10_000
_JSON_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class ReadInput:
    """An input that fits the workflow. *source* names where it came from."""

    source: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RefusedInput:
    """What was given and cannot be an input, and why."""

    source: str
    error: WorkflowEngineError


def read_inputs(given: Sequence[str], definition: WorkflowDefinition) -> tuple[list[ReadInput], list[RefusedInput]]:
    """The inputs that *given* names, and what cannot be one. One that is refused keeps no other back."""
    read: list[ReadInput] = []
    refused: list[RefusedInput] = []
    for text in given:
        for source, path in _sources(text):
            try:
                data = _load(text if path is None else path, source, definition)
                definition.validate_input(data)
                read.append(ReadInput(source, data))
            except WorkflowEngineError as error:
                refused.append(RefusedInput(source, error))
    return read, refused


def _sources(text: str) -> Iterator[tuple[str, Path | None]]:
    """The sources that *text* stands for, each with its file (``None``: it is not in a file)."""
    if text.lstrip().startswith("{"):
        yield INLINE, None
    elif text == "-":
        yield STANDARD_INPUT, None
    elif _is_folder(Path(text)):
        yield from _files(Path(text))
    else:
        yield text, Path(text)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that is too long, or a folder on the way that may not be entered
        return False


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a folder by name: hidden ones left out, and one with two names taken once.

    Raises:
        InvalidOptionError: there are more than ``MAX_FILES``.
    """
    found = sorted(islice(_below(folder), MAX_FILES + 1))
    if len(found) > MAX_FILES:
        problem = f"there are more than {MAX_FILES} files in {folder}; name folders that have fewer"
        raise InvalidOptionError(option="--input", problem=problem)
    names: dict[Path, Path] = {}
    for path in found:
        real = _real(path)
        # Where a link and the file itself are here, the file's own name is the better one.
        if real not in names or not path.is_symlink():
            names[real] = path
    if not names:
        yield str(folder), folder
    for path in sorted(names.values()):
        yield str(path), path


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        candidates = (Path(place, name) for name in names if not name.startswith("."))
        yield from (path for path in candidates if _is_file(path))


def _is_file(path: Path) -> bool:
    """Whether it is a file, or something that cannot be looked at: reading that will say what is wrong with it."""
    try:
        return path.is_file()
    except OSError:
        return True


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links that lead to each other (RuntimeError until Python 3.12)
        return path


def _load(text: str | Path, source: str, definition: WorkflowDefinition) -> dict[str, Any]:
    if isinstance(text, str):
        return _object(source, _standard_input() if source == STANDARD_INPUT else text)
    content = _content(text, source)
    if text.suffix == _JSON_SUFFIX:
        return _object(source, content)
    return _document(text, source, content, definition)


def _content(path: Path, source: str) -> str:
    """The text in a file.

    Raises:
        UnreadableInputError: there is no such file, or no text in it.
        PayloadTooLargeError: it is above 16 MiB; it was not read.
    """
    if not _is_there(path, source):
        raise UnreadableInputError(source=_quoted(source), problem="no such file", advice="check the path")
    if path.is_dir():
        raise UnreadableInputError(
            source=source, problem="there are no files in it", advice="name a folder that has some"
        )
    if not path.is_file():
        raise UnreadableInputError(source=source, problem="is no regular file", advice="name a file or a folder")
    try:
        size = path.stat().st_size
        if size > MAX_PAYLOAD_BYTES:
            what = f"{source} (split it, or put it into S3 and pass its address)"
            raise PayloadTooLargeError(what=what, size_bytes=size, limit_bytes=MAX_PAYLOAD_BYTES)
        return _text(path.read_bytes(), source)
    except OSError as error:
        problem = error.strerror or str(error)
        raise UnreadableInputError(source=source, problem=problem, advice="check its permissions") from error


def _is_there(path: Path, source: str) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:
        advice = "name a file or a folder, or give JSON that begins with {"
        raise UnreadableInputError(source=_quoted(source), problem=reason_of(error), advice=advice) from error


def _quoted(source: str) -> str:
    return source if len(source) <= MAX_QUOTED else shortened(source)


def _standard_input() -> str:
    """What is there on standard input.

    Raises:
        UnreadableInputError: nothing is, or no text.
        PayloadTooLargeError: it is above 16 MiB; no more was read.
    """
    if sys.stdin is None:
        raise UnreadableInputError(source=STANDARD_INPUT, problem="is closed", advice="pipe JSON into it")
    # As bytes: what they are in is to be told by us, and not by the locale.
    data = getattr(sys.stdin, "buffer", sys.stdin).read(MAX_PAYLOAD_BYTES + 1)
    data = data.encode(errors="surrogateescape") if isinstance(data, str) else data
    if len(data) > MAX_PAYLOAD_BYTES:
        raise PayloadTooLargeError(what=STANDARD_INPUT, size_bytes=len(data), limit_bytes=MAX_PAYLOAD_BYTES)
    return _text(data, STANDARD_INPUT)


def _text(data: bytes, source: str) -> str:
    if not data.strip():
        what = "is empty" if source == STANDARD_INPUT else "the file is empty"
        raise UnreadableInputError(source=source, problem=what, advice="give one with text in it")
    try:
        # A NUL is UTF-8, and no text.
        if b"\x00" in data:
            raise UnreadableInputError(source=source, problem="is binary", advice="give a text file in UTF-8")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        advice = "give a text file in UTF-8 (iconv converts others)"
        raise UnreadableInputError(source=source, problem="is not UTF-8 text", advice=advice) from error


def _object(source: str, text: str) -> dict[str, Any]:
    try:
        value = from_json(text, allow_inf_nan=False)
        # 1e400 is read as infinity all the same.
        to_json(value)
    except ValueError as error:
        raise UnreadableInputError(source=source, problem=f"is no JSON: {error}", advice="mend it") from error
    if not isinstance(value, dict):
        raise UnreadableInputError(
            source=source, problem="is no JSON object", advice="a workflow's input is an object, {…}"
        )
    return value


def _document(path: Path, source: str, content: str, definition: WorkflowDefinition) -> dict[str, Any]:
    fields = definition.input_model.model_fields
    if TEXT_FIELD not in fields:
        raise UnreadableInputError(
            source=source,
            problem=f"is no .json file, and the input of {definition.id!r} has no field {TEXT_FIELD!r}",
            advice="give its input as JSON",
        )
    named = {NAME_FIELD: path.name} if NAME_FIELD in fields else {}
    return {**named, TEXT_FIELD: content}
