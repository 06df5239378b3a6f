"""A cancel, or the loss of a lease, reaches the stage that runs: by a heartbeat, by a look, at its next step."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from tests.engine.bodies import (
    MINUTE,
    ONCE,
    SECOND,
    Body,
    Item,
    bodied,
)
from workflow_engine import (
    CancelRun,
    CreateRun,
    StageContext,
    Status,
    WorkerHost,
    WorkflowDefinition,
)
from workflow_engine.model.ids import RunId
from workflow_engine.testing.engine import VirtualEngine, VirtualRun


def lasting(body: Body) -> WorkflowDefinition:
    """A workflow whose stage may take as long as an invocation does."""
    return bodied(body, timeout=14 * MINUTE, retry=ONCE)


def count_loads(engine: VirtualEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    loads: list[int] = []
    load = engine.persistence.load_head

    def counted(run_id: RunId) -> Any:
        loads.append(1)
        return load(run_id)

    monkeypatch.setattr(engine.persistence, "load_head", counted)
    return loads


def test_a_function_looks_once_a_minute_where_its_stage_asks(
    engine: VirtualEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    loads: list[int] = []

    def body(ctx: StageContext[Any]) -> Any:
        loads.extend(count_loads(engine, monkeypatch))
        counted = count_loads(engine, monkeypatch)
        for _ in range(25):
            engine.clock.advance(10 * SECOND)
            seen.append(ctx.cancelled)
            if len(seen) == 12:
                engine.kernel.dispatch(CancelRun(run_id=ctx.run_id))
                counted.clear()
        return len(counted)

    run = engine.run(lasting(body), Item())
    assert run.status is Status.CANCELLED
    # Cancelled at 2:00, just looked at; the next look is at 3:00.
    assert seen == [False] * 17 + [True] * 8


def test_a_stage_that_does_not_ask_is_looked_at_by_nobody(
    engine: VirtualEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def body(ctx: StageContext[Any]) -> Any:
        counted = count_loads(engine, monkeypatch)
        for _ in range(20):
            engine.clock.advance(20 * SECOND)
            ctx.log("info", "works")
        return len(counted)

    assert engine.run(lasting(body), Item()).output == {"value": 0}


def test_the_next_step_of_a_cancelled_run_is_not_taken(engine: VirtualEngine) -> None:
    taken: list[int] = []

    def body(ctx: StageContext[Any]) -> Any:
        for number in range(30):
            if number == 5:
                engine.kernel.dispatch(CancelRun(run_id=ctx.run_id))
            try:
                ctx.step(f"{number}", lambda: taken.append(number))  # noqa: B023 - called at once
            except Exception:
                taken.append(-1)
            engine.clock.advance(15 * SECOND)
        return "not seen"

    run = engine.run(lasting(body), Item())
    assert (run.status, run.output) == (Status.CANCELLED, None)
    # It is known within a minute.
    assert taken == list(range(8))
    assert {step.name for step in engine.persistence.list_steps(run.id)} == {str(number) for number in taken}


def test_a_log_line_ends_it_once_it_is_known(engine: VirtualEngine) -> None:
    after: list[str] = []

    def body(ctx: StageContext[Any]) -> Any:
        engine.kernel.dispatch(CancelRun(run_id=ctx.run_id))
        ctx.log("info", "nobody knows yet")
        engine.clock.advance(2 * MINUTE)
        assert ctx.cancelled
        try:
            ctx.log("info", "one line more")
        except Exception:
            after.append("swallowed")
        after.append("went on")

    run = engine.run(lasting(body), Item())
    assert (run.status, after) == (Status.CANCELLED, [])


def test_a_store_that_does_not_answer_says_nothing(engine: VirtualEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from workflow_engine.errors import TransientError

    def silent(_: Any) -> Any:
        raise TransientError(service="DynamoDB", operation="GetItem", code="RequestTimeout")

    def body(ctx: StageContext[Any]) -> Any:
        with monkeypatch.context() as patched:
            patched.setattr(engine.persistence, "load_head", silent)
            engine.clock.advance(2 * MINUTE)
            return ctx.cancelled

    assert engine.run(lasting(body), Item()).output == {"value": False}


def test_a_worker_hears_of_it_at_its_heartbeat(engine: VirtualEngine) -> None:
    heard, begun = threading.Event(), threading.Event()

    def body(ctx: StageContext[Any]) -> Any:
        begun.set()
        for _ in range(500):
            if ctx.cancelled:
                heard.set()
                break
            threading.Event().wait(0.02)

    engine.deploy(lasting(body))
    run_id = engine.kernel.dispatch(CreateRun(workflow_id="stepping", input={})).run_id
    worker = WorkerHost(
        engine.kernel, engine.job_transport, "worker", poll_wait=timedelta(0), lease=timedelta(seconds=0.3)
    )
    worker.start()
    try:
        assert begun.wait(10)
        engine.kernel.dispatch(CancelRun(run_id=run_id))
        assert heard.wait(10)
    finally:
        worker.stop()
    assert VirtualRun(engine, RunId(run_id)).status is Status.CANCELLED


def test_a_worker_that_ends_leaves_a_body_at_its_next_step(engine: VirtualEngine) -> None:
    begun, go_on, taken = threading.Event(), threading.Event(), list[int]()

    def body(ctx: StageContext[Any]) -> Any:
        for number in range(50):
            ctx.step(f"{number}", lambda: taken.append(number))  # noqa: B023 - called at once
            if number == 3 and not begun.is_set():
                begun.set()
                go_on.wait(10)
        return len(taken)

    engine.deploy(lasting(body))
    run_id = engine.kernel.dispatch(CreateRun(workflow_id="stepping", input={})).run_id
    worker = WorkerHost(engine.kernel, engine.job_transport, "worker", poll_wait=timedelta(0))
    worker.start()
    assert begun.wait(10)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    while not engine.kernel.parts.hurried.is_set():
        threading.Event().wait(0.01)
    go_on.set()
    stopping.join(20)
    run = VirtualRun(engine, RunId(run_id))
    assert not run.status.is_terminal
    assert taken == list(range(4))
    engine.drive(run)
    # No attempt was lost for it, and no step taken twice.
    assert (run.output, taken) == ({"value": 50}, list(range(50)))


def test_what_a_worker_cannot_stop_in_time_is_given_back(engine: VirtualEngine) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def body(ctx: StageContext[Any]) -> Any:
        if not begun.is_set():
            begun.set()
            go_on.wait(20)
            return "late"
        return "by another"

    engine.deploy(lasting(body))
    run_id = engine.kernel.dispatch(CreateRun(workflow_id="stepping", input={})).run_id
    worker = WorkerHost(engine.kernel, engine.job_transport, "worker", poll_wait=timedelta(0))
    worker.start()
    assert begun.wait(10)
    worker.stop(timeout=timedelta(seconds=0.2))
    run = VirtualRun(engine, RunId(run_id))
    assert [(entry.state.name, entry.lost) for entry in run.head.active] == [("WAITING", 0)]
    engine.drive(run)
    assert run.output == {"value": "by another"}
    go_on.set()


def test_a_tick_of_a_process_that_ends_leaves_the_rest_to_the_next(engine: VirtualEngine) -> None:
    engine.start(lasting(lambda _: 1), Item())
    engine.clock.advance(timedelta(hours=1))
    engine.kernel.hurry(on=True)
    hurried = engine.kernel.tick()
    engine.kernel.hurry(on=False)
    assert (hurried.looked_at, hurried.backlog) == (0, True)
    assert engine.kernel.tick().looked_at == 1
