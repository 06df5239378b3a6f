"""Reruns that keep steps, and tests that set what steps answer."""

from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tests.engine.bodies import (
    MINUTE,
    Counted,
    Item,
    bodied,
)
from workflow_engine import (
    InvalidInputError,
    RerunFrom,
    StageContext,
    Status,
    StepFailedError,
    Workflow,
    stage,
)
from workflow_engine.testing.engine import VirtualEngine, VirtualRun


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
