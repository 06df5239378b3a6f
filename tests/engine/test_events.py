"""How events are told: in order, at least once, and never lost for somebody who refuses them."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import (
    CancelRun,
    FlushOutbox,
    Plugin,
    ReplayDeadLetters,
    RerunFrom,
    RetryPolicy,
    RunEvent,
    Status,
    Workflow,
    WorkflowDefinition,
    WorkflowDefinitionError,
    stage,
)
from workflow_engine.model.limits import MAX_REFUSALS
from workflow_engine.ports.events import NOT_TRIED, EventSink, Refusal
from workflow_engine.testing.engine import KeptEvents, VirtualEngine, VirtualRun

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
# How often a tick looks at a run that has something to tell: the function's timeout, a minute's
# margin, and a minute until the next tick.
LOOK = timedelta(minutes=17)


class Item(BaseModel):
    name: str = "x"


@stage("copy")
def copy(item: Item) -> Item:
    return item


@stage("broken", retry=RetryPolicy(max_attempts=3, first_delay=SECOND))
def broken(item: Item) -> Item:
    raise ConnectionError("no answer")


copying = Workflow("copying", input=Item).pipe(copy).build()
breaking = Workflow("breaking", input=Item).pipe(broken).build()


class Moody(EventSink):
    """Refuses while it is in a *mood* to, and from the first event of the run *never* on; *counts*
    says whether the events are to blame."""

    def __init__(self, sink: EventSink) -> None:
        self.mood = True
        self.counts = True
        self.asked = 0
        self.never: str | None = None
        self._sink = sink

    @override
    def emit(self, events: Sequence[RunEvent]) -> Sequence[Refusal | None]:
        self.asked += 1
        if not self.mood:
            until = next((i for i, event in enumerate(events) if event.run_id == self.never), len(events))
            refused = [Refusal("never", counts=True), *[NOT_TRIED] * len(events)][: len(events) - until]
            return [*(self._sink.emit(events[:until]) if until else ()), *refused]
        return [Refusal("not now", counts=self.counts)] * len(events)


@pytest.fixture
def moody(engine: VirtualEngine) -> Moody:
    sink = Moody(engine.event_sink)
    engine.event_sink = KeptEvents(sink)
    engine.deploy(copying, breaking)
    return sink


def finished(engine: VirtualEngine, workflow: WorkflowDefinition = copying) -> VirtualRun:
    run = engine.run(workflow, Item())
    assert run.status.is_terminal
    return run


def dead_letters(engine: VirtualEngine) -> list[int]:
    return [letter.sequence for letter in engine.persistence.list_dead_letters(limit=10)]


def test_an_event_that_is_refused_stays_and_the_run_goes_on(engine: VirtualEngine, moody: Moody) -> None:
    run = finished(engine)
    assert (run.status, run.head.untold, run.events) == (Status.COMPLETED, 1, [])
    moody.mood = False
    engine.advance(HOUR)
    assert [event.type for event in run.events] == ["workflow:completed"]
    assert (run.head.untold, run.head.due_at) == (0, None)


def test_what_comes_after_a_refused_event_is_told_after_it(engine: VirtualEngine, moody: Moody) -> None:
    moody.counts = False
    run = finished(engine, breaking)
    moody.mood = False
    engine.advance(HOUR)
    assert [(event.sequence, event.type) for event in run.events] == [
        (1, "stage:failed"),
        (2, "stage:failed"),
        (3, "stage:failed"),
        (4, "workflow:failed"),
    ]


def test_an_event_that_is_refused_too_often_is_put_aside_and_the_next_is_told(
    engine: VirtualEngine, moody: Moody
) -> None:
    run = finished(engine)
    engine.advance((MAX_REFUSALS + 1) * LOOK)
    assert (dead_letters(engine), run.head.untold, run.head.due_at) == ([1], 0, None)
    moody.mood = False
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="copy"))
    engine.drive(run)
    assert [event.sequence for event in run.events] == [2]


def test_throttling_and_outages_make_no_dead_letters(engine: VirtualEngine, moody: Moody) -> None:
    moody.counts = False
    run = finished(engine)
    engine.advance(2 * MAX_REFUSALS * LOOK)
    assert moody.asked > 2 * MAX_REFUSALS
    assert (dead_letters(engine), run.head.untold) == ([], 1)
    moody.mood = False
    engine.advance(HOUR)
    assert [event.sequence for event in run.events] == [1]


def test_dead_letters_are_replayed_in_order_under_their_own_ids(engine: VirtualEngine, moody: Moody) -> None:
    run = finished(engine, breaking)
    engine.advance(4 * (MAX_REFUSALS + 1) * LOOK)
    assert dead_letters(engine) == [1, 2, 3, 4]
    assert engine.kernel.dispatch(ReplayDeadLetters()).replayed == 0
    moody.mood = False
    assert engine.kernel.dispatch(ReplayDeadLetters(max_events=3)).replayed == 3
    assert engine.kernel.dispatch(ReplayDeadLetters()).replayed == 1
    assert [event.event_id for event in run.events] == [f"{run.id}:{number}" for number in (1, 2, 3, 4)]
    assert dead_letters(engine) == []


def test_a_dead_letter_that_is_refused_for_ever_holds_up_no_other_run(engine: VirtualEngine, moody: Moody) -> None:
    first, second = sorted((finished(engine), finished(engine)), key=lambda run: run.id)
    engine.advance(2 * (MAX_REFUSALS + 1) * LOOK)
    moody.mood, moody.never = False, first.id
    assert engine.kernel.dispatch(ReplayDeadLetters()).replayed == 1
    assert [letter.run_id for letter in engine.persistence.list_dead_letters(limit=10)] == [first.id]
    assert [event.sequence for event in second.events] == [1]


def test_the_outbox_is_flushed_at_once_where_somebody_asks_for_it(engine: VirtualEngine, moody: Moody) -> None:
    run = finished(engine)
    moody.mood = False
    assert engine.kernel.dispatch(FlushOutbox()).published == 1
    assert engine.kernel.dispatch(FlushOutbox()).published == 0
    assert (len(run.events), run.head.untold) == (1, 0)


def test_a_long_outage_does_not_fill_the_head(engine: VirtualEngine, moody: Moody) -> None:
    moody.counts = False

    @stage("broken", retry=RetryPolicy(max_attempts=25, first_delay=SECOND, backoff=1))
    def breaks_often(item: Item) -> Item:
        raise ConnectionError("no answer " * 90)

    run = finished(engine, Workflow("w", input=Item).pipe(breaks_often).build())
    assert run.head.untold == 26
    assert run.head.spilled > 16
    moody.mood = False
    engine.advance(LOOK)
    assert [event.sequence for event in run.events] == list(range(1, 27))
    assert (run.head.untold, run.head.due_at) == (0, None)


class TestPlugins:
    def test_a_plugin_hears_of_what_it_asked_for(self, engine: VirtualEngine) -> None:
        heard: list[str] = []
        plugin = Plugin("audit", on=["stage:*"], handle=lambda event: heard.append(event.type))
        engine.deploy(copying, breaking, plugins=[plugin])
        finished(engine)
        assert heard == ["stage:started", "stage:completed"]

    def test_one_that_raises_for_ever_loses_no_event_and_stops_no_run(self, engine: VirtualEngine) -> None:
        def fail(event: RunEvent) -> None:
            raise ValueError("not today")

        engine.deploy(copying, plugins=[Plugin("bad", on=["workflow:*"], handle=fail)])
        run = finished(engine)
        engine.advance(3 * (MAX_REFUSALS + 1) * LOOK)
        letters = engine.persistence.list_dead_letters(limit=10)
        assert [letter.event.type for letter in letters] == [
            "workflow:created",
            "workflow:started",
            "workflow:completed",
        ]
        assert (run.status, run.head.due_at) == (Status.COMPLETED, None)
        engine.deploy(copying, plugins=[])
        assert engine.kernel.dispatch(ReplayDeadLetters()).replayed == 3
        assert [event.sequence for event in run.events] == [1, 2, 3]

    @pytest.mark.parametrize("error", [SystemExit(1), GeneratorExit(), BaseException("of another kind")])
    def test_one_that_asks_the_process_to_end_keeps_no_other_run_from_being_looked_at(
        self, engine: VirtualEngine, error: BaseException
    ) -> None:
        def end(event: RunEvent) -> None:
            if event.run_id == first.id:
                raise error

        first, second = (engine.start(copying, Item()) for _ in range(2))
        engine.deploy(copying, plugins=[Plugin("bad", on=["workflow:completed"], handle=end)])
        engine.drive(first, second)
        engine.advance(3 * (MAX_REFUSALS + 1) * LOOK)
        assert [event.type for event in second.events] == ["workflow:completed"]
        assert [letter.run_id for letter in engine.persistence.list_dead_letters(limit=10)] == [first.id]

    def test_an_async_one_is_awaited(self, engine: VirtualEngine) -> None:
        heard: list[str] = []

        async def hear(event: RunEvent) -> None:
            await asyncio.sleep(0)
            heard.append(event.type)

        engine.deploy(copying, plugins=[Plugin("audit", on=["workflow:*"], handle=hear)])
        finished(engine)
        assert heard == ["workflow:created", "workflow:started", "workflow:completed"]

    def test_an_async_one_that_raises_refuses_the_event(self, engine: VirtualEngine) -> None:
        async def fail(event: RunEvent) -> None:
            raise ValueError("not today")

        engine.deploy(copying, plugins=[Plugin("bad", on=["workflow:completed"], handle=fail)])
        run = finished(engine)
        assert (run.events, run.head.untold) == ([], 1)

    def test_one_that_hangs_refuses_the_event(self, engine: VirtualEngine) -> None:
        def hang(event: RunEvent) -> None:
            threading.Event().wait(30)

        plugin = Plugin("stuck", on=["workflow:completed"], handle=hang, timeout=timedelta(seconds=0.05))
        engine.deploy(copying, plugins=[plugin])
        run = finished(engine)
        assert (run.events, run.head.untold) == ([], 1)

    @pytest.mark.parametrize("timeout", [timedelta(0), timedelta(seconds=61)])
    def test_one_has_a_sensible_time(self, timeout: timedelta) -> None:
        with pytest.raises(WorkflowDefinitionError, match="timeout"):
            Plugin("slow", on=["workflow:*"], handle=print, timeout=timeout)

    def test_one_that_raises_once_hears_of_the_event_again(self, engine: VirtualEngine) -> None:
        heard: list[int] = []

        def fail_once(event: RunEvent) -> None:
            heard.append(event.sequence)
            if len(heard) == 1:
                raise ValueError("not now")

        engine.deploy(copying, plugins=[Plugin("moody", on=["workflow:completed"], handle=fail_once)])
        run = finished(engine)
        engine.advance(HOUR)
        assert heard == [1, 1]
        assert [event.sequence for event in run.events] == [1]


def test_a_cancelled_run_tells_what_was_untold_before_its_end(engine: VirtualEngine, moody: Moody) -> None:
    run = engine.start(breaking, Item())
    engine.work()
    moody.mood = False
    engine.kernel.dispatch(CancelRun(run_id=run.id))
    assert [(event.sequence, event.type) for event in run.events] == [(1, "stage:failed"), (2, "workflow:cancelled")]
