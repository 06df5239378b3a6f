"""A long chain costs the same for each of its stages, and so does one whose stages are tried again."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from tests.engine.large_groups import CountingPersistence
from workflow_engine import RerunFrom, RetryPolicy, StageContext, Status, Workflow, WorkflowDefinition, stage
from workflow_engine.kernel.queries import archive_format
from workflow_engine.kernel.queries.archiver import Archiver
from workflow_engine.model.limits import MAX_HEAD_WINNERS
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

AGAIN = RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=1))


class Number(BaseModel):
    """What the stages hand on: how many there were, and what the first said."""

    value: int = 0
    first: int = -1


def stubborn_chain(length: int, *, retries: int = 1, salt: int = 0) -> WorkflowDefinition:
    """Each stage fails *retries* times; the last one looks at what the others answered."""
    workflow = Workflow("stubborn", input=Number)
    for number in range(length):

        @stage(f"stage-{number}", retry=AGAIN)
        def add(given: Number, ctx: StageContext[Any], number: int = number) -> Number:
            if ctx.attempt <= retries:
                raise ConnectionError("not yet")
            first = -1 if number == 0 else ctx.require("stage-0").value
            if number == length - 1:
                earlier = [ctx.require(f"stage-{index}").value for index in range(number)]
                assert earlier == [index + 1 + salt for index in range(number)]
            return Number(value=given.value + 1 + (salt if number == 0 else 0), first=first)

        workflow.pipe(add)
    return workflow.build()


def ran(length: int, **options: int) -> tuple[VirtualRun, CountingPersistence]:
    clock = FakeClock()
    store = CountingPersistence(clock)
    engine = VirtualEngine(clock=clock, persistence=store)
    run = engine.run(stubborn_chain(length, **options), {})
    assert run.status is Status.COMPLETED
    assert run.output["value"] == length
    return run, store


def test_a_chain_of_a_thousand_with_a_retry_a_stage_costs_ten_times_one_of_a_hundred() -> None:
    units, heads = {}, {}
    for length in (100, 300, 1000):
        _, store = ran(length)
        units[length], heads[length] = store.head_units + store.items["put_winners"], store.largest_head
    assert units[1000] <= 1000 / 300 * units[300] + 10
    assert units[1000] <= 10 * units[100]
    assert heads[1000] <= heads[100] + 64
    assert heads[1000] < 1024


def test_a_chain_that_is_never_tried_again_writes_nothing_for_it() -> None:
    _, store = ran(100, retries=0)
    assert store.items["put_winners"] == 0


def test_a_long_chain_is_shown_and_archived_with_the_attempts_that_count() -> None:
    run, _ = ran(60)
    engine = run.engine
    assert run.head.winners_from > 0
    assert len(run.head.winners) <= MAX_HEAD_WINNERS + 1
    view = engine.kernel.queries.run(run.id)
    assert [shown.counted is not None and shown.counted.attempt for shown in view.stages] == [2] * 60
    data = Archiver(
        persistence=engine.persistence, blobs=engine.blob_store, definitions=engine.kernel.parts.definitions
    ).lines(run.head)
    stored = archive_format.read(data)
    assert len(stored.head.winners) == 60
    again = stored.view(engine.kernel.registry.get("stubborn"))
    assert [shown.counted is not None and shown.counted.attempt for shown in again.stages] == [2] * 60


@pytest.mark.parametrize("again_from", [0, 10, 30, 59])
def test_a_rerun_of_a_long_chain_finds_what_it_keeps_and_nothing_that_it_discards(again_from: int) -> None:
    run, _ = ran(60)
    engine = run.engine
    for _ in range(2):
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id=f"stage-{again_from}"))
        engine.drive(run)
        assert run.status is Status.COMPLETED
        assert run.output["value"] == 60
        view = engine.kernel.queries.run(run.id)
        epochs = [shown.counted.key.epoch for shown in view.stages if shown.counted is not None]
        assert len(epochs) == 60
        assert epochs == sorted(epochs)


def test_a_head_does_not_grow_with_its_reruns() -> None:
    run, store = ran(3)
    sizes = set()
    for _ in range(100):
        run.engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="stage-1"))
        run.engine.drive(run)
        sizes.add(store.largest_head)
    assert max(sizes) - min(sizes) <= 16
