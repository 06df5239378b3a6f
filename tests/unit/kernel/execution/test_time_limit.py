"""How a stage's function is called: within its time, whatever it does. In real time, since that is its promise."""

import asyncio
import contextlib
import contextvars
import decimal
import signal
import socket
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from typing import Any, NoReturn

import pytest

from workflow_engine.errors import StageTimeoutError
from workflow_engine.kernel.execution.time_limit import run_within, threads_left

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


def test_a_stage_that_catches_every_exception_is_stopped_at_once() -> None:
    caught: list[Exception] = []

    def stubborn() -> None:
        while True:
            try:
                wait()
            except Exception as error:
                caught.append(error)

    with pytest.raises(StageTimeoutError):
        run(stubborn, SOON)
    assert not caught


def swallow_in_a_loop() -> None:
    while True:
        try:  # noqa: SIM105 - as people write it
            wait()
        except BaseException:
            pass


def swallow_in_two_loops() -> None:
    while True:
        with contextlib.suppress(BaseException):
            swallow_in_a_loop()


def swallow_while_computing() -> None:
    while True:
        try:
            sum(range(1000))
        except:  # noqa: E722
            continue


def swallow_once() -> int:
    with contextlib.suppress(BaseException):
        wait()
    return 3


def turn_into_another() -> None:
    try:
        wait()
    except BaseException as error:
        raise ValueError("the request was interrupted") from error


@pytest.mark.parametrize(
    "call", [swallow_in_a_loop, swallow_in_two_loops, swallow_while_computing, swallow_once, turn_into_another]
)
def test_a_stage_that_swallows_its_stop_is_stopped_all_the_same(call: Callable[[], Any]) -> None:
    with pytest.raises(StageTimeoutError):
        run(call, SOON)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert run(lambda: 3) == 3


async def swallow_async() -> None:
    while True:
        try:  # noqa: SIM105
            await asyncio.sleep(30)
        except BaseException:
            pass


async def swallow_once_async() -> int:
    with contextlib.suppress(BaseException):
        await asyncio.sleep(30)
    return 3


@pytest.mark.parametrize("call", [swallow_async, swallow_once_async])
def test_an_async_stage_that_swallows_its_stop_is_stopped_all_the_same(call: Callable[[], Any]) -> None:
    with pytest.raises(StageTimeoutError):
        run(call, SOON, is_async=True)
    assert run(answer, is_async=True) == 3


def ignore_alarms(*_: object) -> None:
    pass


@pytest.mark.parametrize(
    "disturb",
    [
        lambda: signal.alarm(0),
        lambda: signal.alarm(30),
        lambda: signal.setitimer(signal.ITIMER_REAL, 0),
        lambda: signal.signal(signal.SIGALRM, signal.SIG_IGN),
        lambda: signal.signal(signal.SIGALRM, ignore_alarms),
        lambda: signal.signal(signal.SIGALRM, signal.SIG_DFL),
    ],
    ids=["alarm off", "alarm later", "timer off", "ignored", "handler", "default"],
)
def test_what_a_stage_does_to_the_alarm_does_not_switch_its_timeout_off(disturb: Callable[[], Any]) -> None:
    def stage() -> None:
        disturb()
        wait()

    previous = signal.getsignal(signal.SIGALRM)
    with pytest.raises(StageTimeoutError):
        run(stage, SOON)
    assert signal.getsignal(signal.SIGALRM) is previous
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_stage_may_use_the_alarm() -> None:
    rung = threading.Event()

    def stage() -> bool:
        signal.signal(signal.SIGALRM, lambda *_: rung.set())
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        return rung.wait(20)

    assert run(stage)


@pytest.mark.parametrize(
    "number", [signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGVTALRM]
)
def test_the_signal_handlers_of_one_stage_are_not_the_next_ones(number: signal.Signals) -> None:
    previous = signal.getsignal(number)
    run(lambda: signal.signal(number, ignore_alarms))
    assert signal.getsignal(number) is previous


@pytest.mark.parametrize("timer", [signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF])
def test_the_timers_of_one_stage_do_not_end_the_process_in_the_next(timer: int) -> None:
    run(lambda: signal.setitimer(timer, 1000))
    assert signal.getitimer(timer) == (0.0, 0.0)


def test_the_signals_that_one_stage_blocks_stop_the_next_all_the_same() -> None:
    run(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()))
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with pytest.raises(StageTimeoutError):
        run(wait, SOON)


def test_a_signal_that_somebody_else_sends_stops_no_stage() -> None:
    def stage() -> int:
        signal.raise_signal(signal.SIGRTMAX)
        return 3

    assert run(stage) == 3


