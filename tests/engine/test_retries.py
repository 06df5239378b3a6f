"""Attempts that fail: by the policy, for good, by their timeout."""

import asyncio
import threading
from datetime import timedelta
from itertools import pairwise

import pytest
from pydantic import BaseModel

from workflow_engine import PermanentError, RetryPolicy, StageContext, StageFailed, Status, Workflow, stage
from workflow_engine.kernel.records import listed
from workflow_engine.testing.engine import VirtualEngine

SECOND = timedelta(seconds=1)
EXACT = RetryPolicy(max_attempts=4, first_delay=2 * SECOND, backoff=3, max_delay=10 * SECOND, jitter=False)


class Item(BaseModel):
    name: str = "x"


ITEM = Item()


def test_a_failed_stage_is_tried_again_as_its_policy_says(engine: VirtualEngine) -> None:
    times = []

    @stage("flaky", retry=EXACT)
    def flaky(item: Item, ctx: StageContext) -> Item:
        times.append((ctx.attempt, ctx.now()))
        if ctx.attempt < 4:
            raise ConnectionError("no answer")
        return item

    run = engine.run(Workflow("w", input=Item).pipe(flaky).build(), ITEM)
    assert run.status is Status.COMPLETED
    assert [attempt for attempt, _ in times] == [1, 2, 3, 4]
    assert [after - before for (_, before), (_, after) in pairwise(times)] == [2 * SECOND, 6 * SECOND, 10 * SECOND]


def test_jitter_pauses_within_the_upper_half(engine: VirtualEngine) -> None:
    times = []

    @stage("flaky", retry=RetryPolicy(max_attempts=2, first_delay=8 * SECOND))
    def flaky(item: Item, ctx: StageContext) -> Item:
        times.append(ctx.now())
        if ctx.attempt == 1:
            raise ConnectionError("no answer")
        return item

    engine.run(Workflow("w", input=Item).pipe(flaky).build(), ITEM)
    assert 4 * SECOND <= times[1] - times[0] <= 8 * SECOND


def test_a_run_fails_with_the_last_error_when_its_attempts_are_used_up(engine: VirtualEngine) -> None:
    @stage("broken", retry=RetryPolicy(max_attempts=2))
    def broken(item: Item, ctx: StageContext) -> Item:
        raise ConnectionError(f"attempt {ctx.attempt}")

    run = engine.run(Workflow("w", input=Item).pipe(broken).build(), ITEM)
    assert run.error is not None
    assert (run.status, run.error.type, run.error.message) == (Status.FAILED, "ConnectionError", "attempt 2")
    assert run.head.failure is not None
    assert run.head.failure.stage_id == "broken"
    assert [record.error.message for record in run.records if record.error] == ["attempt 1", "attempt 2"]


def test_each_failed_attempt_is_told_with_the_time_of_the_next(engine: VirtualEngine) -> None:
    @stage("broken", retry=RetryPolicy(max_attempts=2, first_delay=2 * SECOND, jitter=False))
    def broken(item: Item) -> Item:
        raise ConnectionError("no answer")

    start = engine.clock.now()
    run = engine.run(Workflow("w", input=Item).pipe(broken).build(), ITEM)
    told = [event for event in run.events if isinstance(event, StageFailed)]
    assert [(event.attempt, event.retry_at) for event in told] == [(1, start + 2 * SECOND), (2, None)]
    assert [event.sequence for event in run.events] == [1, 2, 3]


@pytest.mark.parametrize(
    "policy",
    [
        RetryPolicy(give_up_on=KeyError),
        RetryPolicy(retry_on=OSError),
        RetryPolicy(retry_on=LookupError, give_up_on=KeyError),
    ],
    ids=["given up on", "not retried on", "both"],
)
def test_an_error_that_the_policy_does_not_retry_fails_the_run_at_once(
    engine: VirtualEngine, policy: RetryPolicy
) -> None:
    attempts = []

    @stage("broken", retry=policy)
    def broken(item: Item, ctx: StageContext) -> Item:
        attempts.append(ctx.attempt)
        raise KeyError("colour")

    run = engine.run(Workflow("w", input=Item).pipe(broken).build(), ITEM)
    assert (run.status, attempts) == (Status.FAILED, [1])


def test_a_permanent_error_is_not_retried_whatever_the_policy_says(engine: VirtualEngine) -> None:
    attempts = []

    @stage("refused", retry=RetryPolicy(max_attempts=9, retry_on=BaseException))
    def refused(item: Item, ctx: StageContext) -> Item:
        attempts.append(ctx.attempt)
        raise PermanentError("we do not ship there")

    run = engine.run(Workflow("w", input=Item).pipe(refused).build(), ITEM)
    assert run.error is not None
    assert (run.status, run.error.message, attempts) == (Status.FAILED, "we do not ship there", [1])


