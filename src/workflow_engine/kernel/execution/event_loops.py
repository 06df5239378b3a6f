"""Event loops for async stages: one a thread, kept, since making one costs more than a small stage does.

What a stage leaves in its loop (tasks, timers, generators, readers, threads) ends with the stage, as it
does with ``asyncio.run``: tasks are cancelled, and for the rest the loop is given up. The loops are
never the thread's *current* one, so that a sync stage cannot reach them. asyncio is imported when the first
async stage runs: a cold start without one does not wait for it.
"""

import contextlib
import contextvars
import sys
import threading
from collections.abc import Callable, Coroutine
from queue import Empty, SimpleQueue
from typing import Any

# How long what a stage left behind may take to end once it is told to.
LEFT_ENDS_SECONDS = 0.5

_local = threading.local()


class StillRunningError(TimeoutError):
    """The code of an async stage goes on in *thread*, and nobody listens."""

    def __init__(self, thread: threading.Thread) -> None:
        super().__init__(thread.name)
        self.thread = thread


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
    try:
        return loop.run(call)
    finally:
        if not loop.is_clean:
            forget_here()


def forget_here() -> None:
    """Close this thread's loop: what was interrupted in the middle of it may have left it in any state."""
    loop: _Loop | None = getattr(_local, "here", None)
    _local.here = None
    if loop is not None:
        loop.close()


def current() -> tuple[Any, bool]:
    """The loop that sync code in this thread would be given, if any, and whether one was ever set."""
    local = _policys_own()
    return getattr(local, "_loop", None), getattr(local, "_set_called", False)


def restore_current(before: tuple[Any, bool]) -> None:
    """Undo what a sync stage did to ``current``, so that the next one finds what it found."""
    local = _policys_own()
    if local is None or current() == before:
        return
    left = getattr(local, "_loop", None)
    local._loop, local._set_called = before
    if left is not None and left is not before[0] and not left.is_closed():
        left.close()


def _policys_own() -> Any:
    """What asyncio's policy knows of this thread (asyncio/events.py); ``None`` where it is another's
    policy, where nobody has used it, or within a coroutine, whose loop it is not."""
    module = sys.modules.get("asyncio")
    if module is None or is_running():
        return None
    return getattr(getattr(module.events, "_event_loop_policy", None), "_local", None)


def run_aside(call: Callable[[], Coroutine[Any, Any, Any]], longest: float) -> tuple[Any, BaseException | None]:
    """What *call* answers or raises, awaited in a thread kept for it, within the caller's context
    variables.

    Raises:
        StillRunningError: it has not ended after *longest* seconds.
    """
    aside: _LoopThread | None = getattr(_local, "aside", None)
    if aside is None:
        aside = _local.aside = _LoopThread()
    try:
        outcome = aside.outcome(call, longest)
    except TimeoutError:
        _forget_aside(aside)
        raise StillRunningError(aside.thread) from None
    if not aside.is_clean:
        _forget_aside(aside)
    return outcome


def _forget_aside(aside: "_LoopThread") -> None:
    """Have the loop end as soon as the code that it runs lets it."""
    _local.aside = None
    aside.stop()


class _Loop:
    """Closes its event loop when the thread that it belongs to ends, and its locals with it."""

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.new_event_loop()
        self.is_clean = True

    def run(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        # Not ``asyncio.Runner``: each time it asks for the handler of SIGINT, which writes out the
        # task and what the one before it answered.
        try:
            answer, error = self._loop.run_until_complete(self._caught(call))
        finally:
            self.is_clean = self.is_clean and _is_clean(self._loop)
        if error is not None:
            raise error
        return answer

    async def _caught(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[Any, BaseException | None]:
        # asyncio asks an exception for its class, and that is a user's, which may answer anything.
        try:
            return await _ended(call, self), None
        except BaseException as error:
            return None, error

    def stop(self) -> None:
        """Have another thread, which runs it, leave it as soon as its code lets it."""
        with contextlib.suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(self._loop.stop)

    def close(self) -> None:
        _close(self._loop)

    def __del__(self) -> None:
        # At the end of the process asyncio may be taken apart already, and the loop goes with it.
        if not sys.is_finalizing():
            self.close()


class _LoopThread:
    """An event loop in a thread that its caller can walk away from."""

    def __init__(self) -> None:
        self._loop = _Loop()
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.thread = threading.Thread(target=_serve, args=(self._loop, self._calls), name="async-stages", daemon=True)
        self.thread.start()

    @property
    def is_clean(self) -> bool:
        return self._loop.is_clean

    def outcome(self, call: Callable[[], Coroutine[Any, Any, Any]], longest: float) -> tuple[Any, BaseException | None]:
        answered: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        context, loop = contextvars.copy_context(), self._loop

        def work() -> None:
            try:
                answered.put((context.run(loop.run, call), None))
            except BaseException as error:
                answered.put((None, error))

        self._calls.put(work)
        try:
            return answered.get(timeout=longest)
        except Empty:
            raise TimeoutError from None

    def stop(self) -> None:
        self._calls.put(None)
        self._loop.stop()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.stop()


def _serve(loop: _Loop, calls: "SimpleQueue[Callable[[], None] | None]") -> None:
    try:
        while (call := calls.get()) is not None:
            call()
            # What it refers to is the stage's, and must not be kept until the next one comes.
            del call
    finally:
        loop.close()


async def _ended(call: Callable[[], Coroutine[Any, Any, Any]], owner: _Loop) -> Any:
    """What *call* answers, once the tasks and generators that it left have ended, too. A loop in
    which anything was left is not clean."""
    import asyncio

    owner.is_clean = False
    try:
        return await call()
    finally:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        generators = getattr(asyncio.get_running_loop(), "_asyncgens", ())
        owner.is_clean = not left and not generators
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=LEFT_ENDS_SECONDS)
        if generators:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.get_running_loop().shutdown_asyncgens(), LEFT_ENDS_SECONDS)


def _is_clean(loop: Any) -> bool:
    """Whether the next stage would find nothing but tasks and generators of this one in *loop*; what
    cannot be seen (in a loop that is not asyncio's own) is taken for granted."""
    if loop.is_closed() or loop.get_task_factory() or loop.get_exception_handler():
        return False
    if getattr(loop, "_ready", None) or getattr(loop, "_default_executor", None) is not None:
        return False
    if getattr(loop, "_signal_handlers", None) or _is_watching(loop):
        return False
    return all(handle.cancelled() for handle in getattr(loop, "_scheduled", ()))


def _is_watching(loop: Any) -> bool:
    """Whether it would still call somebody back for a file (``add_reader``). Connections are not
    looked at: they belong to the client that opened them, which a module may keep for its stages."""
    selector = getattr(loop, "_selector", None)
    watched = selector.get_map() if selector is not None else ()
    if len(watched) <= 1:  # the pipe that wakes it
        return False
    known = {loop._ssock.fileno(), *getattr(loop, "_transports", ())}
    return any(file not in known for file in watched)


def _close(loop: Any) -> None:
    """Close *loop*; what did not end when it was told to is kept, out of anybody's sight, for good."""
    if loop.is_closed():
        return
    import asyncio

    stuck = asyncio.all_tasks(loop)
    loop.close()
    if stuck:
        import ctypes

        # Were it collected, Python would raise GeneratorExit in it, wherever that happens to be;
        # code that swallows all else swallows that, too, and would never give the thread back.
        for task in stuck:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))