def test_a_stage_that_runs_an_engine_of_its_own_keeps_its_timeout() -> None:
    def stage() -> None:
        assert run(lambda: 3) == 3
        wait()

    with pytest.raises(StageTimeoutError) as caught:
        run(stage, SOON)
    assert caught.value.timeout == SOON
    with pytest.raises(StageTimeoutError):
        run(lambda: run(wait), SOON)


def test_the_precision_of_one_stages_decimals_is_not_the_next_ones() -> None:
    before = decimal.getcontext().prec

    def stage() -> None:
        decimal.getcontext().prec = 3

    async def stage_async() -> None:
        stage()

    for run_stage in (run, lambda *args, **options: elsewhere(lambda: run(*args, **options))):
        run_stage(stage)
        run_stage(stage_async, is_async=True)
        assert run_stage(lambda: decimal.getcontext().prec) == before


@pytest.mark.parametrize("missing", ["pthread_kill", "SIGALRM"])
def test_a_machine_without_such_signals_runs_stages_all_the_same(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, missing)
    assert run(lambda: 3) == run(answer, is_async=True) == 3
    with pytest.raises(StageTimeoutError):
        run(wait, SOON)


def test_a_timer_set_from_outside_is_left_running() -> None:
    signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        run(lambda: 3)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


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


def test_a_stage_in_a_thread_that_raises_a_keyboard_interrupt_ends_itself_alone() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    async def interrupt_async() -> None:
        raise KeyboardInterrupt

    assert isinstance(elsewhere(lambda: run(interrupt)), SystemExit)
    assert isinstance(elsewhere(lambda: run(interrupt_async, is_async=True)), SystemExit)


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


def test_context_variables_of_one_stage_are_not_the_next_ones() -> None:
    async def set_async() -> None:
        name.set("ada")

    for run_stage in (run, lambda *args, **options: elsewhere(lambda: run(*args, **options))):
        run_stage(lambda: name.set("ada"))
        run_stage(set_async, is_async=True)
        assert run_stage(name.get) == run_stage(name_async, is_async=True) == "nobody"


async def cling_to_life() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(30)


async def idle_generator(ended: list[str]) -> AsyncIterator[int]:
    try:
        while True:
            yield 1
    finally:
        ended.append("generator")


def here(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except BaseException as error:
        return error


async def leave() -> None:
    raise SystemExit(3)


async def end_in_a_task() -> None:
    task = asyncio.create_task(leave())
    await asyncio.sleep(30)
    await task


async def end_in_a_callback() -> None:
    asyncio.get_running_loop().call_soon(sys.exit, 3)
    await asyncio.sleep(30)


async def stop_the_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(30)


def look_up(_: object) -> NoReturn:
    raise RuntimeError("out of context")


# What it is told to be is looked up, as proxies do, and that fails.
OutOfContextError: Any = type("OutOfContextError", (Exception,), {"__class__": property(look_up)})


async def fail_out_of_context() -> None:
    raise OutOfContextError


@pytest.mark.parametrize("where", [here, elsewhere])
@pytest.mark.parametrize(
    ("stage", "error"),
    [
        (end_in_a_task, SystemExit),
        (end_in_a_callback, SystemExit),
        (stop_the_loop, RuntimeError),
        (fail_out_of_context, OutOfContextError),
    ],
)
def test_an_async_stage_that_ends_its_loop_fails_at_once(
    stage: Callable[[], Any], error: type[BaseException], where: Callable[..., Any]
) -> None:
    assert type(where(lambda: run(stage, is_async=True))) is error
    assert where(lambda: run(answer, is_async=True)) == 3


@pytest.mark.parametrize("where", [here, elsewhere])
def test_background_work_of_one_async_stage_is_over_before_the_next(where: Callable[..., Any]) -> None:
    said: list[str] = []

    async def say() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            said.append("task")

    async def leave_much() -> None:
        loop = asyncio.get_running_loop()
        tasks.append(asyncio.create_task(say()))
        generators.append(idle_generator(said))
        await anext(generators[0])
        loop.call_later(0.05, said.append, "timer")
        loop.set_exception_handler(lambda *_: None)
        await asyncio.sleep(0)

    async def look() -> tuple[list[str], int, Any]:
        found = list(said)
        await asyncio.sleep(0.1)
        return found, len(asyncio.all_tasks()), asyncio.get_running_loop().get_exception_handler()

    tasks: list[Any] = []
    generators: list[Any] = []

    def both() -> Any:
        run(leave_much, is_async=True)
        return run(look, is_async=True)

    assert where(both) == (["task", "generator"], 1, None)
    assert said == ["task", "generator"]


@pytest.mark.parametrize("where", [here, elsewhere])
def test_what_one_async_stage_has_open_does_not_call_it_back_in_the_next(where: Callable[..., Any]) -> None:
    said: list[str] = []
    ours, theirs = socket.socketpair()

    async def leave_open() -> None:
        asyncio.get_running_loop().add_reader(ours, said.append, "reader")

    async def look() -> None:
        theirs.send(b"x")
        await asyncio.sleep(0.05)

    def both() -> None:
        run(leave_open, is_async=True)
        run(look, is_async=True)

    with ours, theirs:
        where(both)
    assert said == []


@pytest.mark.parametrize("where", [here, elsewhere])
def test_a_client_that_a_module_keeps_serves_one_stage_after_the_other(where: Callable[..., Any]) -> None:
    ours, theirs = socket.socketpair()
    client: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask() -> bytes:
        if not client:
            client.append(await asyncio.open_connection(sock=ours))
        theirs.send(b"x\n")
        return await client[0][0].readline()

    async def close() -> None:
        client[0][1].close()
        await client[0][1].wait_closed()

    def all_three() -> list[bytes]:
        answers = [run(ask, is_async=True), run(ask, is_async=True)]
        run(close, is_async=True)
        return answers

    with theirs:
        assert where(all_three) == [b"x\n", b"x\n"]


def test_what_one_async_stage_has_heard_of_signals_is_not_the_next_ones() -> None:
    async def listen() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, name.set, "ada")

    async def forget() -> bool:
        return asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)

    run(listen, is_async=True)
    assert run(forget, is_async=True) is False


