"""``ctx.step``: what a stage's body does under a name is done once, and found by every later attempt."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import Any, TypeAlias

import pytest
from pydantic import BaseModel, ValidationError
from typing_extensions import TypedDict

from workflow_engine import (
    CreateRun,
    DefinitionChangedError,
    InvalidInputError,
    RerunFrom,
    RetryPolicy,
    StageContext,
    Status,
    StepFailedError,
    StepNameError,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.cli.run_views import show_run
from workflow_engine.errors import PermanentError, TransientError
from workflow_engine.hosts import ServerlessHost
from workflow_engine.kernel import Kernel, KernelSettings
from workflow_engine.kernel.execution import steps
from workflow_engine.kernel.queries import archive_format
from workflow_engine.kernel.queries.documents import Shown, run_document
from workflow_engine.model.ids import StageId
from workflow_engine.model.limits import MAX_INLINE_STEPS_BYTES, MAX_STEPS
from workflow_engine.model.payloads import ErrorInfo, Payload
from workflow_engine.model.steps import StepKind, StepRecord, StepScope
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

MakeEngine: TypeAlias = Callable[..., VirtualEngine]
MakeKernel: TypeAlias = Callable[..., Kernel]
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
ONCE = RetryPolicy(max_attempts=1)
TWICE = RetryPolicy(max_attempts=2, first_delay=SECOND)
Body: TypeAlias = Callable[[StageContext[Any]], Any]


class Item(BaseModel):
    value: Any = 1


def bodied(body: Body, **options: Any) -> WorkflowDefinition:
    """A workflow of one stage, whose value *body* answers."""

    @stage("work", **{"timeout": MINUTE, "retry": TWICE, **options})
    def work(item: Item, ctx: StageContext) -> Item:
        return Item(value=body(ctx))

    return Workflow("stepping", input=Item).pipe(work).build()


def bodied_async(body: Body, **options: Any) -> WorkflowDefinition:
    """The same with a coroutine."""

    @stage("work", **{"timeout": MINUTE, "retry": TWICE, **options})
    async def work(item: Item, ctx: StageContext) -> Item:
        return Item(value=await body(ctx))

    return Workflow("stepping", input=Item).pipe(work).build()


def names(run: VirtualRun) -> dict[str, str]:
    """What each step came to: its result, or the type of its error."""
    found = {}
    for step in run.engine.persistence.list_steps(run.id):
        output = step.output.inline if step.output is not None and step.output.inline is not None else b"(blob)"
        found[step.name] = step.error.type if step.error else output.decode()
    return found


class Counted:
    """A function that counts its calls, and fails the first *failing* times."""

    def __init__(self, answer: Any = "done", *, failing: int = 0, error: type[Exception] = ConnectionError) -> None:
        self.answer, self.failing, self.error = answer, failing, error
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *args: Any) -> Any:
        self.calls.append(args)
        if len(self.calls) <= self.failing:
            raise self.error("not yet")
        return self.answer


def fails_once() -> Callable[[StageContext[Any]], None]:
    """Fails the first attempt."""

    def fail(ctx: StageContext[Any]) -> None:
        if ctx.attempt == 1:
            raise ConnectionError("the body, not a step")

    return fail


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


class TestFailures:
    def test_one_that_leaves_the_body_is_taken_anew_by_the_next_attempt(self, engine: VirtualEngine) -> None:
        shaky = Counted(failing=1)
        run = engine.run(bodied(lambda ctx: ctx.step("shaky", shaky)), Item())
        assert (run.output, len(shaky.calls), names(run)) == ({"value": "done"}, 2, {"shaky": '"done"'})

    def test_one_that_the_body_catches_is_its_outcome(self, engine: VirtualEngine) -> None:
        primary, fallback, seen = Counted(failing=1), Counted("other"), list[str]()

        def body(ctx: StageContext[Any]) -> Any:
            try:
                answer = ctx.step("primary", primary)
            except StepFailedError as error:
                seen.append(f"{error.name} {error.error_type} {error.message} {error.__cause__!r}")
                answer = ctx.step("fallback", fallback)
            fails_once()(ctx)
            return answer

        run = engine.run(bodied(body), Item())
        assert (run.output, len(primary.calls), len(fallback.calls)) == ({"value": "other"}, 1, 1)
        assert names(run) == {"primary": "ConnectionError", "fallback": '"other"'}
        first, again = seen
        assert first == "primary ConnectionError not yet ConnectionError('not yet')"
        assert again == "primary ConnectionError not yet None"

    def test_one_that_the_body_catches_at_its_end_is_stored_too(self, engine: VirtualEngine) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            try:
                ctx.step("shaky", Counted(failing=9))
            except StepFailedError:
                return "without"

        run = engine.run(bodied(body), Item())
        assert (run.output, names(run)) == ({"value": "without"}, {"shaky": "ConnectionError"})

    @pytest.mark.parametrize("style", ["gather", "group", "pool"])
    def test_the_failure_of_one_of_many_is_retried_though_the_others_went_on(  # noqa: C901
        self, engine: VirtualEngine, style: str
    ) -> None:
        shaky, others = Counted("late", failing=1), [Counted(n) for n in range(6)]

        async def each(ctx: StageContext[Any], n: int) -> Any:
            if n == 0:
                return await ctx.step("shaky", awaitable(shaky))
            for part in range(3):
                await asyncio.sleep(0.001)
                last = await ctx.step(f"{n}/{part}", awaitable(others[n]))
            return last

        async def together(ctx: StageContext[Any]) -> Any:
            if style == "gather":
                return await asyncio.gather(*(each(ctx, n) for n in range(6)))
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each(ctx, n)) for n in range(6)]
            return [task.result() for task in tasks]

        def each_sync(ctx: StageContext[Any], n: int) -> Any:
            if n == 0:
                return ctx.step("shaky", shaky)
            return [ctx.step(f"{n}/{part}", others[n]) for part in range(3)][-1]

        def pooled(ctx: StageContext[Any]) -> Any:
            with ThreadPoolExecutor(1) as pool:
                return [one.result() for one in [pool.submit(each_sync, ctx, n) for n in range(6)]]

        workflow = bodied(pooled) if style == "pool" else bodied_async(together)
        run = engine.run(workflow, Item())
        assert run.output == {"value": ["late", 1, 2, 3, 4, 5]}
        assert len(shaky.calls) == 2

    @pytest.mark.parametrize("style", ["sync", "gathered", "except-group", "pool", "returned"])
    def test_a_fallback_behind_other_tasks_and_threads_is_never_beside_its_success(  # noqa: C901
        self, engine: VirtualEngine, style: str
    ) -> None:
        """The step works the second time: were its failure not stored, a later attempt would charge twice."""
        charge, fallback = Counted("card", failing=1), Counted("invoice")

        async def alone(ctx: StageContext[Any]) -> Any:
            try:
                if style == "except-group":
                    async with asyncio.TaskGroup() as group:
                        group.create_task(ctx.step("charge", awaitable(charge)))
                    return "card"
                answers = await asyncio.gather(
                    ctx.step("charge", awaitable(charge)), return_exceptions=style == "returned"
                )
                if not isinstance(answers[0], BaseException):
                    return answers[0]
            except* StepFailedError:
                pass
            return await ctx.step("fallback", awaitable(fallback))

        async def body(ctx: StageContext[Any]) -> Any:
            answer = await alone(ctx) if style != "gathered" else (await asyncio.gather(alone(ctx)))[0]
            fails_once()(ctx)
            return answer

        def in_a_pool(ctx: StageContext[Any]) -> Any:
            with ThreadPoolExecutor(1) as pool:
                charged = pool.submit(ctx.step, "charge", charge)
                try:
                    answer = charged.result()
                except StepFailedError:
                    answer = ctx.step("fallback", fallback)
            fails_once()(ctx)
            return answer

        def sync(ctx: StageContext[Any]) -> Any:
            def tried() -> Any:
                try:
                    return ctx.step("charge", charge)
                except StepFailedError:
                    return None

            answer = tried() or ctx.step("fallback", fallback)
            fails_once()(ctx)
            return answer

        bodies = {"pool": bodied(in_a_pool), "sync": bodied(sync)}
        run = engine.run(bodies.get(style) or bodied_async(body), Item())
        assert (run.output, len(charge.calls), len(fallback.calls)) == ({"value": "invoice"}, 1, 1)

    def test_the_stage_retries_what_its_policy_says_of_the_cause(self, engine: VirtualEngine) -> None:
        picky = RetryPolicy(max_attempts=3, first_delay=SECOND, retry_on=(ConnectionError,))
        shaky = Counted(failing=1)
        assert engine.run(bodied(lambda ctx: ctx.step("a", shaky), retry=picky), Item()).status is Status.COMPLETED
        for error in (ValueError, lambda text: PermanentError(text)):
            broken = Counted(failing=9, error=error)  # type: ignore[arg-type]
            run = engine.run(bodied(lambda ctx, broken=broken: ctx.step("a", broken), retry=picky), Item())  # type: ignore[misc]
            assert (run.status, len(broken.calls)) == (Status.FAILED, 1)
            assert run.error is not None
            assert run.error.type == "StepFailedError"

    def test_a_stored_failure_is_not_worth_another_attempt(self, engine: VirtualEngine) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            if ctx.attempt == 1:
                try:
                    ctx.step("a", Counted(failing=9))
                except StepFailedError:
                    ctx.step("b", Counted())
                raise ConnectionError("no")
            return ctx.step("a", Counted())

        run = engine.run(bodied(body, retry=RetryPolicy(max_attempts=9, first_delay=SECOND)), Item())
        assert run.status is Status.FAILED
        assert [record.attempt for record in run.records] == [1, 2]


class TestRetries:
    def test_in_place_where_the_pause_is_short(self, engine: VirtualEngine) -> None:
        shaky, attempts = Counted(failing=2), list[int]()

        def body(ctx: StageContext[Any]) -> Any:
            attempts.append(ctx.attempt)
            return ctx.step("shaky", shaky, retry=RetryPolicy(max_attempts=3, first_delay=SECOND, jitter=False))

        run = engine.run(bodied(body), Item())
        assert (run.output, len(shaky.calls), attempts) == ({"value": "done"}, 3, [1])
        assert [step.tries for step in engine.persistence.list_steps(run.id)] == [3]

    def test_with_nothing_running_where_it_is_long(self, engine: VirtualEngine) -> None:
        shaky, at = Counted(failing=2), list[tuple[int, Any]]()

        def body(ctx: StageContext[Any]) -> Any:
            at.append((ctx.attempt, ctx.now()))
            policy = RetryPolicy(max_attempts=3, first_delay=20 * MINUTE, max_delay=MINUTE * 60, jitter=False)
            return ctx.step("shaky", shaky, retry=policy)

        run = engine.run(bodied(body), Item())
        assert (run.output, len(shaky.calls)) == ({"value": "done"}, 3)
        assert [attempt for attempt, _ in at] == [1, 1, 1]
        assert [later - at[0][1] for _, later in at] == [timedelta(0), 20 * MINUTE, 60 * MINUTE]

    def test_what_is_counted_stays_counted(self, engine: VirtualEngine) -> None:
        broken = Counted(failing=99)

        def body(ctx: StageContext[Any]) -> Any:
            policy = RetryPolicy(max_attempts=3, first_delay=20 * MINUTE, max_delay=MINUTE * 60)
            return ctx.step("broken", broken, retry=policy)

        run = engine.run(bodied(body, retry=ONCE), Item())
        assert (run.status, len(broken.calls)) == (Status.FAILED, 3)

    def test_an_async_one_pauses_without_blocking_the_others(self, engine: VirtualEngine) -> None:
        shaky = Counted(failing=1)

        async def body(ctx: StageContext[Any]) -> Any:
            policy = RetryPolicy(max_attempts=2, first_delay=SECOND)
            return await ctx.step("shaky", awaitable(shaky), retry=policy)

        assert engine.run(bodied_async(body), Item()).output == {"value": "done"}

    def test_a_sync_one_in_an_async_body_pauses_too(self) -> None:
        pauses: list[timedelta] = []
        engine = VirtualEngine(settings=KernelSettings(pause=pauses.append))
        shaky = Counted(failing=2)

        async def body(ctx: StageContext[Any]) -> Any:
            return ctx.step("shaky", shaky, retry=RetryPolicy(max_attempts=3, first_delay=SECOND, jitter=False))

        assert engine.run(bodied_async(body), Item()).output == {"value": "done"}
        assert pauses == [SECOND, 2 * SECOND]

    def test_and_for_real(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The loop's own pause is for what is awaited: elsewhere nobody would wait for it."""
        pauses: list[timedelta] = []
        monkeypatch.setattr(steps, "pause_for_real", pauses.append)
        engine = VirtualEngine(settings=KernelSettings(pause=pauses.append))
        shaky = Counted(failing=1)

        async def body(ctx: StageContext[Any]) -> Any:
            return ctx.step("shaky", shaky, retry=RetryPolicy(max_attempts=2, first_delay=SECOND, jitter=False))

        assert engine.run(bodied_async(body), Item()).output == {"value": "done"}
        assert pauses == [SECOND]


