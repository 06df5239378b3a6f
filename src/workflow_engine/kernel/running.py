"""Runs a stage's function: within its time, sync or async, and never lets anything but a result out.

A sync stage on the main thread is interrupted by a signal (``alarm``), an ``async def`` is cancelled
(and, where it blocks its loop, interrupted), and elsewhere the caller stops waiting and the code goes
on as a ghost, whose lease is given up. Each stage has context variables of its own, and leaves no
task, timer or signal handler behind.
"""

import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, NoReturn, Protocol

from workflow_engine.errors import StageTimeoutError
from workflow_engine.kernel import alarm, event_loops

# What an async stage may take beyond its timeout, in which its own loop stops it.
SAFETY = timedelta(seconds=1)

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
    if not alarm.is_available():
        run = _run_async_aside if is_async else _run_aside
        return run(call, stage_id, timeout)
    if is_async and event_loops.is_running():
        return _run_async_aside(call, stage_id, timeout)
    run = _run_async if is_async else _run_sync
    try:
        return contextvars.copy_context().run(run, call, stage_id, timeout)
    except alarm.TimeIsUp as up:
        raise StageTimeoutError(stage_id=stage_id, timeout=timeout) from up.__cause__


def threads_left() -> int:
    """How many threads are still busy with stages that nobody waits for any more."""
    with _lock:
        _abandoned[:] = [thread for thread in _abandoned if thread.is_alive()]
        return len(_abandoned)


def _run_sync(call: Callable[[], Any], stage_id: str, timeout: timedelta) -> Any:
    loop = event_loops.current()
    try:
        returned = alarm.call_within(call, _seconds(timeout))
    finally:
        event_loops.restore_current(loop)
    return _run_async(lambda: returned, stage_id, timeout) if _is_awaitable(returned) else returned


def _run_async(call: Callable[[], Any], stage_id: str, timeout: timedelta) -> Any:
    """In this thread's loop; what blocks the loop cannot be cancelled, and is interrupted."""
    bounded = _bounded(call, stage_id, timeout)
    try:
        return alarm.call_within(lambda: event_loops.run_here(bounded), _seconds(timeout + SAFETY))
    except (StageTimeoutError, alarm.TimeIsUp):
        event_loops.forget_here()
        raise


def _run_async_aside(call: Callable[[], Any], stage_id: str, timeout: timedelta) -> Any:
    bounded = _bounded(call, stage_id, timeout)
    try:
        answer, error = event_loops.run_aside(bounded, timeout + SAFETY)
    except event_loops.StillRunningError as still:
        raise _given_up(still.thread, stage_id, timeout) from None
    if error is not None:
        _raise(error)
    return answer


def _run_aside(call: Callable[[], Any], stage_id: str, timeout: timedelta) -> Any:
    future: Future[Any] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            future.set_result(context.run(call))
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=work, name=f"stage-{stage_id}", daemon=True)
    thread.start()
    try:
        error = future.exception(_seconds(timeout))
    except TimeoutError:
        raise _given_up(thread, stage_id, timeout) from None
    if error is not None:
        _raise(error)
    returned = future.result()
    return _run_async_aside(lambda: returned, stage_id, timeout) if _is_awaitable(returned) else returned


def _bounded(call: Callable[[], Any], stage_id: str, timeout: timedelta) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def bounded() -> Any:
        import asyncio

        scope = asyncio.timeout(_seconds(timeout))
        try:
            async with scope:
                returned = call()
                if _is_awaitable(returned):
                    returned = await returned
        except BaseException as error:
            # However it ended then: what swallows its cancellation has no result.
            if scope.expired() and not isinstance(error, KeyboardInterrupt | alarm.TimeIsUp):
                raise StageTimeoutError(stage_id=stage_id, timeout=timeout) from None
            raise
        if scope.expired():
            raise StageTimeoutError(stage_id=stage_id, timeout=timeout)
        return returned

    return bounded


def _given_up(thread: threading.Thread, stage_id: str, timeout: timedelta) -> StageTimeoutError:
    with _lock:
        _abandoned.append(thread)
    return StageTimeoutError(stage_id=stage_id, timeout=timeout, still_running=True)


def _raise(error: BaseException) -> NoReturn:
    """Raise in this thread what a stage raised in another."""
    if isinstance(error, KeyboardInterrupt):
        # No Ctrl-C, which comes on the main thread: it must not end the one that waits for the stage.
        raise SystemExit("the stage raised KeyboardInterrupt") from error
    raise error


def _is_awaitable(value: object) -> bool:
    return hasattr(type(value), "__await__")


def _seconds(timeout: timedelta) -> float:
    return max(timeout.total_seconds(), 0.001)
