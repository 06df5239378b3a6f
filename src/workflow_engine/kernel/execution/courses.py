"""Runs what is a function's in a sync body, and is awaited in an async one, by one text for both.

A course is a generator: it yields what is to be called, and is sent what that answers, or thrown what it raises.
"""

from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any, TypeAlias, TypeVar

ResultT = TypeVar("ResultT")
Course: TypeAlias = Generator[Callable[[], Any], Any, ResultT]

# Whose course has called what runs now.
_calling: ContextVar[object] = ContextVar("workflow_engine_step", default=None)


def is_called_by(owner: object) -> bool:
    """Whether what runs now was called by a course of *owner*."""
    return _calling.get() is owner


def driven(course: Course[ResultT], owner: object) -> ResultT:
    """What *course* comes to, with each call made here."""
    try:
        asked = next(course)
        while True:
            try:
                answer = _called(asked, owner)
            except BaseException as error:
                asked = course.throw(error)
            else:
                asked = course.send(answer)
    except StopIteration as end:
        result: ResultT = end.value
        return result


def _called(asked: Callable[[], Any], owner: object) -> Any:
    before = _calling.get()
    _calling.set(owner)
    try:
        return asked()
    finally:
        # Not by a token: a coroutine that nobody awaits to its end is closed in another context.
        _calling.set(before)


def awaited(course: Course[ResultT], owner: object) -> Coroutine[Any, Any, ResultT]:
    """What *course* comes to, with what each call answers awaited where it can be."""

    async def run() -> ResultT:
        try:
            asked = next(course)
            while True:
                try:
                    answer = await _called_and_awaited(asked, owner)
                except BaseException as error:
                    asked = course.throw(error)
                else:
                    asked = course.send(answer)
        except StopIteration as end:
            result: ResultT = end.value
            return result

    return run()


async def _called_and_awaited(asked: Callable[[], Any], owner: object) -> Any:
    before = _calling.get()
    _calling.set(owner)
    try:
        answer = asked()
        return await answer if hasattr(type(answer), "__await__") else answer
    finally:
        _calling.set(before)
