"""How long is waited for an answer: pauses that grow, with jitter, for as long as there is time."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar
from zlib import crc32

from workflow_engine.errors import TransientError
from workflow_engine.ports.clock import Clock

AnswerT = TypeVar("AnswerT")
# Lets the given time pass, really or in a test's own time.
Pause: TypeAlias = Callable[[timedelta], object]

# A call that gets no answer was sent several times by the SDK already, which took it some seconds:
# what is asked much sooner again only adds to the load of a service that is throttled or away.
FIRST_SILENCE, LONGEST_SILENCE = timedelta(seconds=1), timedelta(seconds=30)
# A refusal is an answer: somebody else wrote in between, and is done by now.
FIRST_REFUSAL, LONGEST_REFUSAL = timedelta(milliseconds=50), timedelta(seconds=5)
# How long a step waits for an answer where a later one would do as well.
A_MOMENT = timedelta(seconds=15)


def pause_for_real(span: timedelta) -> None:
    """Wait for *span*; Ctrl-C ends it at once."""
    threading.Event().wait(span.total_seconds())


@dataclass(slots=True, kw_only=True)
class Patience:
    """What is left of *budget* for one more try, after pauses that *name* tells apart from others'.

    The pauses count as well as the *clock*, so that it ends where a test's clock stands still. Once
    *hurried* is set, there is no time.
    """

    clock: Clock
    pause: Pause
    name: str
    budget: timedelta
    hurried: threading.Event = field(default_factory=threading.Event)
    _until: datetime = field(init=False)
    _silences: int = field(default=0, init=False)
    _refusals: int = field(default=0, init=False)
    _paused: timedelta = field(default=timedelta(0), init=False)

    def __post_init__(self) -> None:
        self._until = self.clock.now() + self.budget

    def answered(self, call: Callable[[], AnswerT]) -> AnswerT:
        """What *call* answers, made again while it gets no answer and there is time.

        Raises:
            TransientError: there was no answer.
        """
        while True:
            try:
                return call()
            except TransientError:
                if not self.after_silence():
                    raise

    def after_silence(self) -> bool:
        """Pause after a call that got no answer; ``False``, at once, if there is no time for another."""
        self._silences += 1
        return self._paused_for(FIRST_SILENCE, LONGEST_SILENCE, self._silences - 1)

    def after_refusal(self) -> bool:
        """Pause after a refused commit, but not after the first; ``False`` if there is no time."""
        self._refusals += 1
        if self._refusals == 1:
            return True
        return self._paused_for(FIRST_REFUSAL, LONGEST_REFUSAL, self._refusals - 2)

    def _paused_for(self, first: timedelta, longest: timedelta, before: int) -> bool:
        ceiling = min(first * 2 ** min(before, 16), longest)
        # Drawn from the upper half by the invocation's name, which is chance (I9): what failed
        # together does not come back together.
        chance = crc32(f"{self.name}/{self._silences}/{self._refusals}".encode()) / 2**32
        span = ceiling * (0.5 + 0.5 * chance)
        left = min(self._until - self.clock.now(), self.budget - self._paused)
        if span > left or self.hurried.is_set():
            return False
        self._paused += span
        self.pause(span)
        return True
