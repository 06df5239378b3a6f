"""What a stage notes, keeps and tells on its way."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from pydantic import BaseModel

from workflow_engine import (
    AnnotationCreated,
    BlobNotFoundError,
    NotReady,
    RetryPolicy,
    StageCompleted,
    StageContext,
    StageProgress,
    StageStarted,
    Status,
    Suspended,
    WaitForSignal,
    Workflow,
    stage,
)
from workflow_engine.kernel import published_types
from workflow_engine.testing.engine import VirtualEngine

MINUTE = timedelta(minutes=1)


class Item(BaseModel):
    name: str = "x"


def test_log_lines_are_kept_in_order_with_their_fields(engine: VirtualEngine) -> None:
    @stage("talk")
    def talk(item: Item, ctx: StageContext) -> Item:
        ctx.log("info", "began", item=item.name)
        engine.clock.advance(MINUTE)
        ctx.log("warning", "slow", seconds=60.5)
        return item

    start = engine.clock.now()
    run = engine.run(Workflow("w", input=Item).pipe(talk).build(), Item())
    lines = engine.kernel.queries.logs(run.id)
    assert [(line.at, line.level, line.message, dict(line.fields), line.attempt) for line in lines] == [
        (start, "INFO", "began", {"item": "x"}, 1),
        (start + MINUTE, "WARNING", "slow", {"seconds": 60.5}, 1),
    ]


def test_what_a_failed_attempt_logged_is_kept(engine: VirtualEngine) -> None:
    @stage("talk", retry=RetryPolicy(max_attempts=2))
    def talk(item: Item, ctx: StageContext) -> Item:
        ctx.log("info", f"attempt {ctx.attempt}")
        if ctx.attempt == 1:
            raise ConnectionError("no answer")
        return item

    run = engine.run(Workflow("w", input=Item).pipe(talk).build(), Item())
    assert [line.message for line in engine.persistence.list_logs(run.id)] == ["attempt 1", "attempt 2"]


def test_a_thousand_lines_are_kept_and_the_rest_is_counted(engine: VirtualEngine) -> None:
    @stage("talk")
    def talk(item: Item, ctx: StageContext) -> Item:
        for number in range(1007):
            ctx.log("debug", str(number))
        return item

    run = engine.run(Workflow("w", input=Item).pipe(talk).build(), Item())
    lines = engine.persistence.list_logs(run.id)
    assert (len(lines), lines[-1].fields) == (1001, {"dropped": 7})


def test_annotations_say_who_noted_what_and_when(engine: VirtualEngine) -> None:
    @stage("judge")
    def judge(item: Item, ctx: StageContext) -> Item:
        ctx.annotate("model", "m-1")
        ctx.annotate("evidence", {"pages": [1, 2]})
        return item

    start = engine.clock.now()
    run = engine.run(Workflow("w", input=Item).pipe(judge).build(), Item())
    found = engine.kernel.queries.annotations(run.id)
    assert {(one.name, str(one.value), one.scope, one.actor, one.attempt, one.at) for one in found} == {
        ("model", "m-1", "judge", "judge", 1, start),
        ("evidence", "{'pages': [1, 2]}", "judge", "judge", 1, start),
    }


def test_storage_keeps_what_a_stage_makes_beside_its_output(engine: VirtualEngine) -> None:
    @stage("draw")
    def draw(item: Item, ctx: StageContext) -> Item:
        ctx.storage.save("a/page.html", "<p>é</p>")
        ctx.storage.save("item", item)
        assert ctx.storage.exists("a/page.html")
        assert ctx.storage.load("a/page.html") == "<p>é</p>".encode()
        ctx.storage.delete("item")
        assert not ctx.storage.exists("item")
        with pytest.raises(BlobNotFoundError):
            ctx.storage.load("item")
        return item

    run = engine.run(Workflow("w", input=Item).pipe(draw).build(), Item())
    assert run.status is Status.COMPLETED


def test_storage_is_the_stages_own(engine: VirtualEngine) -> None:
    @stage("left")
    def left(item: Item, ctx: StageContext) -> Item:
        ctx.storage.save("page", b"left")
        return item

    @stage("right")
    def right(item: Item, ctx: StageContext) -> Item:
        assert not ctx.storage.exists("page")
        assert not ctx.storage.exists("../../0/left/0/storage/page")
        return item

    run = engine.run(Workflow("w", input=Item).pipe(left).pipe(right).build(), Item())
    assert run.status is Status.COMPLETED


def test_a_check_finds_what_its_stage_stored_and_replaces_it(engine: VirtualEngine) -> None:
    @stage("batch")
    def submit(item: Item, ctx: StageContext) -> Suspended[Item]:
        ctx.storage.save("seen", b"0")
        return Suspended(item, poll_every=MINUTE)

    @submit.check_completion
    def check(state: Item, ctx: StageContext) -> Item | NotReady:
        return Item(name=ctx.storage.load("seen").decode())

    run = engine.run(Workflow("w", input=Item).pipe(submit).build(), Item())
    assert run.output == {"name": "0"}


class TestPublished:
    """Events that cost extra, where they are asked for."""

    @pytest.fixture
    def engine(self, make_engine: Callable[..., VirtualEngine]) -> VirtualEngine:
        return make_engine(published=published_types(["*"]))

    def test_every_step_of_a_run_is_told_in_a_dense_sequence(self, engine: VirtualEngine) -> None:
        @stage("one")
        def one(item: Item) -> Item:
            engine.clock.advance(MINUTE)
            return item

        @stage("two", retry=RetryPolicy(max_attempts=2))
        def two(item: Item, ctx: StageContext) -> Item:
            if ctx.attempt == 1:
                raise ConnectionError("no answer")
            return item

        run = engine.run(Workflow("w", input=Item).pipe(one).pipe(two).build(), Item())
        assert [event.type for event in run.events] == [
            "workflow:created",
            "workflow:started",
            "stage:started",
            "stage:completed",
            "stage:started",
            "stage:failed",
            "stage:started",
            "stage:completed",
            "workflow:completed",
        ]
        assert [event.sequence for event in run.events] == list(range(1, 10))
        assert [event.event_id for event in run.events] == [f"{run.id}:{number}" for number in range(1, 10)]
        assert [event.attempt for event in run.events if isinstance(event, StageStarted)] == [1, 1, 2]

    def test_a_run_that_starts_later_says_once_that_it_has(self, engine: VirtualEngine) -> None:
        @stage("one")
        def one(item: Item) -> Item:
            return item

        start_at = engine.clock.now() + MINUTE
        run = engine.run(Workflow("w", input=Item).parallel(one).build(), Item(), start_at=start_at)
        assert [event.type for event in run.events][1:] == [
            "workflow:started",
            "stage:started",
            "stage:completed",
            "workflow:completed",
        ]

    def test_the_check_of_a_suspended_stage_and_the_handler_of_a_signal_start_no_attempt(
        self, engine: VirtualEngine
    ) -> None:
        @stage("one")
        def one(item: Item) -> Suspended[Item]:
            return Suspended(item, poll_every=MINUTE)

        @one.check_completion
        def check(item: Item) -> Item:
            return item

        @stage("two")
        def two(item: Item) -> WaitForSignal[Item]:
            return WaitForSignal("go", Item)

        @two.on_signal
        def go(item: Item) -> Item:
            return item

        run = engine.start(Workflow("w", input=Item).pipe(one).pipe(two).build(), Item())
        engine.drive(run)
        engine.signal(run, "go", Item())
        engine.drive(run)
        assert [event.stage_id for event in run.events if isinstance(event, StageStarted)] == ["one", "two"]

    def test_progress_and_annotations_are_told(self, engine: VirtualEngine) -> None:
        @stage("one")
        def one(item: Item, ctx: StageContext) -> Item:
            ctx.progress(0.25, "a quarter")
            ctx.progress(0.5, "half")
            ctx.annotate("model", "m-1")
            return item

        run = engine.run(Workflow("w", input=Item).pipe(one).build(), Item())
        (progress,) = [event for event in run.events if isinstance(event, StageProgress)]
        (annotation,) = [event for event in run.events if isinstance(event, AnnotationCreated)]
        assert (progress.stage_id, progress.fraction, progress.message) == ("one", 0.5, "half")
        assert (annotation.key, annotation.value, annotation.scope) == ("model", "m-1", "one")

    def test_a_completed_stage_says_how_long_it_took(self, engine: VirtualEngine) -> None:
        @stage("one")
        def one(item: Item) -> Item:
            engine.clock.advance(MINUTE)
            return item

        run = engine.run(Workflow("w", input=Item).pipe(one).build(), Item())
        (completed,) = [event for event in run.events if isinstance(event, StageCompleted)]
        assert completed.duration_seconds == 60

    def test_a_group_tells_each_of_its_stages_once(self, engine: VirtualEngine) -> None:
        @stage("left")
        def left(item: Item) -> Item:
            return item

        @stage("right")
        def right(item: Item) -> Item:
            return item

        run = engine.run(Workflow("w", input=Item).parallel(left, right).build(), Item())
        told = [event.type for event in run.events]
        assert [told.count(kind) for kind in ("stage:started", "stage:completed", "workflow:completed")] == [2, 2, 1]
        assert [event.sequence for event in run.events] == list(range(1, len(told) + 1))
