"""``parallel(…, inline=True)``: the stages of a group side by side, in the invocation that enters it."""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from pydantic import BaseModel

from workflow_engine import (
    CancelRun,
    CreateRun,
    RetryPolicy,
    Stage,
    StageContext,
    StageResult,
    Status,
    Suspended,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    WorkflowDefinitionError,
    stage,
)
from workflow_engine.errors import PermanentError
from workflow_engine.hosts import ServerlessHost
from workflow_engine.kernel import Kernel
from workflow_engine.kernel.execution.time_limit import threads_left
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import MAX_INLINE_STAGES
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

MakeKernel: TypeAlias = Callable[..., Kernel]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ONCE = RetryPolicy(max_attempts=1)


class Item(BaseModel):
    value: int = 1


class Pair(BaseModel):
    left: Item
    right: Item


@stage("first", timeout=MINUTE)
def first(item: Item) -> Item:
    return item


@stage("join", timeout=MINUTE)
def join(pair: Pair) -> Item:
    return Item(value=pair.left.value + pair.right.value)


def side(name: str, work: Callable[[StageContext[Any]], int] = lambda _: 1, **options: Any) -> Stage[..., Item]:
    @stage(name, **{"timeout": MINUTE, **options})
    def body(item: Item, ctx: StageContext) -> Item:
        return Item(value=item.value + work(ctx))

    return body


def pairing(left: Stage[..., Any], right: Stage[..., Any], *, begins: bool = True) -> WorkflowDefinition:
    workflow = Workflow("pairing", input=Item)
    if begins:
        workflow = workflow.pipe(first)
    return workflow.parallel(left, right, inline=True).pipe(join).build()


def test_its_stages_run_at_the_same_time(engine: VirtualEngine) -> None:
    meeting = threading.Barrier(2, timeout=10)

    def meets(_: Any) -> int:
        meeting.wait()
        return 1

    run = engine.run(pairing(side("left", meets), side("right", meets)), Item())
    assert (run.status, run.output) == (Status.COMPLETED, {"value": 4})
    assert engine.job_transport.pending() == 0


def test_async_stages_do_too(engine: VirtualEngine) -> None:
    both = threading.Barrier(2, timeout=10)

    def waiting(name: str) -> Stage[..., Any]:
        @stage(name, timeout=MINUTE)
        async def body(item: Item) -> Item:
            await asyncio.sleep(0.01)
            await asyncio.to_thread(both.wait)
            return item

        return body

    assert engine.run(pairing(waiting("left"), waiting("right")), Item()).output == {"value": 2}


def test_each_has_a_record_and_the_history_of_any_other(engine: VirtualEngine) -> None:
    run = engine.run(pairing(side("left"), side("right")), Item())
    assert [(record.key.stage_id, record.status) for record in run.records] == [
        ("first", Status.COMPLETED),
        ("left", Status.COMPLETED),
        ("right", Status.COMPLETED),
        ("join", Status.COMPLETED),
    ]
    view = engine.kernel.queries.run(run.id)
    assert [stage.status for stage in view.stages] == [Status.COMPLETED] * 4


def test_what_is_large_of_one_is_an_item_and_what_is_small_of_the_others_is_found_beside_it(
    engine: VirtualEngine,
) -> None:
    def noting(name: str, size: int) -> Stage[..., Any]:
        @stage(name, timeout=MINUTE)
        def body(item: Item) -> StageResult[Item]:
            return StageResult(item, {}, {f"page-{n}": "x" * 100 for n in range(size)})

        return body

    @stage("look", timeout=timedelta(minutes=14))
    def look(item: Item, ctx: StageContext) -> Item:
        return Item(value=sum(ctx.require(name).value for name in ("left", "right", "third")))

    class Three(BaseModel):
        left: Item
        right: Item
        third: Item

    @stage("three", timeout=MINUTE)
    def three(given: Three) -> Item:
        return given.left

    sides = [noting("left", 3_000), noting("right", 5), noting("third", 6)]
    workflow = Workflow("noting", input=Item).pipe(first).parallel(*sides, inline=True).pipe(three).pipe(look).build()
    run = engine.run(workflow, Item())
    assert (run.status, run.output) == (Status.COMPLETED, {"value": 3})
    assert [len(record.artifacts) for record in run.records] == [0, 3_000, 5, 6, 0, 0]


