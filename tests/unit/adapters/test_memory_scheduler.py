from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from typing_extensions import override

from workflow_engine.adapters.memory import MemoryJobTransport, MemoryScheduler
from workflow_engine.errors import TransientError
from workflow_engine.model.commands import Command, CreateRun, TransitionRun, parse_command
from workflow_engine.model.deliveries import Recurrence
from workflow_engine.testing.clock import START, FakeClock

COMMAND = TransitionRun(run_id="run-1")
AN_HOUR = timedelta(hours=1)


class FailingTransport(MemoryJobTransport):
    """A queue whose service is down for its next *failures* requests."""

    failures = 0

    @override
    def enqueue(self, command: Command, *, delay: timedelta = timedelta(0)) -> None:
        if self.failures:
            self.failures -= 1
            raise TransientError(service="SQS", operation="SendMessage", code="ServiceUnavailable")
        super().enqueue(command, delay=delay)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> FailingTransport:
    return FailingTransport(clock)


@pytest.fixture
def scheduler(clock: FakeClock, queue: FailingTransport) -> MemoryScheduler:
    return MemoryScheduler(clock, queue)


def keys(queue: MemoryJobTransport) -> Sequence[str | None]:
    found = []
    while (delivery := queue.dequeue()) is not None:
        command = parse_command(delivery.body)
        found.append(command.idempotency_key if isinstance(command, CreateRun) else None)
    return found


def hourly() -> Recurrence:
    command = CreateRun(workflow_id="report", input={}, idempotency_key="{time}")
    return Recurrence(name="hourly", expression="cron(0 * * * ? *)", command=command)


def test_nothing_fires_before_its_time(scheduler: MemoryScheduler, queue: MemoryJobTransport) -> None:
    scheduler.schedule(COMMAND, START + AN_HOUR, "timer-1")
    assert scheduler.fire_due() == 0
    assert queue.pending() == 0


def test_a_host_of_virtual_time_learns_what_is_next(scheduler: MemoryScheduler, clock: FakeClock) -> None:
    assert scheduler.next_fire_at() is None
    scheduler.schedule(COMMAND, START + 2 * AN_HOUR, "timer-2")
    scheduler.schedule(COMMAND, START + AN_HOUR / 2, "timer-1")
    scheduler.put_recurrence(hourly())
    assert scheduler.next_fire_at() == START + AN_HOUR / 2
    scheduler.cancel("timer-1")
    assert scheduler.next_fire_at() == START + AN_HOUR
    scheduler.delete_recurrence("hourly")
    assert scheduler.next_fire_at() == START + 2 * AN_HOUR


def test_a_recurrence_fires_for_every_time_that_passed(
    scheduler: MemoryScheduler, clock: FakeClock, queue: MemoryJobTransport
) -> None:
    scheduler.put_recurrence(hourly())
    clock.advance(3 * AN_HOUR)
    assert scheduler.fire_due() == 3
    assert keys(queue) == ["2030-01-01T01:00:00Z", "2030-01-01T02:00:00Z", "2030-01-01T03:00:00Z"]
    assert scheduler.fire_due() == 0


@pytest.mark.parametrize("failures", [1, 3])
def test_a_queue_that_is_down_loses_no_schedule(
    scheduler: MemoryScheduler, clock: FakeClock, queue: FailingTransport, failures: int
) -> None:
    scheduler.schedule(COMMAND, START + AN_HOUR, "timer-1")
    scheduler.put_recurrence(hourly())
    clock.advance(AN_HOUR)
    queue.failures = failures
    for _ in range(failures):
        with pytest.raises(TransientError):
            scheduler.fire_due()
    assert scheduler.fire_due() == 2
    assert list(keys(queue)) == [None, "2030-01-01T01:00:00Z"]


def test_a_recurrence_that_never_fires_again_is_quiet(scheduler: MemoryScheduler, clock: FakeClock) -> None:
    scheduler.put_recurrence(Recurrence(name="past", expression="cron(0 0 1 1 ? 2020)", command=COMMAND))
    assert scheduler.next_fire_at() is None
    assert scheduler.fire_due() == 0
    assert [recurrence.name for recurrence in scheduler.list_recurrences()] == ["past"]


def test_cancelled_timers_take_no_room(scheduler: MemoryScheduler) -> None:
    for number in range(20_000):
        scheduler.schedule(COMMAND, START + AN_HOUR, f"timer-{number}")
        scheduler.cancel(f"timer-{number}")
    assert len(scheduler._by_time) < 100


def test_threads_fire_each_schedule_once(
    scheduler: MemoryScheduler, clock: FakeClock, queue: MemoryJobTransport
) -> None:
    for number in range(500):
        scheduler.schedule(COMMAND, START + AN_HOUR, f"timer-{number}")
    clock.advance(AN_HOUR)
    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(lambda _: scheduler.fire_due(), range(4))) == 500
    assert queue.pending() == 500
