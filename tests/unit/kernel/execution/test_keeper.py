"""An outcome that cannot be stored is an outcome: one failed attempt. One that gets no answer is kept
in hand until its lease ends, and then given back."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import (
    AnnotationCreated,
    PayloadTooLargeError,
    RetryPolicy,
    StageContext,
    StageResult,
    Status,
    Suspended,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.adapters.memory import MemoryBlobStore, MemoryPersistence
from workflow_engine.errors import AwsRequestError, StaleRunError, TransientError
from workflow_engine.kernel import KernelSettings, published_types
from workflow_engine.model.commits import Exclusive, Fail, Finish, Hold, Relieve, Shared
from workflow_engine.model.runs import EntryState, WaitKind
from workflow_engine.ports.observer import NoObserver
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
ONCE = RetryPolicy(max_attempts=1)
calls: list[int] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()


class Item(BaseModel):
    text: str = "x"


# What is raised in the place of a call: before it, or after it took effect.
Trouble = Callable[[Any], BaseException | None]


class Troubled:
    """A port of which calls of *method* meet *before* and *after*: each is asked what to raise."""

    def __init__(self, port: Any, **troubles: Trouble) -> None:
        self._port, self._troubles = port, troubles

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        before, after = self._troubles.get(name), self._troubles.get(f"{name}_after")

        def call(*args: Any, **kwargs: Any) -> Any:
            _raise(before, args)
            answer = method(*args, **kwargs)
            _raise(after, args)
            return answer

        return call


def _raise(trouble: Trouble | None, args: Any) -> None:
    error = trouble(args[0] if args else None) if trouble else None
    if error is not None:
        raise error


def silent(operation: str = "UpdateItem") -> TransientError:
    return TransientError(service="dynamodb", operation=operation, code="ReadTimeoutError")


def denied(operation: str = "PutObject") -> AwsRequestError:
    return AwsRequestError(service="s3", operation=operation, code="AccessDenied", detail="no")


def once(error: Callable[[], BaseException], wanted: Callable[[Any], bool] = lambda _given: True) -> Trouble:
    left = [error]

    def trouble(given: Any) -> BaseException | None:
        return left.pop()() if left and wanted(given) else None

    return trouble


def always(error: Callable[[], BaseException], wanted: Callable[[Any], bool] = lambda _given: True) -> Trouble:
    return lambda given: error() if wanted(given) else None


def ends_a_stage(commit: Exclusive | Shared) -> bool:
    """Whether *commit* says what came of a lease."""
    if isinstance(commit, Shared):
        return isinstance(commit.change, Finish | Hold | Fail)
    before = commit.before
    leased = before is not None and any(entry.state is EntryState.LEASED for entry in before.active)
    # A tick's own commits leave the stages as they are.
    return leased and before is not None and commit.after.active != before.active


def gives_back(commit: Exclusive | Shared) -> bool:
    """Whether *commit* lets a stage wait for another try."""
    if isinstance(commit, Shared):
        return isinstance(commit.change, Hold) and commit.change.entry.wait is WaitKind.RETRY
    return any(entry.wait is WaitKind.RETRY for entry in commit.after.active)


class Watched(NoObserver):
    def __init__(self) -> None:
        self.facts: list[str] = []

    @override
    def happened(self, fact: str, count: int = 1) -> None:
        self.facts += [fact] * count


class Lab:
    """An engine whose stores can be troubled."""

    def __init__(self, *, published: str = "stage:failed", **settings: Any) -> None:
        self.clock, self.observer = FakeClock(), Watched()
        self.memory, self.blobs = MemoryPersistence(self.clock), MemoryBlobStore()
        self.settings = KernelSettings(published=published_types([published, "workflow:*"]), **settings)

    def engine(self, **troubles: Trouble) -> VirtualEngine:
        """*troubles* by method: ``put`` is the blob store's, the rest are persistence's."""
        persistence: Any = Troubled(self.memory, **troubles)
        blob_store: Any = Troubled(self.blobs, **troubles)
        return VirtualEngine(
            clock=self.clock,
            persistence=persistence,
            blob_store=blob_store,
            settings=self.settings,
            observer=self.observer,
        )


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def apart() -> Lab:
    """One whose records are items of their own."""
    return Lab(records_in_head=False)


@stage("work", retry=ONCE)
def work(item: Item, ctx: StageContext) -> StageResult[Item]:
    calls.append(ctx.attempt)
    ctx.log("info", "working")
    ctx.annotate("source", "a test")
    return StageResult(Item(text="y" * 9000), {"words": 3}, {"page": "s3://bucket/page"})


@stage("other", retry=ONCE)
def other(item: Item) -> Item:
    return item


@stage("rest", retry=ONCE)
def rest(item: Item) -> Item:
    return item


class Both(BaseModel):
    work: Item
    other: Item


@stage("both", retry=ONCE)
def both(outputs: Both) -> Item:
    return outputs.other


chain = Workflow("chain", input=Item).pipe(work).pipe(rest).build()
alone = Workflow("alone", input=Item).pipe(work).build()


def too_large() -> BaseException:
    return PayloadTooLargeError(what="it", size_bytes=500_000, limit_bytes=400_000)


def unencodable() -> BaseException:
    try:
        "caf\udce9".encode()
    except UnicodeEncodeError as error:
        return error
    raise AssertionError


UNFIT = [denied, too_large, unencodable, RuntimeError, RecursionError, MemoryError, OverflowError]


@pytest.mark.parametrize("error", UNFIT)
@pytest.mark.parametrize("write", ["put", "put_record", "put_logs", "put_annotations", "commit"])
def test_what_any_store_says_to_an_outcome_fails_the_attempt_once(
    lab: Lab, apart: Lab, write: str, error: Callable[[], BaseException]
) -> None:
    wanted = ends_a_stage if write == "commit" else lambda _given: True
    lab = apart if write == "put_record" else lab
    run = lab.engine(**{write: once(error, wanted)}).run(chain, Item())
    assert run.error is not None
    assert (run.status, run.error.type, calls) == (Status.FAILED, type(error()).__name__, [1])
    [record] = run.records
    assert (record.status, record.error and record.error.type) == (Status.FAILED, run.error.type)
    assert (record.output, dict(record.metrics), dict(record.artifacts)) == (None, {}, {})


def test_a_stage_is_tried_again_as_its_policy_says_when_its_outcome_could_not_be_stored(apart: Lab) -> None:
    @stage("work", retry=RetryPolicy(max_attempts=2, first_delay=SECOND))
    def twice(item: Item, ctx: StageContext) -> Item:
        calls.append(ctx.attempt)
        return item

    engine = apart.engine(put_record=once(lambda: RuntimeError("out of order")))
    run = engine.run(Workflow("twice", input=Item).pipe(twice).build(), Item())
    assert (run.status, calls) == (Status.COMPLETED, [1, 2])


def test_a_stage_is_not_tried_again_for_what_trying_does_not_change(lab: Lab) -> None:
    @stage("work", retry=RetryPolicy(max_attempts=5))
    def large(item: Item, ctx: StageContext) -> Item:
        calls.append(ctx.attempt)
        return Item(text="y" * 9000)

    run = lab.engine(put=always(denied)).run(Workflow("w", input=Item).pipe(large).build(), Item())
    assert run.error is not None
    assert (run.error.type, calls) == ("AwsRequestError", [1])


def test_a_failure_of_which_no_record_can_be_stored_is_committed_all_the_same(apart: Lab) -> None:
    refused = {"put_record": always(denied), "correct_record": always(denied)}
    run = apart.engine(**refused).run(alone, Item())
    assert run.error is not None
    assert (run.status, run.error.type, calls) == (Status.FAILED, "AwsRequestError", [1])
    assert run.records == []


def test_a_stages_own_error_is_what_is_kept_where_it_cannot_be_stored_as_it_is(lab: Lab) -> None:
    @stage("work", retry=ONCE)
    def wrong(item: Item, ctx: StageContext) -> Item:
        calls.append(ctx.attempt)
        raise LookupError("no such page")

    run = lab.engine(put_record=once(unencodable)).run(Workflow("w", input=Item).pipe(wrong).build(), Item())
    assert run.error is not None
    assert (run.error.type, run.error.message, calls) == ("LookupError", "no such page", [1])
    assert [record.error and record.error.message for record in run.records] == ["no such page"]


@pytest.mark.parametrize("sibling", [True, False])
def test_a_run_whose_head_takes_no_outcome_of_a_stage_ends_with_what_was_wrong(lab: Lab, sibling: bool) -> None:
    def is_shared_or_new(commit: Any) -> bool:
        return ends_a_stage(commit) and isinstance(commit, Shared) == sibling and not fails_the_run(commit)

    def fails_the_run(commit: Any) -> bool:
        return isinstance(commit, Exclusive) and commit.after.status is Status.FAILED

    group = Workflow("group", input=Item).parallel(work, other).pipe(both).build()
    run = lab.engine(commit=always(too_large, is_shared_or_new)).run(group if sibling else alone, Item())
    assert run.error is not None
    assert (run.status, run.error.type) == (Status.FAILED, "PayloadTooLargeError")
    assert len(calls) <= 1


def test_events_that_no_head_can_hold_lie_beside_it() -> None:
    @stage("work", retry=ONCE)
    def talks(item: Item, ctx: StageContext) -> Item:
        calls.append(ctx.attempt)
        for number in range(30):
            ctx.annotate(f"page-{number}", "z" * 16_000)
        return item

    run = Lab(published="annotation:created").engine().run(Workflow("w", input=Item).pipe(talks).build(), Item())
    assert (run.status, calls) == (Status.COMPLETED, [1])
    assert [record.status for record in run.records] == [Status.COMPLETED]
    assert [event.value for event in run.events if isinstance(event, AnnotationCreated)] == ["z" * 16_000] * 30


# Without an answer


def took(run: VirtualRun) -> timedelta:
    head = run.head
    assert head.ended_at is not None
    return head.ended_at - head.created_at


OUTCOMES = ["completed", "last", "sibling", "suspended", "failed", "retried"]


def workflow_of(outcome: str) -> WorkflowDefinition:
    if outcome == "sibling":
        return Workflow("group", input=Item).parallel(work, other).pipe(both).build()
    if outcome in ("completed", "last"):
        return chain if outcome == "completed" else alone
    policy = RetryPolicy(max_attempts=2, first_delay=SECOND) if outcome == "retried" else ONCE

    @stage("work", retry=policy)
    def odd(item: Item, ctx: StageContext) -> Item | Suspended[Item]:
        calls.append(ctx.attempt)
        if outcome == "suspended":
            return Suspended(item, poll_every=SECOND)
        if outcome == "failed" or ctx.attempt == 1:
            raise LookupError("no such page")
        return item

    @odd.check_completion
    def check(state: Item) -> Item:
        return state

    return Workflow(outcome, input=Item).pipe(odd).build()


@pytest.mark.parametrize("method", ["commit", "commit_after"])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_an_outcome_whose_commit_gets_no_answer_is_committed_again(lab: Lab, outcome: str, method: str) -> None:
    run = lab.engine(**{method: once(silent, ends_a_stage)}).run(workflow_of(outcome), Item())
    expected = Status.FAILED if outcome == "failed" else Status.COMPLETED
    assert (run.status, calls) == (expected, [1, 2] if outcome == "retried" else [1])
    assert took(run) < MINUTE
    assert "LeasesLost" not in lab.observer.facts
    assert "Ghosts" not in lab.observer.facts


def silent_for(lab: Lab, span: timedelta, wanted: Callable[[Any], bool] = lambda _given: True) -> Trouble:
    """No answer, from the first call that is *wanted* on, for *span*."""
    since: list[Any] = []

    def trouble(given: Any) -> BaseException | None:
        if not wanted(given):
            return None
        since.append(lab.clock.now())
        return silent() if lab.clock.now() < since[0] + span else None

    return trouble


@pytest.mark.parametrize("write", ["commit", "put_record", "put_logs", "put_annotations", "put"])
def test_an_outcome_outlasts_minutes_in_which_a_store_does_not_answer(lab: Lab, write: str) -> None:
    trouble = silent_for(lab, 10 * MINUTE, ends_a_stage if write == "commit" else lambda _given: True)
    run = lab.engine(**{write: trouble}).run(chain, Item())
    assert (run.status, calls) == (Status.COMPLETED, [1])
    assert took(run) < 11 * MINUTE


@pytest.mark.parametrize("outcome", ["completed", "last", "sibling"])
def test_a_lease_whose_outcome_gets_no_answer_until_it_ends_is_given_back(lab: Lab, outcome: str) -> None:
    asked: list[Any] = []

    def wanted(commit: Any) -> bool:
        return len(calls) == 1 and ends_a_stage(commit) and not gives_back(commit) and of_work(commit)

    def of_work(commit: Any) -> bool:
        return isinstance(commit, Exclusive) or commit.change.ordinal == 0

    def trouble(commit: Any) -> BaseException | None:
        if not wanted(commit):
            return None
        asked.append(commit)
        return silent()

    run = lab.engine(commit=trouble).run(workflow_of(outcome), Item())
    # No attempt, and no lost lease: the second call comes a minute after the first lease was given back.
    assert (run.status, calls) == (Status.COMPLETED, [1, 1])
    assert took(run) < lab.settings.invocation + 2 * MINUTE
    assert "LeasesLost" not in lab.observer.facts
    # Nobody hammers a table that does not answer.
    assert 15 <= len(asked) <= 45


def test_a_lease_is_not_given_back_when_its_outcome_happened_without_an_answer(lab: Lab) -> None:
    run = lab.engine(commit_after=always(silent, lambda commit: ends_a_stage(commit) and not gives_back(commit))).run(
        alone, Item()
    )
    assert (run.status, calls) == (Status.COMPLETED, [1])


def test_a_lease_that_cannot_even_be_given_back_is_taken_over(lab: Lab) -> None:
    run = lab.engine(commit=always(silent, lambda commit: len(calls) == 1 and ends_a_stage(commit))).run(alone, Item())
    assert (run.status, calls) == (Status.COMPLETED, [1, 1])
    assert "LeasesLost" in lab.observer.facts


def test_an_outcome_is_committed_however_often_others_write_at_that_moment(lab: Lab) -> None:
    left = [60]

    def trouble(commit: Any) -> BaseException | None:
        if ends_a_stage(commit) and left[0]:
            left[0] -= 1
            return StaleRunError(run_id="x", tries=8)
        return None

    run = lab.engine(commit=trouble).run(alone, Item())
    assert (run.status, calls, left) == (Status.COMPLETED, [1], [0])
    assert took(run) < 10 * MINUTE


def takes_a_lease(commit: Any) -> bool:
    return isinstance(commit, Shared) and hasattr(commit.change, "until") and not hasattr(commit.change, "entry")


@pytest.mark.parametrize("method", ["commit", "commit_after"])
def test_a_claim_that_gets_no_answer_is_made_again(lab: Lab, method: str) -> None:
    run = lab.engine(**{method: once(silent, takes_a_lease)}).run(alone, Item())
    assert (run.status, calls) == (Status.COMPLETED, [1])
    assert took(run) < MINUTE


@pytest.mark.parametrize("error", [silent, denied, RuntimeError])
def test_a_lease_on_the_next_stage_is_not_lost_to_events_that_cannot_be_told(
    error: Callable[[], BaseException],
) -> None:
    lab = Lab(published="*")
    engine = lab.engine()
    sink: Any = Troubled(engine.event_sink, emit=once(error, lambda events: len(calls) == 1 and len(events) > 0))
    sink.accepted = engine.event_sink.accepted
    engine.event_sink = sink
    engine.deploy(chain)
    run = engine.run(chain, Item())
    assert (run.status, calls) == (Status.COMPLETED, [1])
    assert took(run) < MINUTE
    assert [event.sequence for event in run.events] == list(range(1, len(run.events) + 1))


def sibling_of(number: int) -> Any:
    @stage(f"s{number}", retry=ONCE)
    def one(item: Item) -> Item:
        calls.append(number)
        return item

    return one


@pytest.mark.parametrize("error", [silent, denied, RuntimeError])
def test_a_lease_is_not_lost_to_events_that_cannot_be_taken_out_of_its_head(
    error: Callable[[], BaseException],
) -> None:
    lab = Lab(published="*")
    asked: list[Any] = []

    def takes_out(commit: Any) -> bool:
        found = isinstance(commit, Shared) and isinstance(commit.change, Relieve)
        asked.extend([commit] * found)
        return found

    siblings = Workflow("many", input=Item).parallel(*map(sibling_of, range(100))).build()
    run = lab.engine(commit=once(error, takes_out)).run(siblings, Item())
    assert asked
    assert (run.status, sorted(calls)) == (Status.COMPLETED, list(range(100)))
    assert "LeasesLost" not in lab.observer.facts


@pytest.mark.parametrize("error", [silent, denied])
def test_a_lease_is_given_back_when_its_runs_definition_cannot_be_read(
    lab: Lab, error: Callable[[], BaseException]
) -> None:
    engine = lab.engine(load_definition=once(error))
    run = engine.start(chain, Item())

    @stage("more", retry=ONCE)
    def more(item: Item) -> Item:
        return item

    engine.deploy(Workflow("chain", input=Item).pipe(work).pipe(rest).pipe(more).build())
    engine.drive(run)
    assert (run.status, calls) == (Status.COMPLETED, [1])
    assert took(run) < 3 * MINUTE
    assert "LeasesLost" not in lab.observer.facts


def test_an_interrupt_ends_a_pause_at_once() -> None:
    def interrupted(_span: timedelta) -> None:
        raise KeyboardInterrupt

    lab = Lab(pause=interrupted)
    with pytest.raises(KeyboardInterrupt):
        lab.engine(commit=once(silent, ends_a_stage)).run(alone, Item())


def test_a_host_that_ends_waits_for_no_answer(lab: Lab) -> None:
    pauses: list[timedelta] = []

    def noted(span: timedelta) -> None:
        pauses.append(span)
        lab.clock.advance(span)
        engine.kernel.parts.hurried.set()

    lab.settings = replace(lab.settings, pause=noted)
    engine = lab.engine(commit=always(silent, lambda commit: ends_a_stage(commit) and not gives_back(commit)))
    run = engine.start(alone, Item())
    engine.host.process_available_jobs()
    [entry] = run.head.active
    assert (entry.state, entry.wait, entry.attempt, entry.lost) == (EntryState.WAITING, WaitKind.RETRY, 1, 0)
    assert (calls, len(pauses)) == ([1], 1)
