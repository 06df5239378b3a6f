"""Standard streams that take whatever is printed: any character on any encoding, and a reader who leaves."""

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

# What stands for our signs where an encoding has no such letters.
SIGNS = {
    "✓": "+",
    "✗": "x",
    "⊘": "/",
    "▶": ">",
    "⏸": "=",
    "·": ".",
    "━": "=",
    "┄": ".",
    "█": "#",
    "░": ".",
    "→": "->",
    "…": "...",
}
_READABLE = "workflow_engine.readable"


def _readable(error: UnicodeError) -> tuple[str, int]:
    """The letters that an encoding has not as signs that it has, or else escaped as JSON has them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(SIGNS.get(letter) or _escaped(letter) for letter in letters), error.end


def _escaped(letter: str) -> str:
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


codecs.register_error(_READABLE, _readable)


def take_anything() -> None:
    """Have the standard streams of this process take every character. One that is closed becomes one that
    nobody reads."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open as long as the process is
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_READABLE)


def speaks_unicode(out: IO[str]) -> bool:
    """Whether *out* has all letters."""
    try:
        return codecs.lookup(getattr(out, "encoding", None) or "utf-8").name.startswith("utf")
    except LookupError:
        return False


@contextmanager
def for_whoever_listens() -> Iterator[None]:
    """Print inside what nothing depends on: a reader who has gone away changes nothing."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        silence()


def silence() -> None:
    """Print no more to standard output: its reader has gone away."""
    with suppress(OSError, ValueError):
        # The interpreter flushes it at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
