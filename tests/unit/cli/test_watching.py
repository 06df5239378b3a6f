"""Following runs, and giving them what they wait for."""

from tests.unit.cli.conftest import create, work
from workflow_engine.cli.target import Stack
from workflow_engine.cli.watching import Watch
from workflow_engine.wiring.memory import MemoryEngine


def test_a_watch_is_done_when_all_its_runs_are_over(engine: MemoryEngine, stack: Stack) -> None:
    runs = [create(engine, 1), create(engine, -1)]
    watch = Watch(stack, runs, {"answer": {"add": 5}})
    assert not watch.done()
    work(engine)
    assert not watch.done()
    assert watch.live == [runs[0]]
    work(engine)

    assert watch.done()
    assert [watch.heads[run].status.value for run in runs] == ["COMPLETED", "FAILED"]


def test_a_signal_is_sent_once_and_only_to_who_waits_for_it(engine: MemoryEngine, stack: Stack) -> None:
    run_id = create(engine, 1)
    watch = Watch(stack, [run_id], {"answer": {"add": 5}, "other": {}})
    watch.done()
    assert engine.kernel.queries.head(run_id).signals == ()
    work(engine)
    for _ in range(3):
        watch.done()

    assert len(engine.kernel.queries.head(run_id).signals) == 1


def test_a_run_that_nobody_answers_stays(engine: MemoryEngine, stack: Stack) -> None:
    watch = Watch(stack, [create(engine, 1)])
    work(engine)

    assert not watch.done()
    assert watch.live
