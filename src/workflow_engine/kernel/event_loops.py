"""Event loops for async stages: one a thread, kept, since making one costs more than a small stage does.

asyncio is imported when the first async stage runs: a cold start without one does not wait for it.
"""

import sys
import threading
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

_local = threading.local()


def is_running() -> bool:
    """Whether the caller is in a coroutine, whose loop cannot run another's tasks."""
    # Where nobody has imported it, nothing of it runs.
    module = sys.modules.get("asyncio")
    return module is not None and module._get_running_loop() is not None


def run_here(call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What *call* answers, awaited in this thread. Whatever it raises comes out."""
    loop: _Loop | None = getattr(_local, "here", None)
    if loop is None:
        loop = _local.here = _Loop()
    return loop.run(call)


def forget_here() -> None:
    """Close this thread's loop: what was interrupted in the middle of it may have left it in any state."""
    loop: _Loop | None = getattr(_local, "here", None)
    _local.here = None
    if loop is not None:
        loop.close()


def run_aside(call: Callable[[], Coroutine[Any, Any, Any]], longest: timedelta) -> tuple[Any, BaseException | None]:
    """What *call* answers or raises, awaited in a thread kept for it, within the caller's context
    variables.

    Raises:
        TimeoutError: it has not ended after *longest*; its code goes on, and nobody listens.
    """
    aside: _LoopThread | None = getattr(_local, "aside", None)
    if aside is None:
        aside = _local.aside = _LoopThread()
    try:
        return aside.outcome(call, longest)
    except TimeoutError:
        _local.aside = None
        raise


class _Loop:
    """Closes its event loop when the thread that it belongs to ends, and its locals with it."""

    def __init__(self) -> None:
        import asyncio

        self._runner = asyncio.Runner()

    def run(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        # Not ``Runner.run``: each time it asks for the handler of SIGINT, which writes out the task
        # and what the one before it answered.
        return self._runner.get_loop().run_until_complete(call())

    def close(self) -> None:
        self._runner.close()

    def __del__(self) -> None:
        # At the end of the process asyncio may be taken apart already, and the loop goes with it.
        if not sys.is_finalizing():
            self.close()


class _LoopThread:
    """An event loop in a thread that its caller can walk away from."""

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.new_event_loop()
        threading.Thread(target=_serve, args=(self._loop,), name="async-stages", daemon=True).start()

    def outcome(
        self, call: Callable[[], Coroutine[Any, Any, Any]], longest: timedelta
    ) -> tuple[Any, BaseException | None]:
        import asyncio

        async def caught() -> tuple[Any, BaseException | None]:
            # SystemExit would end the loop before it could tell anybody.
            try:
                return await call(), None
            except BaseException as error:
                return None, error

        return asyncio.run_coroutine_threadsafe(caught(), self._loop).result(longest.total_seconds())

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self._loop.call_soon_threadsafe(self._loop.stop)


def _serve(loop: Any) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()
