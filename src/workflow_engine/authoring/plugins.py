"""Code of the application that hears of events before the outside does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from inspect import isasyncgenfunction, isgeneratorfunction

from workflow_engine.errors import WorkflowDefinitionError
from workflow_engine.model.events import EVENT_TYPES, RunEvent
from workflow_engine.model.ids import is_name

# A tick tells the events of a hundred runs in one invocation.
LONGEST_TIMEOUT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Plugin:
    """*handle* is called with every event whose type *on* names (patterns such as ``stage:*`` too).

    It runs in the function that tells the event, at least once and in order for each run; an
    ``async def`` is awaited. One that raises, whatever it is, or takes longer than *timeout* refuses
    the event: it is told again later, to all, and is a dead letter after five times.

    Raises:
        WorkflowDefinitionError: *id* is no name, *on* names no type of event, *handle* is a
            generator, or *timeout* is not above 0 s and at most 60 s.
    """

    id: str
    on: Sequence[str]
    handle: Callable[[RunEvent], object]
    timeout: timedelta = timedelta(seconds=10)

    def __post_init__(self) -> None:
        problems = [] if is_name(self.id) else [f"{self.id!r} is no name for a plugin"]
        problems += [f"{on!r} names no type of event" for on in self.on if not _types(on)]
        if not timedelta(0) < self.timeout <= LONGEST_TIMEOUT:
            problems.append(f"timeout is above 0 and at most {LONGEST_TIMEOUT}, not {self.timeout}")
        if isgeneratorfunction(self.handle) or isasyncgenfunction(self.handle):
            problems.append("handle is a function that returns, not a generator: nobody would run that")
        if problems:
            raise WorkflowDefinitionError(workflow_id=f"plugin {self.id}", problems=problems)

    @property
    def event_types(self) -> frozenset[str]:
        """The types of events that it hears of."""
        return frozenset(type_ for pattern in self.on for type_ in _types(pattern))


def _types(pattern: str) -> list[str]:
    return [type_ for type_ in EVENT_TYPES if fnmatchcase(type_, pattern)]
