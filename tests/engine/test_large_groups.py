"""What a group costs grows with its siblings, not with their square, whatever they do."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from typing_extensions import override

from tests.engine.large_groups import CountingPersistence, Item, Sibling, group_of
from workflow_engine import (
    AnnotationCreated,
    NotReady,
    RetryPolicy,
    RunEvent,
    SignalRun,
    Stage,
    StageContext,
    StageFailed,
    Status,
    Suspended,
    WaitForSignal,
    Workflow,
    stage,
)
from workflow_engine.kernel import KernelSettings, published_types
from workflow_engine.model.limits import MAX_HEAD_EVENTS_BYTES
from workflow_engine.ports.events import EventSink, Refusal
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.engine import KeptEvents, VirtualEngine, VirtualRun

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
# What a head holds of untold events, and those of the commit that finds it so.
SMALL = MAX_HEAD_EVENTS_BYTES + 1024
KILOBYTE = "x" * 1000


class Stand:
    """An engine in memory whose store counts."""

    def __init__(self, *, published: Sequence[str] | None = None) -> None:
        clock = FakeClock()
        self.store = CountingPersistence(clock)
        settings = KernelSettings(published=published_types(published)) if published else KernelSettings()
        self.engine = VirtualEngine(clock=clock, persistence=self.store, settings=settings)

    def run(self, size: int, behaves: Sibling, **options: Any) -> VirtualRun:
        return self.engine.run(group_of(size, behaves, **options), {})


def idle(number: int, ctx: StageContext[Any]) -> None:
    """Does nothing."""


def test_the_events_of_a_group_stay_in_its_head_until_somebody_may_take_them_out() -> None:
    items, units = {}, {}
    for size in (25, 50, 100):
        stand = Stand(published=["*"])
        run = stand.run(size, idle)
        assert run.status is Status.COMPLETED
        assert len(run.events) == 2 * size + 3
        items[size], units[size] = stand.store.items["put_spilled"], stand.store.head_units
    assert items[100] <= 2 * 100
    assert units[50] <= 2.5 * units[25]
    assert units[100] <= 2.5 * units[50]


class BusyBus(EventSink):
    """Takes its time: before it answers, a sibling has committed something."""

    def __init__(self, sink: EventSink) -> None:
        self._sink, self.engine, self._asked = sink, VirtualEngine(), False

    @override
    def emit(self, events: Sequence[RunEvent]) -> Sequence[Refusal | None]:
        if not self._asked:
            self._asked = True
            self.engine.clock.advance(SECOND)
            self.engine.host.process_available_jobs(max_jobs=1)
            self._asked = False
        return self._sink.emit(events)


def test_what_was_told_leaves_the_head_though_siblings_commit_meanwhile() -> None:
    stand = Stand()
    engine = stand.engine
    bus = BusyBus(engine.event_sink)
    engine.event_sink, bus.engine = KeptEvents(bus), engine

    def fails_while_one_works(number: int, ctx: StageContext[Any]) -> None:
        if number and ctx.attempt <= 30:
            raise ConnectionError("x" * 200)
        for _ in range(0 if number else 10):
            engine.advance(MINUTE)

    retry = RetryPolicy(max_attempts=31, first_delay=20 * SECOND, backoff=1, jitter=False)
    run = stand.run(20, fails_while_one_works, retry=retry, timeout_minutes=15)
    published, distinct = len(run.events), len({event.event_id for event in run.events})
    assert distinct == 19 * 30 + 1
    assert published <= distinct * 1.2
    assert stand.store.largest_events <= SMALL


@pytest.mark.parametrize("waits", ["for checks", "for signals"])
@pytest.mark.parametrize("size", [20, 80])
def test_siblings_that_come_back_one_by_one_do_not_tell_what_the_others_told(size: int, waits: str) -> None:
    engine = VirtualEngine(settings=KernelSettings(published=published_types(["*"])))
    waiting = polled if waits == "for checks" else asked
    run = engine.start(Workflow("waits", input=Item).parallel(*map(waiting, range(size))).build(), Item())
    engine.drive(run)
    for number in range(size if waits == "for signals" else 0):
        engine.kernel.dispatch(SignalRun(run_id=run.id, name=f"go-{number}", payload={}))
    engine.drive(run)
    published, distinct = len(run.events), len({event.event_id for event in run.events})
    assert run.status is Status.COMPLETED
    assert is_told_in_order(run)
    assert published <= distinct * 1.5


def polled(number: int) -> Stage[..., Any]:
    """A sibling whose batch is ready at its second check."""
    checks = count(1)

    @stage(f"polled-{number}")
    def submit(item: Item) -> Suspended[Item]:
        return Suspended(item, poll_every=5 * MINUTE, give_up_after=60 * MINUTE)

    @submit.check_completion
    def check(state: Item) -> Item | NotReady:
        return state if next(checks) > 1 else NotReady()

    return submit


def asked(number: int) -> Stage[..., Any]:
    """A sibling that waits for a signal of its own."""

    @stage(f"asked-{number}")
    def ask(_item: Item) -> WaitForSignal[Item]:
        return WaitForSignal(f"go-{number}", Item, timeout=60 * MINUTE)

    @ask.on_signal
    def go(answer: Item) -> Item:
        return answer

    return ask


def is_told_in_order(run: VirtualRun) -> bool:
    """Whether each event was accepted after the one before it, repeats aside."""
    seen = 0
    for event in run.events:
        if event.sequence > seen + 1:
            return False
        seen = max(seen, event.sequence)
    return seen == run.head.told


@pytest.mark.parametrize(("size", "attempts"), [(100, 3), (30, 10)])
def test_errors_of_siblings_that_are_tried_again_stay_out_of_the_head(size: int, attempts: int) -> None:
    stand = Stand()

    def all_fail_but_one(number: int, ctx: StageContext[Any]) -> None:
        if number and ctx.attempt < attempts:
            raise ConnectionError(KILOBYTE)
        if number == 0:
            for _ in range(10):
                stand.engine.advance(MINUTE)

    retry = RetryPolicy(max_attempts=attempts, first_delay=2 * SECOND)
    run = stand.run(size, all_fail_but_one, retry=retry, timeout_minutes=15)
    failures = (size - 1) * (attempts - 1)
    assert run.status is Status.COMPLETED
    assert all(record.attempt <= attempts for record in run.records)
    assert len(run.records) == size + failures
    assert {event.event_id for event in run.events} == {f"{run.id}:{number}" for number in range(1, failures + 2)}
    assert is_told_in_order(run)
    assert len(run.events) <= 1.1 * failures + 2 * size
    assert stand.store.largest_events <= SMALL
    # Claims and outcomes: two writes an attempt, of a head that has a hundred entries.
    assert stand.store.head_units <= 2 * (size + failures) * 12


def test_what_an_error_said_is_told_though_the_head_had_no_room_for_it() -> None:
    stand = Stand()

    def fails_once(number: int, ctx: StageContext[Any]) -> None:
        if ctx.attempt == 1:
            raise ConnectionError(f"{number} {KILOBYTE}")

    run = stand.run(10, fails_once, retry=RetryPolicy(max_attempts=2, first_delay=SECOND))
    told = {event.error for event in run.events if isinstance(event, StageFailed)}
    assert told == {f"{number} {KILOBYTE}" for number in range(10)}
    assert stand.store.left() == 0


@pytest.mark.parametrize("siblings", [1, 20])
def test_annotations_of_16_kb_are_told_and_stay_out_of_the_head(siblings: int) -> None:
    stand = Stand(published=["*"])

    def note(number: int, ctx: StageContext[Any]) -> None:
        ctx.progress(0.5, KILOBYTE)
        for index in range(30):
            ctx.annotate(f"note-{index}", "é" * 8_000)

    run = stand.run(siblings, note)
    assert run.status is Status.COMPLETED
    assert len(run.records) == siblings
    notes = [event for event in run.events if isinstance(event, AnnotationCreated)]
    assert len({note.event_id for note in notes}) == 30 * siblings
    assert all(note.value == "é" * 8_000 for note in notes)
    assert is_told_in_order(run)
    assert stand.store.largest_events <= 2 * SMALL
    assert stand.store.left() == 0


class ClosedBus(EventSink):
    """Takes nothing until it is *open*."""

    def __init__(self, sink: EventSink) -> None:
        self._sink, self.open = sink, False

    @override
    def emit(self, events: Sequence[RunEvent]) -> Sequence[Refusal | None]:
        return self._sink.emit(events) if self.open else [Refusal("away", counts=False)] * len(events)


@pytest.mark.parametrize("siblings", [1, 12])
def test_while_the_bus_is_away_a_head_keeps_its_size(siblings: int) -> None:
    stand = Stand(published=["*"])
    bus = ClosedBus(stand.engine.event_sink)
    stand.engine.event_sink = KeptEvents(bus)

    def fails_and_notes(number: int, ctx: StageContext[Any]) -> None:
        for index in range(5):
            ctx.annotate(f"note-{index}", KILOBYTE)
        if ctx.attempt < 10:
            raise ConnectionError(KILOBYTE)

    run = stand.run(siblings, fails_and_notes, retry=RetryPolicy(max_attempts=10, first_delay=SECOND))
    assert run.status is Status.COMPLETED
    assert len(run.records) == siblings * 10
    assert stand.store.largest_events <= 2 * SMALL
    bus.open = True
    stand.engine.advance(timedelta(hours=6))
    assert run.head.untold == 0
    assert len(run.events) == run.head.told
    assert is_told_in_order(run)
    assert stand.store.left() == 0
