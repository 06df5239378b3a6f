"""What a stage says or answers that no store takes as it is, and times that no calendar has: one
attempt, and what came of it is kept."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import (
    NotReady,
    RetryPolicy,
    StageContext,
    StageResult,
    Status,
    Suspended,
    WaitForSignal,
    Workflow,
    stage,
)
from workflow_engine.kernel import published_types
from workflow_engine.model.limits import MAX_ERROR_MESSAGE_BYTES
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

ONCE = RetryPolicy(max_attempts=1)
EVERYTHING = published_types(["*"])
MakeEngine = Callable[..., VirtualEngine]
calls: list[int] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()


class Item(BaseModel):
    text: str = "x"


class MuteError(Exception):
    @override
    def __str__(self) -> NoReturn:
        raise RuntimeError("no")


class QuitsError(Exception):
    @override
    def __str__(self) -> NoReturn:
        raise SystemExit


class NumericError(Exception):
    @override
    def __str__(self) -> Any:
        return 7


def quit_at_once(*_: object) -> NoReturn:
    raise SystemExit


# Made by hand, since no type checker lets anybody write them.
Quits = property(quit_at_once)
UnnamedError: Any = type("Unnamed", (type,), {"__name__": Quits})("UnnamedError", (Exception,), {})
NotedError: Any = type("NotedError", (Exception,), {"__notes__": Quits})
NoClassError: Any = type("NoClassError", (Exception,), {"__class__": Quits})


def grouped(depth: int) -> BaseException:
    error: Exception = ValueError("at the bottom")
    for _ in range(depth):
        error = ExceptionGroup("g", [error])
    return error


def tried_once(engine: VirtualEngine, work: Callable[[StageContext], Any]) -> VirtualRun:
    """A run of one stage that does *work*, which must have been called once."""

    @stage("work", retry=ONCE)
    def odd(item: Item, ctx: StageContext) -> Item:
        calls.append(ctx.attempt)
        answer: Item = work(ctx) or item
        return answer

    run = engine.run(Workflow("odd", input=Item).pipe(odd).build(), Item())
    assert calls == [1]
    assert len(run.records) == 1
    return run


@pytest.mark.parametrize(
    ("error", "type_", "message"),
    [
        pytest.param(FileNotFoundError("no file 'caf\udce9.txt'"), "FileNotFoundError", r"caf\udce9", id="surrogate"),
        pytest.param(ValueError("\x00 \ufffe \U0001f600 \x1b[0m"), "ValueError", "\U0001f600", id="odd-characters"),
        pytest.param(ValueError("y" * 1_000_000), "ValueError", "yyy...", id="a-megabyte"),
        pytest.param(ValueError("\U0001f600" * 300_000), "ValueError", "...", id="a-megabyte-of-emoji"),
        pytest.param(MuteError(), "MuteError", "cannot be shown", id="str-raises"),
        pytest.param(QuitsError(), "QuitsError", "cannot be shown", id="str-exits"),
        pytest.param(NumericError(), "NumericError", "cannot be shown", id="str-is-no-text"),
        pytest.param(UnnamedError("x"), "UnnamedError", "x", id="name-exits"),
        pytest.param(NotedError("x"), "NotedError", "x", id="notes-exit"),
        pytest.param(NoClassError("x"), "NoClassError", "cannot be shown", id="class-exits"),
        pytest.param(
            ExceptionGroup("g", [UnnamedError("x")]), "ExceptionGroup", "UnnamedError: x", id="group-of-those"
        ),
        pytest.param(type("C" * 600_000, (Exception,), {})("x"), "C" * 253 + "...", "x", id="endless-class"),
        pytest.param(grouped(3), "ExceptionGroup", "at the bottom", id="group"),
        pytest.param(grouped(3000), "ExceptionGroup", "", id="bottomless-group"),
        pytest.param(BaseException("of its own"), "BaseException", "of its own", id="base"),
    ],
)
def test_an_error_is_kept_whatever_it_says(
    make_engine: MakeEngine, error: BaseException, type_: str, message: str
) -> None:
    def work(_ctx: StageContext) -> NoReturn:
        raise error

    run = tried_once(make_engine(published=EVERYTHING), work)
    assert run.error is not None
    assert (run.status, run.error.type) == (Status.FAILED, type_)
    assert message in run.error.message
    assert len(run.error.message.encode()) <= MAX_ERROR_MESSAGE_BYTES
    assert run.records[0].error is not None
    assert run.records[0].error.message == run.error.message
    told = [event for event in run.events if event.type == "workflow:failed"]
    assert [event.model_dump()["error"] for event in told] == [run.error.message]


@pytest.mark.parametrize(
    "note",
    [
        pytest.param(
            lambda ctx: ctx.log("caf\udce9", "caf\udce9", path="caf\udce9", caf={"\udce9": 10**5000}), id="log"
        ),
        pytest.param(lambda ctx: ctx.progress(10**400, "caf\udce9"), id="progress"),
    ],
)
def test_what_is_said_for_people_is_cleaned_and_fails_no_stage(
    make_engine: MakeEngine, note: Callable[[StageContext], None]
) -> None:
    run = tried_once(make_engine(published=EVERYTHING), note)
    assert run.status is Status.COMPLETED


@pytest.mark.parametrize(
    ("answer", "type_"),
    [
        pytest.param(lambda: StageResult(Item(), artifacts={"f": "caf\udce9.txt"}), "ValueError", id="surrogate"),
        pytest.param(
            lambda: StageResult(Item(), artifacts={f"a{n}": "s3://b/" + "x" * 80 for n in range(5000)}),
            "PayloadTooLargeError",
            id="artifacts",
        ),
        pytest.param(
            lambda: StageResult(Item(), {f"m{n}": n / 7 for n in range(20_000)}), "PayloadTooLargeError", id="metrics"
        ),
        pytest.param(lambda: Item(text="caf\udce9"), "", id="output"),
    ],
)
def test_data_that_cannot_be_stored_is_refused_and_not_changed(
    make_engine: MakeEngine, answer: Callable[[], Any], type_: str
) -> None:
    run = tried_once(make_engine(published=EVERYTHING), lambda _ctx: answer())
    assert run.error is not None
    assert run.status is Status.FAILED
    assert type_ in run.error.type


@pytest.mark.parametrize(
    ("key", "value"),
    [("caf\udce9", 1), ("f", "caf\udce9"), ("f", {"caf\udce9": 1}), ("f", 10**5000), ("", 1)],
    ids=["key", "text", "name", "number", "no-key"],
)
def test_an_annotation_that_cannot_be_stored_is_refused(make_engine: MakeEngine, key: str, value: Any) -> None:
    run = tried_once(make_engine(published=EVERYTHING), lambda ctx: ctx.annotate(key, value))
    assert run.error is not None
    assert run.error.type == "InvalidInputError"


def test_as_many_annotations_as_a_stage_may_make_are_kept(make_engine: MakeEngine) -> None:
    def work(ctx: StageContext) -> None:
        for number in range(30):
            ctx.annotate(f"page-{number}", "z" * 16_000)

    run = tried_once(make_engine(), work)
    assert run.status is Status.COMPLETED
    assert len(run.engine.persistence.list_annotations(run.id)) == 30


# Times


LONG = [timedelta.max, timedelta(days=500_000_000), timedelta(days=3_000_000)]


@pytest.mark.parametrize("timeout", LONG)
def test_a_signal_may_be_awaited_for_ever(engine: VirtualEngine, timeout: timedelta) -> None:
    @stage("ask", retry=ONCE)
    def ask(item: Item) -> WaitForSignal[Item]:
        calls.append(1)
        return WaitForSignal("answer", Item, timeout=timeout)

    @ask.on_signal
    def answered(answer: Item) -> Item:
        return answer

    run = engine.run(Workflow("asking", input=Item).pipe(ask).build(), Item())
    assert (run.waiting_for, calls) == (("answer",), [1])
    engine.signal(run, "answer", Item(text="yes"))
    assert (run.status, run.output, calls) == (Status.COMPLETED, {"text": "yes"}, [1])


@pytest.mark.parametrize("span", LONG)
def test_waits_without_end_last_as_long_as_the_run(engine: VirtualEngine, span: timedelta) -> None:
    @stage("poll", retry=ONCE)
    def poll(item: Item) -> Suspended[Item]:
        calls.append(1)
        return Suspended(item, poll_every=timedelta(hours=1), give_up_after=span)

    @poll.check_completion
    def check(state: Item) -> Item | NotReady:
        calls.append(2)
        return NotReady(next_check_in=span)

    run = engine.run(Workflow("polling", input=Item).pipe(poll).build(), Item())
    assert run.error is not None
    assert (run.error.type, calls) == ("RunExpiredError", [1, 2])


@pytest.mark.parametrize("span", LONG)
def test_a_check_may_be_as_far_away_as_one_likes(engine: VirtualEngine, clock: FakeClock, span: timedelta) -> None:
    @stage("poll", retry=ONCE)
    def poll(item: Item) -> Suspended[Item]:
        calls.append(1)
        return Suspended(item, poll_every=span)

    @poll.check_completion
    def check(state: Item) -> Item | NotReady:
        return NotReady()

    run = engine.run(Workflow("polling", input=Item).pipe(poll).build(), Item())
    assert run.error is not None
    assert (run.error.type, calls) == ("RunExpiredError", [1])
    assert run.head.ended_at is not None
    assert run.head.ended_at >= run.head.deadline


@pytest.mark.parametrize("jitter", [True, False])
def test_a_retry_may_be_as_far_away_as_one_likes(engine: VirtualEngine, jitter: bool) -> None:
    policy = RetryPolicy(first_delay=timedelta.max, max_delay=timedelta.max, jitter=jitter)

    @stage("fail", retry=policy)
    def fail(item: Item) -> Item:
        calls.append(1)
        raise ValueError("x")

    run = engine.run(Workflow("failing", input=Item).pipe(fail).build(), Item())
    assert run.error is not None
    assert (run.error.type, calls) == ("RunExpiredError", [1])
