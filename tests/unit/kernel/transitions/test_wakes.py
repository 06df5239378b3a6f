"""What a head says is to be done, and when somebody must look again (I2)."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_engine.kernel.transitions.wakes import all_done, awaited_signals, next_due, sendable, timers, wake_for
from workflow_engine.model.limits import CLOCK_SKEW
from workflow_engine.model.runs import Entry, EntryState, Head, WaitKind
from workflow_engine.model.status import Status
from workflow_engine.testing.builders import new_event, new_head
from workflow_engine.testing.clock import START

HORIZON, SECOND, HOUR = timedelta(minutes=16), timedelta(seconds=1), timedelta(hours=1)
NOW = START

READY = Entry(EntryState.READY)
DONE = Entry(EntryState.DONE)


def leased(until: timedelta) -> Entry:
    return Entry(EntryState.LEASED, until=NOW + until, by="w.1")


def waiting(until: timedelta, kind: WaitKind = WaitKind.POLL, signal: str | None = None) -> Entry:
    return Entry(EntryState.WAITING, until=NOW + until, wait=kind, signal=signal)


def head(*active: Entry, **changes: object) -> Head:
    return replace(new_head(NOW, status=Status.RUNNING), active=active, **changes)  # type: ignore[arg-type]


ENTRIES = st.one_of(
    st.just(READY),
    st.just(DONE),
    st.integers(-3600, 3600).map(lambda seconds: leased(seconds * SECOND)),
    st.integers(-3600, 36000).map(lambda seconds: waiting(seconds * SECOND)),
    st.integers(-3600, 36000).map(lambda seconds: waiting(seconds * SECOND, WaitKind.SIGNAL, "go")),
)
HEADS = st.builds(
    lambda active, signals, events: head(*active, signals=signals, events=events),
    st.lists(ENTRIES, min_size=1, max_size=4),
    st.sampled_from([(), ("go#1",), ("stop#1",)]),
    st.sampled_from([(), (new_event(NOW),)]),
)


@pytest.mark.parametrize(
    ("entry", "claim"),
    [
        (READY, "first"),
        (leased(HOUR), None),
        (leased(-CLOCK_SKEW), None),
        (leased(-CLOCK_SKEW - SECOND), "expired"),
        (waiting(SECOND), None),
        (waiting(timedelta(0)), "due"),
        (waiting(HOUR, WaitKind.SIGNAL, "go"), None),
        (waiting(timedelta(0), WaitKind.SIGNAL, "go"), "due"),
        (DONE, None),
    ],
)
def test_how_a_stage_can_be_claimed(entry: Entry, claim: str | None) -> None:
    wake = wake_for(head(entry), 0, NOW)
    assert (wake and wake.claim) == claim


def test_a_signal_ends_a_wait_before_its_time_and_is_named() -> None:
    one = head(waiting(HOUR, WaitKind.SIGNAL, "go"), signals=("gone#1", "go#2", "go#3"))
    wake = wake_for(one, 0, NOW)
    assert wake is not None
    assert (wake.claim, wake.signal) == ("due", "go#2")
    assert awaited_signals(one) == {0: "go#2"}


def test_each_kept_signal_answers_one_wait_the_oldest_first() -> None:
    wait = waiting(HOUR, WaitKind.SIGNAL, "go")
    used = Entry(EntryState.DONE, signal="go#1")
    reserved = replace(leased(HOUR), signal="go", taken="go#3")
    one = head(used, wait, reserved, wait, wait, signals=("go#1", "", "go#2", "go#3", "stop#1", "go#4"))
    assert awaited_signals(one) == {1: "go#2", 3: "go#4"}
    assert [(wake.ordinal, wake.signal, wake.siblings) for wake in sendable(one, NOW)] == [
        (1, "go#2", 5),
        (3, "go#4", 5),
    ]


def test_a_retry_of_a_signals_handler_waits_for_its_time() -> None:
    one = head(waiting(HOUR, WaitKind.RETRY, "go"), signals=("go#1",))
    assert wake_for(one, 0, NOW) is None


@given(HEADS)
def test_each_stage_is_done_or_sent_or_timed_or_held(one: Head) -> None:
    sent = {wake.ordinal for wake in sendable(one, NOW)}
    timed = {wake.ordinal for wake in timers(one, NOW)}
    held = {
        ordinal for ordinal, entry in enumerate(one.active) if entry.state is EntryState.LEASED and ordinal not in sent
    }
    done = {ordinal for ordinal, entry in enumerate(one.active) if entry.state is EntryState.DONE}
    assert sorted([*sent, *timed, *held, *done]) == list(range(len(one.active)))


@given(HEADS)
def test_nothing_alive_is_unlisted_nor_listed_too_late(one: Head) -> None:
    due = next_due(one, NOW, HORIZON)
    assert due is not None
    assert due <= one.deadline
    for wake in timers(one, NOW):
        assert wake.at is not None
        assert due <= wake.at
    if sendable(one, NOW) or one.events or all_done(one):
        assert due <= NOW + HORIZON


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
def test_a_run_that_is_over_is_listed_only_while_it_has_something_to_tell(status: Status) -> None:
    over = head(READY, status=status)
    assert next_due(over, NOW, HORIZON) is None
    assert next_due(replace(over, events=(new_event(NOW),)), NOW, HORIZON) == NOW + HORIZON
    assert next_due(replace(over, spilled=3), NOW, HORIZON) == NOW + HORIZON
    assert (sendable(over, NOW), timers(over, NOW)) == ([], [])


def test_an_empty_group_is_not_done() -> None:
    assert not all_done(head())
    assert all_done(head(DONE, DONE))
    assert not all_done(head(DONE, READY))
