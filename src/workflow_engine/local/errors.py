"""What local mode and the search for a stack refuse, and how a message quotes and lists."""

from collections.abc import Iterable

from workflow_engine.errors import WorkflowEngineError

# What a message quotes of a text that may be as long as the command line allows, and a line at most.
MAX_QUOTED = 100
MAX_LINE = 3000


class TemplateError(WorkflowEngineError):
    """The template cannot be read, or says something that local mode does not understand."""

    def __init__(self, *, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where, self.problem = where, problem


class StackNotFoundError(WorkflowEngineError):
    """There is no stack to talk to."""

    def __init__(self, *, problem: str, advice: str) -> None:
        super().__init__(f"{problem}; {advice}")
        self.problem, self.advice = problem, advice


class StateNotSavedError(WorkflowEngineError):
    """The state of the local stack cannot be written; what was saved before is still there."""

    def __init__(self, *, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}; what was saved before is still there")
        self.path, self.problem = path, problem


def reason_of(error: Exception) -> str:
    """Why a file cannot be read or written: the system's own words, without the path, which the caller has."""
    return getattr(error, "strerror", None) or str(error)


def printable(text: str) -> str:
    """*text* with what a terminal would obey, instead of show, written as Python writes it."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def one_line(text: str) -> str:
    """*text* without line breaks and control characters, and no longer than somebody reads."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}… of {len(line)} characters"


def shortened(text: str, most: int = MAX_QUOTED) -> str:
    """*text* in quotes, on one line whatever is in it, and no longer than a message takes."""
    return repr(text) if len(text) <= most else f"{text[:most]!r}… of {len(text)} characters"


def listed(names: Iterable[str]) -> str:
    """*names* as a reader takes them: sorted, with commas; "none" where there are none."""
    return ", ".join(sorted(names)) or "none"


class InvalidOptionError(WorkflowEngineError):
    """An option has a value that it cannot have."""

    def __init__(self, *, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option, self.problem = option, problem