class TestTypes:
    def test_values_come_back_as_their_annotation_says(self, engine: VirtualEngine) -> None:
        @dataclass
        class Point:
            x: int
            y: int

        class Kind(Enum):
            GOOD = "good"

        class Facts(TypedDict):
            names: list[str]

        def point() -> Point:
            return Point(1, 2)

        def kind() -> Kind:
            return Kind.GOOD

        def facts() -> Facts:
            return {"names": ["a"]}

        def model() -> Item | None:
            return Item(value=5)

        def nothing() -> None:
            return None

        def pause() -> timedelta:
            return timedelta(seconds=1.5)

        seen: list[list[Any]] = []

        def body(ctx: StageContext[Any]) -> None:
            functions: list[Callable[[], Any]] = [point, kind, facts, model, nothing, pause]
            seen.append([ctx.step(function.__name__, function) for function in functions])
            seen[-1].append(ctx.step("said", lambda: {"value": 7}, returns=Item))
            seen[-1].append(ctx.step("partial", partial(Item, value=3)))
            fails_once()(ctx)

        engine.run(bodied(body), Item())
        expected = [Point(1, 2), Kind.GOOD, {"names": ["a"]}, Item(value=5), None, pause(), Item(value=7)]
        assert seen == [[*expected, Item(value=3)]] * 2

    @pytest.mark.parametrize(
        ("answer", "returns"),
        [
            (object(), None),
            ({1: 2}, None),
            ((1, 2), None),
            (float("nan"), None),
            (b"bytes", None),
            ("\ud800", None),
            (Item(), None),
            ("text", int),
            ({"value": {1, 2}}, Item),
            ({}, int),
            ("x" * (16 * 1024 * 1024), None),
        ],
    )
    def test_what_cannot_be_kept_is_a_failure_of_the_step(
        self, engine: VirtualEngine, answer: Any, returns: Any
    ) -> None:
        work, seen = Counted(answer), list[str]()

        def body(ctx: StageContext[Any]) -> Any:
            try:
                ctx.step("work", work, returns=returns)
            except StepFailedError as error:
                seen.append(error.error_type)

        run = engine.run(bodied(body), Item())
        assert (run.status, len(work.calls)) == (Status.COMPLETED, 1)
        assert seen in (["InvalidOutputError"], ["PayloadTooLargeError"])

    def test_a_type_that_nobody_can_keep_is_told_before_the_function_is_called(self, engine: VirtualEngine) -> None:
        called: list[int] = []

        def lock() -> threading.Event:
            called.append(1)
            return threading.Event()

        run = engine.run(bodied(lambda ctx: ctx.step("lock", lock), retry=ONCE), Item())
        assert (run.status, called) == (Status.FAILED, [])
        assert run.error is not None
        assert "say returns=" in run.error.message

    @pytest.mark.parametrize("returns", [None, "list"])
    def test_a_name_that_is_not_defined_is_told_before_the_function_is_called(
        self, engine: VirtualEngine, returns: Any
    ) -> None:
        called: list[int] = []

        def later() -> list["Nowhere"]:  # type: ignore[name-defined]  # noqa: F821
            called.append(1)
            return []

        kind: Any = list["Nowhere"] if returns else None  # type: ignore[name-defined]  # noqa: F821
        run = engine.run(bodied(lambda ctx: ctx.step("later", later, returns=kind), retry=ONCE), Item())
        assert run.error is not None
        assert (run.error.type, called) == ("ValueError", [])

    @pytest.mark.parametrize("size", [8_000, 500_000, 15_000_000])
    def test_large_results_come_back_whole(self, engine: VirtualEngine, size: int) -> None:
        work = Counted("x" * size)

        def body(ctx: StageContext[Any]) -> Any:
            text = ctx.step("work", work)
            fails_once()(ctx)
            return len(text)

        assert engine.run(bodied(body), Item()).output == {"value": size}
        assert len(work.calls) == 1

    def test_many_of_some_size_are_still_read_in_one_page(self, engine: VirtualEngine) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            total = sum(len(ctx.step(f"n{n}", Counted("y" * 7_900))) for n in range(140))
            fails_once()(ctx)
            return total

        run = engine.run(bodied(body), Item())
        assert run.output == {"value": 140 * 7_900}
        steps = engine.persistence.list_steps(run.id)
        inline = sum(len(step.output.inline or b"") for step in steps if step.output)
        assert MAX_INLINE_STEPS_BYTES - 8_000 < inline <= MAX_INLINE_STEPS_BYTES

    def test_what_no_longer_fits_its_type_is_told_by_name(self, engine: VirtualEngine) -> None:
        kinds: list[Any] = [str, int]

        def body(ctx: StageContext[Any]) -> Any:
            try:
                ctx.step("work", lambda: "text", returns=kinds[ctx.attempt - 1])
            except DefinitionChangedError:
                return "swallowed"
            return fails_once()(ctx)

        run = engine.run(bodied(body), Item())
        assert run.status is Status.FAILED
        assert run.error is not None
        assert run.error.type == "DefinitionChangedError"
        assert "step 'work'" in run.error.message


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


