"""What the simulator found in the undoing of runs: others who decide, look or renew at the same moment."""

import threading
from typing import Any

import pytest

from tests.engine.conftest import MakeEngine
from tests.engine.orders import HOUR, MINUTE, ONCE, Order, Outside, chain, failing, undoable
from workflow_engine import (
    CancelRun,
    ExecuteJob,
    Failure,
    StageContext,
    StageTimeoutError,
    Status,
    UndoRun,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.model.commits import Exclusive
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import EntryState
from workflow_engine.testing.engine import VirtualEngine


def waiting(outside: Outside) -> WorkflowDefinition:
    """A stage that can be undone, and one that waits until the run's time is over."""

    @stage("wait")
    def wait(ctx: StageContext) -> WaitForSignal[Order]:
        return WaitForSignal("go", Order)

    @wait.on_signal
    def go(order: Order) -> Order:
        return order

    @wait.undo
    def unwait(done: Order | None) -> None:
        outside.calls.append("undo wait")

    return Workflow("order", input=Order, max_duration=HOUR).pipe(undoable(outside, "a")).pipe(wait).build()


def test_a_deadline_does_not_change_an_end_that_is_decided_while_it_is_looked_at() -> None:
    """The run that a tick has read is cancelled before the tick's commit: that is refused, and not decided again."""
    engine, outside = VirtualEngine(), Outside()
    run = engine.run(waiting(outside), Order())
    engine.clock.advance(2 * HOUR)
    committed = engine.persistence.commit
    answers: list[bool] = []

    def cancelled_first(commit: Any) -> Any:
        if isinstance(commit, Exclusive) and commit.after.is_closing and not answers:
            answers.append(True)
            answers[0] = engine.kernel.dispatch(CancelRun(run_id=run.id)).cancelled
        return committed(commit)

    engine.persistence.commit = cancelled_first  # type: ignore[method-assign]
    engine.kernel.tick()
    engine.persistence.commit = committed  # type: ignore[method-assign]
    engine.drive(run)
    assert answers == [True]
    assert run.status is Status.CANCELLED
    assert run.head.failure is None
    assert [event.type for event in run.events][-4:].count("workflow:closing") == 1
    assert outside.calls == ["a", "undo wait", "undo a"]


def test_an_expired_run_does_not_wait_for_the_lease_that_found_it_expired(
    make_engine: MakeEngine,
) -> None:
    engine, outside = make_engine(), Outside()
    run = engine.run(waiting(outside), Order())
    engine.clock.advance(2 * HOUR)
    # As the wait's own timer, which comes at the deadline, and before the tick.
    engine.kernel.dispatch(ExecuteJob(run_id=run.id, workflow_id="order", stage_id="wait"))
    engine.work()
    assert run.status is Status.FAILED
    assert outside.calls == ["a", "undo wait", "undo a"]


def test_code_that_goes_on_is_waited_for_until_the_end_of_the_lease_as_it_was_renewed() -> None:
    """What a worker took says an end that is long past when its stage is given up."""
    engine, outside = VirtualEngine(), Outside()

    def hang(name: str, _ctx: StageContext[Any]) -> None:
        if name == "a":
            for _ in range(5):
                engine.clock.advance(MINUTE / 2)
                engine.kernel.extend_leases(engine.clock.now() + MINUTE)
            raise StageTimeoutError(stage_id="a", timeout=MINUTE, still_running=True)

    outside.act = hang
    run = engine.start(chain(outside, "a", "b"), Order())
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    engine.kernel.dispatch(delivery.body, lease=MINUTE)
    engine.job_transport.complete(delivery)
    (entry,) = run.head.active
    assert (entry.state, entry.until) == (EntryState.LEASED, engine.clock.now() + MINUTE)
    engine.work()
    assert outside.calls == []
    engine.drive(run)
    assert outside.calls == ["undo a"]


@pytest.mark.parametrize("decided", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_what_is_undone_on_request_is_not_undone_under_the_hands_of_who_is_at_work(
    make_engine: MakeEngine, *, decided: bool, again: bool
) -> None:
    """A cancel without undo ends the run at once, also one that waits for that lease."""
    engine, outside, seen = make_engine(), Outside(), list[str]()

    def think_better(name: str, ctx: StageContext[Any]) -> None:
        if name == "b":
            if decided:
                engine.kernel.dispatch(CancelRun(run_id=ctx.run_id))
            engine.kernel.dispatch(CancelRun(run_id=ctx.run_id, undo=False))
            assert engine.kernel.dispatch(UndoRun(run_id=ctx.run_id)).stages == ["b", "a"]
            if again:
                engine.kernel.dispatch(CancelRun(run_id=ctx.run_id, undo=False))
                engine.kernel.dispatch(UndoRun(run_id=ctx.run_id))
            engine.kernel.tick()
            engine.work()
            seen.extend(outside.calls)

    outside.act = think_better
    run = engine.run(chain(outside, "a", "b"), Order())
    assert seen == ["a"]
    assert outside.calls == ["a", "b", "undo b", "undo a"]
    assert outside.given["b"].by == "b"
    assert (run.status, outside.taken) == (Status.CANCELLED, set())


def test_what_is_undone_on_request_is_undone_as_soon_as_the_lease_is_over() -> None:
    """Its timer is set, and nobody has to look for it."""
    engine, outside = VirtualEngine(), Outside()

    def think_better(name: str, ctx: StageContext[Any]) -> None:
        if name == "b":
            engine.kernel.dispatch(CancelRun(run_id=ctx.run_id, undo=False))
            engine.kernel.dispatch(UndoRun(run_id=ctx.run_id))

    outside.act = think_better
    run = engine.start(chain(outside, "a", "b"), Order())
    engine.work()
    (entry,) = run.head.active
    fires = engine.scheduler.next_fire_at()
    assert entry.state is EntryState.WAITING
    assert fires is not None
    assert entry.until is not None
    assert entry.until - 2 * MINUTE <= fires <= entry.until


def test_the_timer_of_an_undo_goes_with_the_undoing() -> None:
    engine, outside = VirtualEngine(), Outside(act=failing("b"))

    def never(_name: str, _ctx: StageContext[Any]) -> None:
        raise RuntimeError("not now")

    outside.undo = never
    run = engine.start(chain(outside, "a", "b"), Order())
    engine.advance(2 * HOUR)
    assert engine.scheduler.next_fire_at() is not None
    assert not engine.kernel.dispatch(CancelRun(run_id=run.id, undo=False)).cancelled
    assert run.status is Status.FAILED
    assert engine.scheduler.next_fire_at() is None


def test_what_is_run_on_a_failure_and_goes_on_beyond_its_time_is_not_begun_again_beside_itself() -> None:
    """Its lease is kept until it ends, by an invocation that has not to go on with it."""
    engine, outside, began = VirtualEngine(), Outside(act=failing("a")), list[Any]()

    @stage("tell", retry=ONCE)
    def tell(failure: Failure) -> None:
        began.append(engine.clock.now())
        if len(began) < 3:
            raise StageTimeoutError(stage_id="tell", timeout=MINUTE, still_running=True)

    workflow = Workflow("order", input=Order).pipe(undoable(outside, "a")).on_failure(tell).build()
    run = engine.run(workflow, Order())
    assert run.status is Status.FAILED
    assert len(began) == 3
    assert began[1] - began[0] >= engine.settings.invocation
    assert began[2] - began[1] >= engine.settings.invocation


def test_an_undo_that_reads_keeps_no_other_from_reading() -> None:
    """Two workers' threads: what the one waits for is what the other does."""
    engine, outside = VirtualEngine(), Outside(act=failing("b"))
    runs = [engine.start(chain(outside, "a", "b"), Order(number=number)) for number in range(2)]
    listed, first, second = engine.persistence.list_records, threading.Event(), threading.Event()

    def list_records(run_id: RunId) -> Any:
        if run_id == runs[0].id and not first.is_set():
            first.set()
            assert second.wait(20)
        elif run_id == runs[1].id:
            second.set()
        return listed(run_id)

    engine.persistence.list_records = list_records  # type: ignore[method-assign]
    deliveries = [engine.job_transport.dequeue() for _ in runs]
    threads = [
        threading.Thread(target=engine.kernel.dispatch, args=(delivery.body,)) for delivery in deliveries if delivery
    ]
    threads[0].start()
    assert first.wait(20)
    threads[1].start()
    for thread in threads:
        thread.join(20)
    assert [run.status for run in runs] == [Status.FAILED] * 2
