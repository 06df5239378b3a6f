"""What goes into a run comes out of it as it was, at each attempt, or is refused with the field's name."""

import math
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr, computed_field

from workflow_engine import (
    CreateRun,
    IdempotencyConflictError,
    InvalidConfigError,
    InvalidInputError,
    NotReady,
    RerunFrom,
    RetryPolicy,
    Schedule,
    SignalRun,
    Stage,
    StageContext,
    StageResult,
    Status,
    Suspended,
    UnstorableValueError,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.testing.engine import VirtualEngine

SECOND = timedelta(seconds=1)
AGAIN = RetryPolicy(max_attempts=3, first_delay=SECOND)
NUMBERS = count(1)


def next_number() -> int:
    return next(NUMBERS)


class Nothing(BaseModel):
    pass


class Account(BaseModel):
    name: str = "ada"
    password: SecretStr = SecretStr("")


class Measured(BaseModel):
    value: float | None = None


class Base(BaseModel):
    n: int = 0


class Extended(Base):
    more: str = "more"


class Area(BaseModel):
    model_config = ConfigDict(extra="forbid")
    side: int = 2

    @computed_field  # type: ignore[prop-decorator]
    @property
    def size(self) -> int:
        return self.side**2


class Stamped(BaseModel):
    """Another one each time that it is made of nothing."""

    number: int = Field(default_factory=next_number)


class Tree(RootModel[list[Any]]):
    pass


BAD: dict[str, tuple[BaseModel, type[BaseModel], str]] = {
    "secret": (Account(password=SecretStr("hunter2")), Account, "password"),
    "nan": (Measured(value=math.nan), Measured, "value"),
    "subclass": (Extended(), Base, "more"),
}


def workflow(*stages: Stage[..., Any], input: type[BaseModel] = Nothing) -> WorkflowDefinition:
    made = Workflow("values", input=input)
    for one in stages:
        made.pipe(one)
    return made.build()


def answering(value: Any, model: Any) -> Stage[..., Any]:
    def answer(_input: Nothing) -> Any:
        return value

    answer.__annotations__["return"] = model
    return stage("answer", retry=AGAIN)(answer)


def suspending(state: Any, model: Any, answer: Any = None) -> Stage[..., Any]:
    def start(_input: Nothing) -> Any:
        return Suspended(state, poll_every=SECOND)

    def check(_state: Any) -> Any:
        return answer or Base()

    start.__annotations__["return"] = Suspended[model]
    check.__annotations__.update({"_state": model, "return": Base | NotReady})
    made = stage("suspend", retry=AGAIN)(start)
    made.check_completion(check)
    return made


def waiting(model: type[BaseModel], answer: Any = None) -> Stage[..., Any]:
    def wait(_input: Nothing) -> Any:
        return WaitForSignal("go", model)

    def take(payload: Any) -> Any:
        return answer or Base()

    wait.__annotations__["return"] = WaitForSignal[model]  # type: ignore[valid-type]
    take.__annotations__.update({"payload": model, "return": Base})
    made = stage("wait", retry=AGAIN)(wait)
    made.on_signal(take)
    return made


class TestWhatAStageAnswers:
    @pytest.mark.parametrize(("value", "model", "named"), BAD.values(), ids=list(BAD))
    @pytest.mark.parametrize("how", ["output", "result", "state", "check", "handler"])
    def test_it_is_refused_once_with_the_field(
        self, engine: VirtualEngine, value: BaseModel, model: type[BaseModel], named: str, how: str
    ) -> None:
        @stage("answer")
        def checked(_input: Nothing) -> Suspended[Nothing]:
            return Suspended(Nothing(), poll_every=SECOND)

        @stage("answer")
        def waited(_input: Nothing) -> WaitForSignal[Nothing]:
            return WaitForSignal("go", Nothing)

        def late(_given: Nothing) -> Any:
            return value

        late.__annotations__["return"] = model
        checked.check_completion(late)
        waited.on_signal(late)
        stages: dict[str, Stage[..., Any]] = {
            "output": answering(value, model),
            "result": answering(StageResult(value), StageResult[model]),  # type: ignore[valid-type]
            "state": suspending(value, model),
            "check": checked,
            "handler": waited,
        }
        run = engine.run(workflow(stages[how]), Nothing())
        if how == "handler":
            engine.signal(run, "go", Nothing())
        assert run.status is Status.FAILED
        assert run.error is not None
        assert run.error.type == "InvalidOutputError"
        assert named in run.error.message
        assert "hunter2" not in run.error.message
        assert [record.status for record in run.records].count(Status.FAILED) == 1

    def test_a_computed_field_is_no_obstacle_to_the_next_stage(self, engine: VirtualEngine) -> None:
        @stage("measure")
        def measure(area: Area) -> Area:
            return Area(side=area.size)

        @stage("use")
        def use(area: Area) -> Base:
            return Base(n=area.size)

        assert engine.run(workflow(measure, use, input=Area), Area(side=3)).output == {"n": 81}

    @pytest.mark.parametrize("depth", [90, 150])
    def test_a_state_and_an_output_may_be_of_the_same_depth(self, engine: VirtualEngine, depth: int) -> None:
        deep: list[Any] = []
        for _ in range(depth):
            deep = [deep]

        @stage("both")
        def both(_input: Nothing) -> Tree | Suspended[Tree]:
            return Suspended(Tree(deep), poll_every=SECOND)

        @both.check_completion
        def check(state: Tree) -> Tree:
            return state

        run = engine.run(workflow(both), Nothing())
        assert (run.status, run.output) == (Status.COMPLETED, deep)

    def test_a_model_in_the_storage_is_carried_or_refused(self, engine: VirtualEngine) -> None:
        refused: list[str] = []

        @stage("save")
        def save(_input: Nothing, ctx: StageContext) -> Base:
            ctx.storage.save("area", Area(side=3))
            with pytest.raises(UnstorableValueError) as caught:
                ctx.storage.save("account", Account(password=SecretStr("hunter2")))
            refused.append(str(caught.value))
            return Base(n=Area.model_validate_json(ctx.storage.load("area")).side)

        assert engine.run(workflow(save), Nothing()).output == {"n": 3}
        assert "password" in refused[0]
        assert "hunter2" not in refused[0]


class TestWhatARunIsGiven:
    @pytest.mark.parametrize(("value", "model", "named"), list(BAD.values())[:1], ids=list(BAD)[:1])
    def test_an_input_or_a_payload_is_refused_with_the_field(
        self, engine: VirtualEngine, value: BaseModel, model: type[BaseModel], named: str
    ) -> None:
        @stage("first")
        def first(_input: Account) -> Base:
            return Base()

        accounts = workflow(first, input=Account)
        sent = {"password": "hunter2"}
        with pytest.raises(InvalidInputError, match=named):
            engine.start(accounts, sent)
        with pytest.raises(UnstorableValueError, match=named):
            engine.start(accounts, value)
        with pytest.raises(InvalidInputError, match=named):
            engine.kernel.schedules.put(
                Schedule(name="s", workflow_id="values", expression="rate(1 day)", input={"password": "hunter2"})
            )
        run = engine.run(workflow(waiting(model)), Nothing())
        with pytest.raises(InvalidInputError, match=named):
            engine.signal(run, "go", sent)
        assert run.waiting_for == ("go",)

    def test_a_config_is_refused_with_the_field(self, engine: VirtualEngine) -> None:
        @stage("first")
        def first(_input: Nothing, ctx: StageContext[Account]) -> Base:
            return Base()

        with pytest.raises(InvalidConfigError, match="password: is a secret"):
            engine.start(workflow(first), Nothing(), config={"first": {"password": "hunter2"}})

    @pytest.mark.parametrize("padding", ["", "x" * 300], ids=["in the head", "in an item of its own"])
    def test_a_default_of_the_input_is_the_same_at_each_attempt(self, engine: VirtualEngine, padding: str) -> None:
        class Padded(Stamped):
            padding: str = ""

        seen: list[int] = []

        @stage("first", retry=AGAIN)
        def first(given: Padded) -> Base:
            seen.append(given.number)
            if len(seen) < 3:
                raise ValueError("again")
            return Base(n=given.number)

        run = engine.run(workflow(first, input=Padded), {"padding": padding})
        assert len(seen) == 3
        assert seen == [run.output["n"]] * 3

    def test_a_default_of_the_input_is_the_same_to_a_rerun(self, engine: VirtualEngine) -> None:
        @stage("first")
        def first(given: Stamped) -> Base:
            return Base(n=given.number)

        run = engine.run(workflow(first, input=Stamped), {})
        before = run.output
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="first"))
        engine.drive(run)
        assert run.output == before
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="first", input={}))
        engine.drive(run)
        renewed = run.output
        assert renewed != before
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="first"))
        engine.drive(run)
        assert run.output == renewed

    def test_a_default_of_a_config_is_the_same_at_each_attempt(self, engine: VirtualEngine) -> None:
        seen: list[int] = []

        @stage("first", retry=AGAIN)
        def first(_input: Nothing, ctx: StageContext[Stamped]) -> Base:
            seen.append(ctx.config.number)
            if len(seen) < 3:
                raise ValueError("again")
            return Base()

        assert engine.run(workflow(first), Nothing()).status is Status.COMPLETED
        assert len(set(seen)) == 1

    @pytest.mark.parametrize("early", [True, False])
    def test_a_default_of_a_payload_is_the_same_at_each_attempt(self, engine: VirtualEngine, early: bool) -> None:
        seen: list[int] = []

        @stage("wait", retry=AGAIN)
        def wait(_input: Nothing) -> WaitForSignal[Stamped]:
            return WaitForSignal("go", Stamped)

        @wait.on_signal
        def go(payload: Stamped) -> Base:
            seen.append(payload.number)
            if len(seen) < 3:
                raise ValueError("again")
            return Base()

        run = engine.start(workflow(wait), Nothing())
        if not early:
            engine.drive(run)
        engine.signal(run, "go", {})
        assert run.status is Status.COMPLETED
        assert len(seen) == 3
        assert len(set(seen)) == 1

    def test_what_was_said_is_the_content_not_what_became_of_it(self, engine: VirtualEngine) -> None:
        @stage("wait")
        def wait(given: Stamped) -> WaitForSignal[Stamped]:
            return WaitForSignal("go", Stamped)

        @wait.on_signal
        def go(payload: Stamped, ctx: StageContext) -> Base:
            return Base(n=payload.number)

        run = engine.run(workflow(wait, input=Stamped), {}, idempotency_key="k")
        again = CreateRun(workflow_id="values", input={}, idempotency_key="k")
        assert engine.kernel.dispatch(again).run_id == run.id
        signal = SignalRun(run_id=run.id, name="go", payload={}, idempotency_key="s")
        assert engine.kernel.dispatch(signal).delivered
        assert engine.kernel.dispatch(signal).delivered
        with pytest.raises(IdempotencyConflictError):
            engine.kernel.dispatch(again.model_copy(update={"input": {"number": 1}}))

    def test_an_input_of_the_greatest_depth_is_taken(self, engine: VirtualEngine) -> None:
        class Deep(BaseModel):
            value: Any

        @stage("first")
        def first(given: Deep) -> Deep:
            return given

        deep: Any = 1
        for _ in range(99):
            deep = [deep]
        run = engine.run(workflow(first, input=Deep), {"value": deep})
        assert run.output == {"value": deep}

    def test_a_number_beyond_a_double_arrives_whole(self, engine: VirtualEngine) -> None:
        @stage("first")
        def first(given: Base) -> Base:
            return given

        run = engine.run(workflow(first, input=Base), {"n": 2**80 + 1})
        assert run.output == {"n": 2**80 + 1}


