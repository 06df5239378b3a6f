"""``ctx.step``: what a stage's body does under a name is done once, and found by every later attempt."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from tests.engine.bodies import (
    MINUTE,
    ONCE,
    SECOND,
    Counted,
    Item,
    MakeKernel,
    bodied,
    bodied_async,
    fails_once,
    names,
)
from workflow_engine import (
    CreateRun,
    RerunFrom,
    RetryPolicy,
    StageContext,
    Status,
    StepFailedError,
    StepNameError,
    Workflow,
    stage,
)
from workflow_engine.hosts import ServerlessHost
from workflow_engine.model.limits import MAX_STEPS
from workflow_engine.testing.engine import VirtualEngine


class TestOnce:
    def test_a_step_is_taken_once_however_often_its_stage_is_tried(self, engine: VirtualEngine) -> None:
        charge, fail = Counted(990), fails_once()

        def body(ctx: StageContext[Any]) -> Any:
            cents = ctx.step("charge", charge, "card", 1)
            fail(ctx)
            return cents

        run = engine.run(bodied(body), Item())
        assert (run.status, run.output) == (Status.COMPLETED, {"value": 990})
        assert charge.calls == [("card", 1)]
        assert names(run) == {"charge": "990"}

    def test_an_async_step_is_awaited_and_taken_once(self, engine: VirtualEngine) -> None:
        calls: list[int] = []

        async def fetch(number: int) -> list[int]:
            await asyncio.sleep(0)
            calls.append(number)
            return [number] * 2

        async def body(ctx: StageContext[Any]) -> Any:
            both = await asyncio.gather(ctx.step("a", fetch, 1), ctx.step("b", fetch, 2))
            fails_once()(ctx)
            return both

        run = engine.run(bodied_async(body), Item())
        assert (run.output, sorted(calls)) == ({"value": [[1, 1], [2, 2]]}, [1, 2])

    def test_steps_may_be_taken_in_threads(self, engine: VirtualEngine) -> None:
        work = {n: Counted(n) for n in range(8)}

        def body(ctx: StageContext[Any]) -> Any:
            with ThreadPoolExecutor(4) as pool:
                done = list(pool.map(lambda n: ctx.step(f"part-{n}", work[n]), range(8)))
            fails_once()(ctx)
            return done

        run = engine.run(bodied(body), Item())
        assert run.output == {"value": list(range(8))}
        assert {len(one.calls) for one in work.values()} == {1}

    def test_the_commit_waits_for_a_step_that_a_thread_is_at(self, engine: VirtualEngine) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def slow() -> str:
            begun.set()
            go_on.wait(10)
            return "late"

        def body(ctx: StageContext[Any]) -> Any:
            threading.Thread(target=lambda: ctx.step("slow", slow), daemon=True).start()
            begun.wait(10)
            threading.Timer(0.05, go_on.set).start()
            return 1

        run = engine.run(bodied(body), Item())
        assert names(run) == {"slow": '"late"'}

    def test_the_first_body_gets_what_every_later_one_gets(self, engine: VirtualEngine) -> None:
        seen: list[Any] = []

        def parts() -> tuple[int, set[str]]:
            return 1, {"a"}

        def body(ctx: StageContext[Any]) -> Any:
            seen.append(ctx.step("parts", parts))
            fails_once()(ctx)

        engine.run(bodied(body), Item())
        assert seen == [(1, {"a"})] * 2

    def test_a_rerun_takes_all_steps_anew(self, engine: VirtualEngine) -> None:
        charge = Counted(990)
        run = engine.run(bodied(lambda ctx: ctx.step("charge", charge)), Item())
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="work"))
        engine.drive(run)
        assert len(charge.calls) == 2
        assert len(engine.persistence.list_steps(run.id)) == 2

    def test_a_key_is_the_same_on_each_attempt_and_another_after_a_rerun(self, engine: VirtualEngine) -> None:
        keys: list[str] = []

        def body(ctx: StageContext[Any]) -> Any:
            keys.append(ctx.key("charge"))
            assert ctx.key("charge") != ctx.key("refund") != ctx.under("charge").key("refund")
            fails_once()(ctx)

        run = engine.run(bodied(body), Item())
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="work"))
        engine.drive(run)
        assert len(keys) == 4
        assert [keys[0] == key for key in keys] == [True, True, False, False]

    def test_the_results_so_far_are_at_hand(self, engine: VirtualEngine) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            ctx.under("item-1").step("get", Counted({"a": [1]}))
            ctx.step("large", Counted("x" * 10_000))
            steps = ctx.steps
            return [sorted(steps), steps["item-1/get"], len(steps["large"])]

        assert engine.run(bodied(body), Item()).output == {
            "value": [["item-1/get", "large"], {"a": [1]}, 10_000],
        }

    def test_what_a_step_has_stored_is_found_by_the_body_that_goes_on(self, engine: VirtualEngine) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            ctx.step("save", lambda: ctx.storage.save("report", "the text"))
            ctx.sleep("nap", MINUTE)
            fails_once()(ctx)
            ctx.sleep("then", MINUTE)
            text = ctx.storage.load("report").decode()
            ctx.storage.delete("report")
            return [text, ctx.storage.exists("report")]

        assert engine.run(bodied(body), Item()).output == {"value": ["the text", False]}

    def test_what_was_logged_before_the_last_answered_step_is_kept_once(self, engine: VirtualEngine) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            ctx.log("info", "begins")
            ctx.annotate("begun", 1)
            ctx.step("first", Counted())
            ctx.log("info", "goes on")
            fails_once()(ctx)

        run = engine.run(bodied(body), Item())
        assert [line.message for line in engine.persistence.list_logs(run.id)] == ["begins", "goes on", "goes on"]
        assert [note.name for note in engine.persistence.list_annotations(run.id)] == ["begun"]


class TestNames:
    @pytest.mark.parametrize("name", ["", "a#b", "line\nbreak", "x" * 257, "\ud800", "nul\0", 7, None])
    def test_what_is_no_name_is_refused(self, engine: VirtualEngine, name: Any) -> None:
        run = engine.run(bodied(lambda ctx: ctx.step(name, Counted()), retry=ONCE), Item())
        if name in (7, None):
            # As a text it is one.
            assert run.status is Status.COMPLETED
            return
        assert run.error is not None
        assert run.error.type == "StepNameError"

    def test_a_name_is_used_once(self, engine: VirtualEngine) -> None:
        second = Counted()

        def body(ctx: StageContext[Any]) -> Any:
            ctx.step("a/b", Counted())
            with pytest.raises(StepNameError, match="used already"):
                ctx.under("a").step("b", second)
            return ctx.under("a").step("c", Counted(3))

        assert engine.run(bodied(body), Item()).output == {"value": 3}
        assert second.calls == []

    def test_a_step_has_no_steps_of_its_own(self, engine: VirtualEngine) -> None:
        inner = Counted()

        def body(ctx: StageContext[Any]) -> Any:
            with pytest.raises(StepFailedError, match="a step has no steps of its own"):
                ctx.step("outer", lambda: ctx.step("inner", inner))
            return ctx.step("after", Counted(1))

        run = engine.run(bodied(body), Item())
        assert (run.output, inner.calls) == ({"value": 1}, [])

    def test_a_stage_has_up_to_a_thousand(self) -> None:
        engine = VirtualEngine()

        def body(ctx: StageContext[Any]) -> Any:
            for n in range(MAX_STEPS):
                ctx.step(f"{n}", Counted(n))
            return ctx.step("one more", Counted())

        run = engine.run(bodied(body), Item())
        assert run.error is not None
        assert run.error.type == "StepNameError"
        assert len(engine.persistence.list_steps(run.id)) == MAX_STEPS


def test_a_body_that_was_given_up_takes_no_further_step() -> None:
    """In a thread it cannot be stopped: its code goes on, and must not go on with what others do again."""
    engine, go_on, ended = VirtualEngine(), threading.Event(), threading.Event()
    taken, seen = list[str](), list[str]()

    def hangs() -> None:
        taken.append("first")
        go_on.wait(10)

    def body(ctx: StageContext[Any]) -> Any:
        if ctx.attempt == 2:
            return ctx.step("first", partial(taken.append, "again"))
        try:
            ctx.step("first", hangs)
            ctx.step("second", lambda: taken.append("second"))
        except BaseException as error:
            seen.append(type(error).__name__)
            raise
        finally:
            ended.set()

    run = engine.start(bodied(body, timeout=timedelta(seconds=0.2)), Item())
    thread = threading.Thread(target=engine.drive, args=(run,))
    thread.start()
    thread.join(20)
    assert (run.status, taken) == (Status.COMPLETED, ["first", "again"])
    go_on.set()
    assert ended.wait(10)
    assert (taken, seen) == (["first", "again"], ["BodySuspended"])


def test_a_body_outlives_its_invocation(engine: VirtualEngine) -> None:
    leases: list[int] = []

    def takes_time() -> int:
        engine.clock.advance(7 * SECOND)
        return 1

    def body(ctx: StageContext[Any]) -> Any:
        leases.append(ctx.attempt)
        return sum(ctx.step(f"page-{n}", takes_time) for n in range(40))

    run = engine.run(bodied(body), Item())
    assert (run.output, set(leases)) == ({"value": 40}, {1})
    # Eight of seven seconds do not fit into a minute with ten to spare.
    assert len(leases) == 5
    assert [record.attempt for record in run.records] == [1]


def test_a_body_whose_steps_take_longer_than_that_goes_on_one_by_one(engine: VirtualEngine) -> None:
    leases: list[int] = []

    def takes_time() -> int:
        engine.clock.advance(55 * SECOND)
        return 1

    def body(ctx: StageContext[Any]) -> Any:
        leases.append(ctx.attempt)
        return sum(ctx.step(f"page-{n}", takes_time) for n in range(3))

    assert engine.run(bodied(body), Item()).output == {"value": 3}
    assert leases == [1, 1, 1]


def test_a_stage_with_steps_costs_a_write_for_each_and_a_read_only_when_it_is_tried_again(
    make_kernel: MakeKernel, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    attempts: list[int] = []

    @stage("work", timeout=MINUTE, retry=RetryPolicy(max_attempts=2, first_delay=timedelta(0), jitter=False))
    def work(item: Item, ctx: StageContext) -> Item:
        attempts.append(ctx.attempt)
        total = sum(ctx.step(f"part-{n}", partial(int, n)) for n in range(5))
        if item.value == "shaky" and ctx.attempt == 1:
            raise ConnectionError("not yet")
        return Item(value=total)

    kernel = make_kernel(Workflow("stepping", input=Item).pipe(work).build())

    def asked(value: Any) -> tuple[list[str], int]:
        kernel.submit(CreateRun(workflow_id="stepping", input={"value": value}))
        requests.clear()
        host = ServerlessHost(kernel, kernel.parts.job_transport, "worker")
        host.process_available_jobs()
        if value == "shaky":
            host.process_available_jobs()
        steps = [one for _, one in requests if one.get("Item", {}).get("sk", {}).get("S", "").startswith("STEP#")]
        return [operation for operation, _ in requests], len(steps)

    asked("warm")
    calm, steps = asked("calm")
    assert (calm.count("PutItem"), calm.count("UpdateItem"), steps) == (1 + 5, 2, 5)
    assert not {"GetItem", "BatchGetItem", "Query"} & {*calm}
    shaky, steps = asked("shaky")
    assert (shaky.count("Query"), steps) == (1, 5)


def test_a_stage_is_the_same_with_and_without_a_context() -> None:
    """Steps are nothing that a run is held to."""

    @stage("work")
    def plain(item: Item, ctx: StageContext) -> Item:
        return item

    @stage("work")
    def stepping(item: Item, ctx: StageContext) -> Item:
        return Item(value=ctx.step("a", Counted()))

    first, second = (Workflow("w", input=Item).pipe(one).build() for one in (plain, stepping))
    assert first.fingerprint == second.fingerprint
