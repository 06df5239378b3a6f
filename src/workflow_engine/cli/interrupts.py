"""Ctrl-C, noted as well as raised."""

import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupt:
    """SIGINT while it is entered, on the main thread.

    Raised where Python lets nothing out (in a finaliser, or below a C function that drops errors),
    a ``KeyboardInterrupt`` would be lost; so whoever works in a loop asks, too.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raise what was asked for and got lost.

        Raises:
            KeyboardInterrupt: somebody has pressed Ctrl-C.
        """
        if self._asked:
            raise KeyboardInterrupt

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        raise KeyboardInterrupt


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what becomes of the runs *run_ids* that the command was at, and how to come back."""

    def __init__(self, advice: str = "", run_ids: Sequence[str] = ()) -> None:
        super().__init__(advice)
        self.advice, self.run_ids = advice, tuple(run_ids)


@contextmanager
def saying(advice: Callable[[], str], run_ids: Collection[str]) -> Iterator[None]:
    """Have a Ctrl-C inside say *advice*, once there are runs.

    Raises:
        Interrupted: somebody has pressed Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(advice() if run_ids else "", tuple(run_ids)) from error
