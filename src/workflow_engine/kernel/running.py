"""Runs a stage's function: within its time, sync or async, and never lets anything but a result out.

A sync stage on the main thread is interrupted by a signal, an ``async def`` is cancelled (and, where
it blocks its loop, interrupted), and elsewhere the caller stops waiting and the code goes on as a
ghost, whose lease is given up.
"""

import contextvars
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from datetime import timedelta
from types import FrameType
from typing import Any, Protocol

from workflow_engine.errors import StageTimeoutError
from workflow_engine.kernel import event_loops

# A stage that catches whatever is raised in it must not live for ever: the alarm comes again.
ALARM_AGAIN_SECONDS = 1.0
# What an async stage may take beyond its timeout, in which its own loop stops it.
SAFETY = timedelta(seconds=1)


class StageRunner(Protocol):
    """Calls a stage's function within its time, as ``run_within`` does."""

    def __call__(self, call: Callable[[], Any], *, stage_id: str, timeout: timedelta, is_async: bool) -> Any:
        """What *call* returns, awaited where it is async."""
        ...


def run_within(call: Callable[[], Any], *, stage_id: str, timeout: timedelta, is_async: bool) -> Any:
    """What *call* returns.

    Raises:
        StageTimeoutError: it took longer than *timeout*, in real time.
        BaseException: whatever it raises.
    """
    on_main_thread = threading.current_thread() is threading.main_thread()
    if not is_async:
        run = _run_with_alarm if on_main_thread else _run_aside
        return run(call, stage_id, timeout)
    bounded = _bounded(call, stage_id, timeout)
    if not on_main_thread or event_loops.is_running():
        return _run_async_aside(bounded, stage_id, timeout)
    return _run_async(bounded, stage_id, timeout)


def _bounded(
    call: Callable[[], Coroutine[Any, Any, Any]], stage_id: str, timeout: timedelta
) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def bounded() -> Any:
        import asyncio

        scope = asyncio.timeout(timeout.total_seconds())
        try:
            async with scope:
                return await call()
        except TimeoutError:
            if scope.expired():
                raise StageTimeoutError(stage_id=stage_id, timeout=timeout) from None
            raise

    return bounded


def _run_async(bounded: Callable[[], Coroutine[Any, Any, Any]], stage_id: str, timeout: timedelta) -> Any:
    """In this thread's loop; what blocks the loop cannot be cancelled, and is interrupted."""

    def run() -> Any:
        try:
            return event_loops.run_here(bounded)
        except StageTimeoutError:
            event_loops.forget_here()
            raise

    return _run_with_alarm(run, stage_id, timeout, grace=SAFETY)


def _run_async_aside(bounded: Callable[[], Coroutine[Any, Any, Any]], stage_id: str, timeout: timedelta) -> Any:
    try:
        answer, error = event_loops.run_aside(bounded, timeout + SAFETY)
    except TimeoutError:
        raise StageTimeoutError(stage_id=stage_id, timeout=timeout) from None
    if error is not None:
        raise error
    return answer


def _run_with_alarm(
    call: Callable[[], Any], stage_id: str, timeout: timedelta, *, grace: timedelta = timedelta(0)
) -> Any:
    running = True

    def stop(_number: int, _frame: FrameType | None) -> None:
        if running:
            raise StageTimeoutError(stage_id=stage_id, timeout=timeout)

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max((timeout + grace).total_seconds(), 0.001), ALARM_AGAIN_SECONDS)
    try:
        try:
            return call()
        finally:
            running = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _run_aside(call: Callable[[], Any], stage_id: str, timeout: timedelta) -> Any:
    future: Future[Any] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            future.set_result(context.run(call))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name=f"stage-{stage_id}", daemon=True).start()
    try:
        return future.result(timeout.total_seconds())
    except TimeoutError:
        if future.done():
            raise
        raise StageTimeoutError(stage_id=stage_id, timeout=timeout) from None
