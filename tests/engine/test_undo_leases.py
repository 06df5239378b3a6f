"""Nothing is undone under the hands of code that may be at work, and deploys may come in between."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from tests.engine.conftest import MakeEngine
from tests.engine.orders import DAY, HOUR, MINUTE, ONCE, Done, Order, Outside, chain, failing, undoable
from workflow_engine import (
    CancelRun,
    InvalidStateError,
    Registry,
    RetryPolicy,
    StageContext,
    StageTimeoutError,
    Status,
    TransitionRun,
    UndoRun,
    Workflow,
    stage,
)
from workflow_engine.kernel.transitions import closing
from workflow_engine.model.limits import CLOCK_SKEW
from workflow_engine.model.runs import EntryState
from workflow_engine.testing.engine import VirtualEngine

SECOND = timedelta(seconds=1)


def test_a_cancel_waits_for_what_holds_a_lease(make_engine: MakeEngine) -> None:
    seen: list[Any] = []
    engine = make_engine()
    outside = Outside()

    def cancel(name: str, ctx: StageContext[Any]) -> None:
        if name == "b":
            engine.kernel.dispatch(CancelRun(run_id=ctx.run_id))
            # A wake-up, and a tick: nothing may begin.
            engine.kernel.dispatch(TransitionRun(run_id=ctx.run_id))
            engine.kernel.tick()
            seen.extend(outside.calls)

    outside.act = cancel
    run = engine.run(chain(outside, "a", "b"), Order())
    assert seen == ["a"]
    assert outside.calls == ["a", "b", "undo b", "undo a"]
    assert run.status is Status.CANCELLED


def test_what_a_dead_worker_has_stored_is_undone_with_its_output(make_engine: MakeEngine) -> None:
    """Its record is there, and no commit says so."""
    engine, outside = make_engine(), Outside()
    workflow = chain(outside, "a", "b")
    run = engine.start(workflow, Order())
    committed = engine.persistence.commit
    dies: list[int] = []

    def die(commit: Any) -> Any:
        if "b" in outside.calls and not dies:
            dies.append(1)
            raise KeyboardInterrupt
        return committed(commit)

    # What is stored beside a head is an item of its own where it may not ride.
    engine.settings = type(engine.settings)(due_shards=engine.settings.due_shards, records_in_head=False)
    engine.deploy(workflow)
    engine.persistence.commit = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        engine.drive(run)
    engine.persistence.commit = committed  # type: ignore[method-assign]
    assert engine.kernel.dispatch(CancelRun(run_id=run.id)).cancelled
    engine.drive(run)
    assert run.status is Status.CANCELLED
    assert outside.given["b"] == Done(by="b")
    assert outside.taken == set()


def test_a_dead_worker_holds_the_undoing_up_until_its_lease_is_over(make_engine: MakeEngine) -> None:
    engine, outside = make_engine(), Outside()

    def die(name: str, _ctx: StageContext[Any]) -> None:
        if name == "b":
            raise KeyboardInterrupt

    outside.after = die
    run = engine.start(chain(outside, "a", "b"), Order())
    with pytest.raises(KeyboardInterrupt):
        engine.drive(run)
    (entry,) = run.head.active
    assert entry.state is EntryState.LEASED
    assert entry.until is not None
    assert engine.kernel.dispatch(CancelRun(run_id=run.id)).cancelled
    engine.clock.set(entry.until)
    engine.work()
    assert outside.counts["undo b"] == 0
    assert run.head.due_at is not None
    assert run.head.due_at <= entry.until + CLOCK_SKEW + 16 * MINUTE
    engine.drive(run)
    assert run.status is Status.CANCELLED
    assert outside.taken == set()
    assert engine.clock.now() < entry.until + 20 * MINUTE


def test_a_timeout_of_code_that_goes_on_is_no_answer(make_engine: MakeEngine) -> None:
    """It may take something still: nothing is undone before its lease is over."""
    outside = Outside()

    def hang(name: str, _ctx: StageContext[Any]) -> None:
        if name == "b":
            raise StageTimeoutError(stage_id="b", timeout=MINUTE, still_running=True)

    outside.act = hang
    engine = make_engine()
    run = engine.start(chain(outside, "a", "b"), Order())
    engine.work()
    head = run.head
    assert head.is_closing
    assert head.group == 1
    assert head.active[0].state is EntryState.LEASED
    until = head.active[0].until
    assert until is not None
    assert not closing.may_enter(head, until)
    assert outside.calls == ["a"]
    engine.drive(run)
    assert engine.clock.now() >= until
    assert run.status is Status.FAILED
    assert outside.calls == ["a", "undo b", "undo a"]


def test_a_retry_of_code_that_goes_on_is_not_made_beside_it(make_engine: MakeEngine) -> None:
    outside, began = Outside(), list[Any]()
    engine = make_engine()

    def hang(name: str, _ctx: StageContext[Any]) -> None:
        began.append(engine.clock.now())
        if len(began) == 1:
            raise StageTimeoutError(stage_id="a", timeout=MINUTE, still_running=True)

    outside.act = hang
    retry = RetryPolicy(max_attempts=2, first_delay=SECOND)
    workflow = Workflow("order", input=Order).pipe(undoable(outside, "a", retry=retry)).build()
    run = engine.start(workflow, Order())
    engine.work()
    entry = run.head.active[0]
    assert (entry.state, bool(entry.by)) == (EntryState.WAITING, True)
    lease_end = began[0] + engine.settings.invocation
    assert entry.until is not None
    assert entry.until >= lease_end
    # A cancel now waits for it, too.
    assert engine.kernel.dispatch(CancelRun(run_id=run.id)).cancelled
    engine.work()
    assert outside.calls == []
    engine.drive(run)
    assert outside.calls == ["undo a"]
    assert run.status is Status.CANCELLED


def test_a_worker_whose_run_is_cancelled_hears_of_it_and_keeps_its_lease() -> None:
    """Its heartbeat goes on until it answers: else its work would be undone while it is at it."""
    engine = VirtualEngine()
    heard: list[bool] = []

    @stage("work", retry=ONCE, timeout=14 * MINUTE)
    def work(order: Order, ctx: StageContext) -> Order:
        engine.kernel.dispatch(CancelRun(run_id=ctx.run_id))
        renewed = engine.kernel.extend_leases(engine.clock.now() + HOUR)
        heard.extend([renewed == 1, ctx.cancelled])
        return order

    @work.undo
    def undo(done: Order | None) -> None:
        heard.append(done is not None)

    engine.start(Workflow("order", input=Order).pipe(work).build(), Order())
    # As a worker runs it: with leases that are renewed.
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    engine.kernel.dispatch(delivery.body, lease=MINUTE)
    engine.job_transport.complete(delivery)
    engine.drive()
    assert heard == [True, True, True]


def test_what_a_worker_gives_back_as_it_ends_is_not_undone_at_once() -> None:
    """Its code may go on for the moments that its process has left."""
    engine, outside = VirtualEngine(), Outside()
    seen: list[bool] = []

    def stop(name: str, ctx: StageContext[Any]) -> None:
        if name == "a":
            engine.kernel.give_back_leases()
            assert engine.kernel.dispatch(CancelRun(run_id=ctx.run_id)).cancelled
            engine.kernel.tick()
            seen.append("undo a" in outside.calls)

    outside.act = stop
    run = engine.run(chain(outside, "a"), Order())
    assert seen == [False]
    assert run.status is Status.CANCELLED
    assert outside.calls == ["a", "undo a"]


# Deploys


def test_a_deploy_that_removes_an_undo_postpones_until_a_rollback(make_engine: MakeEngine) -> None:
    outside = Outside(act=failing("b"))
    engine = make_engine()
    outside.undo = failing_once(outside)
    workflow = chain(outside, "a", "b")
    run = engine.start(workflow, Order())
    engine.work()
    assert run.head.is_closing

    @stage("a")
    def a(ctx: StageContext) -> Done:
        return Done(by="a")

    @stage("b")
    def b(ctx: StageContext) -> Done:
        return Done(by="b")

    without = Workflow("order", input=Order).pipe(a).pipe(b).build()
    said = engine.kernel.queries.definitions_of(Registry([without])).differences(run.head, without)
    assert said == ("stage 'a' has no undo any more", "stage 'b' has no undo any more")
    engine.deploy(without)
    engine.advance(3 * HOUR)
    assert run.head.is_closing
    assert outside.taken != set()
    engine.deploy(workflow)
    engine.drive(run)
    assert (run.status, outside.taken) == (Status.FAILED, set())


def failing_once(outside: Outside) -> Any:
    def undo(_name: str, _ctx: StageContext[Any]) -> None:
        if not outside.given:
            outside.given["first"] = None
            raise RuntimeError("not at once")

    return undo


def test_what_nobody_knows_how_to_undo_is_given_up_in_the_end() -> None:
    outside = Outside(act=failing("b"))
    engine = VirtualEngine()
    outside.undo = failing_once(outside)
    run = engine.start(chain(outside, "a", "b"), Order())
    engine.work()

    @stage("a")
    def a(ctx: StageContext) -> Done:
        return Done(by="a")

    engine.deploy(Workflow("order", input=Order).pipe(a).build())
    engine.advance(8 * DAY)
    assert run.status is Status.FAILED
    assert run.head.closing is not None
    assert run.head.closing.not_undone == ((1, 0), (0, 0))


def test_a_deploy_of_another_retry_changes_nothing(make_engine: MakeEngine) -> None:
    outside = Outside(act=failing("b"))
    engine = make_engine()
    outside.undo = failing_once(outside)
    run = engine.start(chain(outside, "a", "b"), Order())
    engine.work()
    other = Outside()
    engine.deploy(chain(other, "a", "b"))
    engine.drive(run)
    assert run.status is Status.FAILED
    assert other.calls == ["undo b", "undo a"]


def test_a_run_that_began_before_there_was_an_undo_is_undone_from_the_group_on_that_it_enters_with_it(
    make_engine: MakeEngine,
) -> None:
    @stage("a")
    def a(ctx: StageContext) -> Done:
        return Done(by="a")

    outside = Outside(act=failing("b"))
    engine = make_engine()

    @stage("b", retry=ONCE)
    def b(ctx: StageContext) -> Done:
        return Done(by="b")

    run = engine.start(Workflow("order", input=Order).pipe(a).pipe(b).build(), Order())
    engine.deploy(chain(outside, "a", "b"))
    engine.drive(run)
    assert run.status is Status.FAILED
    assert outside.calls == ["a", "undo b", "undo a"]


def test_run_undo_refuses_what_has_expired(make_engine: MakeEngine) -> None:
    outside = Outside(act=failing("b"))
    engine = make_engine(retention=DAY)
    outside.undo = failing("a")
    run = engine.run(chain(outside, "a", "b", max_duration=HOUR), Order())
    engine.clock.advance(3 * DAY)
    with pytest.raises(InvalidStateError, match="expired"):
        engine.kernel.dispatch(UndoRun(run_id=run.id))


def test_threads_that_go_on_are_waited_for_in_real_time() -> None:
    """An inline group runs its stages in threads: the one that hangs goes on beyond its timeout."""
    taken, undone = list[float](), list[float]()
    gate = threading.Event()

    @stage("slow", retry=ONCE, timeout=timedelta(milliseconds=200))
    def slow(ctx: StageContext) -> Done:
        gate.wait(5)
        taken.append(time.monotonic())
        return Done(by="slow")

    @slow.undo
    def undo_slow(done: Done | None) -> None:
        undone.append(time.monotonic())

    @stage("quick")
    def quick(ctx: StageContext) -> Done:
        return Done(by="quick")

    engine = VirtualEngine()
    workflow = Workflow("order", input=Order).pipe(undoable(Outside(), "first")).parallel(slow, quick, inline=True)
    run = engine.start(workflow.build(), Order())
    engine.work()
    assert run.head.is_closing
    assert undone == []
    gate.set()
    engine.drive(run)
    assert run.status is Status.FAILED
    assert len(undone) == 1