def test_it_is_rerun_from_one_of_its_stages(engine: VirtualEngine) -> None:
    from workflow_engine import RerunFrom

    run = engine.run(pairing(side("left"), side("right")), Item())
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="right"))
    engine.drive(run)
    assert (run.output, len(run.records)) == ({"value": 4}, 7)


def test_a_run_may_begin_with_one(engine: VirtualEngine) -> None:
    engine.deploy(workflow := pairing(side("left"), side("right"), begins=False))
    run_id = engine.kernel.submit(CreateRun(workflow_id=workflow.id, input={}))
    engine.host.process_available_jobs()
    assert VirtualRun(engine, RunId(run_id)).output == {"value": 4}
    assert engine.job_transport.pending() == 0


def test_one_that_fails_for_good_ends_the_run_while_the_others_are_at_work(engine: VirtualEngine) -> None:
    seen: list[Status] = []

    def breaks(_: Any) -> int:
        raise PermanentError("no")

    def watches(ctx: StageContext[Any]) -> int:
        for _ in range(200):
            head = engine.persistence.load_head(RunId(ctx.run_id))
            assert head is not None
            if head.status.is_terminal:
                seen.append(head.status)
                break
            threading.Event().wait(0.02)
        return 1

    run = engine.run(pairing(side("left", breaks, retry=ONCE), side("right", watches)), Item())
    assert (run.status, seen) == (Status.FAILED, [Status.FAILED])
    assert run.error is not None
    assert run.error.message == "no"
    # What the other one came to does not count, and is kept all the same.
    statuses = {record.key.stage_id: record.status for record in run.records}
    assert statuses == {"first": Status.COMPLETED, "left": Status.FAILED, "right": Status.COMPLETED}


def test_one_that_is_tried_again_is_a_message_of_its_own(engine: VirtualEngine) -> None:
    def shaky(ctx: StageContext[Any]) -> int:
        if ctx.attempt == 1:
            raise ConnectionError("not yet")
        return 10

    run = engine.start(pairing(side("left", shaky, retry=RetryPolicy(first_delay=MINUTE)), side("right")), Item())
    engine.host.process_available_jobs()
    assert [entry.state.name for entry in run.head.active] == ["WAITING", "DONE"]
    assert engine.job_transport.pending() == 1
    engine.drive(run)
    assert run.output == {"value": 13}


def test_one_may_wait_for_a_check_and_one_for_a_person(engine: VirtualEngine) -> None:
    @stage("left", timeout=MINUTE)
    def left(item: Item) -> Suspended[Item]:
        return Suspended(item, poll_every=HOUR)

    @left.check_completion
    def looked_at(item: Item) -> Item:
        return Item(value=10)

    @stage("right", timeout=MINUTE)
    def right(item: Item) -> WaitForSignal[Item]:
        return WaitForSignal("go", Item)

    @right.on_signal
    def heard(item: Item) -> Item:
        return item

    run = engine.run(pairing(left, right), Item())
    assert run.waiting_for == ("go",)
    engine.signal(run, "go", Item(value=5))
    assert run.output == {"value": 15}


def test_without_the_time_for_it_each_stage_is_a_message(engine: VirtualEngine) -> None:
    long = side("left", timeout=timedelta(minutes=14))
    run = engine.start(pairing(long, side("right")), Item())
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    engine.host.handle_job(delivery, deadline=engine.clock.now() + 10 * MINUTE)
    engine.job_transport.complete(delivery)
    assert [entry.state.name for entry in run.head.active] == ["READY", "READY"]
    assert engine.job_transport.pending() == 2
    engine.drive(run)
    assert run.output == {"value": 4}


def test_a_cancel_in_between_wins(engine: VirtualEngine) -> None:
    def cancels(ctx: StageContext[Any]) -> int:
        engine.kernel.dispatch(CancelRun(run_id=ctx.run_id))
        return 1

    run = engine.run(pairing(side("left", cancels), side("right")), Item())
    assert (run.status, run.output) == (Status.CANCELLED, None)


