"""Workers that die, come late, or come twice."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from pydantic import BaseModel

from workflow_engine import (
    ClaimPendingRuns,
    JobExecuted,
    ReapStaleLeases,
    ReapStuckRuns,
    RetryPolicy,
    StageContext,
    Status,
    Suspended,
    TransitionRun,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.kernel import transitions
from workflow_engine.kernel.claim import take
from workflow_engine.kernel.transitions import Lease
from workflow_engine.kernel.transitions.wakes import wake_for
from workflow_engine.model.commits import Committed
from workflow_engine.model.limits import CLOCK_SKEW, MAX_LOST_LEASES
from workflow_engine.model.payloads import Payload
from workflow_engine.model.runs import EntryState, StageKey, StageRecord
from workflow_engine.testing.engine import TICK_EVERY, VirtualEngine, VirtualRun

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
calls: list[int] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()


class Item(BaseModel):
    name: str = "x"


@stage("work", retry=RetryPolicy(max_attempts=1))
def work(item: Item, ctx: StageContext) -> Item:
    calls.append(ctx.attempt)
    return item


@stage("rest")
def rest(item: Item) -> Item:
    return item


working = Workflow("working", input=Item).pipe(work).pipe(rest).build()


def die(engine: VirtualEngine, run: VirtualRun, ordinal: int = 0) -> Lease:
    """A worker takes the stage and dies at once: its lease, which nobody will give back."""
    head = run.head
    wake = wake_for(head, ordinal, engine.clock.now())
    assert wake is not None
    definition = engine.kernel.parts.definitions.for_run(head)
    stage_id = definition.plan.stage(head.group, ordinal)
    _, lease = take(engine.persistence, run.id, head.group, stage_id, wake=wake, invocation=engine.kernel.invocation())
    assert lease is not None
    return lease


def lose_messages(engine: VirtualEngine) -> None:
    while (delivery := engine.job_transport.dequeue()) is not None:
        engine.job_transport.complete(delivery)


def outlive(engine: VirtualEngine) -> None:
    """The end of every lease there is, by the margin between two clocks."""
    engine.clock.advance(engine.settings.invocation + CLOCK_SKEW + SECOND)


def test_what_a_dead_worker_held_is_taken_over_after_its_lease(engine: VirtualEngine) -> None:
    run = engine.start(working, Item())
    dead = die(engine, run)
    lose_messages(engine)
    engine.drive(run)
    assert (run.status, calls) == (Status.COMPLETED, [1])
    assert [record.key.epoch for record in run.records] == [1, 0]
    assert dead.entry.until is not None
    assert run.head.ended_at is not None
    assert run.head.ended_at - dead.entry.until <= engine.settings.horizon + TICK_EVERY


def test_a_lost_lease_is_no_attempt(engine: VirtualEngine) -> None:
    run = engine.start(working, Item())
    for _ in range(MAX_LOST_LEASES):
        die(engine, run)
        outlive(engine)
    engine.drive(run)
    assert (run.status, calls) == (Status.COMPLETED, [1])


def test_a_stage_whose_workers_keep_dying_fails_the_run(engine: VirtualEngine) -> None:
    run = engine.start(working, Item())
    for _ in range(MAX_LOST_LEASES + 1):
        die(engine, run)
        outlive(engine)
    engine.drive(run)
    assert run.error is not None
    assert (run.status, run.error.type, calls) == (Status.FAILED, "LeaseLostError", [])


def test_the_stages_own_last_error_is_kept_when_its_workers_then_died(engine: VirtualEngine) -> None:
    @stage("work", retry=RetryPolicy(max_attempts=2, first_delay=SECOND))
    def flaky(item: Item) -> Item:
        raise ConnectionError("the database is gone")

    run = engine.start(Workflow("w", input=Item).pipe(flaky).build(), Item())
    engine.work()
    engine.clock.advance(SECOND)
    for _ in range(MAX_LOST_LEASES + 1):
        die(engine, run)
        outlive(engine)
    engine.drive(run)
    assert run.error is not None
    assert (run.error.type, run.error.message.partition(" (then")[0]) == ("ConnectionError", "the database is gone")


def test_a_worker_that_comes_back_late_changes_nothing(engine: VirtualEngine) -> None:
    late: list[str] = []

    @stage("work")
    def slow(item: Item, ctx: StageContext) -> Item:
        if not late:
            late.append("old")
            ctx.annotate("who", "old")
            ctx.storage.save("page", b"old")
            # Another worker takes over and finishes while this one is stuck.
            outlive(engine)
            engine.drive(run)
            return Item(name="old")
        return Item(name="new")

    run = engine.start(Workflow("w", input=Item).pipe(slow).pipe(rest).build(), Item())
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    result = engine.host.process(delivery).result
    assert isinstance(result, JobExecuted)
    assert result.ghost
    assert run.output == {"name": "new"}
    view = engine.kernel.queries.run(run.id)
    assert [stage.counted.key.epoch for stage in view.stages if stage.counted] == [1, 0]
    assert engine.kernel.queries.annotations(run.id) == []


def test_a_message_for_a_stage_that_is_leased_is_acknowledged_and_runs_nothing(engine: VirtualEngine) -> None:
    run = engine.start(working, Item())
    die(engine, run)
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    result = engine.host.process(delivery)
    assert (result.acknowledge, result.result) == (True, JobExecuted(outcome="completed", ghost=True))
    assert (calls, engine.job_transport.pending()) == ([], 0)


def test_a_lease_is_not_stolen_within_the_margin_between_two_clocks(engine: VirtualEngine) -> None:
    run = engine.start(working, Item())
    lease = die(engine, run)
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    assert lease.entry.until is not None
    engine.clock.set(lease.entry.until + CLOCK_SKEW)
    engine.kernel.dispatch(delivery.body)
    assert calls == []
    engine.clock.advance(SECOND)
    engine.kernel.dispatch(delivery.body)
    assert calls == [1]


class TestReapStaleLeases:
    def test_it_sends_what_a_dead_worker_held(self, engine: VirtualEngine) -> None:
        run = engine.start(working, Item())
        die(engine, run)
        lose_messages(engine)
        assert engine.kernel.dispatch(ReapStaleLeases()).released == 0
        outlive(engine)
        assert engine.kernel.dispatch(ReapStaleLeases()).released == 1
        engine.host.process_available_jobs()
        assert run.status is Status.COMPLETED

    def test_it_waits_for_its_threshold(self, engine: VirtualEngine) -> None:
        run = engine.start(working, Item())
        die(engine, run)
        outlive(engine)
        assert engine.kernel.dispatch(ReapStaleLeases(threshold=MINUTE)).released == 0
        engine.clock.advance(MINUTE)
        assert engine.kernel.dispatch(ReapStaleLeases(threshold=MINUTE)).released == 1
        assert run.status is Status.RUNNING

    def test_a_worker_that_was_only_slow_still_finishes_where_nobody_took_over(self, engine: VirtualEngine) -> None:
        @stage("work")
        def slow(item: Item) -> Item:
            outlive(engine)
            assert engine.kernel.dispatch(ReapStaleLeases()).released == 1
            return item

        run = engine.start(Workflow("w", input=Item).pipe(slow).build(), Item())
        engine.work()
        assert (run.status, len(run.records)) == (Status.COMPLETED, 1)


class TestReapStuckRuns:
    def test_what_is_pending_without_a_message_is_sent_again(self, engine: VirtualEngine) -> None:
        run = engine.start(working, Item())
        engine.kernel.dispatch(ClaimPendingRuns(worker_id="me"))
        lose_messages(engine)
        engine.clock.advance(MINUTE)
        reaped = engine.kernel.dispatch(ReapStuckRuns())
        assert (reaped.recovered, reaped.failed) == (1, 0)
        engine.host.process_available_jobs()
        assert run.status is Status.COMPLETED

    def test_it_leaves_runs_that_make_progress_alone(self, engine: VirtualEngine) -> None:
        @stage("work")
        def slow(item: Item) -> Item:
            reaped = engine.kernel.dispatch(ReapStuckRuns(threshold=MINUTE))
            assert (reaped.recovered, reaped.failed) == (0, 0)
            return item

        run = engine.start(Workflow("w", input=Item).pipe(slow).build(), Item())
        engine.work()
        assert run.status is Status.COMPLETED

    def test_it_leaves_runs_alone_that_wait(self, engine: VirtualEngine) -> None:
        run = engine.start(self.waiting(), Item())
        engine.work()
        engine.clock.advance(MINUTE)
        assert engine.kernel.dispatch(ReapStuckRuns()).recovered == 0
        assert run.status is Status.SUSPENDED

    def test_a_check_that_nobody_made_is_made(self, engine: VirtualEngine) -> None:
        run = engine.start(self.waiting(), Item())
        engine.work()
        lose_messages(engine)
        engine.clock.advance(11 * MINUTE)
        lose_messages(engine)
        assert engine.kernel.dispatch(ReapStuckRuns()).recovered == 1
        engine.host.process_available_jobs()
        assert run.status is Status.COMPLETED

    def test_a_group_whose_last_worker_died_before_the_join_is_joined(
        self, engine: VirtualEngine, crash_after_last_sibling: Callable[[VirtualEngine, VirtualRun], None]
    ) -> None:
        workflow = Workflow("w", input=Item).parallel(work, rest).build()
        run = engine.start(workflow, Item())
        crash_after_last_sibling(engine, run)
        assert [entry.state for entry in run.head.active] == [EntryState.DONE, EntryState.DONE]
        engine.drive(run)
        assert run.status is Status.COMPLETED

    def test_a_run_past_its_max_duration_fails(self, engine: VirtualEngine) -> None:
        workflow = Workflow("w", input=Item, max_duration=MINUTE).pipe(work).build()
        run = engine.start(workflow, Item())
        lose_messages(engine)
        engine.clock.advance(MINUTE)
        reaped = engine.kernel.dispatch(ReapStuckRuns())
        assert (reaped.recovered, reaped.failed) == (0, 1)
        assert run.error is not None
        assert run.error.type == "RunExpiredError"

    def waiting(self) -> WorkflowDefinition:
        @stage("batch")
        def submit(item: Item) -> Suspended[Item]:
            return Suspended(item, poll_every=10 * MINUTE)

        @submit.check_completion
        def check(state: Item) -> Item:
            return state

        return Workflow("waiting", input=Item).pipe(submit).build()


@pytest.fixture
def crash_after_last_sibling() -> Callable[[VirtualEngine, VirtualRun], None]:
    """Finishes both siblings, by hand, as workers do that die right after their commit."""

    def crash(engine: VirtualEngine, run: VirtualRun) -> None:
        for ordinal in range(2):
            lease = die(engine, run, ordinal)
            head, at = run.head, engine.clock.now()
            engine.persistence.put_record(
                StageRecord(
                    run_id=run.id,
                    key=StageKey(0, lease.stage_id, lease.entry.epoch),
                    status=Status.COMPLETED,
                    attempt=1,
                    started_at=at,
                    finished_at=at,
                    by=lease.entry.by,
                    expires_at=head.expires_at,
                    output=Payload.of(b'{"name":"y"}'),
                )
            )
            plan = engine.kernel.parts.definitions.for_run(head).plan
            moment = engine.kernel.invocation().moment()
            commit = transitions.finish(head, lease, plan, moment, told=transitions.Told(), next_until=None)
            assert isinstance(engine.persistence.commit(commit), Committed)
        lose_messages(engine)

    return crash


def test_a_wake_up_by_hand_joins_a_group_that_nobody_joined(
    engine: VirtualEngine, crash_after_last_sibling: Callable[[VirtualEngine, VirtualRun], None]
) -> None:
    workflow = Workflow("w", input=Item).parallel(work, rest).build()
    run = engine.start(workflow, Item())
    crash_after_last_sibling(engine, run)
    assert engine.kernel.dispatch(TransitionRun(run_id=run.id)).action == "completed"
    assert run.output == {"work": {"name": "y"}, "rest": {"name": "y"}}
