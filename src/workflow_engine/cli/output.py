"""Prints: one JSON document for programs, tables and lines for people."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Lines on a pipe are as long as tables need.
PIPE_WIDTH = 120


def console(out: TextIO) -> Console:
    """A console on *out*, which keeps to it whatever standard output is redirected to."""
    return Console(file=out, highlight=False, width=None if out.isatty() else PIPE_WIDTH)


def print_json(document: Any) -> None:
    """Print *document* for a program."""
    print(json.dumps(document, ensure_ascii=False, indent=2, default=str))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]], *, empty: str) -> None:
    """Print a table without lines; *empty* where it has no rows."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out = console(sys.stdout)
    out.print(table if table.rows else Text(empty, style="dim"))


def say(text: str | Text) -> None:
    """Print a line for people."""
    console(sys.stdout).print(text, soft_wrap=True)


def clock_time(at: datetime | None) -> str:
    """An instant as people read it: local, to the second."""
    return "" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