class Options(BaseModel):
    size: int = 1
    colours: dict[str, "Colour"] = {}


class Colour(BaseModel):
    red: int = 0


class Free(BaseModel, extra="allow"):
    pass


class TestWhatNobodyKnows:
    @pytest.mark.parametrize(
        ("config", "problem"),
        [
            ({"resise": {}}, r"the workflow has no such stage \(did you mean 'resize'\?\); it has resize, free"),
            ({"resize": {"sise": 3}}, r"sise: there is no such field \(did you mean 'size'\?\)"),
            ({"resize": {"colours": {"a": {"read": 1}}}}, r"colours.a.read: there is no such field"),
        ],
        ids=["stage", "field", "field inside"],
    )
    def test_a_misspelled_config_is_refused_with_the_nearest_name(
        self, engine: VirtualEngine, config: dict[str, Any], problem: str
    ) -> None:
        with pytest.raises(InvalidConfigError, match=problem):
            engine.start(resizing(), Nothing(), config=config)
        schedule = Schedule(name="s", workflow_id="values", expression="rate(1 day)", input={}, config=config)
        with pytest.raises(InvalidConfigError, match=problem):
            engine.kernel.schedules.put(schedule)

    def test_extra_config_is_taken_by_who_allows_it(self, engine: VirtualEngine) -> None:
        run = engine.run(
            resizing(), Nothing(), config={"free": {"anything": 1}, "resize": {"colours": {"a": {"red": 2}}}}
        )
        assert run.output == {"n": 1}


def resizing() -> WorkflowDefinition:
    @stage("resize")
    def resize(_input: Nothing, ctx: StageContext[Options]) -> Nothing:
        return Nothing()

    @stage("free")
    def free(_input: Nothing, ctx: StageContext[Free]) -> Base:
        return Base(n=len(ctx.config.model_extra or {}))

    return workflow(resize, free)
