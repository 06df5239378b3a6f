"""A run that stands before what is to be decided: who decides it, when, and what happens to the run meanwhile."""

from datetime import timedelta
from typing import Any

import pytest

from tests.engine.choosing import (
    Asked,
    Order,
    Text,
    buy,
    gift,
    gift_first,
    gifting,
    no,
    say,
    say_packed,
    statuses,
    wrap,
    yes,
)
from tests.engine.conftest import MakeEngine
from workflow_engine import (
    CancelRun,
    ClaimPendingRuns,
    CreateRun,
    ExecuteJob,
    PollSuspendedStages,
    ReapStuckRuns,
    RerunFrom,
    RetryPolicy,
    SignalRun,
    StageContext,
    Status,
    Suspended,
    TransientError,
    TransitionRun,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.model.commands import parse_command
from workflow_engine.model.runs import EntryState
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

HOUR = timedelta(hours=1)


def messages(engine: VirtualEngine) -> list[Any]:
    """What is under way, taken from the queue and gone with that."""
    found = []
    while (delivery := engine.job_transport.dequeue()) is not None:
        found.append(parse_command(delivery.body))
        engine.job_transport.complete(delivery)
    return found


def tick(engine: VirtualEngine) -> None:
    engine.clock.advance(engine.settings.horizon + timedelta(seconds=1))
    engine.host.run_maintenance_tick()


def test_a_client_decides_nothing_and_sends_the_run_to_a_worker(engine: VirtualEngine) -> None:
    asked = Asked(yes)
    run = engine.start(gift_first(asked), Order())
    assert (run.head.is_undecided, run.status, asked.times) == (True, Status.PENDING, 0)
    assert run.head.due_at is not None
    assert messages(engine) == [TransitionRun(run_id=run.id)]


def test_nor_does_one_that_asks_for_the_transition_itself(engine: VirtualEngine) -> None:
    asked = Asked(yes)
    run = engine.start(gift_first(asked), Order())
    engine.kernel.dispatch(TransitionRun(run_id=run.id))
    assert (run.head.is_undecided, asked.times) == (True, 0)
    assert messages(engine) == [TransitionRun(run_id=run.id)] * 2


def test_a_tick_that_finds_it_sends_it_to_a_worker_again(engine: VirtualEngine) -> None:
    asked = Asked(yes)
    run = engine.start(gift_first(asked), Order())
    messages(engine)
    tick(engine)
    assert (run.head.is_undecided, asked.times) == (True, 0)
    assert messages(engine) == [TransitionRun(run_id=run.id)]


def test_a_worker_decides_and_goes_on_at_once(engine: VirtualEngine) -> None:
    asked = Asked(yes)
    run = engine.start(gift_first(asked), Order(total=3))
    assert engine.host.process_available_jobs(max_jobs=1).processed == 1
    assert (run.output, asked.values) == ({"text": "Order(total=3, kind='small')"}, [Order(total=3)])


def test_a_run_that_came_as_a_message_is_decided_in_its_invocation(engine: VirtualEngine) -> None:
    asked = Asked(yes)
    engine.deploy(workflow := gift_first(asked))
    run_id = engine.kernel.submit(CreateRun(workflow_id=workflow.id, input={"total": 3}))
    assert engine.host.process_available_jobs(max_jobs=1).processed == 1
    assert (VirtualRun(engine, run_id).status, asked.times, messages(engine)) == (Status.COMPLETED, 1, [])


def test_a_message_that_creates_it_twice_asks_once(engine: VirtualEngine) -> None:
    asked = Asked(yes)
    engine.deploy(workflow := gift_first(asked))
    command = CreateRun(workflow_id=workflow.id, input={}, idempotency_key="k")
    for _ in range(2):
        run_id = engine.kernel.dispatch(command, delivered=True).run_id
    assert (VirtualRun(engine, run_id).status, asked.times) == (Status.COMPLETED, 1)  # type: ignore[arg-type]


def test_a_client_that_claims_what_is_pending_decides_nothing(engine: VirtualEngine) -> None:
    asked = Asked(yes)
    run = engine.start(gift_first(asked), Order())
    assert engine.kernel.dispatch(ClaimPendingRuns(worker_id="w")).claimed == [run.id]
    assert (run.head.is_undecided, asked.times) == (True, 0)
    engine.drive(run)
    assert run.status is Status.COMPLETED


def test_with_a_start_ahead_it_is_decided_when_the_run_starts(engine: VirtualEngine) -> None:
    asked = Asked(no)
    began = engine.clock.now()
    run = engine.start(gift_first(asked), Order(), start_at=began + 3 * HOUR)
    engine.advance(2 * HOUR)
    assert (run.head.is_undecided, asked.times, run.head.enters_at) == (True, 0, began + 3 * HOUR)
    engine.kernel.dispatch(TransitionRun(run_id=run.id), delivered=True)
    assert asked.times == 0
    engine.drive(run)
    assert (run.output, asked.times) == ({"text": "None"}, 1)
    assert run.head.ended_at is not None
    assert run.head.ended_at >= began + 3 * HOUR


def test_a_cancel_forgets_the_timer_of_a_start_ahead(engine: VirtualEngine) -> None:
    run = engine.start(gift_first(yes), Order(), start_at=engine.clock.now() + 3 * HOUR)
    assert engine.scheduler.next_fire_at() is not None
    engine.kernel.dispatch(CancelRun(run_id=run.id))
    assert (run.status, engine.scheduler.next_fire_at()) == (Status.CANCELLED, None)


def test_it_can_be_cancelled_meanwhile(engine: VirtualEngine) -> None:
    asked = Asked(yes)
    run = engine.start(gift_first(asked), Order())
    assert engine.kernel.dispatch(CancelRun(run_id=run.id)).cancelled
    engine.drive(run)
    assert (run.status, asked.times, run.head.active) == (Status.CANCELLED, 0, ())


def test_its_deadline_ends_it_meanwhile(engine: VirtualEngine) -> None:
    asked = Asked(yes)
    workflow = Workflow("w", input=Order, max_duration=HOUR).pipe(gift, when=asked).build()
    run = engine.start(workflow, Order())
    messages(engine)
    engine.clock.advance(HOUR)
    engine.host.run_maintenance_tick()
    assert (run.status, run.error and run.error.type, asked.times) == (Status.FAILED, "RunExpiredError", 0)


def test_signals_that_come_meanwhile_are_kept(engine: VirtualEngine) -> None:
    @stage("wait")
    def wait(order: Order) -> Text | WaitForSignal[Text]:
        return WaitForSignal("go", Text)

    @wait.on_signal
    def went(text: Text) -> Text:
        return text

    run = engine.start(Workflow("w", input=Order).pipe(wait, when=yes).build(), Order())
    assert engine.kernel.dispatch(SignalRun(run_id=run.id, name="go", payload={"text": "early"})).delivered
    assert run.head.is_undecided
    engine.drive(run)
    assert run.output == {"text": "early"}


def test_what_is_stuck_there_is_helped_on(engine: VirtualEngine) -> None:
    run = engine.start(gift_first(yes), Order())
    messages(engine)
    engine.clock.advance(HOUR)
    assert engine.kernel.dispatch(ReapStuckRuns(threshold=timedelta(minutes=1))).recovered == 1
    assert messages(engine) == [TransitionRun(run_id=run.id)]


def test_a_check_that_a_client_makes_leaves_the_decision_to_a_worker(engine: VirtualEngine) -> None:
    @stage("poll")
    def poll(order: Order) -> Suspended[Order] | Order:
        return Suspended(order, poll_every=HOUR)

    @poll.check_completion
    def checked(order: Order) -> Order:
        return order

    asked = Asked(yes)
    run = engine.start(Workflow("w", input=Order).pipe(poll).pipe(gift, when=asked).build(), Order())
    engine.work()
    messages(engine)
    engine.clock.advance(HOUR)
    engine.kernel.dispatch(PollSuspendedStages())
    assert (run.head.is_undecided, run.head.group, asked.times) == (True, 1, 0)
    assert messages(engine) == [TransitionRun(run_id=run.id)]


def test_a_tick_that_joins_a_group_leaves_the_decision_to_a_worker(engine: VirtualEngine) -> None:
    asked = Asked(yes)
    workflow = Workflow("w", input=Order).parallel(wrap, gift).choose(asked, {True: say_packed}).build()
    run = engine.start(workflow, Order())
    first, second = messages(engine)
    engine.kernel.dispatch(first)
    # Its worker dies between its outcome and the join.
    commit, engine.persistence.commit = engine.persistence.commit, _one(engine.persistence.commit)  # type: ignore[method-assign]
    with pytest.raises(TransientError):
        engine.kernel.dispatch(second)
    engine.persistence.commit = commit  # type: ignore[method-assign]
    assert [entry.state for entry in run.head.active] == [EntryState.DONE] * 2
    messages(engine)
    asked.values.clear()
    tick(engine)
    assert (run.head.is_undecided, asked.times) == (True, 0)
    assert messages(engine) == [TransitionRun(run_id=run.id)]
    engine.kernel.dispatch(TransitionRun(run_id=run.id), delivered=True)
    assert run.output == {"text": "Packed(wrap=Order(total=0, kind='small'), gift=Order(total=0, kind='small'))"}


def _one(commit: Any) -> Any:
    """A store that answers for the claim and the outcome of one stage, and no more."""
    left = [2]

    def answered(given: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise TransientError(service="dynamodb", operation="UpdateItem", code="down")
        return commit(given)

    return answered


@pytest.mark.parametrize("seconds", [5, 11])
def test_with_too_little_time_left_the_next_invocation_decides(engine: VirtualEngine, seconds: int) -> None:
    asked = Asked(yes)

    @stage("long", timeout=timedelta(minutes=1))
    def long(order: Order) -> Order:
        engine.clock.advance(timedelta(seconds=60))
        return order

    run = engine.start(Workflow("w", input=Order).pipe(long).pipe(gift, when=asked).build(), Order())
    (job,) = messages(engine)
    engine.kernel.dispatch(job, deadline=engine.clock.now() + timedelta(seconds=60 + seconds))
    assert (run.head.is_undecided, asked.times) == (True, 0)
    assert messages(engine) == [TransitionRun(run_id=run.id)]
    engine.kernel.dispatch(TransitionRun(run_id=run.id), delivered=True)
    assert (run.status, asked.times) == (Status.COMPLETED, 1)


def test_redeliveries_decide_nothing_anew(engine: VirtualEngine) -> None:
    answers = [True, False, False]
    asked = Asked(lambda _: answers.pop(0))

    @stage("twice", retry=RetryPolicy(max_attempts=2, first_delay=timedelta(minutes=1)))
    def twice(order: Order, ctx: StageContext) -> Order:
        if ctx.attempt == 1:
            raise ConnectionError("again")
        return order

    run = engine.start(Workflow("w", input=Order).pipe(twice, when=asked).pipe(say).build(), Order())
    for _ in range(3):
        engine.kernel.dispatch(TransitionRun(run_id=run.id), delivered=True)
    engine.drive(run)
    assert (statuses(run)["twice"], asked.times) == (Status.COMPLETED, 1)


def test_a_job_of_an_arm_that_was_skipped_does_nothing(engine: VirtualEngine) -> None:
    calls: list[str] = []

    @stage("slow")
    def slow(order: Order, ctx: StageContext) -> Order:
        calls.append("slow")
        engine.kernel.dispatch(ExecuteJob(run_id=ctx.run_id, workflow_id="w", stage_id="other", attempt=1))
        return order

    @stage("other")
    def other(order: Order) -> Order:
        calls.append("other")
        return order

    workflow = Workflow("w", input=Order).choose(lambda order: order.kind, small=slow, large=other).build()
    assert (engine.run(workflow, Order()).status, calls) == (Status.COMPLETED, ["slow"])


def test_a_rerun_by_a_client_stands_before_its_first_stage(engine: VirtualEngine) -> None:
    asked = Asked(no)
    run = engine.run(gifting(asked), Order())
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="gift"))
    assert (run.head.is_undecided, run.head.group, asked.times) == (True, 1, 1)
    assert messages(engine) == [TransitionRun(run_id=run.id)]
    tick(engine)
    engine.drive(run)
    assert (run.status, asked.times) == (Status.COMPLETED, 2)


