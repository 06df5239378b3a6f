from collections.abc import Sequence
from datetime import datetime

import pytest
from typing_extensions import override

from workflow_engine.adapters.memory import MemoryJobTransport, MemoryScheduler
from workflow_engine.model.commands import Command, parse_command
from workflow_engine.ports.scheduler import Scheduler
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.contracts import SchedulerContract
from workflow_engine.testing.contracts.scheduler import Firings


class TestMemoryScheduler(SchedulerContract):
    @pytest.fixture
    def queue(self, clock: FakeClock) -> MemoryJobTransport:
        return MemoryJobTransport(clock)

    @override
    @pytest.fixture
    def scheduler(self, clock: FakeClock, queue: MemoryJobTransport) -> Scheduler:
        return MemoryScheduler(clock, queue)

    @override
    @pytest.fixture
    def firings(self, scheduler: Scheduler, clock: FakeClock, queue: MemoryJobTransport) -> Firings:
        assert isinstance(scheduler, MemoryScheduler)

        def fire(until: datetime) -> Sequence[tuple[datetime, Command]]:
            fired: list[tuple[datetime, Command]] = []
            while (due_at := scheduler.next_fire_at()) is not None and due_at <= until:
                clock.set(max(due_at, clock.now()))
                scheduler.fire_due()
                while (delivery := queue.dequeue()) is not None:
                    queue.complete(delivery)
                    fired.append((due_at, parse_command(delivery.body)))
            clock.set(until)
            return fired

        return fire
