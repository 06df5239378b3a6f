"""Where in a process a stage's body is at work, and whether it goes on after a failure.

A failure that the body catches is an outcome, one that leaves it is none. Which of them it is shows when the body
takes its next step: where the failure was, where it was raised to, or in its own place, where all comes together.
"""

import inspect
import sys
import threading
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeAlias

Frames: TypeAlias = frozenset[FrameType]
# What calls functions that have nothing to do with each other, one after the other, from one and the same frame.
_CALLERS = ("asyncio", "concurrent", "threading")


@dataclass(frozen=True, slots=True)
class Place:
    """A thread, and in an event loop the task."""

    thread: int
    task: Any = None

    def is_same_thread(self) -> bool:
        """Whether that is where this is called, whatever the task."""
        return threading.get_ident() == self.thread

    def is_here(self) -> bool:
        """Whether that is where this is called; without a task, in whichever of its thread."""
        return self.is_same_thread() and (self.task is None or self.task is _task())


def here() -> Place:
    """The place where this is called."""
    return Place(threading.get_ident(), _task())


def _task() -> Any:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def running() -> Frames:
    """The functions that are running here, down to what a task, a pool or a thread calls."""
    found, frame = set[FrameType](), inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] not in _CALLERS:
        found.add(frame)
        frame = frame.f_back
    return frozenset(found)


def goes_on_after(error: BaseException, ran: Frames, home: Place | None) -> bool:
    """Whether what is called now comes after *error*, which was raised while *ran* were running: in the body's own
    place *home*; while the error is handled; or in a function that was running then, or that it was raised to."""
    if home is None or home.is_here() or _is_handled(error):
        return True
    trace, reached = error.__traceback__, set(ran)
    while trace is not None:
        reached.add(trace.tb_frame)
        trace = trace.tb_next
    return not reached.isdisjoint(running())


def _is_handled(error: BaseException) -> bool:
    handled = sys.exc_info()[1]
    return handled is not None and _holds(handled, error)


def _holds(outer: BaseException, error: BaseException) -> bool:
    if outer is error:
        return True
    return isinstance(outer, BaseExceptionGroup) and any(_holds(one, error) for one in outer.exceptions)
