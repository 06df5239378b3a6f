"""What goes wrong while the stages of an inline group are at work costs no other stage its outcome."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import CreateRun, RerunFrom, RetryPolicy, Stage, StageContext, Status, Workflow, stage
from workflow_engine.adapters.memory import MemoryEventSink, MemoryJobTransport
from workflow_engine.authoring import WorkflowDefinition
from workflow_engine.errors import AwsRequestError, TransientError
from workflow_engine.kernel import KernelSettings, published_types
from workflow_engine.kernel.execution.time_limit import threads_left
from workflow_engine.kernel.outbox import Outbox
from workflow_engine.model.commits import Exclusive
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import EntryState
from workflow_engine.ports.events import NOT_TRIED, Refusal
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

MINUTE = timedelta(minutes=1)


class Item(BaseModel):
    value: int = 1
    padding: str = ""


class Pair(BaseModel):
    left: Item
    right: Item


@stage("first", timeout=MINUTE)
def first(item: Item) -> Item:
    return item


@stage("join", timeout=MINUTE)
def join(pair: Pair) -> Item:
    return Item(value=pair.left.value + pair.right.value)


def side(name: str, work: Callable[[StageContext[Any]], int] = lambda _: 1, **options: Any) -> Stage[..., Item]:
    @stage(name, **{"timeout": MINUTE, **options})
    def body(item: Item, ctx: StageContext) -> Item:
        return Item(value=item.value + work(ctx))

    return body


def pairing(left: Stage[..., Any], right: Stage[..., Any]) -> WorkflowDefinition:
    return Workflow("pairing", input=Item).pipe(first).parallel(left, right, inline=True).pipe(join).build()


def one_by_one(calls: Sequence[Callable[[], Any]], **_: Any) -> Iterator[list[tuple[int, Any]]]:
    """Each stage is a portion of its own."""
    for index, call in enumerate(calls):
        yield [(index, call())]


def is_of_the_pair(commit: Any) -> bool:
    """Whether *commit* says what came of a stage of the group of two."""
    return isinstance(commit, Exclusive) and commit.before is not None and len(commit.before.active) == 2


def no_answer() -> TransientError:
    return TransientError(service="DynamoDB", operation="UpdateItem", code="RequestTimeout")


def denied() -> AwsRequestError:
    return AwsRequestError(service="DynamoDB", operation="UpdateItem", code="AccessDenied", detail="no")


def alter(owner: Any, name: str, instead: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``instead(original, *arguments)`` answer the calls of a method."""
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: instead(original, *args, **kwargs))


def test_a_commit_that_happened_without_an_answer_keeps_its_records(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = VirtualEngine(settings=KernelSettings(run_group=one_by_one))
    answers = [no_answer(), denied()]

    def commit(original: Callable[..., Any], asked: Any) -> Any:
        if not is_of_the_pair(asked) or not answers:
            return original(asked)
        if len(answers) == 2:
            original(asked)
        raise answers.pop(0)

    run = engine.start(pairing(side("left"), side("right")), Item())
    alter(engine.persistence, "commit", commit, monkeypatch)
    engine.drive(run)
    assert answers == []
    assert (run.status, run.output) == (Status.COMPLETED, {"value": 4, "padding": ""})
    assert {record.status for record in run.records} == {Status.COMPLETED}
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="join"))
    engine.drive(run)
    assert run.output == {"value": 4, "padding": ""}


def test_where_two_outcomes_cannot_be_committed_together_each_is_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = VirtualEngine()
    refused: list[Any] = []

    def commit(original: Callable[..., Any], asked: Any) -> Any:
        if is_of_the_pair(asked) and not refused:
            refused.append(asked)
            raise denied()
        return original(asked)

    run = engine.start(pairing(side("left"), side("right")), Item())
    alter(engine.persistence, "commit", commit, monkeypatch)
    engine.drive(run)
    assert len(refused) == 1
    assert run.output == {"value": 4, "padding": ""}


def test_what_nothing_can_commit_fails_and_the_stage_beside_it_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = VirtualEngine(settings=KernelSettings(run_group=one_by_one))

    def commit(original: Callable[..., Any], asked: Any) -> Any:
        if is_of_the_pair(asked) and asked.after is not None and asked.after.status is Status.RUNNING:
            raise denied()
        return original(asked)

    run = engine.start(pairing(side("left"), side("right")), Item())
    alter(engine.persistence, "commit", commit, monkeypatch)
    engine.drive(run)
    assert run.status is Status.FAILED
    assert run.error is not None
    assert run.error.type == "AwsRequestError"
    kept = {record.key.stage_id: record.status for record in run.records}
    assert kept == {"first": Status.COMPLETED, "left": Status.FAILED, "right": Status.COMPLETED}


