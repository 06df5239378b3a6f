"""Waits in a stage's body: ``ctx.sleep``, ``ctx.wait_until``, and what a body makes of a wait. Nothing runs meanwhile."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from tests.engine.bodies import (
    DAY,
    HOUR,
    MINUTE,
    ONCE,
    Answer,
    Body,
    Item,
    MakeKernel,
    bodied,
    bodied_async,
    send,
)
from workflow_engine import (
    CancelRun,
    CreateRun,
    NotReady,
    SignalRun,
    StageContext,
    Status,
    StepFailedError,
    StepNameError,
    Suspended,
    WaitExpiredError,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.hosts import ServerlessHost
from workflow_engine.model.runs import EntryState, WaitKind
from workflow_engine.testing.engine import VirtualEngine


class TestSleep:
    def test_a_body_sleeps_as_long_as_it_says(self, engine: VirtualEngine) -> None:
        began = engine.clock.now()
        calls: list[int] = []

        def body(ctx: StageContext[Any]) -> Any:
            ctx.step("before", lambda: calls.append(1))
            ctx.sleep("nap", 3 * HOUR)
            ctx.step("after", lambda: calls.append(2))
            return (ctx.now() - began).total_seconds()

        run = engine.start(bodied(body), Item())
        engine.work()
        assert (run.status, run.head.active[0].wait, calls) == (Status.SUSPENDED, WaitKind.SLEEP, [1])
        engine.drive(run)
        assert (run.output, calls) == ({"value": 3 * 3600}, [1, 2])
        assert [record.attempt for record in run.records] == [1]

    def test_a_hundred_pauses_leave_the_head_as_small_as_one(self) -> None:
        engine, sizes = VirtualEngine(), set[int]()

        def body(ctx: StageContext[Any]) -> Any:
            for page in range(100):
                ctx.step(f"page-{page}", lambda: page)  # noqa: B023 - called at once
                ctx.sleep("pause", MINUTE)
            return ctx.step("last", lambda: "done")

        run = engine.start(bodied(body), Item())
        began = engine.clock.now()
        while not run.status.is_terminal:
            engine.advance(MINUTE)
            sizes.add(engine.persistence.head_sizes(run.head).apart)
        assert run.output == {"value": "done"}
        assert engine.clock.now() - began < 102 * MINUTE
        assert max(sizes) - min(sizes) < 100
        assert len(engine.persistence.list_steps(run.id)) == 201

    def test_its_end_stays_where_it_was_whatever_happens_to_the_body(self, engine: VirtualEngine) -> None:
        began, tried = engine.clock.now(), list[int]()

        def body(ctx: StageContext[Any]) -> Any:
            tried.append(ctx.attempt)
            if len(tried) == 2:
                raise ConnectionError("before the wait is over in the books")
            ctx.sleep("nap", HOUR)
            return (ctx.now() - began).total_seconds()

        run = engine.run(bodied(body), Item())
        assert tried == [1, 1, 2]
        assert HOUR.total_seconds() <= run.output["value"] < HOUR.total_seconds() + 5

    def test_longer_than_the_run_may_take_it_is_the_runs_end(self, engine: VirtualEngine) -> None:
        run = engine.start(bodied(lambda ctx: ctx.sleep("for ever", timedelta(days=900_000))), Item())
        engine.work()
        assert run.head.active[0].until == run.head.deadline

    @pytest.mark.parametrize("span", [timedelta(0), -MINUTE, 5])
    def test_what_is_no_span_is_refused(self, engine: VirtualEngine, span: Any) -> None:
        run = engine.run(bodied(lambda ctx: ctx.sleep("nap", span), retry=ONCE), Item())
        assert run.error is not None
        assert run.error.type in ("ValueError", "TypeError")


class TestUntil:
    def test_it_looks_at_once_and_then_as_often_as_asked(self, engine: VirtualEngine) -> None:
        looked: list[float] = []
        began = engine.clock.now()

        def state() -> str | None:
            looked.append((engine.clock.now() - began).total_seconds())
            return "built" if len(looked) == 4 else None

        def body(ctx: StageContext[Any]) -> Any:
            return ctx.wait_until("built", state, every=5 * MINUTE)

        run = engine.run(bodied(body), Item())
        assert (run.output, looked) == ({"value": "built"}, [0, 300, 600, 900])

    @pytest.mark.parametrize(("answer", "found"), [(0, True), ("", True), ([], True), (None, False), (False, False)])
    def test_none_and_false_mean_not_yet_and_nothing_else(
        self, engine: VirtualEngine, answer: Any, found: bool
    ) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            return ctx.wait_until("built", lambda: answer, every=MINUTE)

        run = engine.start(bodied(body), Item())
        engine.work()
        assert run.status is (Status.COMPLETED if found else Status.SUSPENDED)

    def test_it_gives_up_when_it_was_told_to(self, engine: VirtualEngine) -> None:
        looked: list[int] = []

        def body(ctx: StageContext[Any]) -> Any:
            try:
                ctx.wait_until("built", lambda: looked.append(1), every=45 * MINUTE, give_up_after=2 * HOUR)
            except WaitExpiredError:
                ctx.sleep("then", MINUTE)
                return len(looked)

        assert engine.run(bodied(body), Item()).output == {"value": 4}

    def test_a_look_that_fails_is_a_step_that_failed(self, engine: VirtualEngine) -> None:
        looked: list[int] = []

        def look() -> str:
            looked.append(1)
            raise ConnectionError("no")

        def body(ctx: StageContext[Any]) -> Any:
            try:
                ctx.wait_until("built", look, every=MINUTE)
            except StepFailedError:
                return ctx.step("else", lambda: "other")

        assert engine.run(bodied(body), Item()).output == {"value": "other"}
        assert looked == [1]

    def test_an_async_look_is_awaited(self, engine: VirtualEngine) -> None:
        looked: list[int] = []

        async def look() -> int | None:
            await asyncio.sleep(0)
            looked.append(1)
            return 5 if len(looked) == 3 else None

        async def body(ctx: StageContext[Any]) -> Any:
            ctx.sleep("first", MINUTE)
            return await ctx.wait_until("built", look, every=MINUTE)

        assert engine.run(bodied_async(body), Item()).output == {"value": 5}


class TestWhateverTheBodyDoes:
    def test_what_swallows_everything_does_not_swallow_the_wait(self, engine: VirtualEngine) -> None:
        after: list[str] = []

        def body(ctx: StageContext[Any]) -> Any:
            try:
                ctx.sleep("nap", HOUR)
            except:  # noqa: E722 - as somebody's code may have it
                try:
                    ctx.step("in between", lambda: after.append("in between"))
                except BaseException:
                    return "too early"
            finally:
                if ctx.now().hour == 0:
                    try:
                        ctx.step("cleanup", lambda: after.append("cleanup"))
                    except BaseException:
                        after.append("refused")
            return "in time"

        run = engine.start(bodied(body), Item())
        engine.work()
        assert (run.status, after) == (Status.SUSPENDED, ["refused"])
        engine.drive(run)
        assert (run.output, after) == ({"value": "in time"}, ["refused"])

    @pytest.mark.parametrize("style", ["gather", "group", "returned", "raises"])
    def test_in_a_task_of_a_group_it_is_the_wait_all_the_same(self, engine: VirtualEngine, style: str) -> None:
        async def waits(ctx: StageContext[Any], n: int) -> Any:
            await asyncio.sleep(0)
            return ctx.wait_for_signal(f"go-{n}", Answer).number

        async def body(ctx: StageContext[Any]) -> Any:
            if style == "raises":
                try:
                    return [await waits(ctx, 0), await waits(ctx, 1)]
                except BaseException as error:
                    raise ValueError("something else") from error
            if style == "group":
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(waits(ctx, n)) for n in range(2)]
                return [task.result() for task in tasks]
            answers = await asyncio.gather(*(waits(ctx, n) for n in range(2)), return_exceptions=style == "returned")
            return [answer if isinstance(answer, int) else repr(answer) for answer in answers]

        run = engine.run(bodied_async(body), Item())
        assert run.waiting_for == ("go-0",)
        send(engine, run, "go-0", 5)
        engine.drive(run)
        assert run.waiting_for == ("go-1",)
        send(engine, run, "go-1", 6)
        engine.drive(run)
        assert run.output == {"value": [5, 6]}
        assert [record.attempt for record in run.records] == [1]

    def test_waits_are_for_the_bodys_own_thread(self, engine: VirtualEngine) -> None:
        seen: list[BaseException] = []

        def body(ctx: StageContext[Any]) -> Any:
            def elsewhere() -> None:
                try:
                    ctx.sleep("nap", HOUR)
                except BaseException as error:
                    seen.append(error)

            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            return ctx.step("goes on", lambda: "on")

        assert engine.run(bodied(body), Item()).output == {"value": "on"}
        assert [type(error) for error in seen] == [StepNameError]

    def test_a_check_and_a_handler_take_steps_and_wait_for_nothing(self, engine: VirtualEngine) -> None:
        taken: list[int] = []

        @stage("work", timeout=MINUTE)
        def work(item: Item) -> Suspended[Item]:
            return Suspended(item, poll_every=MINUTE)

        @work.check_completion
        def check(item: Item, ctx: StageContext) -> Item | NotReady:
            ctx.step("once", lambda: taken.append(1))
            with pytest.raises(StepNameError, match="for no check"):
                ctx.sleep("nap", HOUR)
            return Item(value=len(taken)) if ctx.now().minute > 3 else NotReady()

        run = engine.run(Workflow("checked", input=Item).pipe(work).build(), Item())
        assert run.output == {"value": 1}

    def test_a_stage_may_suspend_behind_waits_of_its_body(self, engine: VirtualEngine) -> None:
        @stage("work", timeout=MINUTE)
        def work(item: Item, ctx: StageContext) -> Suspended[Item]:
            number = ctx.wait_for_signal("go", Answer).number
            return Suspended(Item(value=number), poll_every=HOUR)

        @work.check_completion
        def check(item: Item) -> Item:
            return Item(value=item.value + 1)

        run = engine.run(Workflow("w", input=Item).pipe(work).build(), Item())
        engine.signal(run, "go", {"number": 1})
        assert (run.output, run.head.signals) == ({"value": 2}, ())

    def test_a_cancel_meanwhile_ends_the_run(self, engine: VirtualEngine) -> None:
        run = engine.start(bodied(lambda ctx: ctx.sleep("nap", DAY)), Item())
        engine.work()
        engine.kernel.dispatch(CancelRun(run_id=run.id))
        engine.advance(2 * DAY)
        assert (run.status, run.head.due_at) == (Status.CANCELLED, None)

    def test_a_wait_that_is_renamed_by_a_deploy_begins_anew(self, engine: VirtualEngine) -> None:
        run = engine.start(bodied(lambda ctx: ctx.wait_for_signal("old", Answer)), Item())
        engine.work()
        engine.deploy(bodied(lambda ctx: ctx.wait_for_signal("new", Answer).number))
        send(engine, run, "old", 1)
        engine.drive(run)
        assert run.waiting_for == ("new",)
        engine.signal(run, "new", {"number": 2})
        assert (run.output, run.head.signals) == ({"value": 2}, run.head.signals)

    def test_a_deploy_of_another_version_leaves_a_wait_as_it_is(self, engine: VirtualEngine) -> None:
        def workflow(*more: Any) -> WorkflowDefinition:
            @stage("work", timeout=MINUTE)
            def work(item: Item, ctx: StageContext) -> Item:
                return Item(value=ctx.wait_for_signal("go", Answer).number)

            @stage("more", timeout=MINUTE)
            def further(item: Item) -> Item:
                return item

            found = Workflow("stepping", input=Item).pipe(work)
            return (found.pipe(further) if more else found).build()

        run = engine.start(workflow(), Item())
        engine.work()
        engine.deploy(workflow(1))
        engine.signal(run, "go", {"number": 3})
        assert (run.status, run.output) == (Status.COMPLETED, {"value": 3})

    def test_one_that_becomes_a_step_by_a_deploy_is_told_by_name(self, engine: VirtualEngine) -> None:
        def waits(ctx: StageContext[Any]) -> Any:
            ctx.sleep("nap", MINUTE)
            ctx.sleep("then", DAY)

        run = engine.start(bodied(waits), Item())
        engine.advance(HOUR)
        engine.deploy(bodied(lambda ctx: ctx.step("nap", lambda: 1)))
        engine.advance(2 * DAY)
        assert run.error is not None
        assert run.error.type == "DefinitionChangedError"
        assert "step 'nap'" in run.error.message

    @pytest.mark.parametrize("begun", ["sleep", "signal", "until"])
    @pytest.mark.parametrize("now", ["sleep", "signal", "until"])
    def test_a_wait_that_is_under_way_and_becomes_another_kind_is_told_by_name(
        self, engine: VirtualEngine, begun: str, now: str
    ) -> None:
        kinds: dict[str, Body] = {
            "sleep": lambda ctx: ctx.sleep("x", HOUR),
            "signal": lambda ctx: ctx.wait_for_signal("x", Answer, timeout=HOUR).number,
            "until": lambda ctx: ctx.wait_until("x", lambda: ctx.now().hour > 2 or None, every=HOUR),
        }
        run = engine.start(bodied(kinds[begun]), Item())
        engine.work()
        engine.deploy(bodied(kinds[now]))
        if begun == "signal":
            send(engine, run, "x", 1)
        engine.advance(DAY)
        assert run.status is (Status.COMPLETED if begun == now else Status.FAILED)
        assert begun == now or (run.error is not None and run.error.type == "DefinitionChangedError")

    def test_a_body_that_is_killed_at_its_answer_goes_on_with_it(self, engine: VirtualEngine) -> None:
        """The record is put, the commit that removes the signal is not: the next worker finds both."""
        deaths = [True]

        def body(ctx: StageContext[Any]) -> Any:
            first = ctx.wait_for_signal("go", Answer).number
            if deaths:
                deaths.clear()
                raise KeyboardInterrupt
            return [first, ctx.wait_for_signal("go", Answer).number]

        run = engine.run(bodied(body), Item())
        send(engine, run, "go", 1, "a")
        with pytest.raises(KeyboardInterrupt):
            engine.work()
        assert run.head.active[0].state is EntryState.LEASED
        send(engine, run, "go", 2, "b")
        engine.advance(DAY)
        assert (run.output, run.head.signals) == ({"value": [1, 2]}, ())


def test_a_wait_costs_what_one_costs_and_a_step(
    make_kernel: MakeKernel, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    @stage("work", timeout=MINUTE)
    def work(item: Item, ctx: StageContext) -> Item:
        return Item(value=ctx.wait_for_signal("go", Answer).number)

    @stage("work", timeout=MINUTE)
    def returning(item: Item) -> WaitForSignal[Answer]:
        return WaitForSignal("go", Answer)

    @returning.on_signal
    def heard(answer: Answer) -> Item:
        return Item(value=answer.number)

    def asked(one: Any, key: str) -> list[str]:
        kernel = make_kernel(Workflow("stepping", input=Item).pipe(one).build())
        host = ServerlessHost(kernel, kernel.parts.job_transport, "worker")
        for run in ("warm", key):
            requests.clear()
            run_id = kernel.submit(CreateRun(workflow_id="stepping", input={}, idempotency_key=run))
            host.process_available_jobs()
            kernel.dispatch(SignalRun(run_id=run_id, name="go", payload={"number": 1}, idempotency_key="one"))
            host.process_available_jobs()
        return [operation for operation, _ in requests]

    body, handler = asked(work, "a"), asked(returning, "b")
    for operation in sorted({*body, *handler}):
        more = {"PutItem": 1, "Query": 1}.get(operation, 0)
        assert (operation, body.count(operation)) == (operation, handler.count(operation) + more)
