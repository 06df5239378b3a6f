"""Following runs, and giving them what they wait for."""

from typing import Any

from tests.unit.cli.conftest import Answer, Number, create, work
from workflow_engine import Registry, Stage, StageContext, WaitForSignal, Workflow, stage
from workflow_engine.cli.run_watch import Watch
from workflow_engine.cli.stacks import Stack
from workflow_engine.testing.clock import FakeClock
from workflow_engine.wiring.memory import MemoryEngine, memory_engine


def test_a_watch_is_done_when_all_its_runs_are_over(engine: MemoryEngine, stack: Stack) -> None:
    runs = [create(engine, 1), create(engine, -1)]
    watch = Watch(stack=stack, run_ids=runs, signals={"answer": {"add": 5}})
    assert not watch.done()
    work(engine)
    assert not watch.done()
    assert watch.live == [runs[0]]
    work(engine)

    assert watch.done()
    assert [watch.heads[run].status.value for run in runs] == ["COMPLETED", "FAILED"]


def test_a_signal_is_sent_once_and_only_to_who_waits_for_it(engine: MemoryEngine, stack: Stack) -> None:
    run_id = create(engine, 1)
    watch = Watch(stack=stack, run_ids=[run_id], signals={"answer": {"add": 5}, "other": {}})
    watch.done()
    assert engine.kernel.queries.head(run_id).signals == ()
    work(engine)
    for _ in range(3):
        watch.done()

    assert len(engine.kernel.queries.head(run_id).signals) == 1


def test_a_run_that_nobody_answers_stays(engine: MemoryEngine, stack: Stack) -> None:
    watch = Watch(stack=stack, run_ids=[create(engine, 1)])
    work(engine)

    assert not watch.done()
    assert watch.live


def test_each_of_two_stages_that_ask_for_the_same_is_answered(clock: FakeClock) -> None:
    """One signal answers one wait, so what is given on the command line is sent to each that asks."""

    def asks(name: str) -> Stage[..., Any]:
        @stage(name)
        def ask_for_it(ctx: StageContext) -> WaitForSignal[Answer]:
            return WaitForSignal("answer", Answer)

        @ask_for_it.on_signal
        def take(answer: Answer) -> Number:
            return Number(value=answer.add)

        return ask_for_it

    asking = Workflow("asking", input=Number).parallel(asks("one"), asks("two")).pipe(asks("three")).build()
    engine = memory_engine(Registry([asking]), clock=clock)
    watch = Watch(
        stack=Stack(name="memory", kernel=engine.kernel), run_ids=[create(engine, 1)], signals={"answer": {"add": 5}}
    )
    for _ in range(4):
        work(engine)
        watch.done()

    assert watch.done()
