"""What a stage is given and what becomes of what it answers."""

import asyncio
import contextvars
import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from workflow_engine import (
    InvalidConfigError,
    StageContext,
    StageResult,
    Status,
    Suspended,
    Workflow,
    stage,
)
from workflow_engine.testing.engine import VirtualEngine


class Text(BaseModel):
    text: str


class Count(BaseModel):
    count: int


class Total(BaseModel):
    words: int
    letters: int


class Both(BaseModel):
    words: Count
    letters: Count


class Limits(BaseModel):
    minimum: int = 1
    unit: str = "word"


@stage("words")
def words(text: Text) -> Count:
    return Count(count=len(text.text.split()))


@stage("letters")
async def letters(text: Text) -> Count:
    await asyncio.sleep(0)
    return Count(count=len(text.text.replace(" ", "")))


@stage("double")
def double(count: Count) -> Count:
    return Count(count=2 * count.count)


@stage("add")
def add(both: Both) -> Total:
    return Total(words=both.words.count, letters=both.letters.count)


def test_each_stage_gets_the_output_of_the_one_before_it(engine: VirtualEngine) -> None:
    run = engine.run(Workflow("w", input=Text).pipe(words).pipe(double).build(), Text(text="a b c"))
    assert (run.status, run.output) == (Status.COMPLETED, {"count": 6})


def test_an_async_stage_is_awaited(engine: VirtualEngine) -> None:
    run = engine.run(Workflow("w", input=Text).pipe(letters).pipe(double).build(), {"text": "a b c"})
    assert run.output == {"count": 6}


def test_the_stage_after_a_group_gets_a_field_for_each_of_its_outputs(engine: VirtualEngine) -> None:
    run = engine.run(Workflow("w", input=Text).parallel(words, letters).pipe(add).build(), Text(text="ab cd ef"))
    assert run.output == {"words": 3, "letters": 6}


def test_a_group_at_the_end_answers_an_object_with_a_field_for_each_stage(engine: VirtualEngine) -> None:
    run = engine.run(Workflow("w", input=Text).parallel(words, letters).build(), Text(text="ab cd ef"))
    assert run.output == {"words": {"count": 3}, "letters": {"count": 6}}


def test_groups_may_follow_each_other(engine: VirtualEngine) -> None:
    class Numbers(BaseModel):
        more: Count
        less: Count

    @stage("more")
    def more(both: Both) -> Count:
        return Count(count=both.words.count + both.letters.count)

    @stage("less")
    def less(both: Both) -> Count:
        return Count(count=both.words.count - both.letters.count)

    @stage("product")
    def product(numbers: Numbers) -> Count:
        return Count(count=numbers.more.count * numbers.less.count)

    workflow = Workflow("w", input=Text).parallel(words, letters).parallel(more, less).pipe(product).build()
    assert engine.run(workflow, Text(text="ab cd ef")).output == {"count": (3 + 6) * (3 - 6)}


def test_a_stage_requires_the_output_of_any_earlier_stage(engine: VirtualEngine) -> None:
    @stage("report", requires=[words])
    def report(count: Count, ctx: StageContext) -> Total:
        return Total(words=ctx.require(words).count, letters=count.count)

    workflow = Workflow("w", input=Text).pipe(words).pipe(double).pipe(report).build()
    assert engine.run(workflow, Text(text="a b")).output == {"words": 2, "letters": 4}


def test_an_optional_output_is_none_where_there_is_no_such_stage(engine: VirtualEngine) -> None:
    @stage("report")
    def report(count: Count, ctx: StageContext) -> Total:
        assert ctx.optional("letters") is None
        found = ctx.optional(words)
        return Total(words=found.count if found else 0, letters=0)

    workflow = Workflow("w", input=Text).pipe(words).pipe(report).build()
    assert engine.run(workflow, Text(text="a b")).output == {"words": 2, "letters": 0}


def test_a_required_output_is_read_again_by_another_invocation(engine: VirtualEngine) -> None:
    @stage("wide", requires=[words])
    def wide(count: Count, ctx: StageContext) -> Count:
        return Count(count=count.count + ctx.require("words").count)

    @stage("narrow")
    def narrow(count: Count) -> Count:
        return count

    # A group is never chained, so each of its stages reads what it needs.
    workflow = Workflow("w", input=Text).pipe(words).pipe(double).parallel(wide, narrow).build()
    assert engine.run(workflow, Text(text="a b")).output["wide"] == {"count": 6}


def test_config_is_merged_into_the_defaults_of_the_stage(engine: VirtualEngine) -> None:
    seen: list[Limits] = []

    @stage("count")
    def count_words(text: Text, ctx: StageContext[Limits]) -> Count:
        seen.append(ctx.config)
        return Count(count=0)

    workflow = Workflow("w", input=Text).pipe(count_words).build()
    engine.run(workflow, Text(text=""), config={"count": {"minimum": 4}})
    engine.run(workflow, Text(text=""))
    assert seen == [Limits(minimum=4), Limits()]


