"""``sleep`` waits, and hands on what it was given."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from workflow_engine import NotReady, StageContext, Suspended, Workflow, WorkflowDefinitionError, sleep, stage
from workflow_engine.authoring.sleeping import SleepState
from workflow_engine.testing.clock import FakeClock

MakeContext = Callable[..., StageContext[Any]]
DAY = timedelta(days=1)


class Document(BaseModel):
    text: str = "t"


class Words(BaseModel):
    count: int = 0


@stage("words")
def words(document: Document) -> Words:
    return Words()


@stage("letters")
def letters(document: Document) -> Words:
    return Words()


@stage("report")
def report(words: Words) -> Words:
    return words


def test_it_wakes_at_the_time_it_was_set_to_and_answers_its_input(make_context: MakeContext, clock: FakeClock) -> None:
    workflow = Workflow("w", input=Document).pipe(sleep("nap", DAY)).build()
    nap = workflow.stage("nap")
    assert nap.check is not None
    ctx = make_context(workflow, "nap", input=Document())
    suspended = nap.call(None, ctx)
    assert suspended == Suspended(SleepState(wake_at=clock.now() + DAY), poll_every=DAY)
    clock.advance(DAY - timedelta(seconds=2))
    assert nap.check.call(suspended.state, ctx) == NotReady(next_check_in=timedelta(seconds=2))
    clock.advance(timedelta(seconds=2))
    assert nap.check.call(suspended.state, ctx) == Document()


def test_it_has_the_models_of_what_comes_before_it() -> None:
    workflow = Workflow("w", input=Document).pipe(words).pipe(sleep("nap", DAY)).pipe(report).build()
    nap = workflow.stage("nap")
    assert (nap.input_model, nap.output_model, nap.kind) == (Words, Words, "poll")


def test_it_does_not_hide_that_its_neighbours_do_not_fit() -> None:
    with pytest.raises(WorkflowDefinitionError, match="stage 'report' takes Words, but stage 'nap' before it gives Do"):
        Workflow("w", input=Document).pipe(sleep("nap", DAY)).pipe(report).build()


class Both(BaseModel):
    model_config = ConfigDict(extra="forbid")
    words: Words
    letters: Words


class OnlyWords(BaseModel):
    model_config = ConfigDict(extra="forbid")
    words: Words


@stage("both")
def both(outputs: Both) -> Words:
    return outputs.words


@stage("only-words")
def only_words(outputs: OnlyWords) -> Words:
    return outputs.words


def test_after_a_group_it_hands_on_all_outputs() -> None:
    workflow = Workflow("w", input=Document).parallel(words, letters).pipe(sleep("nap", DAY)).pipe(both).build()
    joined = workflow.compose_input("nap", {"words": b'{"count":1}', "letters": b'{"count":2}'})
    nap = workflow.stage("nap")
    handed_on, _ = nap.dump_output(nap.load_input(joined))
    composed = workflow.compose_input("both", {"nap": handed_on})
    assert workflow.stage("both").load_input(composed) == Both(words=Words(count=1), letters=Words(count=2))


def test_what_it_hands_on_must_be_allowed_after_it() -> None:
    with pytest.raises(WorkflowDefinitionError, match="forbids what sleep passes on: letters"):
        Workflow("w", input=Document).parallel(words, letters).pipe(sleep("nap", DAY)).pipe(only_words).build()


def test_one_sleep_can_be_part_of_two_workflows() -> None:
    nap = sleep("nap", DAY)
    first = Workflow("a", input=Document).pipe(nap).build()
    second = Workflow("b", input=Words).pipe(nap).build()
    assert [w.stage("nap").output_model for w in (first, second)] == [Document, Words]


@pytest.mark.parametrize("duration", [timedelta(0), -DAY])
def test_a_duration_must_be_positive(duration: timedelta) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        sleep("nap", duration)
