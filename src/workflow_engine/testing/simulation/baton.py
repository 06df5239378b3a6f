"""Threads of which one runs at a time, in an order that the caller decides.

The kernel is plain synchronous code, so each simulated process is a thread of the machine; it goes
on only while it holds the baton, and gives it away at every port call. Whoever holds the baton
decides who is next, so that going on oneself costs nothing.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from typing_extensions import override


class Aborted(KeyboardInterrupt):
    """The simulation is over; whatever a thread was about, it stops."""


class Carrier(threading.Thread):
    """A thread that performs one job after another, each time it is given the baton."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.baton = threading.Lock()
        self.baton.acquire()
        self.job: Callable[[], None] | None = None

    @override
    def run(self) -> None:
        """Perform jobs until there is none."""
        while True:
            self.baton.acquire()
            job = self.job
            if job is None:
                return
            job()


class Relay:
    """Carriers, the idle ones kept for the next job."""

    def __init__(self) -> None:
        self._carriers: list[Carrier] = []
        self._idle: list[Carrier] = []
        self._main = threading.Lock()
        self._main.acquire()

    def take(self, job: Callable[[], None]) -> Carrier:
        """A carrier that will perform *job* once it is given the baton."""
        carrier = self._idle.pop() if self._idle else self._new()
        carrier.job = job
        return carrier

    def release(self, carrier: Carrier) -> None:
        """*carrier* has done its job."""
        self._idle.append(carrier)

    def hand_to_main(self) -> None:
        """Give the baton to the thread that waits in ``wait_in_main``."""
        self._main.release()

    def wait_in_main(self) -> None:
        """Wait for the baton."""
        self._main.acquire()

    def close(self) -> None:
        """End all threads. All of them must be idle."""
        for carrier in self._carriers:
            carrier.job = None
            carrier.baton.release()
        for carrier in self._carriers:
            carrier.join()

    def _new(self) -> Carrier:
        carrier = Carrier(f"simulated-{len(self._carriers)}")
        carrier.start()
        self._carriers.append(carrier)
        return carrier


@contextmanager
def on_one_processor() -> Iterator[None]:
    """Keep this thread, and those it starts, on one processor where the system lets us.

    Handing over between threads on one processor takes 9 µs, between two of them 53 µs (Linux).
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    with suppress(OSError):
        os.sched_setaffinity(0, {sorted(allowed)[os.getpid() % len(allowed)]})
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, allowed)
