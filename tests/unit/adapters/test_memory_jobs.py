import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from workflow_engine.adapters.memory import MemoryJobTransport
from workflow_engine.model.commands import TransitionRun
from workflow_engine.testing.clock import START, FakeClock, SequentialIds

COMMAND = TransitionRun(run_id="run-1")
A_SECOND = timedelta(seconds=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def transport(clock: FakeClock) -> MemoryJobTransport:
    return MemoryJobTransport(clock, visibility=timedelta(minutes=1), max_receives=5)


def test_messages_come_in_the_order_in_which_they_become_visible(
    transport: MemoryJobTransport, clock: FakeClock
) -> None:
    for run_id, seconds in [("last", 3), ("first", 1), ("second", 2), ("also-second", 2)]:
        transport.enqueue(TransitionRun(run_id=run_id), delay=A_SECOND * seconds)
    clock.advance(timedelta(seconds=10))
    taken = [delivery.body for _ in range(4) if (delivery := transport.dequeue())]
    order = [TransitionRun.model_validate_json(body).run_id for body in taken]
    assert order == ["first", "second", "also-second", "last"]


def test_a_host_of_virtual_time_learns_when_the_next_message_comes(
    transport: MemoryJobTransport, clock: FakeClock
) -> None:
    assert transport.next_visible_at() is None
    transport.enqueue(COMMAND, delay=A_SECOND * 90)
    assert transport.next_visible_at() == START + A_SECOND * 90
    clock.advance(A_SECOND * 90)
    delivery = transport.dequeue()
    assert delivery is not None
    assert transport.next_visible_at() == START + A_SECOND * 150
    transport.complete(delivery)
    assert transport.next_visible_at() is None


def test_pending_counts_what_is_neither_completed_nor_dead(transport: MemoryJobTransport, clock: FakeClock) -> None:
    transport.enqueue(COMMAND, delay=A_SECOND)
    transport.enqueue(COMMAND)
    delivery = transport.dequeue()
    assert delivery is not None
    assert transport.pending() == 2
    transport.complete(delivery)
    assert transport.pending() == 1
    for _ in range(5):
        clock.advance(timedelta(hours=1))
        assert transport.dequeue() is not None
    clock.advance(timedelta(hours=1))
    assert transport.dequeue() is None
    assert (transport.pending(), len(transport.list_dead())) == (0, 1)


def test_ids_come_from_their_source(clock: FakeClock) -> None:
    transport = MemoryJobTransport(clock, ids=SequentialIds(seed=7))
    transport.enqueue(COMMAND)
    delivery = transport.dequeue()
    assert delivery is not None
    assert delivery.message_id == SequentialIds(seed=7).new_id()


def test_a_heartbeat_for_a_week_takes_no_more_room(transport: MemoryJobTransport, clock: FakeClock) -> None:
    transport.enqueue(COMMAND)
    delivery = transport.dequeue()
    assert delivery is not None
    for _ in range(20_000):
        clock.advance(timedelta(seconds=30))
        transport.touch(delivery, visibility=timedelta(minutes=1))
    assert len(transport._by_time) < 100
    transport.complete(delivery)
    assert transport.pending() == 0


def test_each_message_is_taken_by_one_thread(transport: MemoryJobTransport) -> None:
    def work(number: int) -> list[str]:
        transport.enqueue_parallel([TransitionRun(run_id=f"run-{number}-{index}") for index in range(200)])
        taken = []
        while (delivery := transport.dequeue()) is not None:
            transport.complete(delivery)
            taken.append(delivery.body)
        return taken

    with ThreadPoolExecutor(8) as threads:
        taken = [body for bodies in threads.map(work, range(8)) for body in bodies]
    assert len(taken) == len(set(taken)) == 1600
    assert transport.pending() == 0


def test_who_waits_is_woken_by_a_message(clock: FakeClock) -> None:
    transport = MemoryJobTransport(clock, blocking=True)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(lambda: transport.dequeue(wait=timedelta(seconds=20)))
        threading.Thread(target=transport.enqueue, args=(COMMAND,)).start()
        assert waiting.result(timeout=10) is not None


def test_who_waits_in_vain_gets_none(clock: FakeClock) -> None:
    transport = MemoryJobTransport(clock, blocking=True)
    transport.enqueue(COMMAND, delay=timedelta(seconds=900))
    assert transport.dequeue(wait=timedelta(milliseconds=5)) is None


def test_where_time_is_virtual_nobody_waits(transport: MemoryJobTransport) -> None:
    assert transport.dequeue(wait=timedelta(seconds=20)) is None
