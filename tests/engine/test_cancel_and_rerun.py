"""``run.cancel`` and ``run.rerun_from``."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias

import pytest
from pydantic import BaseModel

from workflow_engine import (
    CancelRun,
    IdempotencyConflictError,
    InvalidInputError,
    InvalidStateError,
    RerunFrom,
    RetryPolicy,
    RunRerun,
    StageContext,
    StageNotFoundError,
    Status,
    TransientError,
    WaitForSignal,
    Workflow,
    WorkflowCancelled,
    WorkflowDefinition,
    stage,
)
from workflow_engine.model.deliveries import Delivery
from workflow_engine.model.limits import MAX_INLINE_BYTES
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

Meddle: TypeAlias = Callable[..., None]
DAY = timedelta(days=1)
calls: list[str] = []
broken: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()
    broken.clear()


class Item(BaseModel):
    name: str = "x"


class Pair(BaseModel):
    left: Item
    right: Item


ONCE = RetryPolicy(max_attempts=1)


def ran(name: str, item: Item) -> Item:
    calls.append(name)
    if name in broken:
        raise ConnectionError(f"{name} is down")
    return Item(name=f"{item.name}-{name}{len(calls)}")


@stage("first", retry=ONCE)
def first(item: Item) -> Item:
    return ran("first", item)


@stage("left", retry=ONCE)
def left(item: Item) -> Item:
    return ran("left", item)


@stage("right", retry=ONCE)
def right(item: Item) -> Item:
    return ran("right", item)


@stage("last", retry=ONCE)
def last(pair: Pair) -> Item:
    return ran("last", pair.left)


diamond = Workflow("diamond", input=Item).pipe(first).parallel(left, right).pipe(last).build()


def rerun(engine: VirtualEngine, run: VirtualRun, stage_id: str, **fields: object) -> RunRerun:
    command = RerunFrom.model_validate({"run_id": run.id, "from_stage_id": stage_id, **fields})
    return engine.kernel.dispatch(command)


class TestCancel:
    def test_it_ends_a_pending_run(self, engine: VirtualEngine) -> None:
        run = engine.start(diamond, Item())
        assert engine.kernel.dispatch(CancelRun(run_id=run.id, reason="a mistake")).cancelled
        engine.advance(DAY)
        assert (run.status, run.head.reason, calls) == (Status.CANCELLED, "a mistake", [])
        (event,) = run.events
        assert isinstance(event, WorkflowCancelled)
        assert event.reason == "a mistake"

    def test_a_run_that_is_over_stays_as_it_is(self, engine: VirtualEngine) -> None:
        run = engine.run(diamond, Item())
        assert not engine.kernel.dispatch(CancelRun(run_id=run.id)).cancelled
        assert run.status is Status.COMPLETED

    def test_the_second_cancel_is_told_that_it_came_second(self, engine: VirtualEngine) -> None:
        run = engine.start(diamond, Item())
        answers = [engine.kernel.dispatch(CancelRun(run_id=run.id)).cancelled for _ in range(2)]
        assert answers == [True, False]
        assert len(run.events) == 1

    def test_the_same_key_answers_as_it_did_before(self, engine: VirtualEngine) -> None:
        run = engine.start(diamond, Item())
        command = CancelRun(run_id=run.id, idempotency_key="k")
        assert [engine.kernel.dispatch(command).cancelled for _ in range(2)] == [True, True]
        late = CancelRun(run_id=run.id, idempotency_key="late")
        assert [engine.kernel.dispatch(late).cancelled for _ in range(2)] == [False, False]

    def test_the_same_key_for_another_run_is_a_conflict(self, engine: VirtualEngine) -> None:
        one, other = engine.start(diamond, Item()), engine.start(diamond, Item())
        engine.kernel.dispatch(CancelRun(run_id=one.id, idempotency_key="k"))
        with pytest.raises(IdempotencyConflictError):
            engine.kernel.dispatch(CancelRun(run_id=other.id, idempotency_key="k"))
        assert other.status is Status.PENDING

    def test_of_a_group_ends_all_of_it(self, engine: VirtualEngine) -> None:
        run = engine.start(diamond, Item())
        engine.host.process_available_jobs()
        assert run.head.group == 1
        engine.kernel.dispatch(CancelRun(run_id=run.id))
        engine.advance(DAY)
        assert (run.status, calls) == (Status.CANCELLED, ["first"])

    def test_leaves_the_due_index(self, engine: VirtualEngine) -> None:
        run = engine.start(diamond, Item())
        engine.kernel.dispatch(CancelRun(run_id=run.id))
        assert run.head.due_at is None


class TestRerun:
    @pytest.mark.parametrize(
        ("stage_id", "discarded", "again"),
        [
            ("first", ["first", "left", "right", "last"], ["first", "left", "right", "last"]),
            ("left", ["left", "right", "last"], ["left", "right", "last"]),
            ("right", ["left", "right", "last"], ["left", "right", "last"]),
            ("last", ["last"], ["last"]),
        ],
    )
    def test_a_completed_run_goes_again_from_the_group_of_a_stage(
        self, engine: VirtualEngine, stage_id: str, discarded: list[str], again: list[str]
    ) -> None:
        run = engine.run(diamond, Item())
        calls.clear()
        result = rerun(engine, run, stage_id)
        assert (result.from_stage_id, result.discarded_stages) == (stage_id, discarded)
        assert (run.status, run.output) == (Status.RUNNING, None)
        engine.drive(run)
        assert sorted(calls) == sorted(again)
        assert run.status is Status.COMPLETED

    def test_a_failed_run_goes_again_from_where_it_failed(self, engine: VirtualEngine) -> None:
        broken.append("right")
        run = engine.run(diamond, Item())
        assert (run.status, run.head.failure is not None) == (Status.FAILED, True)
        broken.clear()
        rerun(engine, run, "right")
        assert (run.error, run.head.failure) == (None, None)
        engine.drive(run)
        assert (run.status, run.error) == (Status.COMPLETED, None)

    def test_a_cancelled_run_goes_again(self, engine: VirtualEngine) -> None:
        run = engine.start(diamond, Item())
        engine.kernel.dispatch(CancelRun(run_id=run.id))
        rerun(engine, run, "first")
        engine.drive(run)
        assert (run.status, run.head.reason) == (Status.COMPLETED, None)

    def test_a_run_may_be_rerun_again_and_again(self, engine: VirtualEngine) -> None:
        run = engine.run(diamond, Item())
        for stage_id in ("last", "left", "first", "last"):
            rerun(engine, run, stage_id)
            engine.drive(run)
            assert run.status is Status.COMPLETED

    def test_older_attempts_stay_as_history(self, engine: VirtualEngine) -> None:
        run = engine.run(diamond, Item())
        rerun(engine, run, "last")
        engine.drive(run)
        last_stage = engine.kernel.queries.run(run.id).stages[-1]
        assert [attempt.key.epoch for attempt in last_stage.attempts] == [0, 1]
        assert last_stage.counted == last_stage.attempts[1]

    def test_outputs_from_the_target_on_are_seen_by_no_stage(self, engine: VirtualEngine) -> None:
        seen: list[object] = []

        @stage("look")
        def look(item: Item, ctx: StageContext) -> Item:
            seen.append((ctx.optional("first"), ctx.optional("later")))
            return item

        @stage("later")
        def later(item: Item) -> Item:
            return item

        run = engine.run(Workflow("w", input=Item).pipe(look).pipe(later).build(), Item())
        rerun(engine, run, "look")
        engine.drive(run)
        assert seen == [(None, None), (None, None)]

    def test_with_new_input_the_config_and_the_attributes_stay(self, engine: VirtualEngine) -> None:
        seen: list[tuple[str, object]] = []

        @stage("look")
        def look(item: Item, ctx: StageContext) -> Item:
            seen.append((item.name, ctx.attributes))
            return item

        run = engine.run(Workflow("w", input=Item).pipe(look).build(), Item(name="old"), attributes={"a": 1})
        rerun(engine, run, "look", input={"name": "new"})
        engine.drive(run)
        assert seen == [("old", {"a": 1}), ("new", {"a": 1})]

    def test_new_input_that_does_not_validate_changes_nothing(self, engine: VirtualEngine) -> None:
        run = engine.run(diamond, Item())
        version = run.head.version
        with pytest.raises(InvalidInputError):
            rerun(engine, run, "first", input={"name": 3})
        assert (run.status, run.head.version) == (Status.COMPLETED, version)

    def test_a_live_run_cannot_be_rerun(self, engine: VirtualEngine) -> None:
        run = engine.start(diamond, Item())
        with pytest.raises(InvalidStateError) as caught:
            rerun(engine, run, "first")
        assert (caught.value.status, caught.value.command) == ("PENDING", "run.rerun_from")

    def test_a_stage_that_the_run_never_came_to_cannot_be_the_target(self, engine: VirtualEngine) -> None:
        broken.append("first")
        run = engine.run(diamond, Item())
        with pytest.raises(StageNotFoundError):
            rerun(engine, run, "last")
        with pytest.raises(StageNotFoundError):
            rerun(engine, run, "nowhere")

    def test_the_same_key_with_other_content_is_a_conflict(self, engine: VirtualEngine) -> None:
        run = engine.run(diamond, Item())
        rerun(engine, run, "last", idempotency_key="k")
        engine.drive(run)
        with pytest.raises(IdempotencyConflictError):
            rerun(engine, run, "first", idempotency_key="k")

    def test_a_rerun_message_that_is_delivered_again_later_starts_no_second_rerun(self, engine: VirtualEngine) -> None:
        run = engine.run(diamond, Item())
        body = RerunFrom(run_id=run.id, from_stage_id="last").model_dump_json()
        message = Delivery(message_id="m-1", body=body, receipt="r")
        first_answer = engine.host.handle_job(message)
        engine.drive(run)
        calls.clear()
        assert engine.host.handle_job(message).result == first_answer.result
        engine.drive(run)
        assert calls == []

    def test_what_a_run_has_gets_a_new_life(self, engine: VirtualEngine) -> None:
        run = engine.run(diamond, Item(name="y" * 300))
        engine.clock.advance(20 * DAY)
        rerun(engine, run, "last")
        head = run.head
        assert head.deadline == engine.clock.now() + 30 * DAY
        stored = engine.persistence.load_input(run.id, head.input_hash or "")
        assert stored is not None
        expiries = [record.expires_at for record in run.records] + [stored.expires_at]
        assert min(expiries) >= head.deadline
        assert head.expires_at > max(expiries)

    def test_a_wait_can_be_the_target(self, engine: VirtualEngine) -> None:
        @stage("ask")
        def ask(item: Item) -> WaitForSignal[Item]:
            return WaitForSignal("answer", Item)

        @ask.on_signal
        def answered(item: Item) -> Item:
            return item

        run = engine.run(Workflow("w", input=Item).pipe(ask).build(), Item())
        engine.signal(run, "answer", Item(name="one"))
        rerun(engine, run, "ask")
        engine.drive(run)
        assert run.waiting_for == ("answer",)
        engine.signal(run, "answer", Item(name="two"))
        assert run.output == {"name": "two"}


class TestBlobsOfARerun:
    LONG = "y" * MAX_INLINE_BYTES

    def blobs(self, engine: VirtualEngine, run: VirtualRun) -> list[str]:
        return [key.removeprefix(f"runs/{run.id}/") for key in engine.blob_store.list(f"runs/{run.id}/")]

    def test_blobs_of_discarded_attempts_are_removed_and_others_kept(self, engine: VirtualEngine) -> None:
        workflow = self.workflow_of()
        run = engine.run(workflow, Item(name=self.LONG))
        (input_key,) = [key for key in self.blobs(engine, run) if key.startswith("input/")]
        kept = ["0/one/0/output.json", "0/one/0/storage/page"]
        assert self.blobs(engine, run) == [*kept, "1/two/0/output.json", input_key]
        rerun(engine, run, "two")
        assert self.blobs(engine, run) == [*kept, input_key]
        engine.drive(run)
        assert self.blobs(engine, run) == [*kept, "1/two/1/output.json", input_key]
        assert run.output == {"name": self.LONG}

    def test_they_are_removed_after_the_commit_only(self, engine: VirtualEngine, meddle: Meddle) -> None:
        workflow = self.workflow_of()
        run = engine.run(workflow, Item(name=self.LONG))
        before = self.blobs(engine, run)

        def fail() -> None:
            raise TransientError(service="dynamodb", operation="UpdateItem", code="InternalServerError")

        meddle(engine, "commit", fail, workflow)
        with pytest.raises(TransientError):
            rerun(engine, run, "one")
        assert (run.status, self.blobs(engine, run)) == (Status.COMPLETED, before)
        assert run.output == {"name": self.LONG}

    def workflow_of(self) -> WorkflowDefinition:
        @stage("one")
        def one(item: Item, ctx: StageContext) -> Item:
            ctx.storage.save("page", b"1")
            return item

        @stage("two")
        def two(item: Item) -> Item:
            return item

        return Workflow("w", input=Item).pipe(one).pipe(two).build()
