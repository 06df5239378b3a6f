"""A run is named by its id, by the beginning of it, or as the last one."""

from datetime import timedelta

import pytest
from pydantic import BaseModel

from workflow_engine import CreateRun, Registry, Workflow, stage
from workflow_engine.cli.run_names import run_named
from workflow_engine.cli.stacks import Stack
from workflow_engine.local.errors import InvalidOptionError
from workflow_engine.model.ids import RunId
from workflow_engine.testing.builders import create, new_head
from workflow_engine.testing.clock import START, FakeClock
from workflow_engine.wiring.memory import MemoryEngine, memory_engine


class Item(BaseModel):
    name: str = "x"


@stage("copy")
def copy(item: Item) -> Item:
    return item


WORKFLOWS = [Workflow(name, input=Item).pipe(copy).build() for name in ("one", "two")]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def engine(clock: FakeClock) -> MemoryEngine:
    return memory_engine(Registry(WORKFLOWS), clock=clock)


@pytest.fixture
def stack(engine: MemoryEngine) -> Stack:
    return Stack(name="memory", kernel=engine.kernel)


def started(engine: MemoryEngine, workflow: str) -> str:
    return engine.kernel.dispatch(CreateRun(workflow_id=workflow, input={})).run_id


def test_the_last_is_the_newest_of_all_workflows(engine: MemoryEngine, stack: Stack, clock: FakeClock) -> None:
    with pytest.raises(InvalidOptionError, match="there is no run yet"):
        run_named(stack, "last")
    for workflow in ("one", "two", "one"):
        newest = started(engine, workflow)
        assert run_named(stack, "last") == newest
        clock.advance(timedelta(seconds=1))


def test_eight_characters_of_an_id_are_enough(engine: MemoryEngine, stack: Stack) -> None:
    ids = [started(engine, "two") for _ in range(30)]
    for run_id in ids:
        assert run_named(stack, run_id) == run_id
        assert run_named(stack, run_id[:25]) == run_id


@pytest.mark.parametrize("said", ["short", "", "no-such-run-at-all", "abcdefgh", "a" * 26, "../../etc/passwd", "LAST"])
def test_what_names_no_run_is_left_as_it_is(stack: Stack, said: str) -> None:
    assert run_named(stack, said) == said


def test_several_that_begin_so_are_named(engine: MemoryEngine, stack: Stack) -> None:
    for ending in "abc":
        head = new_head(START, run_id=f"{'k3v5x2m7'}{'p' * 17}{ending}", workflow_id="one")
        engine.persistence.commit(create(head))
    with pytest.raises(InvalidOptionError, match="3 runs begin with 'k3v5x2m7': k3v5x2m7pp"):
        run_named(stack, "k3v5x2m7")
    assert run_named(stack, f"k3v5x2m7{'p' * 17}b") == RunId(f"k3v5x2m7{'p' * 17}b")


def test_one_is_found_however_many_runs_there_are(engine: MemoryEngine, stack: Stack) -> None:
    wanted = started(engine, "one")
    for _ in range(1_200):
        started(engine, "one")
    assert run_named(stack, wanted[:12]) == wanted