def test_a_store_that_does_not_answer_is_asked_again(make_engine: MakeEngine) -> None:
    engine = make_engine()
    asked = Asked(yes)
    run = engine.start(gift_first(asked), Order(kind="x" * 500))
    load, engine.persistence.load_input = engine.persistence.load_input, _down  # type: ignore[method-assign,assignment]
    engine.host.process_available_jobs(max_jobs=1)
    assert (run.head.is_undecided, asked.times) == (True, 0)
    engine.persistence.load_input = load  # type: ignore[method-assign]
    engine.drive(run)
    assert (run.status, asked.times) == (Status.COMPLETED, 1)


def _down(*_: Any) -> Any:
    raise TransientError(service="dynamodb", operation="GetItem", code="down")


# Deploys


@stage("ask")
def ask(order: Order) -> WaitForSignal[Order]:
    return WaitForSignal("go", Order)


@ask.on_signal
def asked_for(order: Order) -> Order:
    return order


@stage("leave")
def leave(order: Order) -> Order:
    return Order(total=-1)


def standing(engine: VirtualEngine) -> VirtualRun:
    """A run in the arm of its choice, which waits."""
    run = engine.start(choosing(small=ask, large=leave), Order(total=5))
    engine.work()
    assert [entry.state for entry in run.head.active] == [EntryState.WAITING, EntryState.SKIPPED]
    return run