class TestRivals:
    """Another worker, whose lease this one has taken or has lost, puts the same step."""

    def rival(self, engine: VirtualEngine, run: VirtualRun, **changes: Any) -> None:
        head = run.head
        record = StepRecord(
            run_id=run.id,
            scope=StepScope(0, StageId("work"), head.base),
            name="charge",
            kind=StepKind.CALL,
            epoch=77,
            started_at=engine.clock.now(),
            finished_at=engine.clock.now(),
            expires_at=head.expires_at,
            **changes,
        )
        engine.persistence.put_step(record)

    def test_who_comes_second_goes_on_with_the_first_ones_result(self, engine: VirtualEngine) -> None:
        runs: list[VirtualRun] = []

        def charge() -> str:
            self.rival(engine, runs[0], output=Payload.of(b'"theirs"'))
            return "mine"

        runs.append(engine.start(bodied(lambda ctx: ctx.step("charge", charge)), Item()))
        engine.drive()
        assert runs[0].output == {"value": "theirs"}

    def test_a_failure_that_comes_second_starts_the_body_again_with_the_success(self, engine: VirtualEngine) -> None:
        runs, fallback, attempts = list[VirtualRun](), Counted(), list[int]()

        def charge() -> str:
            self.rival(engine, runs[0], output=Payload.of(b'"theirs"'))
            raise ConnectionError("mine")

        def body(ctx: StageContext[Any]) -> Any:
            attempts.append(ctx.attempt)
            try:
                return ctx.step("charge", charge)
            except StepFailedError:
                return ctx.step("fallback", fallback)

        runs.append(engine.start(bodied(body), Item()))
        engine.drive()
        assert (runs[0].output, fallback.calls, attempts) == ({"value": "theirs"}, [], [1, 1])

    def test_a_result_that_comes_second_to_a_failure_is_that_failure(self, engine: VirtualEngine) -> None:
        runs = list[VirtualRun]()

        def charge() -> str:
            self.rival(engine, runs[0], error=ErrorInfo("ValueError", "theirs"))
            return "mine"

        def body(ctx: StageContext[Any]) -> Any:
            try:
                return ctx.step("charge", charge)
            except StepFailedError as error:
                return f"{error.error_type}: {error.message}"

        runs.append(engine.start(bodied(body), Item()))
        engine.drive()
        assert runs[0].output == {"value": "ValueError: theirs"}