def test_config_that_does_not_validate_starts_no_run(engine: VirtualEngine) -> None:
    @stage("count")
    def count_words(text: Text, ctx: StageContext[Limits]) -> Count:
        return Count(count=0)

    workflow = Workflow("w", input=Text).pipe(count_words).build()
    with pytest.raises(InvalidConfigError) as caught:
        engine.start(workflow, Text(text=""), config={"count": {"minimum": "many"}})
    assert (caught.value.stage_id, caught.value.retryable) == ("count", False)
    assert not engine.persistence.list_runs("w").run_ids


def test_a_stage_sees_its_run(engine: VirtualEngine) -> None:
    seen: list[tuple[object, ...]] = []

    @stage("look", timeout=timedelta(minutes=2))
    def look(count: Count, ctx: StageContext) -> Count:
        seen.append(
            (ctx.run_id, ctx.workflow_id, ctx.stage_id, ctx.stage_number, ctx.attempt, ctx.input, ctx.remaining())
        )
        return count

    run = engine.run(Workflow("w", input=Text).pipe(words).pipe(look).build(), Text(text="a"))
    assert seen == [(run.id, "w", "look", 2, 1, Count(count=1), timedelta(minutes=2))]


def test_attributes_go_with_the_run_to_every_stage(engine: VirtualEngine) -> None:
    seen: list[object] = []

    @stage("first")
    def first(text: Text, ctx: StageContext) -> Text:
        seen.append(ctx.attributes)
        return text

    @stage("second")
    def second(text: Text, ctx: StageContext) -> Text:
        seen.append(ctx.attributes)
        return text

    workflow = Workflow("w", input=Text).pipe(first).pipe(second).build()
    attributes = {"customer": "acme", "tags": ["a", "b"]}
    engine.run(workflow, Text(text="a"), attributes=attributes)
    assert seen == [attributes, attributes]


def test_a_stage_without_output_takes_part(engine: VirtualEngine) -> None:
    done: list[int] = []

    @stage("notify")
    def notify(count: Count) -> None:
        done.append(count.count)

    @stage("after", requires=[words])
    def after(ctx: StageContext) -> Count:
        return ctx.require(words)

    workflow = Workflow("w", input=Text).pipe(words).pipe(notify).pipe(after).build()
    assert engine.run(workflow, Text(text="a b")).output == {"count": 2}
    assert done == [2]


def test_metrics_and_artifacts_are_kept_with_the_attempt(engine: VirtualEngine) -> None:
    @stage("measure")
    def measure(text: Text) -> StageResult[Count]:
        return StageResult(output=Count(count=1), metrics={"bytes": 3.5}, artifacts={"page": "pages/1.html"})

    run = engine.run(Workflow("w", input=Text).pipe(measure).build(), Text(text="a"))
    (record,) = run.records
    assert (record.metrics, record.artifacts) == ({"bytes": 3.5}, {"page": "pages/1.html"})
    assert run.output == {"count": 1}


def test_the_effect_key_is_the_same_on_every_attempt_and_another_for_every_stage_and_run(
    engine: VirtualEngine,
) -> None:
    keys: list[str] = []

    @stage("effect")
    def effect(text: Text, ctx: StageContext) -> Text:
        keys.append(ctx.effect_key)
        if ctx.attempt == 1:
            raise OSError("the line is down")
        return text

    @stage("other")
    def other(text: Text, ctx: StageContext) -> Text:
        keys.append(ctx.effect_key)
        return text

    workflow = Workflow("w", input=Text).pipe(effect).pipe(other).build()
    engine.run(workflow, Text(text="a"))
    engine.run(workflow, Text(text="a"))
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as people write it: it does not know what is async."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def test_an_async_function_behind_a_plain_decorator_is_awaited(engine: VirtualEngine) -> None:
    @stage("fetch")
    @traced
    async def fetch(text: Text) -> Suspended[Count]:
        await asyncio.sleep(0)
        return Suspended(Count(count=1), poll_every=timedelta(seconds=1))

    @fetch.check_completion
    @traced
    async def check(state: Count) -> Count:
        await asyncio.sleep(0)
        return Count(count=state.count + 1)

    run = engine.run(Workflow("w", input=Text).pipe(fetch).build(), Text(text="x"))
    assert (run.status, run.output) == (Status.COMPLETED, {"count": 2})


def test_what_a_stage_changes_in_the_attributes_is_not_seen_by_the_next(engine: VirtualEngine) -> None:
    seen: list[Any] = []

    @stage("change")
    def change(text: Text, ctx: StageContext) -> Text:
        ctx.attributes["tenant"]["name"] = "other"
        return text

    @stage("look")
    def look(text: Text, ctx: StageContext) -> Text:
        seen.append(ctx.attributes)
        return text

    workflow = Workflow("w", input=Text).pipe(change).pipe(look).build()
    engine.run(workflow, Text(text="x"), attributes={"tenant": {"name": "acme"}})
    assert seen == [{"tenant": {"name": "acme"}}]


def test_context_variables_of_a_stage_are_not_seen_by_the_next(engine: VirtualEngine) -> None:
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
    seen: list[str] = []

    @stage("change")
    def change(text: Text) -> Text:
        tenant.set(text.text)
        return text

    @stage("look")
    async def look(text: Text) -> Text:
        seen.append(tenant.get())
        return text

    engine.run(Workflow("w", input=Text).pipe(change).pipe(look).build(), Text(text="acme"))
    assert seen == ["nobody"]
