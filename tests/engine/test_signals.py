"""Stages that wait for a person or a callback."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from workflow_engine import (
    CancelRun,
    IdempotencyConflictError,
    InvalidInputError,
    PermanentError,
    RerunFrom,
    RetryPolicy,
    SignalRun,
    Stage,
    StageContext,
    Status,
    TooManySignalsError,
    WaitForSignal,
    Workflow,
    WorkflowSuspended,
    stage,
)
from workflow_engine.model.deliveries import Delivery, body_of
from workflow_engine.model.limits import MAX_KEPT_SIGNALS, ROOM_FOR_NAMES
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
handled: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    handled.clear()


class Item(BaseModel):
    name: str = "x"


class Approval(BaseModel):
    approved: bool
    by: str


@stage("prepare")
def prepare(item: Item) -> Item:
    return item


@stage("approval", retry=RetryPolicy(max_attempts=2, first_delay=timedelta(seconds=1)))
def ask(item: Item) -> WaitForSignal[Approval]:
    return WaitForSignal("approval", Approval, timeout=DAY)


@ask.on_signal
def answered(approval: Approval, ctx: StageContext) -> Item:
    handled.append(approval.by)
    if approval.by == "the flaky one" and len(handled) == 1:
        raise ConnectionError("no answer")
    if not approval.approved:
        raise PermanentError(f"{approval.by} said no")
    return Item(name=f"{approval.by} approved {ctx.input.name if isinstance(ctx.input, Item) else '?'}")


approving = Workflow("approving", input=Item).pipe(prepare).pipe(ask).build()
YES = Approval(approved=True, by="ada")


def waiting(engine: VirtualEngine) -> VirtualRun:
    run = engine.run(approving, Item())
    assert run.waiting_for == ("approval",)
    return run


def send(engine: VirtualEngine, run: VirtualRun, approval: Approval = YES, key: str | None = None) -> bool:
    payload = approval.model_dump()
    command = SignalRun(run_id=run.id, name="approval", payload=payload, idempotency_key=key)
    return engine.kernel.dispatch(command).delivered


def test_the_payload_goes_to_the_handler_and_its_answer_is_the_stages(engine: VirtualEngine) -> None:
    run = waiting(engine)
    assert engine.signal(run, "approval", YES).delivered
    assert run.output == {"name": "ada approved x"}


def test_the_run_is_suspended_meanwhile_and_says_for_what(engine: VirtualEngine) -> None:
    run = waiting(engine)
    assert run.status is Status.SUSPENDED
    (event,) = run.events
    assert isinstance(event, WorkflowSuspended)
    assert (event.stage_id, event.waiting_for) == ("approval", "approval")


def test_a_signal_that_comes_before_the_wait_is_kept_for_it(engine: VirtualEngine) -> None:
    run = engine.start(approving, Item())
    assert send(engine, run)
    engine.drive(run)
    assert run.output == {"name": "ada approved x"}


def test_a_signal_that_comes_twice_counts_once(engine: VirtualEngine) -> None:
    run = waiting(engine)
    assert send(engine, run, key="click-1")
    assert send(engine, run, key="click-1")
    assert len(run.head.signals) == 1
    engine.drive(run)
    assert handled == ["ada"]
    assert send(engine, run, key="click-1")
    assert run.status is Status.COMPLETED


def test_the_same_key_with_another_payload_is_a_conflict(engine: VirtualEngine) -> None:
    run = waiting(engine)
    send(engine, run, key="click-1")
    with pytest.raises(IdempotencyConflictError):
        send(engine, run, Approval(approved=False, by="ada"), key="click-1")
    engine.drive(run)
    assert run.output == {"name": "ada approved x"}


@pytest.mark.parametrize("payload", [None, {}, {"approved": "perhaps", "by": "ada"}, "yes", [1]], ids=repr)
def test_a_payload_that_does_not_validate_is_refused_and_harms_nothing(engine: VirtualEngine, payload: object) -> None:
    run = waiting(engine)
    version = run.head.version
    with pytest.raises(InvalidInputError) as caught:
        engine.signal(run, "approval", payload)
    assert (caught.value.what, caught.value.retryable) == ("payload of signal 'approval'", False)
    assert run.head.version == version
    engine.signal(run, "approval", YES)
    assert run.status is Status.COMPLETED


def test_a_kept_payload_that_no_longer_validates_is_dropped_and_the_stage_waits_on(engine: VirtualEngine) -> None:
    class Strict(BaseModel):
        approved: bool
        by: str
        reason: str

    @stage("approval")
    def ask_why(item: Item) -> WaitForSignal[Strict]:
        return WaitForSignal("approval", Strict, timeout=DAY)

    @ask_why.on_signal
    def answered_why(approval: Strict) -> Item:
        return Item(name=approval.reason)

    run = engine.start(approving, Item())
    send(engine, run)
    engine.deploy(Workflow("approving", input=Item).pipe(prepare).pipe(ask_why).build())
    engine.drive(run)
    assert (run.waiting_for, run.head.signals) == (("approval",), ())
    engine.signal(run, "approval", {"approved": True, "by": "ada", "reason": "good"})
    assert run.output == {"name": "good"}


def test_a_signal_of_another_name_does_not_wake_the_stage(engine: VirtualEngine) -> None:
    run = waiting(engine)
    engine.signal(run, "approval-2", YES)
    assert (run.waiting_for, handled) == (("approval",), [])


def test_a_handler_may_end_the_run(engine: VirtualEngine) -> None:
    run = waiting(engine)
    engine.signal(run, "approval", Approval(approved=False, by="bob"))
    assert run.error is not None
    assert (run.status, run.error.message) == (Status.FAILED, "bob said no")


def test_a_handler_that_fails_is_tried_again_with_the_same_signal(engine: VirtualEngine) -> None:
    run = waiting(engine)
    engine.signal(run, "approval", Approval(approved=True, by="the flaky one"))
    assert (run.status, handled) == (Status.COMPLETED, ["the flaky one", "the flaky one"])


def test_a_wait_that_nobody_answers_expires(engine: VirtualEngine) -> None:
    run = waiting(engine)
    asked_at = engine.clock.now()
    engine.advance(2 * DAY)
    assert run.error is not None
    assert (run.status, run.error.type) == (Status.FAILED, "WaitExpiredError")
    assert "signal 'approval' did not come by" in run.error.message
    assert run.head.ended_at == asked_at + DAY


def test_the_timer_of_a_wait_is_forgotten_when_its_signal_comes(engine: VirtualEngine) -> None:
    run = waiting(engine)
    assert engine.scheduler.next_fire_at() is not None
    engine.signal(run, "approval", YES)
    assert engine.scheduler.next_fire_at() is None


def test_a_stage_may_wait_again_for_the_next_signal(engine: VirtualEngine) -> None:
    heard: list[str] = []

    @stage("listen")
    def listen(item: Item) -> WaitForSignal[Item]:
        return WaitForSignal("line", Item)

    @listen.on_signal
    def hear(line: Item) -> Item | WaitForSignal[Item]:
        heard.append(line.name)
        return line if line.name == "over" else WaitForSignal("line", Item)

    run = engine.run(Workflow("w", input=Item).pipe(listen).build(), Item())
    for name in ("one", "two"):
        engine.signal(run, "line", Item(name=name))
        assert run.waiting_for == ("line",)
    engine.signal(run, "line", Item(name="over"))
    assert (run.output, heard) == ({"name": "over"}, ["one", "two", "over"])


def test_signals_of_one_name_are_handled_in_the_order_of_their_coming(engine: VirtualEngine) -> None:
    heard: list[str] = []

    @stage("listen")
    def listen(item: Item) -> WaitForSignal[Item]:
        return WaitForSignal("line", Item)

    @listen.on_signal
    def hear(line: Item) -> Item | WaitForSignal[Item]:
        heard.append(line.name)
        return line if len(heard) == 3 else WaitForSignal("line", Item)

    run = engine.start(Workflow("w", input=Item).pipe(listen).build(), Item())
    for name in ("a", "b", "c"):
        engine.kernel.dispatch(SignalRun(run_id=run.id, name="line", payload={"name": name}))
    engine.drive(run)
    assert (heard, run.head.signals) == (["a", "b", "c"], ())


def test_a_signal_without_a_schema_has_no_payload(engine: VirtualEngine) -> None:
    @stage("gate")
    def gate(item: Item) -> WaitForSignal[None]:
        return WaitForSignal("open", None)

    @gate.on_signal
    def opened(payload: None, ctx: StageContext) -> Item:
        return Item(name="open")

    run = engine.run(Workflow("w", input=Item).pipe(gate).build(), Item())
    engine.signal(run, "open")
    assert run.output == {"name": "open"}


def test_siblings_may_wait_for_signals_of_their_own(engine: VirtualEngine) -> None:
    def gate(name: str) -> Stage[..., Any]:
        @stage(name)
        def wait(item: Item) -> WaitForSignal[Item]:
            return WaitForSignal(name, Item)

        @wait.on_signal
        def come(item: Item) -> Item:
            return item

        return wait

    run = engine.run(Workflow("w", input=Item).parallel(gate("left"), gate("right")).build(), Item())
    assert sorted(run.waiting_for) == ["left", "right"]
    engine.signal(run, "right", Item(name="r"))
    assert run.waiting_for == ("left",)
    engine.signal(run, "left", Item(name="l"))
    assert run.output == {"left": {"name": "l"}, "right": {"name": "r"}}


def test_a_run_that_is_over_takes_no_signal(engine: VirtualEngine) -> None:
    run = waiting(engine)
    engine.kernel.dispatch(CancelRun(run_id=run.id))
    assert not send(engine, run)
    assert run.status is Status.CANCELLED


def test_a_run_that_will_never_wait_refuses_signals(engine: VirtualEngine) -> None:
    run = engine.start(Workflow("w", input=Item).pipe(prepare).build(), Item())
    with pytest.raises(InvalidInputError):
        send(engine, run)


class TestARunThatKeepsManySignals:
    """A hundred of one name have come, and no stage waits for it."""

    @pytest.fixture
    def run(self, engine: VirtualEngine) -> VirtualRun:
        run = engine.start(approving, Item())
        for _ in range(MAX_KEPT_SIGNALS):
            assert engine.kernel.dispatch(other(run)).delivered
        return run

    def test_one_more_is_refused_and_the_run_says_why(self, engine: VirtualEngine, run: VirtualRun) -> None:
        with pytest.raises(TooManySignalsError):
            engine.kernel.dispatch(other(run))
        engine.drive(run)
        with pytest.raises(TooManySignalsError):
            engine.kernel.dispatch(other(run))

    def test_the_one_that_a_stage_waits_for_gets_in(self, engine: VirtualEngine, run: VirtualRun) -> None:
        engine.drive(run)
        assert run.waiting_for == ("approval",)
        assert engine.signal(run, "approval", YES).delivered
        assert run.output == {"name": "ada approved x"}

    def test_one_that_no_stage_waits_for_yet_gets_in(self, engine: VirtualEngine, run: VirtualRun) -> None:
        assert send(engine, run)
        engine.drive(run)
        assert run.output == {"name": "ada approved x"}

    def test_the_one_that_a_stage_waits_for_gets_in_beside_any_other_names(
        self, engine: VirtualEngine, run: VirtualRun
    ) -> None:
        for number in range(ROOM_FOR_NAMES):
            assert engine.kernel.dispatch(other(run, f"name-{number}")).delivered
        with pytest.raises(TooManySignalsError):
            engine.kernel.dispatch(other(run, "one-name-too-many"))
        engine.drive(run)
        assert engine.signal(run, "approval", YES).delivered
        assert run.status is Status.COMPLETED

    def test_the_same_key_again_is_no_signal_too_many(self, engine: VirtualEngine) -> None:
        run = engine.start(approving, Item())
        for number in range(MAX_KEPT_SIGNALS):
            assert send(engine, run, key=f"click-{number}")
        assert send(engine, run, key="click-7")

    def test_an_accepted_one_stays(self, engine: VirtualEngine, run: VirtualRun) -> None:
        kept = run.head.signals
        engine.drive(run)
        engine.signal(run, "approval", Approval(approved=True, by="the flaky one"))
        assert run.status is Status.COMPLETED
        assert run.head.signals == kept


def other(run: VirtualRun, name: str = "other") -> SignalRun:
    """A signal that fits, and that nobody waits for."""
    return SignalRun(run_id=run.id, name=name, payload=YES.model_dump())


def test_a_key_that_was_used_before_a_rerun_is_a_signal_of_the_rerun(engine: VirtualEngine) -> None:
    run = waiting(engine)
    assert send(engine, run, Approval(approved=False, by="bob"), key="approve-order-1")
    engine.drive(run)
    for by in ("ada", "eve"):
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="approval"))
        engine.drive(run)
        yes = Approval(approved=True, by=by)
        assert [send(engine, run, yes, key="approve-order-1") for _ in range(2)] == [True, True]
        assert len(run.head.signals) == 1
        engine.drive(run)
        assert run.output == {"name": f"{by} approved x"}


def test_a_message_that_comes_again_after_a_rerun_is_no_signal_of_the_rerun(engine: VirtualEngine) -> None:
    run = waiting(engine)
    command = SignalRun(run_id=run.id, name="approval", payload=YES.model_dump())
    engine.host.process(message := Delivery("m-1", body_of(command), "receipt"))
    engine.drive(run)
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="approval"))
    engine.drive(run)
    engine.host.process(message)
    assert (run.waiting_for, run.head.signals, handled) == (("approval",), (), ["ada"])


def test_a_rerun_clears_kept_signals_and_asks_again(engine: VirtualEngine) -> None:
    run = waiting(engine)
    engine.signal(run, "approval", Approval(approved=False, by="bob"))
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="approval"))
    engine.drive(run)
    assert (run.waiting_for, run.head.signals) == (("approval",), ())
    engine.signal(run, "approval", YES)
    assert run.output == {"name": "ada approved x"}
