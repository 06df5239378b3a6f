"""How a stage's function is called: within its time, whatever it does. In real time, since that is its promise."""

import asyncio
import contextlib
import contextvars
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from workflow_engine.errors import StageTimeoutError
from workflow_engine.kernel.running import run_within

SOON, LATER = timedelta(seconds=0.1), timedelta(seconds=30)
name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


def run(call: Callable[[], Any], timeout: timedelta = LATER, *, is_async: bool = False) -> Any:
    return run_within(call, stage_id="s", timeout=timeout, is_async=is_async)


def wait() -> None:
    threading.Event().wait(30)


async def wait_async() -> None:
    await asyncio.sleep(30)


async def block() -> None:
    """Holds its loop up, so that nothing can cancel it."""
    wait()


async def cling() -> None:
    """Takes a cancellation for somebody else's."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(30)
    wait()


def elsewhere(call: Callable[[], Any]) -> Any:
    """What *call* answers or raises in a thread that is not the main one."""
    result: list[Any] = []

    def work() -> None:
        try:
            result.append(call())
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return result[0]


async def name_async() -> str:
    return name.get()


async def answer() -> int:
    return 3


def test_it_answers_what_the_function_returns() -> None:
    assert run(lambda: 3) == run(answer, is_async=True) == elsewhere(lambda: run(lambda: 3)) == 3


@pytest.mark.parametrize(("call", "is_async"), [(wait, False), (wait_async, True), (block, True), (cling, True)])
def test_it_stops_what_takes_too_long(call: Callable[[], Any], is_async: bool) -> None:
    with pytest.raises(StageTimeoutError) as caught:
        run(call, SOON, is_async=is_async)
    assert (caught.value.stage_id, caught.value.timeout) == ("s", SOON)


@pytest.mark.parametrize(("call", "is_async"), [(wait, False), (wait_async, True), (block, True), (cling, True)])
def test_it_stops_waiting_off_the_main_thread(call: Callable[[], Any], is_async: bool) -> None:
    assert isinstance(elsewhere(lambda: run(call, SOON, is_async=is_async)), StageTimeoutError)


def test_a_stage_that_catches_everything_is_stopped_all_the_same() -> None:
    caught: list[Exception] = []

    def stubborn() -> None:
        while len(caught) < 2:
            try:
                wait()
            except Exception as error:
                caught.append(error)
        wait()

    with pytest.raises(StageTimeoutError):
        run(stubborn, SOON)
    assert len(caught) == 2


def test_the_alarm_is_given_back() -> None:
    previous = signal.getsignal(signal.SIGALRM)
    with pytest.raises(StageTimeoutError):
        run(wait, SOON)
    run(lambda: 3)
    assert signal.getsignal(signal.SIGALRM) is previous
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("error", [KeyError("k"), TimeoutError("mine"), SystemExit(3)])
def test_what_the_function_raises_comes_out(error: BaseException) -> None:
    def fail() -> None:
        raise error

    async def fail_async() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        run(fail)
    assert caught.value is error
    with pytest.raises(type(error)):
        run(fail_async, is_async=True)
    assert elsewhere(lambda: run(fail)) is error
    assert elsewhere(lambda: run(fail_async, is_async=True)) is error


def test_a_stage_after_one_that_was_stopped_runs_as_usual() -> None:
    async def name_of_loop() -> int:
        return id(asyncio.get_running_loop())

    def twice() -> list[int]:
        with pytest.raises(StageTimeoutError):
            run(block, SOON, is_async=True)
        return [run(name_of_loop, is_async=True) for _ in range(2)]

    for loops in (twice(), elsewhere(twice)):
        assert len(set(loops)) == 1


def test_context_variables_reach_the_function() -> None:
    token = name.set("ada")
    try:
        context = contextvars.copy_context()
        assert run(name.get) == "ada"
        assert elsewhere(lambda: context.run(run, name.get)) == "ada"
        assert run(name_async, is_async=True) == "ada"
        assert elsewhere(lambda: context.run(run, name_async, is_async=True)) == "ada"
    finally:
        name.reset(token)


def test_a_coroutine_may_run_async_stages() -> None:
    """As in a notebook, where a loop runs already."""

    async def cell() -> Any:
        return run(answer, is_async=True)

    assert asyncio.run(cell()) == 3


def test_a_coroutine_that_runs_async_stages_keeps_their_timeout() -> None:
    async def cell() -> Any:
        return run(wait_async, SOON, is_async=True)

    with pytest.raises(StageTimeoutError):
        asyncio.run(cell())


def test_a_thread_that_ends_leaves_no_loop_open() -> None:
    # An open one is a ResourceWarning, which is an error in these tests.
    assert [elsewhere(lambda: run(answer, is_async=True)) for _ in range(3)] == [3, 3, 3]