@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_task_that_refuses_to_end_is_not_in_the_next_stages_loop() -> None:
    async def leave() -> None:
        asyncio.create_task(cling_to_life())  # noqa: RUF006
        await asyncio.sleep(0)

    async def tasks() -> int:
        return len(asyncio.all_tasks())

    run(leave, is_async=True)
    assert run(tasks, is_async=True) == 1


def close_the_current_loop() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.get_event_loop().close()


def run_a_loop() -> None:
    asyncio.run(answer())


def unset_the_loop() -> None:
    asyncio.set_event_loop(None)


def leave_a_loop_open() -> None:
    asyncio.set_event_loop(asyncio.new_event_loop())


@pytest.mark.parametrize("spoil", [close_the_current_loop, run_a_loop, unset_the_loop, leave_a_loop_open])
def test_what_a_sync_stage_does_to_event_loops_is_not_seen_by_the_next(spoil: Callable[[], None]) -> None:
    asyncio.set_event_loop_policy(None)  # as in a fresh process, whatever was tested before

    def use_the_current_loop() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return asyncio.get_event_loop().run_until_complete(answer())

    assert run(answer, is_async=True) == 3
    run(spoil)
    assert run(answer, is_async=True) == 3
    assert run(use_the_current_loop) == 3


def test_a_loop_that_was_there_before_a_stage_is_there_after_it() -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        run(run_a_loop)
        run(leave_a_loop_open)
        assert asyncio.get_event_loop_policy().get_event_loop() is loop
        assert not loop.is_closed()
    finally:
        loop.close()
        asyncio.set_event_loop_policy(None)


def test_what_looks_sync_and_answers_a_coroutine_is_awaited() -> None:
    """A plain ``functools.wraps`` decorator over an ``async def``."""
    assert run(answer) == elsewhere(lambda: run(answer)) == 3
    with pytest.raises(StageTimeoutError):
        run(wait_async, SOON)


@pytest.mark.parametrize("where", [here, elsewhere])
def test_what_a_decorator_takes_is_not_added_to_what_it_decorates(where: Callable[..., Any]) -> None:
    ended: list[str] = []

    async def rest() -> None:
        await asyncio.sleep(0.8)
        ended.append("late")

    def decorated() -> Any:
        threading.Event().wait(0.8)
        return rest()

    assert type(where(lambda: run(decorated, timedelta(seconds=1)))) is StageTimeoutError
    assert ended == []


def test_what_looks_sync_is_awaited_in_a_coroutine_too() -> None:
    async def cell() -> Any:
        return run(answer)

    assert asyncio.run(cell()) == 3


def test_what_looks_async_and_answers_a_value_is_taken_as_it_is() -> None:
    assert run(lambda: 3, is_async=True) == 3


def test_a_stage_that_could_not_be_stopped_is_counted_until_it_ends() -> None:
    release = threading.Event()
    before = threads_left()
    for is_async in (False, True):

        async def hold_async() -> None:
            release.wait(30)

        call: Callable[[], Any] = hold_async if is_async else partial(release.wait, 30)
        error = elsewhere(partial(run, call, SOON, is_async=is_async))
        assert isinstance(error, StageTimeoutError)
        assert error.still_running
    assert threads_left() == before + 2
    release.set()
    ended = threading.Event()
    for _ in range(2000):
        if threads_left() == before:
            return
        ended.wait(0.01)
    raise AssertionError("a thread that has ended is still counted")