def choosing(by: Any = lambda order: order.kind, *, behind: Any = say, **arms: Any) -> WorkflowDefinition:
    return Workflow("turning", input=Order).pipe(buy).choose(by, **arms).pipe(behind).build()


TURNED = {
    "its cases": choosing(small=leave, large=ask),
    "what it asks": choosing(lambda _: "large", small=ask, large=leave),
    "all of it": choosing(lambda _: "x", x=leave, otherwise=ask),
}


@pytest.mark.parametrize("workflow", TURNED.values(), ids=TURNED)
def test_a_deploy_that_turns_a_choice_around_changes_nothing_that_was_decided(
    engine: VirtualEngine, workflow: WorkflowDefinition
) -> None:
    run = standing(engine)
    engine.deploy(workflow)
    engine.signal(run, "go", Order(total=7))
    assert run.output == {"text": "Order(total=7, kind='small')"}
    assert (statuses(run)["ask"], statuses(run)["leave"]) == (Status.COMPLETED, Status.SKIPPED)


def test_nor_in_a_group_that_the_run_has_behind_it(engine: VirtualEngine) -> None:
    workflow = Workflow("behind", input=Order).choose(lambda order: order.kind, small=wrap, large=leave).pipe(ask)
    run = engine.run(workflow.build(), Order(total=5))
    assert run.waiting_for == ("go",)
    turned = (
        Workflow("behind", input=Order).choose(lambda _: "large", small=wrap, large=leave).pipe(ask).pipe(gift, when=no)
    )
    engine.deploy(turned.build())
    engine.signal(run, "go", Order(total=7))
    assert (run.output, statuses(run)["wrap"], statuses(run)["gift"]) == (None, Status.COMPLETED, Status.SKIPPED)


