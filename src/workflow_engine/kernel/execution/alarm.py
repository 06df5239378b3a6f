"""Stops what runs too long on the main thread, whatever it does to the process's own alarm.

A thread watches the time and sends the main thread a signal that no stage uses, whose handler raises
``TimeIsUp`` in the code that runs there. Signals and timers belong to the stage for as long as it
runs, and to nobody afterwards: what a stage did to handlers, timers and the mask is undone.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

# What swallows a stop gets it again.
AGAIN_SECONDS = 1.0
# From this one on they come in microseconds: ``except BaseException`` in a loop lets through only
# what is raised between two of its rounds.
PATIENT_STRIKES = 2
# A real-time signal, which libraries leave alone; where there are none (macOS), the alarm's own.
_SIGNAL: int | None = getattr(signal, "SIGRTMAX", None) or getattr(signal, "SIGALRM", None)
_FIXED = ("SIGKILL", "SIGSTOP")
_KEPT = tuple(int(one) for one in signal.Signals if one.name not in _FIXED)
_TIMERS = tuple(
    getattr(signal, f"ITIMER_{name}") for name in ("REAL", "VIRTUAL", "PROF") if hasattr(signal, "setitimer")
)
# As C has it: Python's own makes enums of what it answers, which takes longer than all else here.
_in_c = sys.modules.get("_signal", signal)
_handler_of: Callable[[int], Any] = _in_c.getsignal


class TimeIsUp(BaseException):
    """Raised in a stage whose time is over. No ``Exception``, so that ``except Exception`` around what
    may fail does not swallow it."""


def is_available() -> bool:
    """Whether the caller can be stopped by a signal: on the main thread, where there are signals."""
    if threading.current_thread() is not threading.main_thread():
        return False
    return _SIGNAL is not None and hasattr(signal, "pthread_kill") and _is_installed()


def call_within(call: Callable[[], Any], seconds: float) -> Any:
    """What *call* returns, on the main thread.

    Raises:
        TimeIsUp: it ran longer than *seconds*, however it ended then.
        BaseException: whatever it raises within its time.
    """
    before, outer = _Signals(), _state.deadline
    deadline = _state.deadline = _Deadline(_time_of(outer, seconds))
    try:
        _watch.arm(deadline.at)
        returned = call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        _state.deadline = None
        if deadline.strikes:
            raise TimeIsUp from error
        raise
    finally:
        # Signals that come in this frame raise nothing (see ``_on_signal``), and none do from here on.
        _state.deadline = None
        _watch.disarm()
        before.restore()
        if outer is not None:
            _state.deadline = outer
            _watch.arm(outer.at)
    if deadline.strikes:
        raise TimeIsUp
    return returned


@dataclass(slots=True)
class _Deadline:
    """One call, which is to end *at* a time; *strikes* counts how often it was told to."""

    at: float
    strikes: int = 0

    def strike(self) -> None:
        self.strikes += 1
        if self.strikes > PATIENT_STRIKES and hasattr(signal, "setitimer"):
            # Each after another time, so that one of them meets the moment between two rounds.
            signal.signal(signal.SIGALRM, _on_signal)
            signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + self.strikes * 7 % 60), 0.001)
        raise TimeIsUp


def _time_of(outer: _Deadline | None, seconds: float) -> float:
    """When a call is to end: one within a stage (which runs an engine of its own) no later than that."""
    at = time.monotonic() + seconds
    return at if outer is None else min(at, outer.at)


@dataclass(slots=True)
class _State:
    deadline: _Deadline | None = None


class _Signals:
    """Handlers, timers and the mask of this thread as they are when it is made."""

    __slots__ = ("_handlers", "_mask", "_timed")

    def __init__(self) -> None:
        self._handlers = list(map(_handler_of, _KEPT))
        self._mask = _mask()
        self._timed = _timed()

    def restore(self) -> None:
        """Undo what was done to them since; a timer that somebody outside had set is left as it is."""
        for timer in _timed():
            if timer not in self._timed:
                signal.setitimer(timer, 0)
        now_set = list(map(_handler_of, _KEPT))
        changed = now_set != self._handlers
        for number, handler, now in zip(_KEPT, self._handlers, now_set, strict=True) if changed else ():
            # ``None`` is a handler that was not installed from Python, and cannot be. And an alarm of
            # ours may still be on its way: what is usual would end the process.
            if handler is not None and now is not handler and not (now is _on_signal and handler == signal.SIG_DFL):
                signal.signal(number, handler)
        if _mask() != self._mask:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


class _Watch:
    """One thread for all calls, started at the first: to start one each time costs more than a small
    stage does. It wakes at the time that it last knew of, and looks what is armed by then."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at: float | None = None
        self._wakes_at = 0.0
        self._thread: threading.Thread | None = None

    def arm(self, at: float) -> None:
        """Send the signal *at* that time (monotonic), and again each second until it is disarmed."""
        with self._changed:
            self._at = at
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="stage-alarm", daemon=True)
                self._thread.start()
            elif self._at < self._wakes_at:
                self._changed.notify()

    def disarm(self) -> None:
        """Send it no more. The thread is not woken for that."""
        with self._changed:
            self._at = None

    def _run(self) -> None:
        with self._changed:
            while True:
                left = self._left()
                if left is not None and left <= 0:
                    signal.pthread_kill(_main_thread_id(), _SIGNAL or 0)
                    left = AGAIN_SECONDS
                    self._at = time.monotonic() + left
                self._wakes_at = float("inf") if left is None else time.monotonic() + left
                self._changed.wait(left)

    def _left(self) -> float | None:
        return None if self._at is None else self._at - time.monotonic()


_state = _State()
_watch = _Watch()


def _on_signal(_number: int, frame: FrameType | None) -> None:
    deadline = _state.deadline
    if deadline is None or time.monotonic() < deadline.at:  # it was not sent by us
        return
    # Between the stage's code and ours there is nothing to stop, and much to leave undone.
    if frame is None or frame.f_code is not call_within.__code__:
        deadline.strike()


def _is_installed() -> bool:
    """Whether our handler is there, put back if a stage has replaced it."""
    if _SIGNAL is None:
        return False
    if _handler_of(_SIGNAL) is not _on_signal:
        try:
            signal.signal(_SIGNAL, _on_signal)
        except ValueError:  # the main thread of an interpreter that is not the main one
            return False
    return True


def _timed() -> list[int]:
    """The timers that are set."""
    # Between its end and the delivery of its signal, a timer that repeats has its interval alone.
    return [timer for timer in _TIMERS if any(signal.getitimer(timer))]


def _mask() -> Any:
    return _in_c.pthread_sigmask(signal.SIG_BLOCK, ())


def _main_thread_id() -> int:
    return threading.main_thread().ident or 0
