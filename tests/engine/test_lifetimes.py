"""What a run needs lives as long as the run, in a bucket that deletes by age and a table with a time to live."""

from datetime import timedelta

import pytest
from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import CreateRun, Status, Workflow, sleep, stage
from workflow_engine.adapters.memory import MemoryBlobStore, MemoryPersistence
from workflow_engine.errors import InvalidInputError, InvalidStateError
from workflow_engine.kernel import KernelSettings
from workflow_engine.model.commands import RerunFrom
from workflow_engine.model.deliveries import Delivery, body_of
from workflow_engine.model.ids import run_id_for
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.engine import VirtualEngine

DAY = timedelta(days=1)
BIG = "x" * 20_000


class Text(BaseModel):
    text: str


@stage("first")
def first(given: Text) -> Text:
    return given


@stage("second")
def second(given: Text) -> Text:
    return given


@stage("last")
def last(given: Text) -> Text:
    return given


copying = Workflow("copying", input=Text).pipe(first).pipe(second).pipe(last).build()
yearly = Workflow("yearly", input=Text, max_duration=365 * DAY).pipe(sleep("nap", 180 * DAY)).pipe(last).build()


def engine_of(payload_days: int) -> VirtualEngine:
    """An engine whose bucket deletes payloads after *payload_days*."""
    clock, lifetime = FakeClock(), payload_days * DAY
    return VirtualEngine(
        copying,
        yearly,
        clock=clock,
        blob_store=MemoryBlobStore(clock, lifetime=lifetime),
        settings=KernelSettings(payload_lifetime=lifetime),
    )


def test_a_workflow_that_outlives_its_payloads_is_refused_before_anything_is_stored() -> None:
    engine = engine_of(90)
    with pytest.raises(InvalidInputError) as caught:
        engine.start(yearly, {"text": BIG}, idempotency_key="k")
    problem = caught.value.problems[0]
    for figure in ("365 days", "30 days", "7 days", "90 days", "PayloadDays to 402"):
        assert figure in problem
    assert engine.persistence.load_head(run_id_for("yearly", "k")) is None
    assert list(engine.blob_store.list("")) == []


def test_it_runs_where_the_bucket_keeps_its_payloads() -> None:
    engine = engine_of(402)
    run = engine.run(yearly, {"text": BIG})
    assert (run.status, run.output) == (Status.COMPLETED, {"text": BIG})


def test_through_the_queue_it_is_a_dead_letter_with_the_reason() -> None:
    engine = engine_of(90)
    result = engine.host.handle_job(Delivery("m", body_of(CreateRun(workflow_id="yearly", input={"text": ""})), "r"))
    assert result.dead is not None
    assert "PayloadDays to 402" in result.dead.message


@pytest.mark.parametrize(("days", "starts"), [(7, True), (30, True), (31, False)])
def test_a_start_that_is_put_off_counts(days: int, starts: bool) -> None:
    engine = engine_of(90)
    command = CreateRun(workflow_id="copying", input={"text": BIG}, start_at=engine.clock.now() + days * DAY)
    if starts:
        engine.kernel.dispatch(command)
        engine.advance(days * DAY + timedelta(hours=1))
        (run_id,) = engine.persistence.list_runs("copying").run_ids
        assert engine.persistence.load_heads([run_id])[run_id].status is Status.COMPLETED
    else:
        with pytest.raises(InvalidInputError):
            engine.kernel.dispatch(command)


def test_a_run_that_was_created_before_the_bucket_was_shortened_stays_what_its_key_says() -> None:
    engine = engine_of(402)
    run = engine.start(yearly, {"text": BIG}, idempotency_key="k")
    engine.settings = KernelSettings(payload_lifetime=90 * DAY)
    engine.deploy(yearly)
    command = CreateRun(workflow_id="yearly", input={"text": BIG}, idempotency_key="k")
    assert engine.kernel.dispatch(command).run_id == run.id


def test_nothing_is_refused_where_payloads_are_kept_for_ever() -> None:
    engine = VirtualEngine(yearly)
    assert engine.run(yearly, {"text": BIG}).status is Status.COMPLETED


@pytest.mark.parametrize("stage_id", ["first", "second", "last"])
def test_a_run_can_be_rerun_again_and_again_while_it_is_kept(stage_id: str) -> None:
    engine = engine_of(90)
    run = engine.run(copying, {"text": BIG})
    for _ in range(4):
        engine.advance(55 * DAY)
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id=stage_id))
        engine.drive(run)
        assert (run.status, run.output) == (Status.COMPLETED, {"text": BIG})
    engine.advance(37 * DAY)
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="first"))
    engine.drive(run)
    assert run.status is Status.COMPLETED


@pytest.mark.parametrize("text", ["x" * 1000, BIG], ids=["in the table", "in the bucket"])
@pytest.mark.parametrize("stage_id", ["first", "last"])
def test_a_rerun_of_what_has_expired_is_refused_and_changes_nothing(stage_id: str, text: str) -> None:
    engine = engine_of(90)
    run = engine.run(copying, {"text": text})
    before = run.head
    engine.clock.advance(61 * DAY)

    with pytest.raises(InvalidStateError) as caught:
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id=stage_id))

    assert "expired" in caught.value.detail
    assert run.head == before
    assert run.status is Status.COMPLETED


def test_a_rerun_whose_payload_was_deleted_by_hand_is_refused_and_changes_nothing() -> None:
    engine = engine_of(90)
    run = engine.run(copying, {"text": BIG})
    for key in list(engine.blob_store.list(f"runs/{run.id}/1/")):
        engine.blob_store.delete(key)

    with pytest.raises(InvalidStateError) as caught:
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="last"))

    assert caught.value.detail.startswith("the output of second expired")
    assert run.status is Status.COMPLETED
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="second"))
    engine.drive(run)
    assert run.output == {"text": BIG}


def test_a_rerun_is_refused_where_its_payloads_would_be_deleted_before_its_end() -> None:
    engine = engine_of(402)
    run = engine.run(yearly, {"text": BIG})
    engine.settings = KernelSettings(payload_lifetime=90 * DAY)
    engine.deploy(yearly)
    with pytest.raises(InvalidInputError):
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="last"))
    assert run.status is Status.COMPLETED


class SlowBlobs(MemoryBlobStore):
    """Its process stands still while it renews the first payload: for *hours*, in which what has expired goes."""

    engine: VirtualEngine
    still = timedelta(0)

    @override
    def renew(self, key: str) -> None:
        super().renew(key)
        still, self.still = self.still, timedelta(0)
        if still:
            assert isinstance(self.engine.clock, FakeClock)
            self.engine.clock.advance(still)
            assert isinstance(self.engine.persistence, MemoryPersistence)
            self.engine.persistence.forget_expired(self.engine.clock.now())


def test_what_expires_while_a_rerun_stands_still_is_missed_before_it_commits() -> None:
    clock = FakeClock()
    blobs = SlowBlobs(clock, lifetime=90 * DAY)
    engine = VirtualEngine(copying, clock=clock, blob_store=blobs)
    blobs.engine = engine
    run = engine.run(copying, {"text": BIG})
    last_of_all = max(record.expires_at for record in run.records)
    clock.advance(last_of_all - timedelta(hours=1) - clock.now())
    blobs.still = timedelta(hours=2)

    with pytest.raises(InvalidStateError, match="expired"):
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="second"))

    assert run.status is Status.COMPLETED
