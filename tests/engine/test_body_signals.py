"""``ctx.wait_for_signal``: each signal answers one wait."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from tests.engine.bodies import (
    DAY,
    HOUR,
    MINUTE,
    ONCE,
    Answer,
    Item,
    bodied,
    send,
)
from workflow_engine import (
    RerunFrom,
    StageContext,
    Status,
    WaitExpiredError,
    WaitForSignal,
    Workflow,
    stage,
)
from workflow_engine.testing.engine import VirtualEngine


class TestSignals:
    def test_a_body_waits_for_a_signal(self, engine: VirtualEngine) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            answer: Answer = ctx.wait_for_signal("go", Answer)
            return answer.number

        run = engine.run(bodied(body), Item())
        assert (run.status, run.waiting_for) == (Status.SUSPENDED, ("go",))
        engine.signal(run, "go", Answer(number=7))
        assert (run.output, run.head.signals) == ({"value": 7}, ())

    def test_one_that_came_before_the_wait_counts(self, engine: VirtualEngine) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            return ctx.wait_for_signal("go", Answer).number

        run = engine.start(bodied(body), Item())
        send(engine, run, "go", 7)
        engine.drive(run)
        assert run.output == {"value": 7}

    def test_ten_rounds_of_a_negotiation(self, engine: VirtualEngine) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            return [ctx.wait_for_signal("offer", Answer).number for _ in range(10)]

        run = engine.start(bodied(body), Item())
        for n in range(4):
            send(engine, run, "offer", n, f"key-{n}")
        engine.drive(run)
        for n in range(4, 10):
            send(engine, run, "offer", n, f"key-{n}")
            send(engine, run, "offer", n, f"key-{n}")
            engine.drive(run)
        assert (run.output, run.head.signals) == ({"value": list(range(10))}, ())

    def test_two_that_come_at_once_answer_two_waits_in_their_order(self, engine: VirtualEngine) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            return [ctx.wait_for_signal("offer", Answer).number for _ in range(3)]

        run = engine.run(bodied(body), Item())
        for n in (5, 6, 7):
            send(engine, run, "offer", n, f"{n}")
        engine.drive(run)
        assert run.output == {"value": [5, 6, 7]}

    def test_one_that_does_not_fit_is_dropped_and_the_wait_goes_on(self, engine: VirtualEngine) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            return ctx.wait_for_signal("go", Answer, timeout=DAY).number

        run = engine.run(bodied(body), Item())
        end = run.head.active[0].give_up_at
        engine.signal(run, "go", {"number": "many"}, idempotency_key="a")
        assert (run.status, run.head.signals, run.head.active[0].give_up_at) == (Status.SUSPENDED, (), end)
        engine.signal(run, "go", {"number": 4}, idempotency_key="b")
        assert run.output == {"value": 4}

    def test_after_its_timeout_the_body_goes_on(self, engine: VirtualEngine) -> None:
        began = engine.clock.now()

        def body(ctx: StageContext[Any]) -> Any:
            try:
                ctx.wait_for_signal("go", Answer, timeout=HOUR)
            except WaitExpiredError as error:
                ctx.sleep("grace", HOUR)
                return (error.until - began).total_seconds()

        run = engine.start(bodied(body), Item())
        engine.advance(3 * HOUR)
        assert run.output == {"value": HOUR.total_seconds()}

    def test_one_that_came_in_time_counts_though_the_timer_wakes_its_stage(
        self, engine: VirtualEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            return ctx.wait_for_signal("go", Answer, timeout=HOUR).number

        run = engine.run(bodied(body), Item())
        engine.clock.advance(HOUR - timedelta(seconds=1))
        with monkeypatch.context() as patched:
            patched.setattr(engine.job_transport, "enqueue", lambda *_, **__: None)
            patched.setattr(engine.job_transport, "enqueue_parallel", lambda *_, **__: ())
            send(engine, run, "go", 3)
        engine.clock.advance(timedelta(seconds=2))
        engine.drive(run)
        assert run.output == {"value": 3}

    def test_a_reminder_every_day_until_somebody_answers(self, engine: VirtualEngine) -> None:
        reminded: list[int] = []

        def body(ctx: StageContext[Any]) -> Any:
            for day in range(30):
                ctx.step(f"remind-{day}", lambda: reminded.append(day))  # noqa: B023 - called at once
                try:
                    return ctx.wait_for_signal("answer", Answer, timeout=DAY).number
                except WaitExpiredError:
                    continue
            return None

        run = engine.start(bodied(body), Item())
        engine.advance(3 * DAY + HOUR)
        send(engine, run, "answer", 9)
        engine.drive(run)
        assert (run.output, reminded) == ({"value": 9}, [0, 1, 2, 3])

    def test_a_rerun_waits_anew(self, engine: VirtualEngine) -> None:
        def body(ctx: StageContext[Any]) -> Any:
            return ctx.wait_for_signal("go", Answer).number

        run = engine.run(bodied(body), Item())
        engine.signal(run, "go", {"number": 1}, idempotency_key="k")
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="work"))
        engine.drive(run)
        assert run.status is Status.SUSPENDED
        engine.signal(run, "go", {"number": 2}, idempotency_key="k")
        assert run.output == {"value": 2}

    def test_a_signal_without_a_payload(self, engine: VirtualEngine) -> None:
        run = engine.run(bodied(lambda ctx: ctx.wait_for_signal("go")), Item())
        engine.signal(run, "go")
        assert (run.status, run.output) == (Status.COMPLETED, {"value": None})

    def test_siblings_that_wait_for_one_name_get_one_signal_each(self, engine: VirtualEngine) -> None:
        class Pair(BaseModel):
            left: Item
            right: Item

        def side(name: str) -> Any:
            @stage(name, timeout=MINUTE)
            def body(item: Item, ctx: StageContext) -> Item:
                return Item(value=[ctx.wait_for_signal("vote", Answer).number for _ in range(2)])

            return body

        @stage("both", timeout=MINUTE)
        def both(pair: Pair) -> Item:
            return Item(value=sorted(pair.left.value + pair.right.value))

        for inline in (False, True):
            workflow = Workflow("w", input=Item).parallel(side("left"), side("right"), inline=inline).pipe(both)
            run = engine.run(workflow.build(), Item())
            for n in range(4):
                send(engine, run, "vote", n, f"{n}")
            engine.drive(run)
            assert (run.output, run.head.signals) == ({"value": [0, 1, 2, 3]}, ())

    def test_a_handler_stage_and_a_body_may_both_wait(self, engine: VirtualEngine) -> None:
        class Pair(BaseModel):
            left: Item
            right: Item

        @stage("left", timeout=MINUTE)
        def left(item: Item, ctx: StageContext) -> Item:
            return Item(value=ctx.wait_for_signal("go", Answer).number)

        @stage("right", timeout=MINUTE)
        def right(item: Item) -> WaitForSignal[Answer]:
            return WaitForSignal("go", Answer)

        @right.on_signal
        def heard(answer: Answer) -> Item:
            return Item(value=answer.number)

        @stage("both", timeout=MINUTE)
        def both(pair: Pair) -> Item:
            return Item(value=sorted([pair.left.value, pair.right.value]))

        run = engine.run(Workflow("w", input=Item).parallel(left, right).pipe(both).build(), Item())
        for n in (1, 2):
            send(engine, run, "go", n, f"{n}")
        engine.drive(run)
        assert run.output == {"value": [1, 2]}

    @pytest.mark.parametrize(
        ("name", "schema"), [("no name", Answer), ("", Answer), (5, Answer), ("go", dict), ("go", "Answer")]
    )
    def test_what_is_no_signal_is_refused(self, engine: VirtualEngine, name: Any, schema: Any) -> None:
        run = engine.run(bodied(lambda ctx: ctx.wait_for_signal(name, schema), retry=ONCE), Item())
        assert run.error is not None
        assert run.error.type in ("ValueError", "TypeError")
