"""Runs a stage's function: within its time, sync or async, and never lets anything but a result out.

A sync stage on the main thread is interrupted by a signal, an ``async def`` is cancelled, and
elsewhere the caller stops waiting and the code goes on as a ghost, whose lease is given up.
"""

import contextvars
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from workflow_engine.errors import StageTimeoutError

if TYPE_CHECKING:
    import asyncio

# A stage that catches whatever is raised in it must not live for ever: the alarm comes again.
ALARM_AGAIN_SECONDS = 1.0
# What the thread of an async stage may take beyond the stage's timeout, which its own loop keeps.
SAFETY = timedelta(seconds=1)
_local = threading.local()


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
    if is_async and _in_event_loop():
        # Called from a coroutine (a notebook, an async test): its loop cannot run another's tasks.
        return _run_aside(lambda: _run_async(call, stage_id, timeout), stage_id, timeout + SAFETY)
    if is_async:
        return _run_async(call, stage_id, timeout)
    if threading.current_thread() is threading.main_thread():
        return _run_with_alarm(call, stage_id, timeout)
    return _run_aside(call, stage_id, timeout)


def _run_async(call: Callable[[], Coroutine[Any, Any, Any]], stage_id: str, timeout: timedelta) -> Any:
    # Only where a stage is async: a cold start without one does not wait for its import.
    import asyncio

    async def bounded() -> Any:
        scope = asyncio.timeout(timeout.total_seconds())
        try:
            async with scope:
                return await call()
        except TimeoutError:
            if scope.expired():
                raise StageTimeoutError(stage_id=stage_id, timeout=timeout) from None
            raise

    return _runner().run(bounded())


def _in_event_loop() -> bool:
    # Where nobody has imported it, nothing of it runs.
    module = sys.modules.get("asyncio")
    return module is not None and module._get_running_loop() is not None


def _runner() -> "asyncio.Runner":
    """One event loop a thread, kept: making one costs more than a small stage does."""
    loop: _Loop | None = getattr(_local, "loop", None)
    if loop is None:
        loop = _local.loop = _Loop()
    return loop.runner


class _Loop:
    """Closes its event loop when the thread that it belongs to ends, and its locals with it."""

    def __init__(self) -> None:
        import asyncio

        self.runner = asyncio.Runner()

    def __del__(self) -> None:
        # At the end of the process asyncio may be taken apart already, and the loop goes with it.
        if not sys.is_finalizing():
            self.runner.close()


def _run_with_alarm(call: Callable[[], Any], stage_id: str, timeout: timedelta) -> Any:
    running = True

    def stop(_number: int, _frame: FrameType | None) -> None:
        if running:
            raise StageTimeoutError(stage_id=stage_id, timeout=timeout)

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(timeout.total_seconds(), 0.001), ALARM_AGAIN_SECONDS)
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
