"""``run.annotate``: a key stands for one annotation, however often its command comes."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from workflow_engine import AnnotateRun, IdempotencyConflictError, Workflow, stage
from workflow_engine.kernel import published_types
from workflow_engine.testing.engine import VirtualEngine, VirtualRun


class Item(BaseModel):
    name: str = "x"


@stage("copy")
def copy(item: Item) -> Item:
    return item


COPYING = Workflow("copying", input=Item).pipe(copy).build()


@pytest.fixture(params=["told", "kept"])
def engine(request: pytest.FixtureRequest, make_engine: Callable[..., VirtualEngine]) -> VirtualEngine:
    types = ["annotation:created"] if request.param == "told" else []
    return make_engine(published=published_types(types))


@pytest.fixture
def run(engine: VirtualEngine) -> VirtualRun:
    return engine.run(COPYING, Item())


def note(run: VirtualRun, value: Any = 1, *, key: str | None = "k", actor: str = "auditor") -> AnnotateRun:
    return AnnotateRun(run_id=run.id, key="reviewed", value=value, actor=actor, idempotency_key=key)


def test_the_same_key_is_one_annotation_told_once(engine: VirtualEngine, run: VirtualRun) -> None:
    first = engine.kernel.dispatch(note(run))
    told = len(run.events)
    assert [engine.kernel.dispatch(note(run)) for _ in range(2)] == [first, first]
    assert [kept.value for kept in engine.kernel.queries.annotations(run.id)] == [1]
    assert len(run.events) == told


@pytest.mark.parametrize("other", [{"value": 2}, {"actor": "somebody else"}])
def test_the_same_key_for_another_annotation_is_refused(
    engine: VirtualEngine, run: VirtualRun, other: dict[str, object]
) -> None:
    engine.kernel.dispatch(note(run))
    with pytest.raises(IdempotencyConflictError):
        engine.kernel.dispatch(note(run, **other))  # type: ignore[arg-type]
    assert [(kept.value, kept.actor) for kept in engine.kernel.queries.annotations(run.id)] == [(1, "auditor")]


def test_the_same_key_for_another_run_is_an_annotation_of_that_run(engine: VirtualEngine, run: VirtualRun) -> None:
    other = engine.run(COPYING, Item())
    engine.kernel.dispatch(note(run))
    first = engine.kernel.dispatch(note(other))
    told = len(other.events)
    assert told == len(run.events)
    assert engine.kernel.dispatch(note(other)) == first
    assert len(other.events) == told


@pytest.mark.parametrize(("value", "other"), [(1, True), (0, False), ([1], [True]), ({"a": 0}, {"a": False})])
def test_a_number_and_a_truth_value_are_not_the_same_annotation(
    engine: VirtualEngine, run: VirtualRun, value: object, other: object
) -> None:
    engine.kernel.dispatch(note(run, value))
    with pytest.raises(IdempotencyConflictError):
        engine.kernel.dispatch(note(run, other))
    assert engine.kernel.dispatch(note(run, value)) is not None


def test_without_a_key_each_is_an_annotation(engine: VirtualEngine, run: VirtualRun) -> None:
    for value in (1, 1):
        engine.kernel.dispatch(note(run, value, key=None))
    assert [kept.value for kept in engine.kernel.queries.annotations(run.id)] == [1, 1]


def test_one_whose_sender_died_before_it_told_it_is_told_by_the_next(make_engine: Callable[..., VirtualEngine]) -> None:
    engine = make_engine(published=published_types(["annotation:created"]))
    run = engine.run(COPYING, Item())
    rest = engine.kernel.parts.rest

    def die(*_: object) -> None:
        raise PowerCutError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(rest), "note", die)
        with pytest.raises(PowerCutError):
            engine.kernel.dispatch(note(run))
    assert run.events == []
    engine.kernel.dispatch(note(run))
    engine.kernel.dispatch(note(run))
    assert [event.type for event in run.events] == ["annotation:created"]


class PowerCutError(BaseException):
    """The process ends here."""