def test_two_threads_that_work_for_one_kernel_share_nothing_of_a_run() -> None:
    engine = VirtualEngine(settings=KernelSettings(published=published_types(["*"])))
    padded = Item(padding="x" * 20_000)
    workflow = pairing(side("left"), side("right"))
    runs = [engine.start(workflow, padded) for _ in range(12)]
    raised: list[BaseException] = []

    def works() -> None:
        try:
            engine.host.process_available_jobs()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=works) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.drive(*runs)
    assert raised == []
    assert {(run.status, record.status) for run in runs for record in run.records} == {
        (Status.COMPLETED, Status.COMPLETED)
    }
    together = engine.kernel.parts.advancer.siblings.together
    assert not [name for name in together.__slots__ if isinstance(getattr(together, name), Outbox)]


def test_a_message_that_is_not_taken_costs_no_stage_that_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = VirtualEngine(settings=KernelSettings(run_group=one_by_one))
    executed: list[int] = []

    def shaky(ctx: StageContext[Any]) -> int:
        if ctx.attempt == 1:
            raise ConnectionError("not yet")
        return 1

    def counts(_: Any) -> int:
        executed.append(1)
        return 1

    left, before = side("left", shaky, retry=RetryPolicy(first_delay=MINUTE)), threads_left()
    run = engine.start(pairing(left, side("right", counts)), Item())
    refusals = [no_answer()]

    def enqueue(original: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return original(*args, **options)

    assert isinstance(engine.job_transport, MemoryJobTransport)
    alter(engine.job_transport, "enqueue", enqueue, monkeypatch)
    engine.host.process_available_jobs()
    assert (refusals, executed) == ([], [1])
    assert [entry.state for entry in run.head.active] == [EntryState.WAITING, EntryState.DONE]
    engine.drive(run)
    assert (run.status, executed, threads_left()) == (Status.COMPLETED, [1], before)


class RefusesOnce(MemoryEventSink):
    """A bus that refuses the first event that it is told, and takes it when it is told again."""

    calls = 0

    @override
    def emit(self, events: Sequence[Any]) -> Sequence[Refusal | None]:
        self.calls += 1
        if self.calls == 1:
            return [Refusal("not today", True), *[NOT_TRIED] * (len(events) - 1)]
        return super().emit(events)


def test_a_refusal_of_an_event_counts_once_however_many_portions_follow() -> None:
    sink = RefusesOnce()
    published = published_types(["*"])
    engine = VirtualEngine(event_sink=sink, settings=KernelSettings(published=published, run_group=one_by_one))
    sides = [side(f"s{number}") for number in range(6)]
    engine.deploy(Workflow("wide", input=Item).parallel(*sides, inline=True).build())
    run = VirtualRun(engine, RunId(engine.kernel.submit(CreateRun(workflow_id="wide", input={}))))
    engine.host.process_available_jobs()
    engine.drive(run)
    assert run.status is Status.COMPLETED
    assert list(engine.persistence.list_dead_letters(limit=10)) == []
    sequences = [event.sequence for event in run.events]
    assert sequences == list(range(1, len(sequences) + 1))


def test_the_input_of_a_run_is_read_once_for_all_that_may_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = VirtualEngine()
    tried: list[int] = []

    @stage("shaky", timeout=MINUTE, retry=RetryPolicy(first_delay=timedelta(seconds=5)))
    def shaky(item: Item) -> Item:
        tried.append(1)
        if len(tried) == 1:
            raise ConnectionError("not yet")
        return Item()

    def asks(ctx: StageContext[Any]) -> int:
        return len(ctx.run_input.padding)

    sides = [side(f"s{number}", asks) for number in range(8)]
    workflow = Workflow("wide", input=Item).pipe(first).pipe(shaky).parallel(*sides, inline=True).build()
    run = engine.start(workflow, Item(padding="x" * 20_000))
    engine.host.process_available_jobs()
    reads: list[int] = []

    def get(original: Callable[..., Any], *args: Any, **options: Any) -> Any:
        reads.append(1)
        return original(*args, **options)

    alter(engine.blob_store, "get", get, monkeypatch)
    engine.drive(run)
    assert run.status is Status.COMPLETED
    # The output that the shaky stage takes is one, the run's input the other.
    assert len(reads) <= 2
