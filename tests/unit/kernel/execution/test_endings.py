"""From what came of an attempt to the commit that says so, case by case."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from workflow_engine import RetryPolicy, TransientError, Workflow, stage
from workflow_engine.adapters.memory import MemoryBlobStore, MemoryPersistence
from workflow_engine.kernel.execution.attempt import Attempt
from workflow_engine.kernel.execution.ending import (
    Awaits,
    Completed,
    Ending,
    Failed,
    KeptState,
    Postponed,
    StillWaits,
    Suspends,
    Unfit,
)
from workflow_engine.kernel.execution.endings import POSTPONE, concluded, decide_ending, outcome_of, result_of
from workflow_engine.kernel.execution.run_data import RunData
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.kernel.transitions import Lease, Told
from workflow_engine.model.commits import Exclusive
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import Entry, EntryState, Head, WaitKind
from workflow_engine.model.status import Status
from workflow_engine.testing.builders import LIFE, leased_head
from workflow_engine.testing.clock import START, FakeClock

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
ERROR = ErrorInfo("ValueError", "no")
OUTAGE = TransientError(service="S3", operation="PutObject", code="503")


class Number(BaseModel):
    value: int


@stage("read", retry=RetryPolicy(max_attempts=2, first_delay=10 * SECOND, jitter=False), timeout=MINUTE)
def read(number: Number) -> Number:
    return number


@stage("write", timeout=MINUTE)
def write(number: Number) -> Number:
    return number


DEFINITION = Workflow("w", input=Number).pipe(read).pipe(write).build()
STAGE = DEFINITION.stage("read")


def lease(**changes: Any) -> Lease:
    entry = replace(leased_head(START).active[0], **changes)
    return Lease(group=0, ordinal=0, stage_id=DEFINITION.plan.stage(0, 0), entry=entry)


def attempt(ending: Ending, **changes: Any) -> Attempt:
    made = Attempt(ending=ending, number=1, by="worker-0", started_at=START, finished_at=START + SECOND)
    return replace(made, **changes)


def after(
    ending: Ending,
    *,
    entry: dict[str, Any] | None = None,
    left: timedelta = HOUR,
    head: Head | None = None,
    **changes: Any,
) -> Head:
    """The head once *ending* is committed, by an invocation that has so much time *left*."""
    clock, held = FakeClock(), lease(**(entry or {}))
    before = replace(head or leased_head(START), active=(held.entry,))
    data = RunData(head=before, definition=DEFINITION, persistence=MemoryPersistence(clock), blobs=MemoryBlobStore())
    invocation = Invocation("i", START + left, clock, KernelSettings())
    commit = decide_ending(attempt(ending, **changes), held, data, Told(), invocation=invocation)
    assert isinstance(commit, Exclusive)
    return commit.after


@pytest.mark.parametrize(
    ("left", "state"),
    [(HOUR, EntryState.LEASED), (MINUTE + 2 * SECOND, EntryState.LEASED), (MINUTE + SECOND, EntryState.READY)],
)
def test_the_next_stage_is_chained_where_its_timeout_and_a_commit_fit(left: timedelta, state: EntryState) -> None:
    head = after(Completed(b"{}"), left=left)

    assert (head.group, head.active[0].state) == (1, state)


@pytest.mark.parametrize(
    ("retryable", "number", "status"),
    [(True, 1, Status.RUNNING), (True, 2, Status.FAILED), (False, 1, Status.FAILED)],
)
def test_a_failure_is_tried_again_while_attempts_are_left(retryable: bool, number: int, status: Status) -> None:
    head = after(Failed(ERROR, retryable), entry={"attempt": number}, number=number)

    assert head.status is status
    (entry,) = head.active
    if status is Status.RUNNING:
        assert (entry.state, entry.wait, entry.attempt) == (EntryState.WAITING, WaitKind.RETRY, 2)
        assert entry.until == START + 10 * SECOND


def test_an_outage_costs_no_attempt_and_is_waited_out() -> None:
    (entry,) = after(Postponed(OUTAGE), entry={"attempt": 2, "lost": 3}).active

    assert (entry.wait, entry.attempt, entry.until) == (WaitKind.RETRY, 2, START + POSTPONE)


@pytest.mark.parametrize(("every", "until"), [(5 * MINUTE, 5 * MINUTE), (100 * LIFE, LIFE)])
def test_a_check_is_never_later_than_the_deadline(every: timedelta, until: timedelta) -> None:
    head = after(Suspends(b"{}", every, None), entry={"epoch": 4})
    (entry,) = head.active

    assert (entry.wait, entry.until, entry.suspended_epoch) == (WaitKind.POLL, START + until, 4)
    assert head.status is Status.SUSPENDED


def test_a_check_is_no_later_than_the_stage_gives_up() -> None:
    (entry,) = after(Suspends(b"{}", HOUR, MINUTE)).active

    assert (entry.until, entry.give_up_at) == (START + MINUTE, START + MINUTE)


@pytest.mark.parametrize(("said", "until"), [(None, 7 * MINUTE), (MINUTE, MINUTE)])
def test_the_next_check_is_when_it_was_asked_for_or_at_the_usual_pace(said: timedelta | None, until: timedelta) -> None:
    kept = KeptState(b"{}", 7 * MINUTE)
    (entry,) = after(StillWaits(said), entry={"suspended_epoch": 2, "epoch": 5}, kept=kept).active

    assert (entry.until, entry.suspended_epoch) == (START + until, 2)


@pytest.mark.parametrize(("timeout", "until"), [(None, LIFE), (HOUR, HOUR)])
def test_a_signal_is_waited_for_until_its_timeout_or_the_deadline(timeout: timedelta | None, until: timedelta) -> None:
    (entry,) = after(Awaits("go", timeout)).active

    assert (entry.wait, entry.signal, entry.until, entry.give_up_at) == (
        WaitKind.SIGNAL, "go", START + until, START + until,
    )  # fmt: skip


def test_a_signal_that_does_not_fit_is_used_up_and_the_wait_goes_on_as_it_was() -> None:
    head = leased_head(START, signals=("go#1",))
    waits = {"signal": "go", "give_up_at": START + HOUR}
    found = after(Unfit(("value: is missing",)), entry=waits, head=head, signal="go#1")

    assert found.signals == ()
    assert (found.active[0].signal, found.active[0].until) == ("go", START + HOUR)


def test_what_is_stored_of_a_wait_is_whole_milliseconds() -> None:
    (entry,) = after(Suspends(b"{}", timedelta(microseconds=1_234_567), None)).active

    assert entry.until is not None
    assert entry.until.microsecond % 1000 == 0


class TestConcluded:
    AT = START + HOUR

    @pytest.mark.parametrize(
        ("entry", "code"),
        [
            ({}, "InvalidOutputError"),
            ({"suspended_epoch": 1, "give_up_at": START}, "WaitExpiredError"),
            ({"suspended_epoch": 1, "give_up_at": START + 2 * HOUR}, None),
            ({"suspended_epoch": 1}, None),
        ],
    )
    def test_not_ready_is_for_a_check_whose_time_is_not_over(self, entry: dict[str, Any], code: str | None) -> None:
        found = concluded(attempt(StillWaits(None)), lease(**entry), STAGE, self.AT).ending

        assert (found.error.type if isinstance(found, Failed) else None) == code

    def test_any_other_ending_stands(self) -> None:
        one = attempt(Completed(b"{}"))

        assert concluded(one, lease(give_up_at=START), STAGE, self.AT) is one


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (Completed(b""), "completed"),
        (Failed(ERROR, retryable=True), "failed"),
        (Postponed(OUTAGE), "failed"),
        (Suspends(b"", HOUR, None), "suspended"),
        (StillWaits(None), "suspended"),
        (Awaits("go", None), "suspended"),
        (Unfit(()), "suspended"),
    ],
)
def test_each_ending_has_a_word(ending: Ending, outcome: str) -> None:
    assert outcome_of(attempt(ending)) == outcome


@pytest.mark.parametrize(
    ("ours", "group", "winners", "ghost"),
    [
        (True, 0, {}, False),
        (False, 0, {}, True),
        (False, 1, {(0, 0): 3}, False),  # a lost answer: the head that moved on names our lease
        (False, 1, {(0, 0): 4}, True),
    ],
)
def test_a_ghost_is_one_whose_outcome_does_not_count(ours: bool, group: int, winners: Any, ghost: bool) -> None:
    head = leased_head(START, group=group, winners=winners, active=(Entry(EntryState.READY),))

    assert result_of(attempt(Completed(b"")), head, lease(epoch=3), ours=ours).ghost is ghost
