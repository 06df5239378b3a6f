"""When a failed stage is tried again, and how long after. Pure: chance is given by the caller."""

import math
from dataclasses import dataclass
from datetime import timedelta

from workflow_engine.errors import StepFailedError, TransientError, WorkflowEngineError

ErrorTypes = type[BaseException] | tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Up to *max_attempts* attempts, the pauses between them growing by *backoff* up to *max_delay*.

    With *jitter*, a pause is drawn from the upper half of what it would be, so that stages that
    failed together do not come back together. *retry_on* and *give_up_on* take what ``except``
    takes; *give_up_on* wins.

    Raises:
        TypeError: *retry_on* or *give_up_on* holds something that is no exception class.
        ValueError: fewer than one attempt, a negative pause, a *backoff* below 1, or a *max_delay*
            below *first_delay*.
    """

    max_attempts: int = 3
    first_delay: timedelta = timedelta(seconds=2)
    backoff: float = 2.0
    max_delay: timedelta = timedelta(minutes=5)
    jitter: bool = True
    retry_on: ErrorTypes = (Exception,)
    give_up_on: ErrorTypes = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "retry_on", _error_types("retry_on", self.retry_on))
        object.__setattr__(self, "give_up_on", _error_types("give_up_on", self.give_up_on))
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, not {self.max_attempts}")
        if self.first_delay < timedelta(0):
            raise ValueError("first_delay must not be negative")
        if not (math.isfinite(self.backoff) and self.backoff >= 1):
            raise ValueError(f"backoff must be a finite number from 1, not {self.backoff}")
        if self.max_delay < self.first_delay:
            raise ValueError("max_delay must not be below first_delay")

    def retries(self, error: BaseException) -> bool:
        """Whether a stage that failed with *error* may be tried again, attempts permitting.

        Never for ``PermanentError`` and other engine errors that say they are not retryable, nor
        for ``SystemExit`` and ``KeyboardInterrupt``: asking the process to end is no accident.
        ``TransientError`` is AWS's, not the stage's: it need not be named in *retry_on*. An
        ``ExceptionGroup`` is what it holds: it is tried again where each of its errors alone would be, and a
        ``StepFailedError`` what the step failed with.
        ``Exception`` in *retry_on* stands for whatever a stage may fail with, a ``CancelledError`` of
        a task of its own included, which Python counts among what ends programs.
        """
        if isinstance(error, StepFailedError):
            # One that was stored has no cause: it will be raised again by every attempt.
            return error.__cause__ is not None and self.retries(error.__cause__)
        if self._gives_up(error):
            return False
        if isinstance(error, BaseExceptionGroup):
            return self._is_retried(error) or all(self.retries(one) for one in error.exceptions)
        return self._is_retried(error)

    def _gives_up(self, error: BaseException) -> bool:
        if isinstance(error, StepFailedError):
            return error.__cause__ is None or self._gives_up(error.__cause__)
        if isinstance(error, SystemExit | KeyboardInterrupt | GeneratorExit):
            return True
        if isinstance(error, WorkflowEngineError) and not error.retryable:
            return True
        if isinstance(error, self.give_up_on):
            return True
        return isinstance(error, BaseExceptionGroup) and any(self._gives_up(one) for one in error.exceptions)

    def _is_retried(self, error: BaseException) -> bool:
        return Exception in self._retried or isinstance(error, (TransientError, *self._retried))

    def delay(self, attempt: int, spread: float) -> timedelta:
        """The pause after failed *attempt* (counted from 1).

        *spread* in [0, 1) is the caller's chance: with jitter, 0 gives half of the pause, and
        towards 1 all of it.
        """
        if attempt < 1:
            raise ValueError(f"attempts count from 1, not {attempt}")
        pause = self._pause(attempt)
        return pause * (0.5 + 0.5 * spread) if self.jitter else pause

    @property
    def _retried(self) -> tuple[type[BaseException], ...]:
        return self.retry_on if isinstance(self.retry_on, tuple) else (self.retry_on,)

    def _pause(self, attempt: int) -> timedelta:
        try:
            seconds = self.first_delay.total_seconds() * self.backoff ** (attempt - 1)
        except OverflowError:  # 2.0 ** 1024 is above what a float holds
            return self.max_delay
        # As a float, the longest timedelta of all is longer than that.
        return timedelta(seconds=seconds) if seconds < self.max_delay.total_seconds() else self.max_delay


def _error_types(name: str, given: object) -> tuple[type[BaseException], ...]:
    types = tuple(given) if isinstance(given, tuple | list | set | frozenset) else (given,)
    for candidate in types:
        if not (isinstance(candidate, type) and issubclass(candidate, BaseException)):
            raise TypeError(f"{name} takes exception classes, not {candidate!r}")
    return types