def test_a_signal_in_between_is_kept(engine: VirtualEngine) -> None:
    @stage("ask", timeout=MINUTE)
    def ask(item: Item) -> WaitForSignal[Item]:
        return WaitForSignal("go", Item)

    @ask.on_signal
    def heard(item: Item) -> Item:
        return item

    def sends(ctx: StageContext[Any]) -> int:
        from workflow_engine import SignalRun

        engine.kernel.dispatch(SignalRun(run_id=ctx.run_id, name="go", payload={"value": 7}))
        return 1

    workflow = Workflow("w", input=Item).pipe(first).parallel(side("left", sends), side("right"), inline=True)
    assert engine.run(workflow.pipe(join).pipe(ask).build(), Item()).output == {"value": 7}


def test_a_thread_that_does_not_end_in_time_is_counted_and_its_result_is_not_seen(engine: VirtualEngine) -> None:
    go_on = threading.Event()
    before = threads_left()

    def hangs(_: Any) -> int:
        go_on.wait(20)
        return 1

    hanging = side("left", hangs, timeout=timedelta(seconds=0.2), retry=ONCE)
    run = engine.run(pairing(hanging, side("right")), Item())
    assert threads_left() == before + 1
    go_on.set()
    assert run.error is not None
    assert (run.status, run.error.type) == (Status.FAILED, "StageTimeoutError")


def test_what_a_dead_worker_held_is_taken_over_stage_by_stage(engine: VirtualEngine) -> None:
    dies = [True]

    def dying(ctx: StageContext[Any]) -> int:
        if dies:
            dies.clear()
            raise SystemError from KeyboardInterrupt()
        return 1

    workflow = pairing(side("left", dying, retry=ONCE), side("right"))
    run = engine.start(workflow, Item())
    from dataclasses import replace

    def no_answers(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt
        yield

    kept = engine.settings
    engine.settings = replace(kept, run_group=no_answers)
    engine.deploy(workflow)
    with pytest.raises(KeyboardInterrupt):
        engine.host.process_available_jobs()
    engine.settings = kept
    dies.clear()
    engine.deploy(workflow)
    assert [entry.state.name for entry in run.head.active] == ["LEASED", "LEASED"]
    engine.advance(2 * HOUR)
    assert run.output == {"value": 4}
    assert {record.key.epoch for record in run.records if record.key.group == 1} == {1, 2}


def test_it_takes_the_writes_of_one_stage(make_kernel: MakeKernel, requests: list[tuple[str, dict[str, Any]]]) -> None:
    kernel = make_kernel(pairing(side("left"), side("right")))
    for _ in range(2):  # a process stores the definition with its first run
        requests.clear()
        kernel.submit(CreateRun(workflow_id="pairing", input={}))
        ServerlessHost(kernel, kernel.parts.job_transport, "worker").process_available_jobs()
    operations = [operation for operation, _ in requests]
    # Create, first and the entry of the group, the group and the entry of the join, the end, its removal.
    assert [one for one in operations if one in ("PutItem", "UpdateItem")] == ["PutItem"] + ["UpdateItem"] * 4
    assert operations.count("SendMessage") == 1
    assert not {"GetItem", "BatchGetItem", "Query", "SendMessageBatch"} & set(operations)


@pytest.mark.parametrize("stages", [MAX_INLINE_STAGES, MAX_INLINE_STAGES + 1])
def test_at_most_sixteen(stages: int) -> None:
    workflow = Workflow("wide", input=Item).parallel(*(side(f"s{n}") for n in range(stages)), inline=True)
    if stages <= MAX_INLINE_STAGES:
        assert workflow.build().inline == {0}
        return
    with pytest.raises(WorkflowDefinitionError, match="at most 16 run in one invocation"):
        workflow.build()


def test_one_alone_is_as_with_pipe() -> None:
    assert Workflow("alone", input=Item).parallel(side("only"), inline=True).build().inline == frozenset()


def test_that_a_group_is_inline_is_nothing_that_a_run_is_held_to() -> None:
    left, right = side("left"), side("right")
    apart = Workflow("pairing", input=Item).pipe(first).parallel(left, right).pipe(join).build()
    assert pairing(left, right).fingerprint == apart.fingerprint
