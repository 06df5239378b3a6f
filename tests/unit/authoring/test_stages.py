"""What ``@stage`` reads from a function. The models are local, and annotations are strings, on purpose."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Annotated, Any, Optional

import pytest
from pydantic import BaseModel
from typing_extensions import TypeAliasType

from workflow_engine import (
    NotReady,
    RetryPolicy,
    Stage,
    StageContext,
    StageResult,
    Suspended,
    WaitForSignal,
    WorkflowDefinitionError,
    stage,
)


class Words(BaseModel):
    count: int = 0


class State(BaseModel):
    batch: str = "b"


class Approval(BaseModel):
    ok: bool = True


class Config(BaseModel):
    minimum: int = 1


def called(made: Stage[..., Any]) -> Any:
    """What the function gets when the engine calls the stage."""
    return made.definition.call(Words(count=7), "the context")


def test_the_function_is_still_callable_as_it_is() -> None:
    @stage("count")
    def count(words: Words, factor: int = 2) -> Words:
        """Doubles."""
        return Words(count=words.count * factor)

    assert count(Words(count=2)).count == 4
    assert count(words=Words(count=2), factor=3).count == 6
    assert (count.__name__, count.__doc__, repr(count)) == ("count", "Doubles.", "<stage 'count'>")


def test_models_defined_inside_a_function_are_found() -> None:
    class Inner(BaseModel):
        x: int

    @stage("s")
    def made(value: Inner, ctx: StageContext[Config]) -> Inner:
        return value

    definition = made.definition
    assert (definition.input_model, definition.output_model, definition.config_model) == (Inner, Inner, Config)
    assert definition.problems == ()


def test_policies_are_kept_and_dependencies_become_ids() -> None:
    @stage("first")
    def first(words: Words) -> Words:
        return words

    @stage("second", retry=RetryPolicy(max_attempts=9), timeout=timedelta(seconds=9), requires=[first, "other"])
    def second(words: Words) -> Words:
        return words

    definition = second.definition
    assert (definition.retry.max_attempts, definition.timeout) == (9, timedelta(seconds=9))
    assert definition.requires == ("first", "other")
    assert first.definition.timeout == timedelta(minutes=5)


def test_each_order_of_parameters_is_called_as_it_asks() -> None:
    @stage("both")
    def both(words: Words, ctx: StageContext) -> Any:
        return words, ctx

    @stage("context-first")
    def context_first(ctx: StageContext[Config], words: Words) -> Any:
        return words, ctx

    @stage("context-by-name")
    def context_by_name(words: Words, *, somehow: StageContext) -> Any:
        return words, somehow

    @stage("untyped-context")
    def untyped_context(words: Words, ctx, /):  # type: ignore[no-untyped-def]
        return words, ctx

    @stage("optional-context")
    def optional_context(words: Words, context: StageContext[Config] | None = None) -> Any:
        return words, context

    expected = (Words(count=7), "the context")
    for made in (both, context_first, context_by_name, untyped_context, optional_context):
        assert called(made) == expected, made
        assert made.definition.input_model is Words
    assert optional_context.definition.config_model is Config
    assert both.definition.config_model is None


def test_what_is_not_asked_for_is_not_given() -> None:
    @stage("nothing")
    def nothing() -> Any:
        return "called"

    @stage("input-only")
    def input_only(words: Words) -> Any:
        return words

    @stage("context-only")
    def context_only(ctx: StageContext) -> Any:
        return ctx

    @stage("named-context-only")
    def named_context_only(*, ctx: StageContext) -> Any:
        return ctx

    @stage("default")
    def with_default(ctx: StageContext, limit: int = 3) -> Any:
        return ctx, limit

    assert called(nothing) == "called"
    assert called(input_only) == Words(count=7)
    assert called(context_only) == called(named_context_only) == "the context"
    assert called(with_default) == ("the context", 3)
    wants = [(made.definition.wants_input, made.definition.wants_context) for made in (nothing, input_only)]
    assert wants == [(False, False), (True, False)]


def test_an_input_of_none_is_given_none() -> None:
    @stage("s")
    def made(nothing: None, ctx: StageContext) -> None: ...

    assert (made.definition.wants_input, made.definition.input_model) == (True, None)
    assert (made.definition.has_output, made.definition.output_model) == (True, None)


def test_the_output_is_what_remains_of_the_return_annotation() -> None:
    @stage("a")
    def plain(words: Words) -> Words:
        return words

    @stage("b")
    def result(words: Words) -> StageResult[Words]:
        return StageResult(words)

    @stage("c")
    def either(words: Words) -> Words | StageResult[Words] | Suspended[State]:
        return words

    @stage("d")
    def waits(words: Words) -> WaitForSignal[Approval] | Words:
        return words

    @stage("e")
    def annotated(words: Words) -> Annotated[Words, "the words"] | Suspended[State]:
        return words

    for made in (plain, result, either, waits, annotated):
        assert made.definition.output_model is Words, made
        assert not made.definition.problems
        assert not made.definition.is_async


def test_a_named_union_is_read_like_the_union_itself() -> None:
    # What a `type` statement makes, from Python 3.12 on.
    outcome = TypeAliasType("outcome", Annotated[Words | Suspended[State], "noted"])

    def function(words: Words) -> Any: ...

    function.__annotations__["return"] = outcome
    definition = stage("s")(function).definition
    assert (definition.output_model, definition.facts.returned.state) == (Words, State)


def test_what_must_be_awaited_is_told_by_the_function_or_by_its_annotation() -> None:
    @stage("a")
    async def coroutine(words: Words) -> Words | Suspended[State]:
        return words

    @stage("b")
    def awaitable(words: Words) -> Awaitable[Words]:
        return coroutine.definition.call(words, None)  # type: ignore[no-any-return]

    for made in (coroutine, awaitable):
        assert made.definition.is_async
        assert made.definition.output_model is Words
    assert asyncio.run(called(awaitable)) == Words(count=7)


def test_a_stage_that_only_suspends_has_the_output_of_its_check() -> None:
    @stage("s")
    def made(words: Words) -> Suspended[State]:
        return Suspended(State(), poll_every=timedelta(1))

    @made.check_completion
    async def poll(state: State, ctx: StageContext[Config]) -> Words | NotReady:
        return NotReady()

    definition = made.definition
    check = definition.check
    assert check is not None
    assert (definition.output_model, definition.state_model, definition.config_model) == (Words, State, Config)
    assert (check.function, check.wants_context, check.is_async, check.output_model) == (poll, True, True, Words)
    assert definition.kind == "poll"


def test_a_stage_that_only_waits_has_the_output_of_its_signal_function() -> None:
    @stage("s")
    def made(words: Words) -> WaitForSignal[Approval]:
        return WaitForSignal("approval", Approval)

    @made.on_signal
    def decide(approval: Approval) -> Words:
        return Words(count=int(approval.ok))

    definition = made.definition
    signal = definition.signal
    assert signal is not None
    assert (definition.output_model, signal.payload_model, signal.wants_context) == (Words, Approval, False)
    assert signal.call(signal.load_payload(b'{"ok":true}'), None) == Words(count=1)
    assert decide(Approval(ok=False)).count == 0
    assert definition.kind == "signal"


def test_a_signal_without_payload_has_no_model() -> None:
    @stage("s")
    def made() -> WaitForSignal[None]:
        return WaitForSignal("go", None)

    @made.on_signal
    def go(nothing: None, ctx: StageContext) -> None: ...

    signal = made.definition.signal
    assert signal is not None
    assert signal.payload_model is None
    assert signal.load_payload(b"null") is None


def test_a_wrapped_function_is_read_through_its_wrapper() -> None:
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @stage("s")
    @logged
    def made(words: Words, ctx: StageContext) -> Words:
        return words

    assert made.definition.problems == ()
    assert called(made) == Words(count=7)


def problems_of(made: Stage[..., Any]) -> str:
    return "\n".join(made.definition.problems)


def test_annotations_that_are_no_models_are_problems_that_name_them() -> None:
    @stage("a")  # type: ignore[type-var]
    def number(n: int) -> str: ...  # type: ignore[empty-body]

    @stage("b")
    def bare(words):  # type: ignore[no-untyped-def]
        return words

    @stage("c")
    def configured(words: Words, ctx: StageContext[dict[str, int]]) -> Words: ...  # type: ignore[empty-body]

    @stage("d")
    def several(words: Words) -> Words | State: ...  # type: ignore[empty-body]

    @stage("e")
    def perhaps(words: Words) -> Optional[Words]: ...  # noqa: UP045

    @stage("f")  # type: ignore[type-var]
    def state(words: Words) -> Suspended[dict[str, int]]: ...  # type: ignore[type-var, empty-body]

    assert "parameter 'n' must be a pydantic model or None, not int" in problems_of(number)
    assert "the output must be a pydantic model or None, not str" in problems_of(number)
    assert "parameter 'words' has no annotation" in problems_of(bare)
    assert "has no return annotation" in problems_of(bare)
    assert "the type argument of StageContext, must be a pydantic model" in problems_of(configured)
    assert "more than one output type" in problems_of(several)
    assert "more than one output type" in problems_of(perhaps)
    assert "the type argument of Suspended must be a pydantic model" in problems_of(state)


def test_a_parameter_that_nobody_fills_is_a_problem() -> None:
    @stage("s")
    def made(words: Words, ctx: StageContext, more: int, *rest: int) -> Words: ...  # type: ignore[empty-body]

    assert "'more' would be given nothing" in problems_of(made)
    assert "'rest' would be given nothing" in problems_of(made)


def test_a_name_that_is_not_defined_is_named_at_once() -> None:
    with pytest.raises(WorkflowDefinitionError, match="stage 's': its annotations name 'Missing'"):

        @stage("s")
        def made(words: Missing) -> Words: ...  # type: ignore[name-defined, empty-body]  # noqa: F821


def test_an_annotation_that_cannot_be_evaluated_is_told_with_the_reason() -> None:
    with pytest.raises(WorkflowDefinitionError, match=r"cannot be read: .*division by zero"):

        @stage("s")
        def made(words: 1 / 0) -> Words: ...  # type: ignore[valid-type, empty-body]


def test_what_is_no_plain_function_is_refused() -> None:
    def generator(words: Words) -> Iterator[Words]:
        yield words

    class Callable_:  # noqa: N801
        def __call__(self, words: Words) -> Words:
            return words

    for candidate in (generator, Callable_(), functools.partial(print), Words):
        with pytest.raises(WorkflowDefinitionError, match="must be a plain function"):
            stage("s")(candidate)  # type: ignore[type-var]


def test_a_forgotten_id_is_told_so() -> None:
    def made(words: Words) -> Words: ...  # type: ignore[empty-body]

    with pytest.raises(TypeError, match="takes the id of the stage"):
        stage(made)  # type: ignore[arg-type]


@pytest.mark.parametrize("requires", ["first", [3], [print], 3])
def test_dependencies_must_be_stages_or_ids(requires: Any) -> None:
    with pytest.raises(TypeError, match="requires takes"):
        stage("s", requires=requires)


def test_a_policy_of_another_type_is_refused() -> None:
    wrong: Any = 3
    with pytest.raises(TypeError, match="retry must be a RetryPolicy"):
        stage("s", retry=wrong)
    with pytest.raises(TypeError, match="timeout a timedelta"):
        stage("s", timeout=wrong)


def test_a_second_check_or_signal_function_is_refused() -> None:
    @stage("s")
    def made(words: Words) -> Suspended[State] | WaitForSignal[Approval] | Words:
        return words

    def poll(state: State) -> Words: ...  # type: ignore[empty-body]

    def decide(approval: Approval) -> Words: ...  # type: ignore[empty-body]

    made.check_completion(poll)
    made.on_signal(decide)
    assert made.definition.kind == "poll+signal"
    with pytest.raises(WorkflowDefinitionError, match="already"):
        made.check_completion(poll)
    with pytest.raises(WorkflowDefinitionError, match="already"):
        made.on_signal(decide)