def test_a_rerun_from_there_goes_by_the_choice_of_the_day(engine: VirtualEngine) -> None:
    run = standing(engine)
    engine.signal(run, "go", Order(total=7))
    engine.deploy(choosing(small=leave, large=ask))
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="ask"))
    engine.drive(run)
    assert (run.output, statuses(run)["ask"]) == ({"text": "Order(total=-1, kind='small')"}, Status.SKIPPED)


@pytest.mark.parametrize("steps", [0, 1])
def test_a_run_that_stands_before_it_follows_any_change_of_what_lies_ahead(engine: VirtualEngine, steps: int) -> None:
    run = engine.start(gift_first(yes) if steps == 0 else gifting(no, "first"), Order(total=5))
    if steps:
        engine.drive(run)
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="gift"))
    assert run.head.is_undecided
    workflow = Workflow("first", input=Order)
    workflow = workflow.pipe(buy) if steps else workflow
    after = workflow.parallel(wrap, gift.when(no)).pipe(say_packed).build()
    engine.deploy(after)
    engine.drive(run)
    assert run.output == {"text": "Packed(wrap=Order(total=5, kind='small'), gift=None)"}
    assert run.head.fingerprint == after.fingerprint


def test_one_whose_condition_is_gone_goes_on_without(engine: VirtualEngine) -> None:
    run = engine.start(gift_first(no), Order(total=5))
    engine.deploy(Workflow("first", input=Order).pipe(gift).pipe(say).build())
    engine.drive(run)
    assert statuses(run)["gift"] is Status.COMPLETED


def test_what_lies_behind_must_be_there_still(engine: VirtualEngine) -> None:
    run = engine.run(gifting(no), Order())
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="gift"))
    engine.deploy(Workflow("gifting", input=Order).pipe(wrap).pipe(gift, when=no).pipe(say).build())
    engine.clock.advance(2 * HOUR)
    engine.drive(run)
    assert run.error is not None
    assert run.error.type == "DefinitionChangedError"


def test_one_that_ended_before_a_choice_is_undone_by_code_that_has_other_stages_there(engine: VirtualEngine) -> None:
    undone: list[str] = []

    @stage("first")
    def first(order: Order) -> Order:
        return order

    @first.undo(retry=RetryPolicy(max_attempts=9, first_delay=timedelta(minutes=1)))
    def back(done: Order | None, ctx: StageContext) -> None:
        undone.append("first")
        if len(undone) == 1:
            raise ConnectionError("again")

    no_bool: Any = lambda _: None  # noqa: E731 - a type checker would refuse it
    run = engine.start(Workflow("w", input=Order).pipe(first).pipe(gift, when=no_bool).build(), Order())
    engine.work()
    assert (run.head.is_closing, undone) == (True, ["first"])
    engine.deploy(Workflow("w", input=Order).pipe(first).pipe(wrap).build())
    engine.drive(run)
    assert (run.status, undone) == (Status.FAILED, ["first", "first"])
