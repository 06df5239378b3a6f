"""What a run did is undone when it has failed for good, has expired or is cancelled, and nothing else is."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from tests.engine.conftest import MakeEngine
from tests.engine.orders import DAY, HOUR, MINUTE, ONCE, Order, Outside, chain, failing, fan, telling, undoable
from workflow_engine import (
    CancelRun,
    Failure,
    InvalidStateError,
    PermanentError,
    RerunFrom,
    RetryPolicy,
    RunError,
    SignalRun,
    StageContext,
    StageNotFoundError,
    Status,
    StepNameError,
    Suspended,
    UndoRun,
    WaitForSignal,
    Workflow,
    WorkflowCancelled,
    WorkflowDefinitionError,
    WorkflowFailed,
    stage,
)
from workflow_engine.testing.engine import VirtualEngine, VirtualRun


@pytest.fixture
def outside() -> Outside:
    return Outside()


def left(run: VirtualRun) -> tuple[str, ...]:
    """What the last event says was not undone."""
    last = run.events[-1]
    assert isinstance(last, WorkflowFailed | WorkflowCancelled)
    return last.not_undone


def types(run: VirtualRun) -> list[str]:
    return [event.type for event in run.events if event.type.startswith("workflow:")]


def cancelling(engine: VirtualEngine, at: str, **options: Any) -> Any:
    """An act that cancels the run from within the stage called so."""

    def act(name: str, ctx: StageContext[Any]) -> None:
        if name == at:
            engine.kernel.dispatch(CancelRun(run_id=ctx.run_id, **options))

    return act


# Whatever ends the run


def test_a_failure_undoes_all_that_was_done_the_last_first(make_engine: MakeEngine, outside: Outside) -> None:
    engine, outside.act = make_engine(), failing("c")
    run = engine.run(chain(outside, "a", "b", "c", tells=True), Order())
    assert run.status is Status.FAILED
    assert outside.calls == ["a", "b", "undo c", "undo b", "undo a", "tell"]
    assert outside.taken == set()
    assert types(run) == ["workflow:closing", "workflow:failed"]


def test_an_undo_gets_the_output_or_nothing_where_the_stage_never_finished(
    make_engine: MakeEngine, outside: Outside
) -> None:
    outside.act = failing("b")
    make_engine().run(chain(outside, "a", "b"), Order())
    assert outside.given["a"].by == "a"
    assert outside.given["b"] is None


def test_a_cancel_undoes_too_and_takes_what_was_under_way_along(make_engine: MakeEngine, outside: Outside) -> None:
    engine = make_engine()
    outside.act = cancelling(engine, "b")
    run = engine.run(chain(outside, "a", "b", "c"), Order())
    assert run.status is Status.CANCELLED
    assert outside.calls == ["a", "b", "undo b", "undo a"]
    # Its lease held when the run was cancelled: its outcome is taken.
    assert outside.given["b"].by == "b"
    assert types(run) == ["workflow:closing", "workflow:cancelled"]


def test_a_cancel_while_a_stage_waits_undoes_at_once_and_forgets_its_timer(
    make_engine: MakeEngine, outside: Outside
) -> None:
    @stage("wait")
    def wait(ctx: StageContext) -> WaitForSignal[Order]:
        return WaitForSignal("go", Order, timeout=3 * DAY)

    @wait.on_signal
    def go(order: Order) -> Order:
        return order

    @wait.undo
    def unwait(done: Order | None, ctx: StageContext) -> None:
        outside.give_back("wait", None, ctx)

    engine = make_engine()
    run = engine.run(Workflow("order", input=Order).pipe(undoable(outside, "a")).pipe(wait).build(), Order())
    assert engine.kernel.dispatch(CancelRun(run_id=run.id)).cancelled
    engine.drive()
    assert run.status is Status.CANCELLED
    assert outside.calls == ["a", "undo wait", "undo a"]
    assert engine.scheduler.next_fire_at() is None


def test_an_expired_run_is_undone(make_engine: MakeEngine, outside: Outside) -> None:
    @stage("wait")
    def wait(ctx: StageContext) -> WaitForSignal[Order]:
        return WaitForSignal("go", Order)

    @wait.on_signal
    def go(order: Order) -> Order:
        return order

    workflow = Workflow("order", input=Order, max_duration=HOUR).pipe(undoable(outside, "a")).pipe(wait).build()
    engine = make_engine()
    run = engine.run(workflow, Order())
    engine.advance(2 * HOUR)
    assert run.status is Status.FAILED
    assert run.error is not None
    assert run.error.type == "RunExpiredError"
    assert outside.calls == ["a", "undo a"]


def test_a_stage_whose_workers_die_is_undone_once_its_last_lease_is_over(
    make_engine: MakeEngine, outside: Outside
) -> None:
    engine = make_engine()

    def die(name: str, _ctx: StageContext[Any]) -> None:
        if name == "b":
            raise KeyboardInterrupt

    outside.after = die
    run = engine.start(chain(outside, "a", "b"), Order())
    for _ in range(60):
        try:
            engine.drive(run)
        except KeyboardInterrupt:
            engine.clock.advance(20 * MINUTE)
        if run.status.is_terminal:
            break
    assert run.status is Status.FAILED
    assert run.error is not None
    assert run.error.type == "LeaseLostError"
    assert outside.taken == set()


def test_what_never_began_is_not_undone(make_engine: MakeEngine, outside: Outside) -> None:
    engine = make_engine()
    run = engine.start(chain(outside, "a", "b"), Order(), start_at=engine.clock.now() + DAY)
    assert engine.kernel.dispatch(CancelRun(run_id=run.id)).cancelled
    engine.drive(run)
    assert run.status is Status.CANCELLED
    assert outside.calls == []


def test_a_completed_run_is_never_undone(make_engine: MakeEngine, outside: Outside) -> None:
    run = make_engine().run(chain(outside, "a", "b", tells=True), Order())
    assert run.status is Status.COMPLETED
    assert outside.calls == ["a", "b"]
    assert run.head.closing is None


@pytest.mark.parametrize("inline", [False, True])
def test_siblings_are_undone_side_by_side_between_what_came_before_and_after(
    make_engine: MakeEngine, outside: Outside, *, inline: bool
) -> None:
    outside.act = failing("d")
    run = make_engine().run(fan(outside, inline=inline), Order())
    assert run.status is Status.FAILED
    undone = [call for call in outside.calls if call.startswith("undo")]
    assert (undone[0], sorted(undone[1:3]), undone[3]) == ("undo d", ["undo b", "undo c"], "undo a")
    assert outside.failures == [
        Failure(
            status=Status.FAILED,
            stage_id="d",
            error=RunError(type="PermanentError", message="d is out of order"),
            undone=("d", *[call.removeprefix("undo ") for call in undone[1:3]], "a"),
        )
    ]


@pytest.mark.parametrize("inline", [False, True])
def test_one_sibling_fails_and_those_that_are_at_work_come_to_their_end_before_anything_is_undone(
    make_engine: MakeEngine, outside: Outside, *, inline: bool
) -> None:
    outside.act = failing("b")
    run = make_engine().run(fan(outside, inline=inline), Order())
    assert run.status is Status.FAILED
    assert outside.taken == set()
    assert outside.counts["undo b"] == outside.counts["undo a"] == 1
    assert outside.counts["undo c"] == (1 if outside.counts["c"] else 0)
    assert outside.calls.index("undo a") > outside.calls.index("undo b")


# What the end is


def test_the_end_is_decided_once(make_engine: MakeEngine, outside: Outside) -> None:
    engine = make_engine()
    outside.act = failing("b")
    answers: list[bool] = []

    def cancel(name: str, ctx: StageContext[Any]) -> None:
        answers.append(engine.kernel.dispatch(CancelRun(run_id=ctx.run_id)).cancelled)
        delivered = engine.kernel.dispatch(SignalRun(run_id=ctx.run_id, name="go", payload={})).delivered
        answers.append(delivered)
        with pytest.raises(InvalidStateError):
            engine.kernel.dispatch(RerunFrom(run_id=ctx.run_id, from_stage_id="a"))

    outside.undo = cancel
    run = engine.run(chain(outside, "a", "b"), Order())
    assert run.status is Status.FAILED
    assert answers == [False] * 4


def test_a_second_cancel_says_that_the_run_is_cancelled(make_engine: MakeEngine, outside: Outside) -> None:
    engine, answers = make_engine(), list[bool]()
    outside.act = cancelling(engine, "b")
    outside.undo = lambda _name, ctx: answers.append(engine.kernel.dispatch(CancelRun(run_id=ctx.run_id)).cancelled)
    run = engine.run(chain(outside, "a", "b"), Order())
    assert run.status is Status.CANCELLED
    assert answers == [True, True]


def test_a_cancel_without_undo_ends_at_once(make_engine: MakeEngine, outside: Outside) -> None:
    engine = make_engine()
    outside.act = cancelling(engine, "b", undo=False)
    run = engine.run(chain(outside, "a", "b", tells=True), Order())
    assert run.status is Status.CANCELLED
    assert outside.calls == ["a", "b"]
    assert types(run) == ["workflow:cancelled"]


def test_a_cancel_without_undo_ends_one_that_is_at_it(make_engine: MakeEngine, outside: Outside) -> None:
    engine = make_engine()
    outside.act = failing("c")
    outside.undo = not_now("b")
    run = engine.start(chain(outside, "a", "b", "c", tells=True), Order())
    engine.work()
    assert run.head.is_closing
    assert not engine.kernel.dispatch(CancelRun(run_id=run.id, undo=False)).cancelled
    engine.drive(run)
    assert run.status is Status.FAILED
    assert outside.calls == ["a", "b", "undo c"]
    assert left(run) == ("b", "a")


def not_now(*names: str) -> Any:
    """An act that fails each time in those called so."""

    def act(name: str, _ctx: StageContext[Any]) -> None:
        if name in names:
            raise RuntimeError("not now")

    return act


def test_undo_on_says_which_ends_are_undone(make_engine: MakeEngine, outside: Outside) -> None:
    engine = make_engine()
    outside.act = cancelling(engine, "b")
    run = engine.run(chain(outside, "a", "b", undo_on=["failed"]), Order())
    assert run.status is Status.CANCELLED
    assert outside.calls == ["a", "b"]
    other = Outside(act=failing("b"))
    assert engine.run(chain(other, "a", "b", undo_on=["failed"]), Order()).status is Status.FAILED
    assert other.calls == ["a", "undo b", "undo a"]


def test_on_failure_runs_on_a_cancel_where_it_says_so(make_engine: MakeEngine, outside: Outside) -> None:
    engine = make_engine()
    outside.act = cancelling(engine, "a", reason="changed my mind")
    workflow = Workflow("order", input=Order).pipe(undoable(outside, "a"))
    run = engine.run(workflow.on_failure(telling(outside), on=["failed", "cancelled"]).build(), Order())
    assert run.status is Status.CANCELLED
    assert outside.failures == [Failure(status=Status.CANCELLED, reason="changed my mind", undone=("a",))]


def test_on_failure_alone_runs_where_nothing_has_an_undo(make_engine: MakeEngine, outside: Outside) -> None:
    @stage("work", retry=ONCE)
    def work(order: Order) -> Order:
        raise PermanentError("no")

    run = make_engine().run(Workflow("order", input=Order).pipe(work).on_failure(telling(outside)).build(), Order())
    assert run.status is Status.FAILED
    assert [failure.undone for failure in outside.failures] == [()]


def test_what_fails_in_on_failure_changes_nothing_of_the_end(make_engine: MakeEngine, outside: Outside) -> None:
    @stage("tell", retry=ONCE)
    def tell(failure: Failure) -> None:
        raise PermanentError("nobody listens")

    outside.act = failing("a")
    workflow = Workflow("order", input=Order).pipe(undoable(outside, "a")).on_failure(tell).build()
    run = make_engine().run(workflow, Order())
    assert run.status is Status.FAILED
    assert run.error is not None
    assert run.error.message == "a is out of order"
    assert left(run) == ()


# An undo that fails


def test_an_undo_is_tried_until_it_succeeds(outside: Outside) -> None:
    tries: list[str] = []

    def fail_often(name: str, _ctx: StageContext[Any]) -> None:
        tries.append(name)
        if name == "a" and tries.count("a") < 30:
            raise RuntimeError("the bank is closed")

    outside.act, outside.undo = failing("b"), fail_often
    engine = VirtualEngine()
    began = engine.clock.now()
    run = engine.run(chain(outside, "a", "b"), Order())
    assert run.status is Status.FAILED
    assert (tries.count("a"), outside.taken) == (30, set())
    assert timedelta(hours=8) < engine.clock.now() - began < DAY


def test_what_cannot_be_undone_is_listed_and_stops_nothing_else(make_engine: MakeEngine, outside: Outside) -> None:
    def cannot(name: str, _ctx: StageContext[Any]) -> None:
        if name == "b":
            raise PermanentError("the bank is gone")

    outside.act, outside.undo = failing("c"), cannot
    run = make_engine().run(chain(outside, "a", "b", "c", tells=True), Order())
    assert run.status is Status.FAILED
    assert outside.calls == ["a", "b", "undo c", "undo a", "tell"]
    assert (outside.failures[0].undone, outside.failures[0].not_undone) == (("c", "a"), ("b",))
    assert left(run) == ("b",)
    assert len(outside.taken) == 1


def test_an_undo_that_never_succeeds_is_given_up_after_a_week(outside: Outside) -> None:
    outside.act, outside.undo = failing("c"), not_now("b")
    engine = VirtualEngine()
    began = engine.clock.now()
    run = engine.run(chain(outside, "a", "b", "c", tells=True), Order())
    assert run.status is Status.FAILED
    assert 7 * DAY <= engine.clock.now() - began < 7 * DAY + HOUR
    # What comes before it is not undone either: it would be undone under its hands.
    assert outside.failures[0].not_undone == ("b", "a")
    assert outside.calls == ["a", "b", "undo c", "tell"]


def test_an_undo_keeps_to_its_own_retry(make_engine: MakeEngine, outside: Outside) -> None:
    tries: list[str] = []

    def never(name: str, _ctx: StageContext[Any]) -> None:
        tries.append(name)
        raise RuntimeError("not now")

    outside.act, outside.undo = failing("a"), never
    retry = RetryPolicy(max_attempts=2)
    run = make_engine().run(
        Workflow("order", input=Order).pipe(undoable(outside, "a", undo_retry=retry)).build(), Order()
    )
    assert run.status is Status.FAILED
    assert tries == ["a", "a"]
    assert run.head.closing is not None
    assert run.head.closing.not_undone == ((0, 0),)


def test_run_undo_tries_again_what_could_not_be_undone(make_engine: MakeEngine, outside: Outside) -> None:
    keys: set[str] = set()

    def cannot(name: str, ctx: StageContext[Any]) -> None:
        if name == "b":
            keys.add(ctx.effect_key)
            raise PermanentError("the bank is gone")

    outside.act, outside.undo = failing("c"), cannot
    engine = make_engine()
    run = engine.run(chain(outside, "a", "b", "c"), Order())
    outside.undo = lambda _name, ctx: keys.add(ctx.effect_key)
    result = engine.kernel.dispatch(UndoRun(run_id=run.id, idempotency_key="again"))
    assert result.stages == ["b"]
    assert not run.status.is_terminal
    assert engine.kernel.dispatch(UndoRun(run_id=run.id, idempotency_key="again")) == result
    engine.drive(run)
    assert run.status is Status.FAILED
    assert outside.calls == ["a", "b", "undo c", "undo a", "undo b"]
    # The same effect under the same key.
    assert (len(keys), outside.taken) == (1, set())
    assert types(run)[-1] == "workflow:failed"
    with pytest.raises(InvalidStateError):
        engine.kernel.dispatch(UndoRun(run_id=run.id))


def test_run_undo_undoes_a_run_that_was_cancelled_without(make_engine: MakeEngine, outside: Outside) -> None:
    engine = make_engine()
    outside.act = cancelling(engine, "b", undo=False)
    run = engine.run(chain(outside, "a", "b"), Order())
    assert engine.kernel.dispatch(UndoRun(run_id=run.id)).stages == ["b", "a"]
    engine.drive(run)
    assert run.status is Status.CANCELLED
    assert outside.taken == set()


def test_run_undo_refuses_what_has_nothing_to_undo(make_engine: MakeEngine, outside: Outside) -> None:
    engine = make_engine()
    run = engine.run(chain(outside, "a"), Order())
    with pytest.raises(InvalidStateError):
        engine.kernel.dispatch(UndoRun(run_id=run.id))


# What an undo knows


def test_an_undo_has_the_steps_and_keys_of_what_it_undoes(make_engine: MakeEngine) -> None:
    seen: dict[str, Any] = {}

    @stage("charge", retry=ONCE)
    def charge(order: Order, ctx: StageContext) -> Order:
        seen["keys"] = (ctx.effect_key, ctx.key("pay"))
        ctx.step("pay", lambda: {"cents": 990})
        raise PermanentError("and then the lights went out")

    @charge.undo
    def refund(done: Order | None, ctx: StageContext) -> None:
        seen["undo keys"] = (ctx.undoes.effect_key, ctx.undoes.key("pay"))
        seen["steps"] = dict(ctx.undoes.steps)
        error = ctx.undoes.error
        seen["error"] = error and error.message
        seen["input"] = ctx.input
        seen["own"] = (ctx.effect_key, ctx.step("back", lambda: 1), dict(ctx.steps))

    run = make_engine().run(Workflow("order", input=Order).pipe(charge).build(), Order(number=7))
    assert run.status is Status.FAILED
    assert seen["keys"] == seen["undo keys"]
    assert seen["steps"] == {"pay": {"cents": 990}}
    assert seen["error"] == "and then the lights went out"
    assert seen["input"] == Order(number=7)
    assert seen["own"][0] != seen["keys"][0]
    assert seen["own"][1:] == (1, {"back": 1})


def test_an_undo_has_the_state_of_a_stage_that_was_suspended(make_engine: MakeEngine) -> None:
    class Batch(BaseModel):
        name: str

    seen: list[Any] = []

    @stage("batch")
    def submit(order: Order) -> Suspended[Batch]:
        return Suspended(Batch(name="b-17"), poll_every=HOUR)

    @submit.check_completion
    def look(state: Batch) -> Order:
        raise PermanentError("it is lost")

    @submit.undo
    def withdraw(done: Order | None, ctx: StageContext) -> None:
        seen.append((done, ctx.undoes.state))

    run = make_engine().run(Workflow("order", input=Order).pipe(submit).build(), Order())
    assert run.status is Status.FAILED
    assert seen == [(None, Batch(name="b-17"))]


def test_an_undo_finds_what_the_stage_has_stored(make_engine: MakeEngine) -> None:
    found: list[bytes] = []

    @stage("work", retry=ONCE)
    def work(order: Order, ctx: StageContext) -> Order:
        ctx.storage.save("draft", "so far")
        return order

    @work.undo
    def undo(done: Order | None, ctx: StageContext) -> None:
        found.append(ctx.storage.load("draft"))

    @stage("fail", retry=ONCE)
    def fail(order: Order) -> Order:
        raise PermanentError("no")

    make_engine().run(Workflow("order", input=Order).pipe(work).pipe(fail).build(), Order())
    assert found == [b"so far"]


def test_an_undo_cannot_wait_and_a_stage_undoes_nothing(make_engine: MakeEngine) -> None:
    seen: list[str] = []

    @stage("work", retry=ONCE)
    def work(order: Order, ctx: StageContext) -> Order:
        with pytest.raises(StageNotFoundError):
            ctx.undoes.key("pay")
        raise PermanentError("no")

    @work.undo
    def undo(done: Order | None, ctx: StageContext) -> None:
        for wait in (
            lambda: ctx.sleep("nap", HOUR),
            lambda: ctx.wait_for_signal("go", Order),
            lambda: ctx.wait_until("done", lambda: None, every=MINUTE),
        ):
            with pytest.raises(StepNameError):
                wait()
            seen.append("refused")

    run = make_engine().run(Workflow("order", input=Order).pipe(work).build(), Order())
    assert (run.status, seen) == (Status.FAILED, ["refused"] * 3)


def test_the_steps_of_an_undo_are_taken_once(make_engine: MakeEngine) -> None:
    taken: list[str] = []

    @stage("work", retry=ONCE)
    def work(order: Order) -> Order:
        raise PermanentError("no")

    @work.undo
    def undo(done: Order | None, ctx: StageContext) -> None:
        ctx.step("refund", lambda: taken.append("refund"), returns=type(None))
        if ctx.attempt < 3:
            raise RuntimeError("not yet")

    run = make_engine().run(Workflow("order", input=Order).pipe(work).build(), Order())
    assert (run.status, taken) == (Status.FAILED, ["refund"])


def test_an_undo_may_be_async_and_take_nothing(make_engine: MakeEngine) -> None:
    seen: list[str] = []

    @stage("work", retry=ONCE)
    async def work(order: Order) -> Order:
        raise PermanentError("no")

    @work.undo
    async def undo() -> None:
        seen.append("undone")

    make_engine().run(Workflow("order", input=Order).pipe(work).build(), Order())
    assert seen == ["undone"]


# Reruns


def test_a_rerun_of_what_was_undone_starts_where_the_undoing_began(make_engine: MakeEngine, outside: Outside) -> None:
    engine = make_engine()
    outside.act = failing("c")

    @stage("look")
    def look(order: Order) -> Order:
        return order

    workflow = Workflow("order", input=Order).pipe(look)
    for name in "abc":
        workflow.pipe(undoable(outside, name))
    run = engine.run(workflow.build(), Order())
    for late in "bc":
        with pytest.raises(InvalidStateError, match="'a'"):
            engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id=late))
    outside.act = lambda _name, _ctx: None
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="a"))
    engine.drive(run)
    assert run.status is Status.COMPLETED
    assert run.head.closing is None
    assert len(outside.taken) == 3


def test_a_rerun_that_fails_again_undoes_what_it_did_anew(make_engine: MakeEngine, outside: Outside) -> None:
    engine = make_engine()
    outside.act = failing("b")
    run = engine.run(chain(outside, "a", "b"), Order())
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="a"))
    engine.drive(run)
    assert run.status is Status.FAILED
    assert outside.counts == {"a": 2, "undo a": 2, "undo b": 2}
    assert outside.taken == set()


# What a workflow may say


def problems_of(workflow: Workflow) -> str:
    with pytest.raises(WorkflowDefinitionError) as caught:
        workflow.build()
    return "\n".join(caught.value.problems)


def test_build_refuses_what_is_no_undo() -> None:
    @stage("a")
    def a(order: Order) -> Order:
        return order

    @a.undo(timeout=timedelta(hours=1))
    def undo_a(done: Order, ctx: StageContext) -> Order:
        return done

    @stage("b")
    def b(order: Order) -> Order:
        return order

    @b.undo
    def undo_b(done: Failure | None, ctx: StageContext) -> None: ...

    text = problems_of(Workflow("order", input=Order).pipe(a).pipe(b))
    assert "undo of stage 'a' must be annotated to return None" in text
    assert "undo of stage 'a' must take Order | None" in text
    assert "undo of stage 'a': timeout of 3600 s" in text
    assert "undo of stage 'b' takes Failure, and the stage answers Order" in text


def test_build_refuses_what_cannot_run_on_a_failure(outside: Outside) -> None:
    @stage("a")
    def a(order: Order) -> Order:
        return order

    text = problems_of(Workflow("order", input=Order, undo_on=["never"]).pipe(a).on_failure(a, on="failed"))
    assert "stage id 'a' is there twice" in text
    assert "takes Order: it is given Failure" in text
    assert "undo_on takes some of 'failed', 'cancelled'" in text
    assert "on_failure(on=…) takes some of" in text
    twice = Workflow("order", input=Order).pipe(a).on_failure(telling(outside)).on_failure(telling(outside))
    assert "called twice" in problems_of(twice)


def test_a_stage_is_undone_by_one_function() -> None:
    @stage("a")
    def a(order: Order) -> Order:
        return order

    @a.undo
    def undo(done: Order | None) -> None: ...

    with pytest.raises(WorkflowDefinitionError, match="has an undo already"):
        a.undo(undo)
    with pytest.raises(TypeError):
        a.undo(retry=3)  # type: ignore[call-overload]


# Costs nothing where it is not used


def test_a_workflow_without_undo_is_the_same_as_before() -> None:
    @stage("a")
    def a(order: Order) -> Order:
        return order

    definition = Workflow("order", input=Order).pipe(a).build()
    assert "closes" not in definition.structure()
    assert "undo" not in definition.structure()["groups"][0][0]
    assert definition.plan.closes_on == frozenset()