class TestKeptByARerun:
    def rerun(self, engine: VirtualEngine, run: VirtualRun, **options: Any) -> None:
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="work", **options))
        engine.drive(run)

    def test_outcomes_stay_and_what_is_discarded_is_taken_anew(self, engine: VirtualEngine) -> None:
        fetch, parse, shaky, large = Counted("pages"), Counted("wrong"), Counted("ok", failing=1), Counted("z" * 20_000)

        def body(ctx: StageContext[Any]) -> Any:
            found = [ctx.step("fetch", fetch), ctx.step("parse", parse), len(ctx.step("large", large))]
            ctx.sleep("nap", MINUTE)
            try:
                return [*found, ctx.step("shaky", shaky)]
            except StepFailedError:
                return found

        run = engine.run(bodied(body), Item())
        assert run.output == {"value": ["pages", "wrong", 20_000]}
        parse.answer = "right"
        before = engine.clock.now()
        self.rerun(engine, run, keep_steps=True, discard_steps=["parse"])
        assert run.output == {"value": ["pages", "right", 20_000]}
        assert [len(one.calls) for one in (fetch, parse, large, shaky)] == [1, 2, 1, 1]
        assert engine.clock.now() == before
        # And once more, of the rerun: the failure that its body has caught is an outcome like the others.
        self.rerun(engine, run, keep_steps=True, discard_steps=["shaky"])
        assert run.output == {"value": ["pages", "right", 20_000, "ok"]}
        assert [len(one.calls) for one in (fetch, parse, large, shaky)] == [1, 2, 1, 2]
        self.rerun(engine, run)
        assert [len(one.calls) for one in (fetch, parse, large, shaky)] == [2, 3, 2, 3]

    def test_effects_have_the_keys_of_the_rerun(self, engine: VirtualEngine) -> None:
        keys: list[str] = []

        def body(ctx: StageContext[Any]) -> Any:
            keys.append(ctx.key("charge"))

        run = engine.run(bodied(body), Item())
        self.rerun(engine, run, keep_steps=True)
        assert len(set(keys)) == 2

    def test_the_stages_behind_it_take_theirs_anew(self, engine: VirtualEngine) -> None:
        first, second = Counted(1), Counted(2)

        @stage("work", timeout=MINUTE)
        def work(item: Item, ctx: StageContext) -> Item:
            return Item(value=ctx.step("a", first))

        @stage("then", timeout=MINUTE)
        def then(item: Item, ctx: StageContext) -> Item:
            return Item(value=ctx.step("a", second))

        run = engine.run(Workflow("two", input=Item).pipe(work).pipe(then).build(), Item())
        self.rerun(engine, run, keep_steps=True)
        assert (len(first.calls), len(second.calls), run.output) == (1, 2, {"value": 2})

    def test_a_name_is_discarded_of_the_stage_alone_that_it_begins_with(self, engine: VirtualEngine) -> None:
        class Pair(BaseModel):
            work: Item
            beside: Item

        charged: list[str] = []

        def side(name: str) -> Any:
            @stage(name, timeout=MINUTE)
            def body(item: Item, ctx: StageContext) -> Item:
                return Item(value=ctx.step("charge", partial(charged.append, name)))

            return body

        @stage("both", timeout=MINUTE)
        def both(pair: Pair) -> Item:
            return Item()

        run = engine.run(Workflow("two", input=Item).parallel(side("work"), side("beside")).pipe(both).build(), Item())
        charged.clear()
        self.rerun(engine, run, keep_steps=True, discard_steps=["charge"])
        assert (run.status, charged) == (Status.COMPLETED, ["work"])

    def test_a_step_that_is_not_there_is_told_and_nothing_changes(self, engine: VirtualEngine) -> None:
        run = engine.run(bodied(lambda ctx: ctx.step("fetch", Counted())), Item())
        version = run.head.version
        with pytest.raises(InvalidInputError, match="'fetsch' is no step that was taken; there are: fetch"):
            self.rerun(engine, run, keep_steps=True, discard_steps=["fetsch"])
        assert run.head.version == version
        with pytest.raises(ValidationError, match="without it, no step is kept"):
            RerunFrom(run_id=run.id, from_stage_id="work", discard_steps=("fetch",))

    def test_a_repeat_of_the_command_is_the_same_rerun(self, engine: VirtualEngine) -> None:
        fetch = Counted()
        run = engine.run(bodied(lambda ctx: ctx.step("fetch", fetch)), Item())
        for _ in range(2):
            self.rerun(engine, run, keep_steps=True, discard_steps=["fetch"], idempotency_key="again")
        assert len(fetch.calls) == 2


