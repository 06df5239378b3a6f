"""What a stage gets to know while it runs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import (
    InvalidOutputError,
    StageContext,
    StageNotFoundError,
    Workflow,
    stage,
)
from workflow_engine.authoring.engine import OutputReader
from workflow_engine.testing.clock import FakeClock

MakeContext = Callable[..., StageContext[Any]]


class Document(BaseModel):
    text: str


class Words(BaseModel):
    count: int


@stage("count-words")
def count_words(document: Document) -> Words:
    return Words(count=len(document.text.split()))


@stage("notify")
def notify(words: Words) -> None: ...


@stage("report")
def report() -> Words:
    return Words(count=0)


@stage("elsewhere")
def elsewhere() -> Words:
    return Words(count=0)


WORKFLOW = Workflow("analysis", input=Document).pipe(count_words).pipe(notify).pipe(report).build()
WORDS = b'{"count":3}'


class CountingReader(OutputReader):
    def __init__(self) -> None:
        self.reads: list[str] = []

    @override
    def read(self, stage_id: str) -> bytes | None:
        self.reads.append(stage_id)
        return WORDS


def test_it_says_where_the_stage_stands(make_context: MakeContext) -> None:
    ctx = make_context(WORKFLOW, "report", attributes={"tenant": "t"})
    assert (ctx.run_id, ctx.workflow_id, ctx.stage_id, ctx.stage_number) == ("run-1", "analysis", "report", 3)
    assert (ctx.attempt, ctx.effect_key, ctx.attributes) == (1, "effect", {"tenant": "t"})
    assert (ctx.input, ctx.config) == (None, None)


def test_require_gives_the_output_of_an_earlier_stage_by_stage_or_id(make_context: MakeContext) -> None:
    ctx = make_context(WORKFLOW, "report", outputs={"count-words": WORDS})
    assert ctx.require(count_words) == Words(count=3)
    assert ctx.require("count-words") == Words(count=3)


def test_an_output_is_read_once_and_is_the_same_object_each_time(make_context: MakeContext) -> None:
    reader = CountingReader()
    ctx = make_context(WORKFLOW, "report", outputs=reader)
    assert ctx.require(count_words) is ctx.optional(count_words)
    assert reader.reads == ["count-words"]


def test_a_stage_without_output_can_be_required_once_it_is_done(make_context: MakeContext) -> None:
    assert make_context(WORKFLOW, "report", outputs={"notify": b"null"}).require("notify") is None
    with pytest.raises(StageNotFoundError, match="has no output"):
        make_context(WORKFLOW, "report").require("notify")


@pytest.mark.parametrize(
    ("stage_id", "why"),
    [("nowhere", "no such stage"), ("report", "no earlier group"), ("count-words", "has no output")],
)
def test_require_says_why_there_is_no_output_and_optional_answers_none(
    make_context: MakeContext, stage_id: str, why: str
) -> None:
    ctx = make_context(WORKFLOW, "report")
    with pytest.raises(StageNotFoundError, match=why) as refused:
        ctx.require(stage_id)
    assert (refused.value.workflow_id, refused.value.stage_id) == ("analysis", stage_id)
    assert ctx.optional(stage_id) is None


def test_a_later_stage_is_not_even_read(make_context: MakeContext) -> None:
    reader = CountingReader()
    ctx = make_context(WORKFLOW, "count-words", outputs=reader)
    assert ctx.optional(report) is None
    assert ctx.optional(elsewhere) is None
    assert reader.reads == []


def test_a_stored_output_that_no_longer_fits_is_an_error_even_for_optional(make_context: MakeContext) -> None:
    ctx = make_context(WORKFLOW, "report", outputs={"count-words": b'{"count":"secret"}'})
    with pytest.raises(InvalidOutputError) as refused:
        ctx.optional(count_words)
    assert "secret" not in str(refused.value)


def test_remaining_follows_the_clock_and_ends_at_zero(make_context: MakeContext, clock: FakeClock) -> None:
    ctx = make_context(WORKFLOW, "report", deadline=clock.now() + timedelta(seconds=10))
    clock.advance(timedelta(seconds=4))
    assert ctx.remaining() == timedelta(seconds=6)
    clock.advance(timedelta(hours=1))
    assert ctx.remaining() == timedelta(0)


def test_what_the_stage_notes_is_in_its_journal(make_context: MakeContext) -> None:
    ctx = make_context(WORKFLOW, "report")
    ctx.log("info", "hello", words=3)
    ctx.progress(0.5)
    ctx.annotate("source", "wiki")
    journal = ctx.noted
    assert journal is not None
    assert [(line.message, line.fields) for line in journal.lines] == [("hello", {"words": 3})]
    assert journal.progress is not None
    assert [note.value for note in journal.notes] == ["wiki"]


def test_nothing_is_made_that_the_stage_does_not_ask_for(make_context: MakeContext) -> None:
    made: list[object] = []

    def make_storage() -> object:
        made.append(object())
        return made[-1]

    ctx = make_context(WORKFLOW, "report", make_storage=make_storage)
    assert ctx.noted is None
    assert not made
    assert ctx.storage is ctx.storage
    assert len(made) == 1


def test_what_a_stage_changes_in_its_attributes_is_seen_by_it_alone(make_context: MakeContext) -> None:
    given = {"tenant": {"name": "acme"}}
    first, second = (make_context(WORKFLOW, "report", attributes=given) for _ in range(2))
    first.attributes["tenant"]["name"] = "other"
    first.attributes["more"] = 1  # type: ignore[index] # a Mapping, and a dict in truth
    assert first.attributes == {"tenant": {"name": "other"}, "more": 1}
    assert second.attributes == given == {"tenant": {"name": "acme"}}


def test_a_line_may_have_fields_of_any_name(make_context: MakeContext) -> None:
    ctx = make_context(WORKFLOW, "report")
    fields = {"message": "m", "level": "l", "self": "s", "fields": "f", "said": "t"}
    ctx.log("info", "x", **fields)
    (line,) = ctx.journal.lines
    assert (line.level, line.message, line.fields) == ("INFO", "x", fields)


def test_a_line_may_be_said_by_name(make_context: MakeContext) -> None:
    ctx = make_context(WORKFLOW, "report")
    ctx.log(level="warning", message="x", cents=3)
    ctx.log("error", message="y")  # type: ignore[call-overload] # as people write it all the same
    assert [(line.level, line.message, line.fields) for line in ctx.journal.lines] == [
        ("WARNING", "x", {"cents": 3}),
        ("ERROR", "y", {}),
    ]
