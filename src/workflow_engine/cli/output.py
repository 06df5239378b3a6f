"""Prints: one JSON document for programs, tables and lines for people.

What a terminal shows may be cut to its width; on a pipe nothing is cut or wrapped, and JSON nowhere.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any, TextIO

from rich.console import Console, RenderableType
from rich.json import JSON
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from workflow_engine.cli.streams import speaks_unicode

# Lines on a pipe are as long as they are.
PIPE_WIDTH = 1_000_000
# Of a column that is there to be recognised, on a terminal.
SHORT_COLUMN, SHORT_TEXT = 24, 80


class _Console(Console):
    """A console that leaves it to the command line what a reader's going away means."""

    @override
    def on_broken_pipe(self) -> None:
        # rich calls this where it has caught it.
        raise


@dataclass(frozen=True, slots=True)
class Json:
    """A value to be shown as JSON, whole."""

    value: Any


def console(out: TextIO) -> Console:
    """A console on *out*, which keeps to it whatever standard output is redirected to."""
    return _Console(file=out, highlight=False, width=None if out.isatty() else PIPE_WIDTH)


def is_cut(out: Console) -> bool:
    """Whether what *out* shows is cut to a width: on a terminal."""
    return out.width < PIPE_WIDTH


def show(out: Console, *parts: RenderableType | Json) -> None:
    """Print *parts* one below the other."""
    for part in parts:
        if isinstance(part, Json):
            _show_json(out, part.value)
        else:
            out.print(part, soft_wrap=isinstance(part, Text) and not is_cut(out))


def _show_json(out: Console, value: Any) -> None:
    text = json_text(value, out.file)
    if is_cut(out):
        # The terminal itself breaks lines that are longer than it is wide.
        out.print(JSON(text, ensure_ascii=not speaks_unicode(out.file)), soft_wrap=True)
    else:
        print(text, file=out.file)


def json_text(document: Any, out: IO[str], *, indent: int | None = 2) -> str:
    """*document* as JSON that *out* can take whatever its encoding is: letters that it has not are escaped."""
    options: dict[str, Any] = {"ensure_ascii": not speaks_unicode(out), "indent": indent, "default": str}
    try:
        return json.dumps(document, allow_nan=False, **options)
    except ValueError:  # NaN and infinity are no JSON
        return json.dumps(_finite(document), allow_nan=False, **options)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and value - value != 0 else value


def print_json(document: Any) -> None:
    """Print *document* for a program."""
    print(json_text(document, sys.stdout))


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str | Text]], *, empty: str, whole: Sequence[str] = ()
) -> None:
    """Print a table without lines; *empty* where it has no rows. Columns that are *whole* are not broken on a
    narrow terminal, so that they can be copied."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in whole)
    for row in rows:
        table.add_row(*row)
    show(console(sys.stdout), table if table.rows else Text(empty, style="dim"))


def say(text: str | Text) -> None:
    """Print a line for people."""
    console(sys.stdout).print(text if isinstance(text, Text) else Text(text), soft_wrap=True)


def complain(text: str, *, style: str = "red") -> None:
    """Print a line for people on standard error."""
    console(sys.stderr).print(Text(text, style=style), soft_wrap=True)


def clock_time(at: datetime | None) -> str:
    """An instant as people read it: local, to the second."""
    return "" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