def test_a_test_sets_what_steps_answer_and_which_of_them_fails() -> None:
    engine, charge = VirtualEngine(), Counted()

    def body(ctx: StageContext[Any]) -> Any:
        try:
            return ctx.step("charge", charge)
        except StepFailedError:
            return ctx.under("else").step("invoice", Counted("invoice"))

    workflow = bodied(body)
    assert engine.run(workflow, Item(), steps={"charge": 990}).output == {"value": 990}
    assert engine.run(workflow, Item(), fail_step="charge").output == {"value": "invoice"}
    assert engine.run(workflow, Item(), fail_step="charge", steps={"else/invoice": 7}).output == {"value": 7}
    assert charge.calls == []
    assert engine.run(workflow, Item()).output == {"value": "done"}


def test_steps_are_shown_and_archived(engine: VirtualEngine, capsys: pytest.CaptureFixture[str]) -> None:
    def body(ctx: StageContext[Any]) -> Any:
        ctx.step("small", lambda: {"a": 1})
        with contextlib.suppress(StepFailedError):
            ctx.step("shaky", Counted(failing=9))
        ctx.log("info", "before")
        ctx.sleep("nap", MINUTE)
        ctx.log("info", "after")
        return ctx.step("large", Counted("x" * 9_000))[:1]

    run = engine.run(bodied(body), Item())
    [stage] = run_document(Shown.of(engine.kernel, run.id))["stages"]
    assert [(step["name"], step["kind"], step["status"], step["result"]) for step in stage["steps"]] == [
        ("shaky", "call", "FAILED", None),
        ("small", "call", "COMPLETED", {"a": 1}),
        ("large", "call", "COMPLETED", None),
        ("nap", "sleep", "COMPLETED", None),
    ]
    assert [line.message for line in engine.kernel.queries.logs(run.id)] == ["before", "after"]
    show_run(engine.kernel, run.id, with_input=False, as_json=False)
    shown = capsys.readouterr().out
    assert "work: 4 steps" in shown
    assert "ConnectionError: not yet" in shown
    archived = archive_format.read(engine.kernel.queries.archive_lines(run.head))
    assert list(archived.steps) == list(engine.persistence.list_steps(run.id))
    assert [step.name for step in archived.view(engine.kernel.queries.definition_of(run.head)).stages[0].steps] == [
        step["name"] for step in stage["steps"]
    ]


