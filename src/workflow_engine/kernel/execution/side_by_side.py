"""Makes calls at the same time, a thread each, and hands out what they answer in few portions."""

import contextvars
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol, TypeVar

AnswerT = TypeVar("AnswerT")


class GroupRunner(Protocol):
    """Makes calls at the same time, as ``run_side_by_side`` does."""

    def __call__(
        self, calls: Sequence[Callable[[], AnswerT]], *, patience: timedelta, is_urgent: Callable[[AnswerT], bool]
    ) -> Iterator[Sequence[tuple[int, AnswerT]]]:
        """What the *calls* answer, with the number of each."""
        ...


def run_side_by_side(
    calls: Sequence[Callable[[], AnswerT]], *, patience: timedelta, is_urgent: Callable[[AnswerT], bool]
) -> Iterator[Sequence[tuple[int, AnswerT]]]:
    """What the *calls* answer, with the number of each, in portions: all that came within *patience* of the
    first of a portion, and at once if one of them *is_urgent*.

    Raises:
        BaseException: one of them raised it; the others go on, and nobody listens.
    """
    answers: SimpleQueue[tuple[int, AnswerT | BaseException, bool]] = SimpleQueue()
    for index, call in enumerate(calls):
        run = partial(contextvars.copy_context().run, _answer, answers, index, call)
        threading.Thread(target=run, name=f"sibling-{index}", daemon=True).start()
    left = len(calls)
    while left:
        portion = _portion(answers, left, patience.total_seconds(), is_urgent)
        left -= len(portion)
        yield portion


def _answer(
    answers: "SimpleQueue[tuple[int, AnswerT | BaseException, bool]]", index: int, call: Callable[[], AnswerT]
) -> None:
    try:
        answers.put((index, call(), False))
    except BaseException as error:
        answers.put((index, error, True))


def _portion(
    answers: "SimpleQueue[tuple[int, AnswerT | BaseException, bool]]",
    most: int,
    patience: float,
    is_urgent: Callable[[AnswerT], bool],
) -> list[tuple[int, AnswerT]]:
    portion: list[tuple[int, AnswerT]] = []
    end: float | None = None
    while len(portion) < most:
        try:
            index, answer, raised = answers.get(timeout=None if end is None else max(end - time.monotonic(), 0))
        except Empty:
            break
        if raised:
            assert isinstance(answer, BaseException)
            raise answer
        end = end or time.monotonic() + patience
        portion.append((index, answer))  # type: ignore[arg-type]
        if is_urgent(answer):  # type: ignore[arg-type]
            break
    return portion
