"""Runs in flight while their workflow changes under them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from workflow_engine import (
    CancelRun,
    DefinitionChangedError,
    RerunFrom,
    SignalRun,
    Stage,
    StageContext,
    Status,
    Suspended,
    TransitionRun,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    sleep,
    stage,
)
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import A_DEPLOY
from workflow_engine.model.runs import StageKey
from workflow_engine.ports.persistence import Persistence
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

HOUR = timedelta(hours=1)


class Item(BaseModel):
    name: str = "x"


class Priced(BaseModel):
    name: str = "x"
    price: int


class Limit(BaseModel):
    most: int


def named(stage_id: str, mark: str = "") -> Stage[..., Item]:
    @stage(stage_id)
    def add(item: Item) -> Item:
        return Item(name=f"{item.name} {stage_id}{mark}")

    return add


def gate(stage_id: str = "gate") -> Stage[..., Any]:
    @stage(stage_id)
    def wait(item: Item) -> WaitForSignal[Item]:
        return WaitForSignal("go", Item)

    @wait.on_signal
    def go(item: Item) -> Item:
        return item

    return wait


def shop(*stages: Stage[..., Any], version: int = 1) -> WorkflowDefinition:
    workflow = Workflow("shop", input=Item, version=version)
    for one in stages:
        workflow.pipe(one)
    return workflow.build()


def stored_by_a_version_before(definition: WorkflowDefinition) -> WorkflowDefinition:
    """*definition* as it was stored when models were described by their JSON schemas alone."""
    before = {name: value for name, value in definition.structure().items() if name != "shape"}
    groups = [
        [{name: fact for name, fact in stage.items() if name != "shapes"} for stage in group]
        for group in before["groups"]
    ]
    vars(definition).update(fingerprint="fingerprint2", _structure={**before, "groups": groups})
    return definition


def at_the_gate(engine: VirtualEngine) -> VirtualRun:
    run = engine.run(shop(named("first"), gate(), named("last")), Item())
    assert run.waiting_for == ("go",)
    return run


def go(engine: VirtualEngine, run: VirtualRun) -> None:
    engine.signal(run, "go", Item(name="y"))


class TestCompatible:
    def test_code_may_change(self, engine: VirtualEngine) -> None:
        run = at_the_gate(engine)
        engine.deploy(shop(named("first"), gate(), named("last", "!")))
        go(engine, run)
        assert run.output == {"name": "y last!"}

    def test_what_lies_ahead_may_change(self, engine: VirtualEngine) -> None:
        run = at_the_gate(engine)
        engine.deploy(shop(named("first"), gate(), named("check"), named("ship")))
        go(engine, run)
        assert run.output == {"name": "y check ship"}

    def test_what_lies_ahead_may_go(self, engine: VirtualEngine) -> None:
        run = at_the_gate(engine)
        engine.deploy(shop(named("first"), gate()))
        go(engine, run)
        assert (run.status, run.output) == (Status.COMPLETED, {"name": "y"})

    def test_a_wait_that_was_put_in_ahead_is_waited_for(self, engine: VirtualEngine) -> None:
        """The run goes on as one of the new definition: compared with the old one, the group it has
        just entered would be a difference, and fail it."""
        run = at_the_gate(engine)
        engine.deploy(shop(named("first"), gate(), gate("second-gate"), named("last")))
        go(engine, run)
        assert run.waiting_for == ("go",)
        go(engine, run)
        assert run.output == {"name": "y last"}

    def test_a_wait_that_was_put_in_behind_a_join_is_waited_for(self, engine: VirtualEngine) -> None:
        def parallel(*behind: Stage[..., Any]) -> WorkflowDefinition:
            workflow = Workflow("shop", input=Item).parallel(named("left"), gate()).pipe(both)
            for one in behind:
                workflow.pipe(one)
            return workflow.build()

        @stage("both")
        def both(_item: Item, ctx: StageContext) -> Item:
            return Item(name=ctx.require("left").name)

        run = engine.run(parallel(), Item(name="x"))
        engine.deploy(parallel(gate("second-gate"), named("last")))
        go(engine, run)
        assert run.waiting_for == ("go",)
        go(engine, run)
        assert run.output == {"name": "y last"}

    def test_retries_and_timeouts_may_change(self, engine: VirtualEngine) -> None:
        @stage("last", timeout=timedelta(seconds=7))
        def last(item: Item, ctx: StageContext) -> Item:
            return Item(name=str(ctx.remaining()))

        run = at_the_gate(engine)
        engine.deploy(shop(named("first"), gate(), last))
        go(engine, run)
        assert run.output == {"name": "0:00:07"}


class More(Item):
    """An optional field more: whatever was stored of an item can be read as one."""

    note: str | None = None
    size: int = 1


def more(stage_id: str) -> Stage[..., More]:
    @stage(stage_id)
    def add(item: More) -> More:
        return More(name=f"{item.name} {stage_id}", size=item.size + 1)

    return add


class TestAnOptionalFieldMore:
    """The models differ, and so does the fingerprint: what is stored is asked, and can be read."""

    def shop(self, item: type[Item], *behind: Stage[..., Any]) -> WorkflowDefinition:
        @stage("first")
        def first(given: item) -> item:  # type: ignore[valid-type]
            return given

        @stage("gate")
        def wait(given: item) -> WaitForSignal[item] | Suspended[item]:  # type: ignore[valid-type]
            return WaitForSignal("go", item)

        @wait.on_signal
        def signalled(payload: item, ctx: StageContext) -> Suspended[item]:  # type: ignore[valid-type]
            assert isinstance(ctx.input, item)
            return Suspended(payload, poll_every=HOUR)

        @wait.check_completion
        def check(state: item) -> item:  # type: ignore[valid-type]
            return state

        workflow = Workflow("shop", input=item).pipe(first).pipe(wait)
        for one in behind:
            workflow.pipe(one)
        return workflow.build()

    def test_of_an_input_that_was_not_read_yet(self, engine: VirtualEngine) -> None:
        run = engine.start(self.shop(Item), Item())
        engine.deploy(self.shop(More))
        engine.drive(run)
        assert run.waiting_for == ("go",)

    def test_of_an_output_a_signal_and_a_state(self, engine: VirtualEngine) -> None:
        run = engine.run(self.shop(Item), Item())
        engine.deploy(self.shop(More))
        engine.kernel.dispatch(SignalRun(run_id=run.id, name="go", payload={"name": "y"}))
        engine.work()
        assert run.status is Status.SUSPENDED
        engine.deploy(self.shop(More, more("last")))
        engine.drive(run)
        assert run.output == {"name": "y last", "note": None, "size": 2}

    def test_of_a_sibling_that_is_done(self, engine: VirtualEngine) -> None:
        def parallel(item: type[Item]) -> WorkflowDefinition:
            @stage("left")
            def left(given: item) -> item:  # type: ignore[valid-type]
                return given

            @stage("both")
            def both(ctx: StageContext) -> Item:
                found = ctx.require("left")
                assert isinstance(found, item)
                return Item(name=found.name)

            return Workflow("shop", input=item).parallel(left, gate()).pipe(both).build()

        run = engine.run(parallel(Item), Item(name="kept"))
        engine.deploy(parallel(More))
        go(engine, run)
        assert run.output == {"name": "kept"}

    def test_of_a_config(self, engine: VirtualEngine) -> None:
        class Limits(BaseModel):
            most: int

        class MoreLimits(Limits):
            least: int = 0

        def limited(limits: type[BaseModel]) -> Stage[..., Item]:
            @stage("last")
            def last(item: Item, ctx: StageContext[limits]) -> Item:  # type: ignore[valid-type]
                return Item(name=repr(ctx.config))

            return last

        run = engine.run(shop(named("first"), gate(), limited(Limits)), Item(), config={"last": {"most": 3}})
        engine.deploy(shop(named("first"), gate(), limited(MoreLimits)))
        go(engine, run)
        assert run.output == {"name": "MoreLimits(most=3, least=0)"}

    def test_of_an_output_that_a_rerun_keeps(self, engine: VirtualEngine) -> None:
        run = engine.run(shop(named("first"), named("last")), Item())
        engine.deploy(Workflow("shop", input=More).pipe(more("first")).pipe(more("last")).build())
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="last"))
        engine.drive(run)
        assert run.output == {"name": "x first last", "note": None, "size": 2}

    def test_the_other_way_round_as_when_it_is_rolled_back(self, engine: VirtualEngine) -> None:
        run = engine.run(self.shop(More), More())
        engine.deploy(self.shop(Item))
        go(engine, run)
        engine.drive(run)
        assert run.status is Status.COMPLETED

    def test_what_is_stored_is_asked_once_a_group_and_process(self, engine: VirtualEngine) -> None:
        engine.settings = replace(engine.settings, records_in_head=False)
        engine.deploy(self.shop(Item))
        run = engine.run(self.shop(Item), Item())
        engine.deploy(self.shop(More))
        definitions = engine.kernel.parts.definitions
        reads = counted(engine.persistence, "load_records")
        for _ in range(3):
            definitions.for_run(run.head)
        assert reads == [[("first", 0)], [("first", 0)]]
        reads.clear()
        engine.deploy(self.shop(Item))
        engine.kernel.parts.definitions.for_run(run.head)
        assert reads == []


def counted(persistence: Persistence, method: str) -> list[list[tuple[str, int]]]:
    """The stages and epochs of the records that each further read of *persistence* asks for."""
    calls: list[list[tuple[str, int]]] = []
    original = getattr(persistence, method)

    def call(run_id: RunId, keys: Sequence[StageKey]) -> Any:
        calls.append([(key.stage_id, key.epoch) for key in keys])
        return original(run_id, keys)

    setattr(persistence, method, call)
    return calls


class TestIncompatible:
    def test_a_wait_that_nobody_would_end(self, engine: VirtualEngine) -> None:
        run = at_the_gate(engine)
        engine.deploy(shop(named("first"), named("gate"), named("last")))
        assert "stage 'gate' waits for a signal and has no on_signal any more" in self.failed(engine, run)

    def test_an_input_that_can_be_read_no_more(self, engine: VirtualEngine) -> None:
        @stage("first")
        def first(item: Priced) -> Priced:
            return item

        run = engine.start(shop(named("first")), Item())
        engine.deploy(Workflow("shop", input=Priced).pipe(first).build())
        message = self.failed(engine, run)
        assert "the input of stage 'first' has changed, and the stored one cannot be read any more: price" in message

    def failed(self, engine: VirtualEngine, run: VirtualRun) -> str:
        """Why the run failed, once somebody looks at it an hour after the deploy."""
        engine.clock.advance(A_DEPLOY)
        assert engine.kernel.dispatch(TransitionRun(run_id=run.id)).action == "failed"
        assert run.error is not None
        assert (run.status, run.error.type) == (Status.FAILED, "DefinitionChangedError")
        return run.error.message

    def test_a_stage_before_was_put_in(self, engine: VirtualEngine) -> None:
        run = at_the_gate(engine)
        engine.deploy(shop(named("zeroth"), named("first"), gate(), named("last")))
        message = self.failed(engine, run)
        assert "group 1, which it has behind it, was 'first' and is 'zeroth'" in message

    def test_the_stage_it_is_in_is_gone(self, engine: VirtualEngine) -> None:
        run = at_the_gate(engine)
        engine.deploy(shop(named("first"), named("last")))
        assert "the group the run is in was 'gate' and is 'last'" in self.failed(engine, run)

    def test_the_output_of_a_stage_behind_it_is_another(self, engine: VirtualEngine) -> None:
        @stage("first")
        def first(item: Item) -> Priced:
            return Priced(name=item.name, price=1)

        @stage("gate")
        def wait(item: Priced) -> WaitForSignal[Item]:
            return WaitForSignal("go", Item)

        @wait.on_signal
        def go_on(item: Item) -> Item:
            return item

        run = at_the_gate(engine)
        engine.deploy(shop(first, wait, named("last")))
        message = self.failed(engine, run)
        assert "the output of stage 'first' has changed, and the stored one cannot be read any more: price" in message

    def test_a_stage_ahead_needs_config_that_the_run_was_not_given(self, engine: VirtualEngine) -> None:
        @stage("last")
        def last(item: Item, ctx: StageContext[Limit]) -> Item:
            return item

        run = at_the_gate(engine)
        engine.deploy(shop(named("first"), gate(), last))
        assert "stage 'last' requires config that the run was not given: most" in self.failed(engine, run)

    def test_the_state_that_a_suspended_stage_keeps_is_another(self, engine: VirtualEngine) -> None:
        def batch(state: type[BaseModel]) -> WorkflowDefinition:
            @stage("batch")
            def submit(item: Item) -> Suspended[state]:  # type: ignore[valid-type]
                return Suspended(state(), poll_every=HOUR)

            @submit.check_completion
            def check(kept: state) -> Item:  # type: ignore[valid-type]
                return Item()

            return shop(submit)

        run = engine.start(batch(Item), Item())
        engine.work()
        engine.deploy(batch(Priced))
        message = self.failed(engine, run)
        assert "the state that stage 'batch' keeps has changed, and the stored one cannot be read" in message
        assert "price: Field required" in message

    def test_a_signal_for_it_is_refused_with_the_difference(self, engine: VirtualEngine) -> None:
        run = at_the_gate(engine)
        engine.deploy(shop(named("first"), named("last")))
        engine.clock.advance(A_DEPLOY)
        with pytest.raises(DefinitionChangedError) as caught:
            engine.kernel.dispatch(SignalRun(run_id=run.id, name="go", payload={"name": "y"}))
        assert caught.value.differences == ("the group the run is in was 'gate' and is 'last'",)

    def test_it_can_still_be_cancelled(self, engine: VirtualEngine) -> None:
        run = at_the_gate(engine)
        engine.deploy(shop(named("other")))
        assert engine.kernel.dispatch(CancelRun(run_id=run.id)).cancelled

    def test_other_runs_go_on(self, engine: VirtualEngine) -> None:
        run = at_the_gate(engine)
        engine.deploy(shop(named("other")))
        new = engine.run(shop(named("other")), Item())
        assert new.output == {"name": "x other"}
        assert run.status is Status.SUSPENDED


class TestVersions:
    def test_a_run_goes_on_with_the_version_it_was_started_with(self, engine: VirtualEngine) -> None:
        old = shop(named("first"), gate(), named("last"))
        new = shop(named("other"), named("last", "!"), version=2)
        run = engine.run(old, Item())
        engine.deploy(old, new)
        go(engine, run)
        assert run.output == {"name": "y last"}

    def test_a_run_of_an_older_version_of_the_engine_goes_on_with_its_own_version(self, engine: VirtualEngine) -> None:
        """Its fingerprint was made otherwise, and is that of no definition any more."""
        old = shop(named("first"), gate(), named("last"))
        new = shop(named("other"), named("last", "!"), version=2)
        stored = stored_by_a_version_before(shop(named("first"), gate(), named("last")))
        run = engine.run(stored, Item())
        assert run.head.fingerprint == "fingerprint2"
        engine.deploy(old, new)
        go(engine, run)
        assert run.output == {"name": "y last"}
        assert run.head.fingerprint == old.fingerprint

    def test_new_runs_start_with_the_newest(self, engine: VirtualEngine) -> None:
        old, new = shop(named("old")), shop(named("new"), version=2)
        engine.deploy(old, new)
        assert engine.run(new, Item()).output == {"name": "x new"}


class TestRerun:
    def test_it_goes_on_the_definition_of_the_day(self, engine: VirtualEngine) -> None:
        run = engine.run(shop(named("first"), named("last")), Item())
        engine.deploy(shop(named("first"), named("last", "!"), named("extra")))
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="last"))
        engine.drive(run)
        assert run.output == {"name": "x first last! extra"}

    def test_it_is_refused_where_a_kept_output_does_not_fit(self, engine: VirtualEngine) -> None:
        @stage("first")
        def first(item: Item) -> Priced:
            return Priced(name=item.name, price=1)

        @stage("last")
        def last(item: Priced) -> Item:
            return Item(name=item.name)

        run = engine.run(shop(named("first"), named("last")), Item())
        engine.deploy(shop(first, last))
        engine.clock.advance(A_DEPLOY)
        with pytest.raises(DefinitionChangedError):
            engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="last"))
        assert run.status is Status.COMPLETED
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="first"))
        engine.drive(run)
        assert run.output == {"name": "x"}

    def test_a_run_that_failed_by_a_deploy_goes_on_after_the_next(self, engine: VirtualEngine) -> None:
        good = shop(named("first"), sleep("nap", HOUR), named("last"))
        run = engine.start(good, Item())
        engine.work()
        engine.deploy(shop(named("other")))
        engine.advance(2 * HOUR)
        assert run.status is Status.FAILED
        engine.deploy(good)
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="nap"))
        engine.drive(run)
        assert run.output == {"name": "x first last"}
