"""``run_and_wait``: create a run and stay until it is over."""

from collections.abc import Callable
from datetime import timedelta

from pydantic import BaseModel

from workflow_engine import CreateRun, PermanentError, Status, WaitForSignal, Workflow, sleep, stage
from workflow_engine.hosts import run_and_wait
from workflow_engine.testing.clock import FakeClock
from workflow_engine.wiring.memory import MemoryEngine

MINUTE = timedelta(minutes=1)
CREATE = CreateRun(workflow_id="w", input={})


class Item(BaseModel):
    name: str = "x"


@stage("copy")
def copy(item: Item) -> Item:
    return item


@stage("refused")
def refused(item: Item) -> Item:
    raise PermanentError("no")


@stage("ask")
def ask(item: Item) -> WaitForSignal[Item]:
    return WaitForSignal("answer", Item)


@ask.on_signal
def answered(item: Item) -> Item:
    return item


def test_it_answers_the_output(make_engine: Callable[..., MemoryEngine]) -> None:
    engine = make_engine(Workflow("w", input=Item).pipe(copy).build())
    outcome = run_and_wait(engine.host, CREATE)
    assert (outcome.status, outcome.output) == (Status.COMPLETED, b'{"name":"x"}')


def test_it_answers_the_error(make_engine: Callable[..., MemoryEngine]) -> None:
    engine = make_engine(Workflow("w", input=Item).pipe(refused).build())
    outcome = run_and_wait(engine.host, CREATE)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.message, outcome.output) == (Status.FAILED, "no", None)


def test_it_waits_with_the_run(make_engine: Callable[..., MemoryEngine], clock: FakeClock) -> None:
    engine = make_engine(Workflow("w", input=Item).pipe(sleep("nap", 5 * MINUTE)).pipe(copy).build())
    start = clock.now()
    outcome = run_and_wait(engine.host, CREATE, pause=lambda _: clock.advance(timedelta(seconds=1)))
    assert outcome.status is Status.COMPLETED
    assert clock.now() - start == 5 * MINUTE


def test_it_gives_up_after_its_timeout_and_the_run_lives_on(
    make_engine: Callable[..., MemoryEngine], clock: FakeClock
) -> None:
    engine = make_engine(Workflow("w", input=Item).pipe(ask).build())
    outcome = run_and_wait(engine.host, CREATE, timeout=MINUTE, pause=lambda _: clock.advance(timedelta(seconds=1)))
    assert (outcome.status, outcome.output, outcome.error) == (Status.SUSPENDED, None, None)
