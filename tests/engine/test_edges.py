"""What happens at once with something else, twice, too late, or at a limit.

One list, long as it is: an edge that is missing can be seen.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import (
    CancelRun,
    CreateRun,
    InvalidInputError,
    JobExecuted,
    NotReady,
    PayloadTooLargeError,
    PermanentError,
    PollSuspendedStages,
    RerunFrom,
    RetryPolicy,
    SignalRun,
    StageContext,
    Status,
    Suspended,
    TooManySignalsError,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    sleep,
    stage,
)
from workflow_engine.kernel import transitions
from workflow_engine.model.commits import Committed
from workflow_engine.model.deliveries import Delivery, Recurrence
from workflow_engine.model.ids import content_hash
from workflow_engine.model.limits import MAX_ANNOTATION_BYTES, MAX_ATTRIBUTES_BYTES, MAX_KEPT_SIGNALS
from workflow_engine.model.runs import KeptSignal
from workflow_engine.testing.engine import TICK_EVERY, VirtualEngine, VirtualRun

Meddle: TypeAlias = Callable[..., None]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Item(BaseModel):
    name: str = "x"


class Answer(BaseModel):
    yes: bool


ITEM = Item()


@stage("copy")
def copy(item: Item) -> Item:
    return item


@stage("ask")
def ask(item: Item) -> WaitForSignal[Answer]:
    return WaitForSignal("answer", Answer, timeout=HOUR)


@ask.on_signal
def answered(answer: Answer) -> Item:
    return Item(name="yes" if answer.yes else "no")


asking = Workflow("asking", input=Item).pipe(copy).pipe(ask).pipe(sleep("nap", timedelta(seconds=1))).build()


def take(engine: VirtualEngine) -> Delivery:
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    return delivery


def cancel(engine: VirtualEngine, run: VirtualRun, key: str | None = None) -> bool:
    return engine.kernel.dispatch(CancelRun(run_id=run.id, idempotency_key=key)).cancelled


def outcome_of(engine: VirtualEngine, delivery: Delivery) -> JobExecuted:
    result = engine.host.process(delivery).result
    assert isinstance(result, JobExecuted)
    return result


class TestCancel:
    def test_during_a_stage_its_outcome_is_a_ghosts(self, engine: VirtualEngine) -> None:
        @stage("slow")
        def slow(item: Item) -> Item:
            assert cancel(engine, run)
            return item

        run = engine.start(Workflow("w", input=Item).pipe(slow).pipe(copy).build(), ITEM)
        outcome = outcome_of(engine, take(engine))
        assert (run.status, outcome.ghost, run.output) == (Status.CANCELLED, True, None)
        engine.advance(DAY)
        assert [record.key.stage_id for record in run.records] == ["slow"]
        assert [event.type for event in run.events] == ["workflow:cancelled"]

    def test_between_a_claim_and_the_commit_it_wins(self, engine: VirtualEngine, meddle: Meddle) -> None:
        workflow = Workflow("w", input=Item).pipe(copy).build()
        run = engine.start(workflow, ITEM)
        # The head is measured after the claim, and right before the commit.
        meddle(engine, "head_sizes", lambda: cancel(engine, run), workflow)
        outcome = outcome_of(engine, take(engine))
        assert (run.status, outcome.ghost) == (Status.CANCELLED, True)

    def test_of_a_failing_stage_wins_too(self, engine: VirtualEngine) -> None:
        @stage("slow")
        def slow(item: Item) -> Item:
            cancel(engine, run)
            raise PermanentError("no")

        run = engine.start(Workflow("w", input=Item).pipe(slow).build(), ITEM)
        engine.work()
        assert (run.status, run.error) == (Status.CANCELLED, None)

    def test_during_a_check_nothing_is_resumed(self, engine: VirtualEngine) -> None:
        run = engine.start(self.batch(lambda: cancel(engine, run)), ITEM)
        engine.work()
        engine.advance(HOUR)
        assert run.status is Status.CANCELLED
        engine.advance(DAY)
        assert [record.status for record in run.records] == [Status.SUSPENDED, Status.COMPLETED]
        assert (run.output, run.head.due_at, engine.job_transport.pending()) == (None, None, 0)

    def test_at_once_with_a_poll_is_no_resumption(self, engine: VirtualEngine) -> None:
        run = engine.start(self.batch(lambda: cancel(engine, run)), ITEM)
        engine.work()
        engine.clock.advance(HOUR)
        polled = engine.kernel.dispatch(PollSuspendedStages())
        assert (polled.checked, polled.resumed, polled.resumed_run_ids) == (1, 0, [])
        assert run.status is Status.CANCELLED

    def test_before_the_claim_of_a_poll_there_is_no_check(self, engine: VirtualEngine, meddle: Meddle) -> None:
        checks: list[str] = []
        workflow = self.batch(lambda: checks.append("checked"))
        run = engine.start(workflow, ITEM)
        engine.work()
        engine.clock.advance(HOUR)
        meddle(engine, "commit", lambda: cancel(engine, run), workflow)
        assert engine.kernel.dispatch(PollSuspendedStages()).checked == 0
        assert (run.status, checks) == (Status.CANCELLED, [])

    def test_that_is_sent_again_after_a_rerun_does_not_reach_the_rerun(self, engine: VirtualEngine) -> None:
        workflow = Workflow("w", input=Item).pipe(copy).build()
        run = engine.start(workflow, ITEM)
        # The client never saw the answer.
        message = Delivery(message_id="m-1", body=CancelRun(run_id=run.id).model_dump_json(), receipt="r")
        first = engine.host.handle_job(message)
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="copy"))
        again = engine.host.handle_job(message)
        assert first.result == again.result
        engine.drive(run)
        assert run.status is Status.COMPLETED

    def batch(self, during: Callable[[], object]) -> WorkflowDefinition:
        @stage("batch")
        def submit(item: Item) -> Suspended[Item]:
            return Suspended(item, poll_every=HOUR)

        @submit.check_completion
        def check(state: Item) -> Item | NotReady:
            during()
            return state

        return Workflow("w", input=Item).pipe(submit).pipe(copy).build()


class TestRerun:
    def test_while_the_old_worker_still_runs_its_outcome_is_a_ghosts(self, engine: VirtualEngine) -> None:
        attempts: list[int] = []

        @stage("slow")
        def slow(item: Item, ctx: StageContext) -> Item:
            attempts.append(ctx.attempt)
            if len(attempts) == 1:
                ctx.storage.save("page", b"old")
                cancel(engine, run)
                engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="slow"))
                return Item(name="old")
            return Item(name=f"new, page kept: {ctx.storage.exists('page')}")

        run = engine.start(Workflow("w", input=Item).pipe(slow).build(), ITEM)
        outcome = outcome_of(engine, take(engine))
        assert outcome.ghost
        engine.drive(run)
        assert run.output == {"name": "new, page kept: False"}

    def test_while_the_old_worker_still_runs_a_failure_of_its_is_a_ghosts(self, engine: VirtualEngine) -> None:
        attempts: list[int] = []

        @stage("slow")
        def slow(item: Item) -> Item:
            attempts.append(1)
            if len(attempts) == 1:
                cancel(engine, run)
                engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="slow"))
                raise PermanentError("old")
            return item

        run = engine.run(Workflow("w", input=Item).pipe(slow).build(), ITEM)
        assert (run.status, run.error) == (Status.COMPLETED, None)

    def test_twice_from_one_stage_with_one_key_is_one_rerun(self, engine: VirtualEngine) -> None:
        run = engine.run(Workflow("w", input=Item).pipe(copy).build(), ITEM)
        command = RerunFrom(run_id=run.id, from_stage_id="copy", idempotency_key="again")
        first = engine.kernel.dispatch(command)
        second = engine.kernel.dispatch(command)
        engine.drive(run)
        third = engine.kernel.dispatch(command)
        assert first == second == third
        engine.drive(run)
        assert [record.key.epoch for record in run.records] == [0, 1]


class TestSignal:
    def waiting(self, engine: VirtualEngine) -> VirtualRun:
        run = engine.run(asking, ITEM)
        assert run.waiting_for == ("answer",)
        return run

    def test_that_comes_right_before_its_timeout_is_claimed_wins(self, engine: VirtualEngine, meddle: Meddle) -> None:
        run = self.waiting(engine)
        engine.clock.advance(HOUR)
        engine.scheduler.fire_due()
        timeout = take(engine)
        command = SignalRun(run_id=run.id, name="answer", payload={"yes": True}, idempotency_key="k")
        meddle(engine, "commit", lambda: engine.kernel.dispatch(command), asking)
        engine.host.process(timeout)
        engine.drive(run)
        assert run.output == {"name": "yes"}

    def test_that_comes_after_its_timeout_is_too_late(self, engine: VirtualEngine) -> None:
        run = self.waiting(engine)
        engine.advance(HOUR)
        assert run.error is not None
        assert (run.status, run.error.type) == (Status.FAILED, "WaitExpiredError")
        assert not engine.signal(run, "answer", {"yes": True}).delivered

    def test_whose_client_dies_right_after_the_commit_is_found_by_the_tick(self, engine: VirtualEngine) -> None:
        @stage("patient")
        def patient(item: Item) -> WaitForSignal[Answer]:
            return WaitForSignal("answer", Answer)

        @patient.on_signal
        def take_answer(answer: Answer) -> Item:
            return Item(name="yes")

        run = engine.run(Workflow("w", input=Item).pipe(patient).build(), ITEM)
        kept = KeptSignal(
            run_id=run.id,
            name="answer",
            key="k",
            content_hash=content_hash({"yes": True}),
            payload=b'{"yes":true}',
            received_at=engine.clock.now(),
            expires_at=run.head.expires_at,
        )
        commit = transitions.signal(run.head, kept, engine.kernel.invocation().moment())
        assert isinstance(engine.persistence.commit(commit), Committed)
        signalled_at = engine.clock.now()
        engine.drive(run)
        assert run.output == {"name": "yes"}
        assert engine.clock.now() - signalled_at <= engine.settings.horizon + TICK_EVERY

    def test_of_a_sibling_that_waits_while_the_others_fail_ends_with_the_run(self, engine: VirtualEngine) -> None:
        @stage("broken", retry=RetryPolicy(max_attempts=2))
        def broken(item: Item) -> Item:
            raise ConnectionError("no answer")

        run = engine.run(Workflow("w", input=Item).parallel(ask, broken).build(), ITEM)
        assert run.error is not None
        assert (run.status, run.error.message) == (Status.FAILED, "no answer")
        assert not engine.signal(run, "answer", {"yes": True}).delivered
        engine.advance(DAY)
        assert (run.status, engine.job_transport.pending()) == (Status.FAILED, 0)


class TestTwice:
    def test_two_ticks_at_once_send_one_job(self, engine: VirtualEngine, meddle: Meddle) -> None:
        workflow = Workflow("w", input=Item).pipe(copy).build()
        engine.start(workflow, ITEM)
        engine.job_transport.complete(take(engine))
        engine.clock.advance(engine.settings.horizon)
        meddle(engine, "rearm", lambda: engine.kernel.tick(), workflow)
        engine.kernel.tick()
        assert engine.job_transport.pending() == 1

    def test_a_retry_that_is_queued_twice_is_tried_once(self, engine: VirtualEngine) -> None:
        attempts: list[int] = []

        @stage("flaky", retry=RetryPolicy(first_delay=timedelta(seconds=8), jitter=False))
        def flaky(item: Item, ctx: StageContext) -> Item:
            attempts.append(ctx.attempt)
            if ctx.attempt == 1:
                raise ConnectionError("no answer")
            return item

        run = engine.start(Workflow("w", input=Item).pipe(flaky).build(), ITEM)
        first = take(engine)
        engine.host.process(first)
        engine.kernel.dispatch(first.body)
        assert engine.job_transport.pending() == 2
        engine.drive(run)
        engine.work()
        assert (run.status, attempts, engine.job_transport.pending()) == (Status.COMPLETED, [1, 2], 0)

    def test_a_timer_that_fires_twice_wakes_once(self, engine: VirtualEngine) -> None:
        run, wakes = self.sleeping(engine)
        engine.clock.advance(2 * HOUR)
        engine.scheduler.fire_due()
        body = take(engine).body
        engine.kernel.dispatch(body)
        again = engine.kernel.dispatch(body)
        assert isinstance(again, JobExecuted)
        assert (run.status, wakes, again.ghost) == (Status.COMPLETED, ["awake"], True)

    def test_a_timer_that_fires_late_wakes_then(self, engine: VirtualEngine) -> None:
        run, wakes = self.sleeping(engine)
        engine.clock.advance(9 * HOUR)
        engine.scheduler.fire_due()
        engine.host.process(take(engine))
        assert (run.status, wakes) == (Status.COMPLETED, ["awake"])

    def test_a_timer_that_fires_after_its_run_ended_wakes_nothing(self, engine: VirtualEngine) -> None:
        run, wakes = self.sleeping(engine)
        engine.clock.advance(2 * HOUR)
        engine.scheduler.fire_due()
        cancel(engine, run)
        version = run.head.version
        assert outcome_of(engine, take(engine)).ghost
        assert (run.status, wakes, run.head.version) == (Status.CANCELLED, [], version)

    def test_a_recurrence_that_fires_twice_or_late_starts_one_run_a_time(self, engine: VirtualEngine) -> None:
        workflow = Workflow("w", input=Item).pipe(copy).build()
        engine.deploy(workflow)
        command = CreateRun(workflow_id="w", input={}, idempotency_key="nightly-{time}")
        engine.scheduler.put_recurrence(Recurrence("nightly", "rate(1 day)", command))
        engine.clock.advance(2 * DAY)
        engine.scheduler.fire_due()
        # A rate counts from its creation, which is its first time.
        bodies = [take(engine).body for _ in range(3)]
        for body in [*bodies, *reversed(bodies)]:
            engine.kernel.dispatch(body)
        engine.work()
        assert len(engine.persistence.list_runs("w").run_ids) == 3

    def sleeping(self, engine: VirtualEngine) -> tuple[VirtualRun, list[str]]:
        wakes: list[str] = []

        @stage("wake")
        def wake(item: Item) -> Item:
            wakes.append("awake")
            return item

        run = engine.start(Workflow("w", input=Item).pipe(sleep("nap", 2 * HOUR)).pipe(wake).build(), ITEM)
        engine.work()
        return run, wakes


class TestAStageThatMisbehaves:
    @pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit()])
    def test_one_that_ends_the_process_fails_its_run_alone(self, engine: VirtualEngine, error: BaseException) -> None:
        attempts: list[int] = []

        @stage("rude")
        def rude(item: Item, ctx: StageContext) -> Item:
            attempts.append(ctx.attempt)
            raise error

        bad = engine.start(Workflow("rude", input=Item).pipe(rude).build(), ITEM)
        good = engine.start(Workflow("good", input=Item).pipe(copy).build(), ITEM)
        engine.work()
        assert bad.error is not None
        assert (bad.status, bad.error.type, attempts) == (Status.FAILED, type(error).__name__, [1])
        assert good.status is Status.COMPLETED

    def test_an_async_one_that_ends_the_process_fails_its_run_alone(self, engine: VirtualEngine) -> None:
        @stage("rude")
        async def rude(item: Item) -> Item:
            raise SystemExit(3)

        @stage("polite")
        async def polite(item: Item) -> Item:
            return item

        bad = engine.start(Workflow("rude", input=Item).pipe(rude).build(), ITEM)
        good = engine.start(Workflow("good", input=Item).pipe(polite).build(), ITEM)
        engine.work()
        assert bad.error is not None
        assert (bad.error.type, good.status) == ("SystemExit", Status.COMPLETED)

    @pytest.mark.parametrize("returned", [None, "text", {"name": "x"}, Answer(yes=True), NotReady()], ids=repr)
    def test_one_that_returns_the_wrong_type_fails_its_run_at_once(self, engine: VirtualEngine, returned: Any) -> None:
        @stage("wrong")
        def wrong(item: Item) -> Item:
            return returned  # type: ignore[no-any-return]

        run = engine.run(Workflow("w", input=Item).pipe(wrong).build(), ITEM)
        assert run.error is not None
        assert (run.status, run.error.type) == (Status.FAILED, "InvalidOutputError")
        assert [record.attempt for record in run.records] == [1]

    def test_a_check_whose_output_does_not_validate_fails_its_run(self, engine: VirtualEngine) -> None:
        wrong: Any = Answer(yes=True)

        @stage("batch")
        def submit(item: Item) -> Suspended[Item]:
            return Suspended(item, poll_every=HOUR)

        @submit.check_completion
        def check(state: Item) -> Item:
            return wrong  # type: ignore[no-any-return]

        run = engine.run(Workflow("w", input=Item).pipe(submit).pipe(copy).build(), ITEM)
        assert run.error is not None
        assert (run.status, run.error.type) == (Status.FAILED, "InvalidOutputError")
        assert run.head.group == 0

    def test_an_error_whose_message_cannot_be_shown_is_kept_all_the_same(self, engine: VirtualEngine) -> None:
        class MuteError(Exception):
            @override
            def __str__(self) -> str:
                raise ValueError("no words")

        @stage("mute", retry=RetryPolicy(max_attempts=1))
        def mute(item: Item) -> Item:
            raise MuteError

        run = engine.run(Workflow("w", input=Item).pipe(mute).build(), ITEM)
        assert run.error is not None
        assert (run.error.type, run.error.message) == ("MuteError", "(its message cannot be shown)")


class TestLimits:
    def test_attributes_at_their_limit_are_kept_and_above_it_refused(self, engine: VirtualEngine) -> None:
        workflow = Workflow("w", input=Item).pipe(copy).build()
        most = "x" * (MAX_ATTRIBUTES_BYTES - len('{"a":""}'))
        assert engine.run(workflow, ITEM, attributes={"a": most}).status is Status.COMPLETED
        with pytest.raises(PayloadTooLargeError) as caught:
            engine.start(workflow, ITEM, attributes={"a": most + "x"})
        assert (caught.value.what, caught.value.size_bytes) == ("attributes", MAX_ATTRIBUTES_BYTES + 1)

    def test_a_signals_payload_at_its_limit_is_kept_and_above_it_refused(self, engine: VirtualEngine) -> None:
        @stage("receive")
        def receive(item: Item) -> WaitForSignal[Item]:
            return WaitForSignal("item", Item)

        @receive.on_signal
        def received(item: Item) -> Item:
            return item

        run = engine.run(Workflow("w", input=Item).pipe(receive).build(), ITEM)
        most = "x" * (32 * 1024 - len('{"name":""}'))
        with pytest.raises(PayloadTooLargeError):
            engine.signal(run, "item", {"name": most + "x"})
        engine.signal(run, "item", {"name": most})
        assert run.output == {"name": most}

    def test_a_run_keeps_a_hundred_signals_and_refuses_the_next(self, engine: VirtualEngine) -> None:
        run = engine.start(asking, ITEM)
        other = SignalRun(run_id=run.id, name="other", payload={"yes": True})
        for _ in range(MAX_KEPT_SIGNALS):
            assert engine.kernel.dispatch(other).delivered
        with pytest.raises(TooManySignalsError) as caught:
            engine.kernel.dispatch(other)
        error = caught.value
        assert (error.name, error.kept, error.limit, error.retryable) == ("other", 100, MAX_KEPT_SIGNALS, True)
        assert str(error) == f"run '{run.id}' keeps 100 signals (at most 100), and no stage waits for 'other' now"
        assert len(run.head.signals) == MAX_KEPT_SIGNALS

    def test_an_annotation_at_its_limit_is_kept_and_above_it_fails_the_attempt(self, engine: VirtualEngine) -> None:
        most = "x" * (MAX_ANNOTATION_BYTES - 2)

        @stage("note")
        def note(item: Item, ctx: StageContext) -> Item:
            ctx.annotate("source", most)
            if item.name == "more":
                ctx.annotate("source", most + "x")
            return item

        workflow = Workflow("w", input=Item).pipe(note).build()
        kept = engine.run(workflow, ITEM)
        assert [annotation.value for annotation in engine.persistence.list_annotations(kept.id)] == [most]
        refused = engine.run(workflow, Item(name="more"))
        assert refused.error is not None
        assert refused.error.type == "PayloadTooLargeError"

    def test_a_start_beyond_the_life_of_a_run_is_refused(self, engine: VirtualEngine) -> None:
        workflow = Workflow("w", input=Item, max_duration=DAY).pipe(copy).build()
        with pytest.raises(InvalidInputError):
            engine.start(workflow, ITEM, start_at=engine.clock.now() + 2 * DAY)


def test_a_wait_of_a_month_outlives_nothing_that_the_run_needs(engine: VirtualEngine) -> None:
    @stage("report", requires=[copy])
    def report(item: Item, ctx: StageContext) -> Item:
        return Item(name=ctx.require(copy).name + ctx.attributes["note"])

    workflow = (
        Workflow("w", input=Item, max_duration=40 * DAY).pipe(copy).pipe(sleep("nap", 31 * DAY)).pipe(report).build()
    )
    note = "y" * 300
    run = engine.run(workflow, ITEM, attributes={"note": note})
    head = run.head
    stored = engine.persistence.load_input(run.id, head.input_hash or "")
    assert stored is not None
    expiries = [record.expires_at for record in run.records] + [stored.expires_at]
    assert run.output == {"name": "x" + note}
    assert engine.clock.now() - head.created_at >= 31 * DAY
    assert min(expiries) >= head.created_at + 40 * DAY
    # No run id is reborn over what an older run left.
    assert head.expires_at > max(expiries)


def test_a_workflow_deployed_without_the_stage_a_run_is_in_fails_the_run_with_the_difference(
    engine: VirtualEngine,
) -> None:
    run = engine.run(asking, ITEM)
    engine.deploy(Workflow("asking", input=Item).pipe(copy).build())
    engine.advance(2 * HOUR)
    assert run.error is not None
    assert (run.status, run.error.type) == (Status.FAILED, "DefinitionChangedError")
    assert "the group the run is in was 'ask' and is nothing" in run.error.message
