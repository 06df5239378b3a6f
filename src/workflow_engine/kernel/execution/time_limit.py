"""Runs a stage's function: within its time, sync or async, and never lets anything but a result out.

A sync stage on the main thread is interrupted by a signal (``alarm``), an ``async def`` is cancelled
(and, where it blocks its loop, interrupted), and elsewhere the caller stops waiting and the code goes
on as a ghost, whose lease is given up. Each stage has context variables of its own, and leaves no
task, timer or signal handler behind.
"""

import contextvars
import decimal
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn, Protocol

from workflow_engine.errors import StageTimeoutError
from workflow_engine.kernel.execution import alarm, event_loops

# What an async stage may take beyond its timeout, in which its own loop stops it.
SAFETY_SECONDS = 1.0

_abandoned: list[threading.Thread] = []
_lock = threading.Lock()


class StageRunner(Protocol):
    """Calls a stage's function within its time, as ``run_within`` does."""

    def __call__(self, call: Callable[[], Any], *, stage_id: str, timeout: timedelta, is_async: bool) -> Any:
        """What *call* returns, awaited where it is async."""
        ...


def run_within(call: Callable[[], Any], *, stage_id: str, timeout: timedelta, is_async: bool) -> Any:
    """What *call* returns; what can be awaited is awaited, whatever *is_async* says: a decorator may
    stand in front of an ``async def`` and not look like one.

    Raises:
        StageTimeoutError: it took longer than *timeout*, in real time.
        BaseException: whatever it raises.
    """
    limit = _Limit(stage_id, timeout, time.monotonic() + timeout.total_seconds())
    try:
        return contextvars.copy_context().run(_run_apart, call, limit, is_async)
    except alarm.TimeIsUp as up:
        raise limit.error() from up.__cause__


def threads_left() -> int:
    """How many threads are still busy with stages that nobody waits for any more."""
    with _lock:
        _abandoned[:] = [thread for thread in _abandoned if thread.is_alive()]
        return len(_abandoned)


@dataclass(frozen=True, slots=True)
class _Limit:
    """The time of one call, which ends at *until* (monotonic): what is awaited after a decorator has
    returned it has what the decorator left."""

    stage_id: str
    timeout: timedelta
    until: float

    @property
    def seconds(self) -> float:
        """What is left of it; never zero."""
        return max(self.until - time.monotonic(), 0.001)

    def error(self, *, still_running: bool = False) -> StageTimeoutError:
        return StageTimeoutError(stage_id=self.stage_id, timeout=self.timeout, still_running=still_running)


def _run_apart(call: Callable[[], Any], limit: _Limit, is_async: bool) -> Any:
    # A context variable, too, but one whose value is changed in place: ``getcontext().prec = 50``.
    decimal.setcontext(decimal.getcontext().copy())
    if not alarm.is_available():
        return _run_async_aside(call, limit) if is_async else _run_aside(call, limit)
    return _awaited(call, limit) if is_async else _run_sync(call, limit)


def _awaited(call: Callable[[], Any], limit: _Limit) -> Any:
    return _run_async_aside(call, limit) if event_loops.is_running() else _run_async(call, limit)


def _run_sync(call: Callable[[], Any], limit: _Limit) -> Any:
    loop = event_loops.current()
    try:
        returned = alarm.call_within(call, limit.seconds)
    finally:
        event_loops.restore_current(loop)
    return _awaited(lambda: returned, limit) if _is_awaitable(returned) else returned


def _run_async(call: Callable[[], Any], limit: _Limit) -> Any:
    """In this thread's loop; what blocks the loop cannot be cancelled, and is interrupted."""
    bounded = _bounded(call, limit)
    try:
        return alarm.call_within(lambda: event_loops.run_here(bounded), limit.seconds + SAFETY_SECONDS)
    except (StageTimeoutError, alarm.TimeIsUp):
        event_loops.forget_here()
        raise


def _run_async_aside(call: Callable[[], Any], limit: _Limit) -> Any:
    try:
        answer, error = event_loops.run_aside(_bounded(call, limit), limit.seconds + SAFETY_SECONDS)
    except event_loops.StillRunningError as still:
        raise _given_up(still.thread, limit) from None
    if error is not None:
        _raise(error)
    return answer


def _run_aside(call: Callable[[], Any], limit: _Limit) -> Any:
    future: Future[Any] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            future.set_result(context.run(call))
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=work, name=f"stage-{limit.stage_id}", daemon=True)
    thread.start()
    try:
        error = future.exception(limit.seconds)
    except TimeoutError:
        raise _given_up(thread, limit) from None
    if error is not None:
        _raise(error)
    returned = future.result()
    return _run_async_aside(lambda: returned, limit) if _is_awaitable(returned) else returned


def _bounded(call: Callable[[], Any], limit: _Limit) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def bounded() -> Any:
        import asyncio

        scope = asyncio.timeout(limit.seconds)
        try:
            async with scope:
                returned = call()
                if _is_awaitable(returned):
                    returned = await returned
        except BaseException as error:
            # However it ended then: what swallows its cancellation has no result.
            if scope.expired() and not issubclass(type(error), KeyboardInterrupt | alarm.TimeIsUp):
                raise limit.error() from None
            raise
        if scope.expired():
            raise limit.error()
        return returned

    return bounded


def _given_up(thread: threading.Thread, limit: _Limit) -> StageTimeoutError:
    with _lock:
        _abandoned.append(thread)
    return limit.error(still_running=True)


def _raise(error: BaseException) -> NoReturn:
    """Raise in this thread what a stage raised in another."""
    if issubclass(type(error), KeyboardInterrupt):
        # No Ctrl-C, which comes on the main thread: it must not end the one that waits for the stage.
        raise SystemExit("the stage raised KeyboardInterrupt") from error
    raise error


def _is_awaitable(value: object) -> bool:
    return hasattr(type(value), "__await__")
