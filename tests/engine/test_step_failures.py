"""Steps that fail, are retried, meet another worker's, or a store that does not answer."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from tests.engine.bodies import (
    MINUTE,
    ONCE,
    SECOND,
    Counted,
    Item,
    awaitable,
    bodied,
    bodied_async,
    fails_once,
    names,
)
from workflow_engine import (
    RetryPolicy,
    StageContext,
    Status,
    StepFailedError,
)
from workflow_engine.errors import PermanentError, TransientError
from workflow_engine.kernel import KernelSettings
from workflow_engine.kernel.execution import steps
from workflow_engine.model.ids import StageId
from workflow_engine.model.payloads import ErrorInfo, Payload
from workflow_engine.model.steps import StepKind, StepRecord, StepScope
from workflow_engine.testing.engine import VirtualEngine, VirtualRun


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
