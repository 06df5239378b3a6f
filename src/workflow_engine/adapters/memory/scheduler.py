"""Schedules in the memory of this process; whoever owns the time lets them fire."""

import heapq
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from typing_extensions import override

from workflow_engine.model.commands import Command
from workflow_engine.model.deliveries import Recurrence, body_of
from workflow_engine.model.recurrence import (
    check_correlation_id,
    check_recurrence,
    check_schedule_input,
    command_at,
    next_firing,
)
from workflow_engine.ports.clock import Clock
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.ports.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class _Timer:
    run_at: datetime
    command: Command


@dataclass(frozen=True, slots=True)
class _Recurring:
    recurrence: Recurrence
    created_at: datetime
    next_at: datetime | None

    def following(self, last: datetime | None) -> "_Recurring":
        next_at = next_firing(
            self.recurrence.expression,
            created_at=self.created_at,
            last=last,
            timezone=self.recurrence.timezone,
        )
        return _Recurring(self.recurrence, self.created_at, next_at)


class MemoryScheduler(Scheduler):
    """Sends commands to *job_transport* when they are due and ``fire_due`` is called.

    Threads may share it. A command is forgotten after it was sent: a transport that fails gets it
    again from the next ``fire_due``.
    """

    def __init__(self, clock: Clock, job_transport: JobTransport) -> None:
        self._clock = clock
        self._job_transport = job_transport
        # Reentrant, since a transport may call back into the engine that holds this scheduler.
        self._lock = threading.RLock()
        self._timers: dict[str, _Timer] = {}
        self._by_time: list[tuple[datetime, str]] = []
        self._recurring: dict[str, _Recurring] = {}

    @override
    def schedule(self, command: Command, run_at: datetime, correlation_id: str) -> None:
        check_correlation_id(correlation_id)
        check_schedule_input(body_of(command))
        with self._lock:
            if correlation_id not in self._timers:
                self._timers[correlation_id] = _Timer(run_at, command)
                self._place(run_at, correlation_id)

    @override
    def cancel(self, correlation_id: str) -> None:
        check_correlation_id(correlation_id)
        with self._lock:
            self._timers.pop(correlation_id, None)

    @override
    def put_recurrence(self, recurrence: Recurrence) -> None:
        check_recurrence(recurrence)
        check_schedule_input(body_of(recurrence.command))
        created = _Recurring(recurrence, created_at=self._clock.now(), next_at=None)
        with self._lock:
            self._recurring[recurrence.name] = created if recurrence.paused else created.following(None)

    @override
    def list_recurrences(self) -> Sequence[Recurrence]:
        with self._lock:
            return [self._recurring[name].recurrence for name in sorted(self._recurring)]

    @override
    def delete_recurrence(self, name: str) -> bool:
        with self._lock:
            return self._recurring.pop(name, None) is not None

    def next_fire_at(self) -> datetime | None:
        """When something is due next (it may be past), or ``None``."""
        with self._lock:
            due = [recurring.next_at for recurring in self._recurring.values() if recurring.next_at]
            if (timer := self._next_timer()) is not None:
                due.append(timer[0])
            return min(due, default=None)

    def fire_due(self) -> int:
        """Send what is due, oldest first, a recurrence once for each time it missed; how many."""
        now = self._clock.now()
        fired = 0
        with self._lock:
            while (due_at := self.next_fire_at()) is not None and due_at <= now:
                self._fire(due_at)
                fired += 1
        return fired

    def _place(self, run_at: datetime, correlation_id: str) -> None:
        heapq.heappush(self._by_time, (run_at, correlation_id))
        # What was cancelled leaves the heap when its time comes, or when it is most of the heap.
        if len(self._by_time) > 2 * len(self._timers) + 64:
            self._by_time = [(timer.run_at, name) for name, timer in self._timers.items()]
            heapq.heapify(self._by_time)

    def _fire(self, due_at: datetime) -> None:
        timer = self._next_timer()
        if timer is not None and timer[0] == due_at:
            self._job_transport.enqueue(self._timers[timer[1]].command)
            self._timers.pop(timer[1], None)
            return
        name, recurring = next(item for item in self._recurring.items() if item[1].next_at == due_at)
        self._job_transport.enqueue(command_at(recurring.recurrence, due_at))
        self._recurring[name] = recurring.following(due_at)

    def _next_timer(self) -> tuple[datetime, str] | None:
        while self._by_time:
            run_at, correlation_id = self._by_time[0]
            timer = self._timers.get(correlation_id)
            if timer is not None and timer.run_at == run_at:
                return run_at, correlation_id
            heapq.heappop(self._by_time)
        return None