class TestStores:
    def test_a_store_that_does_not_answer_costs_no_attempt(
        self, engine: VirtualEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put, attempts, calls = engine.persistence.put_step, list[int](), Counted()

        def silent(*_: Any) -> Any:
            raise TransientError(service="DynamoDB", operation="PutItem", code="RequestTimeout")

        def body(ctx: StageContext[Any]) -> Any:
            attempts.append(ctx.attempt)
            if len(attempts) == 2:
                monkeypatch.setattr(engine.persistence, "put_step", put)
            try:
                return ctx.step("a", calls)
            except Exception:
                return "taken for a failure of the step"

        monkeypatch.setattr(engine.persistence, "put_step", silent)
        run = engine.run(bodied(body), Item())
        assert (run.output, attempts, len(calls.calls)) == ({"value": "done"}, [1, 1], 2)

    def test_one_that_refuses_ends_the_attempt_whatever_the_body_makes_of_it(
        self, engine: VirtualEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuses(*_: Any) -> Any:
            raise PermissionError("no")

        def body(ctx: StageContext[Any]) -> Any:
            try:
                return ctx.step("a", Counted())
            except Exception:
                return "swallowed"

        monkeypatch.setattr(engine.persistence, "put_step", refuses)
        run = engine.run(bodied(body, retry=ONCE), Item())
        assert run.error is not None
        assert (run.status, run.error.type) == (Status.FAILED, "PermissionError")


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


def awaitable(function: Callable[..., Any]) -> Callable[..., Any]:
    async def called(*args: Any) -> Any:
        await asyncio.sleep(0)
        return function(*args)

    return called


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
