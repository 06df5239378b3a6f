"""Stages that wait: for something outside, for a time."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from pydantic import BaseModel

from workflow_engine import (
    CancelRun,
    NotReady,
    PermanentError,
    PollSuspendedStages,
    RerunFrom,
    RetryPolicy,
    StageContext,
    StageResult,
    Status,
    Suspended,
    TransitionRun,
    Workflow,
    WorkflowSuspended,
    sleep,
    stage,
)
from workflow_engine.model.limits import MAX_INLINE_BYTES
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Item(BaseModel):
    name: str = "x"


class Job(BaseModel):
    job_id: str


class World:
    """What is outside: a batch that is done at some time, or fails."""

    def __init__(self) -> None:
        self.done_after = HOUR
        self.checks: list[timedelta] = []
        self.error: Exception | None = None
        self.next_check_in: timedelta | None = None


@pytest.fixture
def world() -> World:
    return World()


def batch_of(
    world: World,
    engine: VirtualEngine,
    *,
    poll_every: timedelta = 10 * MINUTE,
    give_up_after: timedelta | None = None,
    retry: RetryPolicy | None = None,
) -> Workflow:
    started_at = engine.clock.now()

    @stage("batch", retry=retry or RetryPolicy())
    def submit(item: Item, ctx: StageContext) -> Suspended[Job]:
        ctx.storage.save("submitted", item)
        return Suspended(Job(job_id=f"job-{item.name}"), poll_every=poll_every, give_up_after=give_up_after)

    @submit.check_completion
    def check(job: Job, ctx: StageContext) -> Item | NotReady:
        passed = ctx.now() - started_at
        world.checks.append(passed)
        if world.error is not None:
            raise world.error
        if passed < world.done_after:
            return NotReady(next_check_in=world.next_check_in)
        submitted = Item.model_validate_json(ctx.storage.load("submitted"))
        return Item(name=f"{job.job_id} of {submitted.name}")

    @stage("after")
    def after(item: Item) -> Item:
        return Item(name=f"after {item.name}")

    return Workflow("batch", input=Item).pipe(submit).pipe(after)


class Page(BaseModel):
    number: int
    padding: str = ""


def paging_of(pages: int, padding: int = 0) -> Workflow:
    """A stage that reads an API page by page: each check answers the state of the next."""

    @stage("read")
    def read(item: Item) -> Suspended[Page]:
        return Suspended(Page(number=0, padding="x" * padding), poll_every=MINUTE)

    @read.check_completion
    def next_page(page: Page, ctx: StageContext) -> Item | Suspended[Page]:
        ctx.log("info", f"page {page.number}")
        if page.number + 1 == pages:
            return Item(name=f"{pages} pages")
        return Suspended(Page(number=page.number + 1, padding=page.padding), poll_every=MINUTE)

    return Workflow("paging", input=Item).pipe(read)


class Listing:
    """A store of blobs that notes what was listed."""

    def __init__(self, blobs: Any) -> None:
        self._blobs, self.lists = blobs, list[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def list(self, prefix: str) -> Any:
        self.lists.append(prefix)
        return self._blobs.list(prefix)


class TestSuspended:
    def test_it_is_checked_as_often_as_it_says_and_goes_on_with_the_output(
        self, engine: VirtualEngine, world: World
    ) -> None:
        run = engine.run(batch_of(world, engine).build(), Item())
        assert run.output == {"name": "after job-x of x"}
        assert [passed.total_seconds() for passed in world.checks] == [600, 1200, 1800, 2400, 3000, 3600]

    @pytest.mark.parametrize("padding", [0, MAX_INLINE_BYTES], ids=["small", "large"])
    def test_a_stage_that_is_suspended_again_and_again_leaves_two_states(
        self, engine: VirtualEngine, padding: int
    ) -> None:
        run = engine.run(paging_of(30, padding).build(), Item())
        assert run.output == {"name": "30 pages"}
        assert [record.status for record in run.records] == [Status.SUSPENDED, Status.SUSPENDED, Status.COMPLETED]
        states = [key for key in engine.blob_store.list(f"runs/{run.id}/") if key.endswith("state.json")]
        assert len(states) == (2 if padding else 0)

    def test_what_such_a_stage_has_logged_is_kept(self, engine: VirtualEngine) -> None:
        run = engine.start(paging_of(30).build(), Item())
        engine.advance(10 * MINUTE)
        lines = engine.kernel.queries.logs(run.id)
        assert [line.message for line in lines] == [f"page {number}" for number in range(10)]

    def test_a_state_that_is_replaced_stays_until_the_commit(
        self, engine: VirtualEngine, meddle: Callable[..., None]
    ) -> None:
        """A worker dies between its record and the commit: its successor still finds the state before."""
        paging = paging_of(5).build()
        run = engine.start(paging, Item())
        engine.advance(2 * MINUTE)

        def die() -> None:
            raise KeyboardInterrupt

        engine.clock.advance(MINUTE)
        engine.scheduler.fire_due()
        meddle(engine, "put_logs", die, paging)
        with pytest.raises(KeyboardInterrupt):
            engine.work()
        engine.drive(run)
        assert run.output == {"name": "5 pages"}

    def test_a_rerun_of_such_a_stage_touches_few_items_and_lists_blobs_once(self, engine: VirtualEngine) -> None:
        blobs = engine.blob_store = Listing(engine.blob_store)
        run = engine.run(paging_of(30, MAX_INLINE_BYTES).build(), Item())
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="read"))
        assert blobs.lists == [f"runs/{run.id}/"]
        assert list(blobs.list(f"runs/{run.id}/")) == []
        engine.drive(run)
        assert run.output == {"name": "30 pages"}

    def test_a_check_may_say_when_the_next_one_is(self, engine: VirtualEngine, world: World) -> None:
        world.next_check_in = 25 * MINUTE
        engine.run(batch_of(world, engine).build(), Item())
        assert [passed.total_seconds() for passed in world.checks] == [600, 2100, 3600]

    def test_the_run_is_suspended_meanwhile_and_says_so_once(self, engine: VirtualEngine, world: World) -> None:
        run = engine.start(batch_of(world, engine).build(), Item())
        start = engine.clock.now()
        engine.advance(25 * MINUTE)
        assert run.status is Status.SUSPENDED
        (event,) = run.events
        assert isinstance(event, WorkflowSuspended)
        assert (event.stage_id, event.resume_at) == ("batch", start + 10 * MINUTE)

    def test_nothing_is_held_while_it_waits(self, engine: VirtualEngine, world: World) -> None:
        run = engine.start(batch_of(world, engine).build(), Item())
        engine.work()
        assert engine.kernel.parts.held.all() == []
        assert run.head.active[0].until == engine.clock.now() + 10 * MINUTE

    def test_it_is_given_up_when_its_time_is_over(self, engine: VirtualEngine, world: World) -> None:
        world.done_after = DAY
        run = engine.run(batch_of(world, engine, give_up_after=35 * MINUTE).build(), Item())
        assert run.error is not None
        assert (run.status, run.error.type) == (Status.FAILED, "WaitExpiredError")
        assert world.checks[-1] == 35 * MINUTE

    def test_what_is_done_at_its_last_moment_counts(self, engine: VirtualEngine, world: World) -> None:
        world.done_after = 35 * MINUTE
        run = engine.run(batch_of(world, engine, give_up_after=35 * MINUTE).build(), Item())
        assert run.status is Status.COMPLETED

    def test_a_check_that_raises_is_tried_again_by_the_stages_policy(self, engine: VirtualEngine, world: World) -> None:
        world.error = ConnectionError("no answer")
        policy = RetryPolicy(max_attempts=3, first_delay=SECOND, backoff=1, jitter=False)
        run = engine.run(batch_of(world, engine, retry=policy).build(), Item())
        assert run.error is not None
        assert (run.status, run.error.message, len(world.checks)) == (Status.FAILED, "no answer", 3)
        assert [after - before for before, after in pairwise(world.checks)] == [SECOND, SECOND]

    def test_failed_checks_do_not_add_up_over_those_that_work(self, engine: VirtualEngine, world: World) -> None:
        policy = RetryPolicy(max_attempts=2, first_delay=SECOND, jitter=False)
        workflow = batch_of(world, engine, retry=policy).build()
        run = engine.start(workflow, Item())
        for _ in range(3):
            world.error = ConnectionError("no answer")
            engine.advance(10 * MINUTE)
            world.error = None
            engine.advance(SECOND)
        engine.drive(run)
        assert run.status is Status.COMPLETED

    def test_a_check_may_fail_the_stage_for_good(self, engine: VirtualEngine, world: World) -> None:
        world.error = PermanentError("the batch was rejected")
        run = engine.run(batch_of(world, engine).build(), Item())
        assert run.error is not None
        assert (run.error.message, len(world.checks)) == ("the batch was rejected", 1)

    def test_a_large_state_is_kept(self, engine: VirtualEngine, world: World) -> None:
        name = "y" * MAX_INLINE_BYTES
        run = engine.run(batch_of(world, engine).build(), Item(name=name))
        assert run.output == {"name": f"after job-{name} of {name}"}

    def test_a_check_may_answer_with_metrics_and_artifacts(self, engine: VirtualEngine) -> None:
        @stage("batch")
        def submit(item: Item) -> Suspended[Job]:
            return Suspended(Job(job_id="1"), poll_every=MINUTE)

        @submit.check_completion
        def check(job: Job) -> StageResult[Item]:
            return StageResult(output=Item(name=job.job_id), metrics={"tokens": 7})

        run = engine.run(Workflow("w", input=Item).pipe(submit).build(), Item())
        assert (run.output, run.records[-1].metrics) == ({"name": "1"}, {"tokens": 7})

    def test_a_stage_that_sometimes_knows_the_answer_at_once_does_not_wait(self, engine: VirtualEngine) -> None:
        @stage("batch")
        def submit(item: Item) -> Item | Suspended[Job]:
            return item if item.name == "cached" else Suspended(Job(job_id="1"), poll_every=MINUTE)

        @submit.check_completion
        def check(job: Job) -> Item:
            return Item(name=job.job_id)

        workflow = Workflow("w", input=Item).pipe(submit).build()
        start = engine.clock.now()
        assert engine.run(workflow, Item(name="cached")).output == {"name": "cached"}
        assert engine.clock.now() == start
        assert engine.run(workflow, Item(name="new")).output == {"name": "1"}

    def test_siblings_wait_side_by_side(self, engine: VirtualEngine) -> None:
        times = []

        @stage("slow")
        def slow(item: Item) -> Suspended[Job]:
            return Suspended(Job(job_id="slow"), poll_every=HOUR)

        @slow.check_completion
        def slow_done(job: Job, ctx: StageContext) -> Item:
            times.append((job.job_id, ctx.now()))
            return Item(name=job.job_id)

        @stage("fast")
        def fast(item: Item) -> Suspended[Job]:
            return Suspended(Job(job_id="fast"), poll_every=MINUTE)

        @fast.check_completion
        def fast_done(job: Job, ctx: StageContext) -> Item:
            times.append((job.job_id, ctx.now()))
            return Item(name=job.job_id)

        start = engine.clock.now()
        run = engine.run(Workflow("w", input=Item).parallel(slow, fast).build(), Item())
        assert run.output == {"slow": {"name": "slow"}, "fast": {"name": "fast"}}
        assert times == [("fast", start + MINUTE), ("slow", start + HOUR)]


class TestPollSuspendedStages:
    def test_it_checks_what_is_due_and_sends_the_run_on(self, engine: VirtualEngine, world: World) -> None:
        run = engine.start(batch_of(world, engine).build(), Item())
        engine.work()
        assert engine.kernel.dispatch(PollSuspendedStages()).checked == 0
        engine.clock.advance(HOUR)
        polled = engine.kernel.dispatch(PollSuspendedStages())
        assert (polled.checked, polled.resumed, polled.failed, polled.resumed_run_ids) == (1, 1, 0, [run.id])
        assert (run.status, run.head.group) == (Status.RUNNING, 1)
        engine.work()
        assert run.output == {"name": "after job-x of x"}

    def test_it_checks_no_more_than_it_is_asked_to(self, engine: VirtualEngine, world: World) -> None:
        workflow = batch_of(world, engine).build()
        for _ in range(3):
            engine.start(workflow, Item())
        engine.work()
        engine.clock.advance(HOUR)
        assert engine.kernel.dispatch(PollSuspendedStages(max_checks=2)).checked == 2
        assert engine.kernel.dispatch(PollSuspendedStages(max_checks=2)).checked == 1

    def test_it_skips_runs_that_are_over(self, engine: VirtualEngine, world: World) -> None:
        run = engine.start(batch_of(world, engine).build(), Item())
        engine.work()
        engine.kernel.dispatch(CancelRun(run_id=run.id))
        engine.clock.advance(HOUR)
        assert engine.kernel.dispatch(PollSuspendedStages()).checked == 0
        assert world.checks == []

    def test_a_check_that_fails_for_good_counts_as_failed(self, engine: VirtualEngine, world: World) -> None:
        world.error = PermanentError("no")
        run = engine.start(batch_of(world, engine).build(), Item())
        engine.work()
        engine.clock.advance(HOUR)
        assert engine.kernel.dispatch(PollSuspendedStages()).failed == 1
        assert run.status is Status.FAILED


class TestSleep:
    @pytest.mark.parametrize("duration", [SECOND, 15 * MINUTE, 16 * MINUTE, 20 * DAY])
    def test_it_wakes_to_the_second_at_any_horizon(self, engine: VirtualEngine, duration: timedelta) -> None:
        run, woken_after = self.sleeper(engine, duration)
        engine.drive(run)
        assert woken_after == [duration]
        assert run.output == {"name": "x"}

    def test_the_scheduler_alone_wakes_it(self, engine: VirtualEngine) -> None:
        run, woken_after = self.sleeper(engine, DAY)
        engine.host.process_available_jobs()
        # No tick: timers and messages only.
        while run.head.group == 0:
            times = [engine.scheduler.next_fire_at(), engine.job_transport.next_visible_at()]
            engine.clock.set(min(at for at in times if at is not None))
            engine.scheduler.fire_due()
            engine.host.process_available_jobs()
        assert woken_after == [DAY]

    def test_the_tick_alone_wakes_it(self, engine: VirtualEngine) -> None:
        run, woken_after = self.sleeper(engine, DAY)
        engine.host.process_available_jobs()
        self.lose_timers(engine, run)
        assert engine.scheduler.next_fire_at() is None
        engine.drive(run)
        assert woken_after == [DAY + MINUTE]

    def test_a_wake_up_by_hand_that_is_too_early_wakes_nothing(self, engine: VirtualEngine) -> None:
        run, woken_after = self.sleeper(engine, DAY)
        engine.work()
        assert engine.kernel.dispatch(TransitionRun(run_id=run.id)).action == "noop"
        assert woken_after == []

    def test_a_cancelled_runs_timer_is_cancelled(self, engine: VirtualEngine) -> None:
        run, woken_after = self.sleeper(engine, DAY)
        engine.work()
        assert engine.scheduler.next_fire_at() is not None
        engine.kernel.dispatch(CancelRun(run_id=run.id))
        assert engine.scheduler.next_fire_at() is None
        engine.advance(2 * DAY)
        assert woken_after == []

    def lose_timers(self, engine: VirtualEngine, run: VirtualRun) -> None:
        engine.kernel.parts.teller.cancel_timers(run.head, engine.clock.now())

    def sleeper(self, engine: VirtualEngine, duration: timedelta) -> tuple[VirtualRun, list[timedelta]]:
        woken_after: list[timedelta] = []
        start = engine.clock.now()

        @stage("wake")
        def wake(item: Item, ctx: StageContext) -> Item:
            woken_after.append(ctx.now() - start)
            return item

        workflow = Workflow("w", input=Item).pipe(sleep("nap", duration)).pipe(wake).build()
        return engine.start(workflow, Item()), woken_after


class TestStartAt:
    @pytest.mark.parametrize("ahead", [10 * MINUTE, DAY])
    def test_the_first_stage_runs_at_its_time(self, engine: VirtualEngine, ahead: timedelta) -> None:
        started = []

        @stage("first")
        def first(item: Item, ctx: StageContext) -> Item:
            started.append(ctx.now())
            return item

        workflow = Workflow("w", input=Item).pipe(first).build()
        at = engine.clock.now() + ahead
        run = engine.start(workflow, Item(), start_at=at)
        engine.work()
        assert (run.status, started) == (Status.PENDING, [])
        engine.drive(run)
        assert started == [at]

    def test_a_time_that_is_past_is_now(self, engine: VirtualEngine) -> None:
        @stage("first")
        def first(item: Item) -> Item:
            return item

        run = engine.start(Workflow("w", input=Item).pipe(first).build(), Item(), start_at=engine.clock.now() - DAY)
        engine.work()
        assert run.status is Status.COMPLETED

    def test_a_group_starts_together(self, engine: VirtualEngine) -> None:
        started = []

        @stage("left")
        def left(item: Item, ctx: StageContext) -> Item:
            started.append(ctx.now())
            return item

        @stage("right")
        def right(item: Item, ctx: StageContext) -> Item:
            started.append(ctx.now())
            return item

        at = engine.clock.now() + HOUR
        engine.drive(engine.start(Workflow("w", input=Item).parallel(left, right).build(), Item(), start_at=at))
        assert started == [at, at]

    def test_a_run_that_was_cancelled_before_its_time_never_starts(self, engine: VirtualEngine) -> None:
        @stage("first")
        def first(item: Item) -> Item:
            raise AssertionError("it was cancelled")

        workflow = Workflow("w", input=Item).pipe(first).build()
        run = engine.start(workflow, Item(), start_at=engine.clock.now() + DAY)
        engine.kernel.dispatch(CancelRun(run_id=run.id))
        engine.advance(2 * DAY)
        assert (run.status, run.records, engine.scheduler.next_fire_at()) == (Status.CANCELLED, [], None)


def test_a_run_that_is_not_over_by_its_max_duration_fails(engine: VirtualEngine, world: World) -> None:
    world.done_after = 100 * DAY
    run = engine.run(batch_of(world, engine, poll_every=12 * DAY).build(), Item())
    assert run.error is not None
    assert (run.status, run.error.type) == (Status.FAILED, "RunExpiredError")
    assert engine.clock.now() - run.head.created_at == 30 * DAY
