"""One dispatch: who writes, until when, and what it has learnt on the way."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from workflow_engine.kernel.execution.held_leases import HeldLeases
from workflow_engine.kernel.patience import Patience
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.kernel.transitions import Moment
from workflow_engine.model.limits import MAX_CLOSING
from workflow_engine.ports.clock import Clock

# What the record, the commit and the telling after a stage may take.
COMMIT_MARGIN = timedelta(seconds=2)
# What giving a lease back at the end, or one last try, may take.
LAST_TRY = timedelta(seconds=1)
# A first stage that does not fit into what is left is begun while so much of the whole is left: a stage that
# takes longer than any invocation would never be begun otherwise.
FRESH = 0.9


@dataclass(slots=True)
class FunctionTime:
    """The time of one invocation of the function, shared by the messages of its batch: *whole* is what
    there was of it at its begin."""

    whole: timedelta
    stage_begun: bool = False


def _nobody(command: Any) -> Any:
    raise RuntimeError(f"nobody here executes {command}")


@dataclass(slots=True)
class Invocation:
    """Names the writes of one dispatch (``by``: its id and a counter, so that no two are equal).

    It must end by *deadline*. It *performs* what it creates where its command was a message of the queue:
    whoever sent that waits for no answer. A lease ends then, too, or after *lease* where the host renews it.
    *had_time* says whether there was any time for a stage when it began. Once *hurried* is set, its host
    is to end. *held* are the leases of its process. *ask* executes a command that a stage has, and answers its result.
    """

    id: str
    deadline: datetime
    clock: Clock
    settings: KernelSettings
    lease: timedelta | None = None
    may_chain: bool = True
    had_time: bool = True
    performs: bool = False
    time: FunctionTime = field(default_factory=lambda: FunctionTime(timedelta(0)))
    hurried: threading.Event = field(default_factory=threading.Event)
    held: HeldLeases = field(default_factory=HeldLeases)
    ask: Callable[[Any], Any] = _nobody
    _writes: int = field(default=0)

    def moment(self) -> Moment:
        """Now, for one more write."""
        self._writes += 1
        by = f"{self.id}.{self._writes}"
        settings = self.settings
        return Moment(
            at=self.clock.now(),
            by=by,
            horizon=settings.horizon,
            published=settings.published,
            archives=settings.archive,
            undo_within=min(MAX_CLOSING, settings.retention),
        )

    def remaining(self) -> timedelta:
        """What is left until the invocation must end; never negative."""
        return max(self.deadline - self.clock.now(), timedelta(0))

    def may_begin(self, timeout: timedelta) -> bool:
        """Whether a stage that may take *timeout* can be begun without being stopped for the time of
        others: only the first stage of the function's invocation may get less than it asks for."""
        left = self.remaining()
        return timeout + COMMIT_MARGIN <= left or (not self.time.stage_begun and left >= FRESH * self.time.whole)

    @property
    def is_over(self) -> bool:
        """Whether its time has run out since it began: its process was stopped for a while."""
        return self.had_time and self.remaining() <= COMMIT_MARGIN

    def has_time_for(self, timeout: timedelta) -> bool:
        """Whether a stage that was begun still has about the time that it was begun with, now that
        what it takes is read. Stopped short of that, it would not be what took too long."""
        left = self.remaining()
        enough = left - COMMIT_MARGIN >= FRESH * timeout or left >= FRESH * self.time.whole
        return not self.had_time or (enough and not self.is_over)

    def patience(self, most: timedelta | None = None) -> Patience:
        """To try again what got no answer or was refused: until a moment before the invocation, and
        with it a lease, ends, or for *most*."""
        left = max(self.remaining() - LAST_TRY, timedelta(0))
        budget = left if most is None else min(left, most)
        return Patience(
            clock=self.clock,
            pause=self.settings.pause,
            name=f"{self.id}.{self._writes}",
            budget=budget,
            hurried=self.hurried,
        )

    def lease_end(self, at: datetime) -> datetime:
        """When a lease taken *at* ends."""
        return self.deadline if self.lease is None else min(self.deadline, at + self.lease)
