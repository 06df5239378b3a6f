"""The host of a long-running process: takes messages, ticks, keeps its leases alive, stops cleanly."""

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from types import FrameType
from typing import Any

from workflow_engine.errors import StagesLeftRunningError
from workflow_engine.hosts.serverless import ServerlessHost
from workflow_engine.kernel import Kernel
from workflow_engine.kernel.execution.time_limit import threads_left
from workflow_engine.model.deliveries import Delivery
from workflow_engine.ports.jobs import JobTransport

# How often a worker looks whether it was asked to end.
LOOK_SECONDS = 0.2
# A request that gets no answer takes seconds, and leases end after 60.
RENEWING_THREADS = 16


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """What a worker has done since it started. *threads_left* are busy with stages of this process
    that took too long, could not be stopped, and that nobody waits for any more."""

    worker_id: str
    jobs_processed: int
    orchestration_ticks: int
    is_running: bool
    uptime: timedelta
    threads_left: int = 0


class WorkerHost:
    """Polls jobs in *concurrency* threads and ticks in another.

    Leases are short (*lease*) and renewed every third of that, together with the visibility of the
    messages in hand; so what a killed worker held is taken over after about two leases, not after
    the longest stage. Several workers share a queue and a table.

    A stage that takes too long cannot be stopped in a thread: it is given up, and goes on. Beyond
    *max_threads_left* of them the worker says so (``StagesLeftRunningError`` to *on_error*), finishes
    what it has in hand and ends, for whoever keeps it running to start it afresh.
    """

    def __init__(
        self,
        kernel: Kernel,
        job_transport: JobTransport,
        worker_id: str,
        *,
        concurrency: int = 1,
        tick_every: timedelta = timedelta(seconds=10),
        poll_wait: timedelta = timedelta(seconds=2),
        lease: timedelta = timedelta(seconds=60),
        max_threads_left: int = 16,
        on_error: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        self.kernel, self.job_transport, self.worker_id = kernel, job_transport, worker_id
        self._host = ServerlessHost(kernel, job_transport, worker_id, lease)
        self._concurrency, self._tick_every = concurrency, tick_every
        self._poll_wait, self._lease, self._on_error = poll_wait, lease, on_error
        self._max_threads_left = max_threads_left
        self._stopping = threading.Event()
        self._asked = False
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._in_hand: dict[str, Delivery] = {}
        self._handlers: dict[signal.Signals, Any] = {}
        self._jobs = self._ticks = 0
        self._started_at: datetime | None = None

    def start(self) -> None:
        """Start the threads and return. On the main thread SIGTERM and SIGINT stop the worker."""
        if self._threads:
            return
        self._stopping.clear()
        self.kernel.hurry(on=False)
        self._asked = False
        self._started_at = self.kernel.clock.now()
        if threading.current_thread() is threading.main_thread():
            for which in (signal.SIGTERM, signal.SIGINT):
                self._handlers[which] = signal.signal(which, self._on_signal)
        loops = [self._work] * self._concurrency + [self._tick, self._keep_alive]
        for number, loop in enumerate(loops):
            name = f"{self.worker_id}-{number}"
            self._threads.append(threading.Thread(target=loop, name=name, daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: timedelta | None = None) -> None:
        """Take no more messages, finish the jobs in hand, and give back the handlers of SIGTERM and SIGINT.

        What is in hand and gets no answer from AWS is not tried again, a body with steps is left at its next one, and
        a tick ends with its page. Where that takes longer than *timeout*, the leases in hand are given back and their
        messages are visible again: others begin those stages anew, so let the process end then.
        """
        self._stopping.set()
        self.kernel.hurry(on=True)
        ends_at = None if timeout is None else time.monotonic() + timeout.total_seconds()
        for thread in self._threads:
            thread.join(None if ends_at is None else max(ends_at - time.monotonic(), 0))
        if any(thread.is_alive() for thread in self._threads):
            self._give_back()
        self._threads.clear()
        # Whoever else uses the kernel has time again.
        self.kernel.hurry(on=False)
        if threading.current_thread() is threading.main_thread():
            for which, handler in self._handlers.items():
                # Somebody else's, set since, stays.
                if signal.getsignal(which) == self._on_signal:
                    signal.signal(which, handler)
            self._handlers.clear()

    def _give_back(self) -> None:
        with self._lock:
            deliveries = list(self._in_hand.values())
            # Nobody renews what is in hand any longer.
            self._in_hand.clear()
        gives: list[Callable[[], object]] = [self.kernel.give_back_leases]
        gives += [partial(self.job_transport.suspend, delivery) for delivery in deliveries]
        for give in gives:
            try:
                give()
            except Exception as error:
                self._on_error(error)

    def run(self) -> None:
        """Start, and return when a signal or ``stop`` has ended the worker."""
        self.start()
        # A wait without end would not let Python run its signal handlers on every platform.
        while not self._asked and not self._stopping.wait(LOOK_SECONDS):
            pass
        self.stop()

    def stats(self) -> WorkerStats:
        """What was done so far."""
        now = self.kernel.clock.now()
        return WorkerStats(
            worker_id=self.worker_id,
            jobs_processed=self._jobs,
            orchestration_ticks=self._ticks,
            is_running=bool(self._threads) and not self._ends,
            uptime=now - (self._started_at or now),
            threads_left=threads_left(),
        )

    @property
    def _ends(self) -> bool:
        return self._asked or self._stopping.is_set()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        # No more than this: the main thread may be holding the lock of an event, which a handler would wait for.
        self._asked = True

    def _work(self) -> None:
        while not self._ends:
            self._look_for_threads_left()
            with self._reported():
                delivery = self.job_transport.dequeue(wait=self._poll_wait)
                if delivery is None:
                    continue
                if self._ends:
                    self.job_transport.suspend(delivery)
                    return
                self._process(delivery)

    def _look_for_threads_left(self) -> None:
        left = threads_left()
        with self._lock:
            if left <= self._max_threads_left or self._asked:
                return
            self._asked = True
        self._on_error(StagesLeftRunningError(threads=left))

    def _process(self, delivery: Delivery) -> None:
        with self._lock:
            self._in_hand[delivery.receipt] = delivery
        try:
            with self._reported():
                # The queue's own visibility is made for functions (16 minutes): for so long would the
                # message be hidden, were we to die before the first renewal.
                self.job_transport.touch(delivery, visibility=self._lease * 2)
            self._host.process(delivery)
        finally:
            with self._lock:
                self._in_hand.pop(delivery.receipt, None)
                self._jobs += 1

    def _tick(self) -> None:
        while not self._stopping.wait(self._tick_every.total_seconds()):
            with self._reported():
                self._host.run_maintenance_tick()
                self._ticks += 1

    def _keep_alive(self) -> None:
        while not self._stopping.wait(self._lease.total_seconds() / 3) or self._in_hand:
            self._renew()
            if self._stopping.is_set():
                # Still finishing: do not spin, and go on renewing until the last job is done.
                threading.Event().wait(min(1.0, self._lease.total_seconds() / 3))

    def _renew(self) -> None:
        """Renew all leases and messages in hand, side by side and each for itself: one that gets no
        answer must not cost the others theirs."""
        with self._lock:
            deliveries = list(self._in_hand.values())
        renewals: list[Callable[[], object]] = [*self.kernel.heartbeats(self.kernel.clock.now() + self._lease)]
        renewals += [partial(self.job_transport.touch, one, visibility=self._lease * 2) for one in deliveries]
        if not renewals:
            return
        with ThreadPoolExecutor(min(RENEWING_THREADS, len(renewals)), "renew") as threads:
            errors = [one.exception() for one in [threads.submit(renewal) for renewal in renewals]]
        for error in errors:
            if isinstance(error, Exception):
                self._on_error(error)

    def _reported(self) -> "_Reported":
        return _Reported(self._on_error, self._stopping)


@dataclass(frozen=True, slots=True)
class _Reported:
    """Keeps a loop alive through whatever is raised in it: reports each error and pauses a second.
    A thread that ended would leave a worker that looks alive and does nothing."""

    on_error: Callable[[Exception], None]
    stopping: threading.Event

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self.on_error(error)
        self.stopping.wait(1.0)
        return True