def test_a_failed_sibling_with_a_retry_ahead_does_not_fail_the_run(engine: VirtualEngine) -> None:
    @stage("steady")
    def steady(item: Item) -> Item:
        return item

    @stage("flaky", retry=EXACT)
    def flaky(item: Item, ctx: StageContext) -> Item:
        if ctx.attempt == 1:
            raise ConnectionError("no answer")
        return item

    run = engine.start(Workflow("w", input=Item).parallel(steady, flaky).build(), ITEM)
    engine.work()
    assert (run.status, run.output) == (Status.RUNNING, None)
    engine.drive(run)
    assert run.status is Status.COMPLETED


def test_a_sibling_that_fails_for_good_fails_the_run_at_once_with_its_error(engine: VirtualEngine) -> None:
    @stage("flaky", retry=EXACT)
    def flaky(item: Item) -> Item:
        raise ConnectionError("no answer")

    @stage("broken")
    def broken(item: Item) -> Item:
        raise PermanentError("no")

    run = engine.start(Workflow("w", input=Item).parallel(flaky, broken).build(), ITEM)
    engine.work()
    assert run.error is not None
    assert (run.status, run.error.message) == (Status.FAILED, "no")
    engine.advance(timedelta(hours=1))
    assert run.head.due_at is None


class TestTimeout:
    """In real time, since that is what a timeout is about: each stage would wait for a minute."""

    @pytest.fixture
    def released(self) -> threading.Event:
        return threading.Event()

    def run(self, engine: VirtualEngine, workflow: object) -> None:
        engine.run(workflow, ITEM)  # type: ignore[arg-type]

    def test_a_stage_that_takes_too_long_is_stopped_and_fails(
        self, engine: VirtualEngine, released: threading.Event
    ) -> None:
        stopped = []

        @stage("slow", timeout=timedelta(seconds=0.1), retry=RetryPolicy(max_attempts=2))
        def slow(item: Item, ctx: StageContext) -> Item:
            try:
                released.wait(60)
            finally:
                stopped.append(ctx.attempt)
            return item

        run = engine.run(Workflow("w", input=Item).pipe(slow).build(), ITEM)
        assert run.error is not None
        assert (run.error.type, run.error.message) == ("StageTimeoutError", "stage 'slow' was stopped after 0.1 s")
        assert stopped == [1, 2]

    def test_an_async_stage_is_cancelled(self, engine: VirtualEngine) -> None:
        stopped = []

        @stage("slow", timeout=timedelta(seconds=0.1), retry=RetryPolicy(max_attempts=1))
        async def slow(item: Item) -> Item:
            try:
                await asyncio.sleep(60)
            finally:
                stopped.append(True)
            return item

        run = engine.run(Workflow("w", input=Item).pipe(slow).build(), ITEM)
        assert run.error is not None
        assert (run.error.type, stopped) == ("StageTimeoutError", [True])

    def test_off_the_main_thread_the_stage_goes_on_as_a_ghost(
        self, engine: VirtualEngine, released: threading.Event
    ) -> None:
        ghosts = []

        @stage("slow", timeout=timedelta(seconds=0.1), retry=RetryPolicy(max_attempts=2))
        def slow(item: Item, ctx: StageContext) -> Item:
            if ctx.attempt == 1:
                released.wait(60)
                ghosts.append(threading.current_thread())
                return Item(name="ghost")
            return Item(name="second attempt")

        workflow = Workflow("w", input=Item).pipe(slow).build()
        worker = threading.Thread(target=self.run, args=(engine, workflow))
        worker.start()
        worker.join()
        (run_id,) = engine.persistence.list_runs("w").run_ids
        released.set()
        run = engine.start(workflow, ITEM)
        assert run.id != run_id
        head = engine.persistence.load_head(run_id)
        assert head is not None
        records = {record.key.epoch: record.status for record in listed(head, engine.persistence)}
        assert (head.status, records) == (Status.COMPLETED, {0: Status.FAILED, 1: Status.COMPLETED})

    def test_a_timeout_error_of_the_stages_own_is_an_error_like_any_other(self, engine: VirtualEngine) -> None:
        @stage("own", retry=RetryPolicy(max_attempts=1))
        async def own(item: Item) -> Item:
            raise TimeoutError("the database")

        run = engine.run(Workflow("w", input=Item).pipe(own).build(), ITEM)
        assert run.error is not None
        assert (run.error.type, run.error.message) == ("TimeoutError", "the database")
