"""What is wrong with a value, in lines that reach logs: where, and what, never the value itself."""

from collections.abc import Sequence

from pydantic import ValidationError

MAX_REPORTED_PROBLEMS = 10
# A field that nobody knows is named in its problem, and its name can be as long as the message.
MAX_PROBLEM_CHARS = 200


def problems_of(error: ValidationError) -> list[str]:
    """One line a problem: where, and what is wrong. The values themselves are left out, since
    these lines reach logs."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    lines = [problem_at(item["loc"], item["msg"]) for item in found]
    more = len(lines) - MAX_REPORTED_PROBLEMS
    return lines[:MAX_REPORTED_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])


def problem_at(path: Sequence[object], problem: str) -> str:
    """One line: where, and what is wrong."""
    return f"{plain('.'.join(map(str, path))) or 'value'}: {plain(problem)}"


def plain(text: str) -> str:
    """*text* cut to size, on one line whoever shows it: what is not printable is written out."""
    more = "…" if len(text) > MAX_PROBLEM_CHARS else ""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:MAX_PROBLEM_CHARS]) + more
