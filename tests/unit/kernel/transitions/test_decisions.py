"""Each decision as a table: the head as read, what happened, and what the commit says of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from workflow_engine.kernel import transitions
from workflow_engine.kernel.transitions import Lease, Moment, Rerun, Told
from workflow_engine.model.commits import Cancel, Exclusive, Fail, Finish, Hold, Relieve, Shared
from workflow_engine.model.ids import StageId
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.plans import Plan
from workflow_engine.model.runs import Entry, EntryState, Head, RunFailure, WaitKind
from workflow_engine.model.status import Status
from workflow_engine.testing.builders import leased_head, new_event, new_head
from workflow_engine.testing.clock import START

HORIZON, HOUR, SECOND = timedelta(minutes=16), timedelta(hours=1), timedelta(seconds=1)
NOW = START + HOUR
PLAN = Plan([("read",), ("left", "right"), ("write",)])
ALL = frozenset({"workflow:created", "workflow:completed", "workflow:failed", "workflow:cancelled", "stage:started"})
ERROR = RunFailure(ErrorInfo("ValueError", "no"), StageId("read"))


def moment(*, published: frozenset[str] = frozenset(), **changes: Any) -> Moment:
    return replace(Moment(at=NOW, by="i.1", horizon=HORIZON, published=published), **changes)


def lease_of(head: Head, ordinal: int = 0) -> Lease:
    stage_id = PLAN.stage(head.group, ordinal)
    return Lease(group=head.group, ordinal=ordinal, stage_id=stage_id, entry=head.active[ordinal])


def exclusive(commit: Exclusive | Shared | None) -> Head:
    """What an exclusive commit leaves; it is the next version, by the moment's name."""
    assert isinstance(commit, Exclusive)
    assert commit.after.by == "i.1"
    assert commit.after.version == (commit.before.version + 1 if commit.before else 1)
    return commit.after


def shared(commit: Exclusive | Shared | None) -> Shared:
    assert isinstance(commit, Shared)
    return commit


def finished(head: Head, **changes: Any) -> Exclusive | Shared:
    given: dict[str, Any] = {"told": Told(), "next_until": None, **changes}
    return transitions.finish(
        head, lease_of(head), PLAN, moment(published=given.pop("published", frozenset())), **given
    )


class TestFinish:
    def test_a_group_of_one_is_left_for_a_group_of_several_that_nobody_holds(self) -> None:
        after = exclusive(finished(leased_head(START)))

        assert (after.group, after.active) == (1, (Entry(EntryState.READY),) * 2)
        assert after.status is Status.RUNNING

    def test_who_can_go_on_takes_the_next_lease_in_the_same_write(self) -> None:
        plan = Plan([("read",), ("write",)])
        head = leased_head(START)
        commit = transitions.finish(head, lease_of(head), plan, moment(), told=Told(), next_until=NOW + SECOND)

        (entry,) = exclusive(commit).active
        assert (entry.state, entry.until, entry.by, entry.epoch) == (EntryState.LEASED, NOW + SECOND, "i.1", 0)

    def test_without_a_lease_to_take_a_group_of_several_is_ready(self) -> None:
        after = exclusive(finished(leased_head(START)))

        assert {entry.state for entry in after.active} == {EntryState.READY}

    def test_the_leases_of_an_inline_group_are_all_taken_by_the_write_that_enters_it(self) -> None:
        after = exclusive(finished(leased_head(START), next_until=NOW + SECOND))

        assert len(after.active) > 1
        assert {(entry.state, entry.by, entry.epoch) for entry in after.active} == {(EntryState.LEASED, "i.1", 0)}

    def test_behind_the_last_group_the_run_is_complete(self) -> None:
        after = exclusive(finished(leased_head(START, group=2), published=ALL))

        assert (after.status, after.active, after.ended_at) == (Status.COMPLETED, (), NOW)
        assert [event.type for event in after.events] == ["workflow:completed"]
        assert after.events[0].data == {"duration_seconds": 3600.0}

    def test_what_is_not_published_is_not_stored(self) -> None:
        assert exclusive(finished(leased_head(START, group=2))).events == ()

    def test_a_sibling_changes_its_own_entry_alone(self) -> None:
        head = leased_head(START, stages=2, group=1)
        commit = shared(finished(head))

        assert commit.change == Finish(0, 0, Entry(EntryState.DONE))
        assert (commit.run_id, commit.group, commit.due_at) == (head.run_id, 1, None)

    @pytest.mark.parametrize(("epoch", "winners"), [(0, {}), (4, {(0, 0): 4})])
    def test_a_lease_that_is_not_the_groups_base_is_named_as_the_winner(self, epoch: int, winners: Any) -> None:
        entry = Entry(EntryState.LEASED, epoch, until=NOW + HOUR, by="w.1")

        assert exclusive(finished(leased_head(START, active=(entry,), epochs=5))).winners == winners

    def test_a_signal_that_was_used_up_leaves_the_head(self) -> None:
        head = leased_head(START, signals=("go#1", "go#2"))

        assert exclusive(finished(head, used_signal="go#1")).signals == ("go#2",)

    @pytest.mark.parametrize(("through", "left", "told"), [(0, 3, 0), (2, 1, 2), (3, 0, 3), (9, 0, 3)])
    def test_events_that_were_told_leave_with_the_next_write(self, through: int, left: int, told: int) -> None:
        head = leased_head(START, events=(new_event(START),) * 3)
        after = exclusive(finished(head, told=Told(through)))

        assert (len(after.events), after.told) == (left, told)


class TestAdopting:
    NEW = "n" * 26

    def test_a_run_is_one_of_the_definition_under_which_it_enters_a_group(self) -> None:
        commit = finished(leased_head(START))
        assert isinstance(commit, Exclusive)

        assert transitions.adopting(commit, self.NEW, frozenset()).after == replace(commit.after, fingerprint=self.NEW)

    def test_so_is_one_that_is_complete_by_it(self) -> None:
        commit = finished(leased_head(START, group=2))
        assert isinstance(commit, Exclusive)

        assert transitions.adopting(commit, self.NEW, frozenset()).after.fingerprint == self.NEW

    def test_one_that_stays_in_its_group_is_what_it_was(self) -> None:
        head = leased_head(START)
        commit = Exclusive(head, replace(head, version=2))

        assert transitions.adopting(commit, self.NEW, frozenset()) is commit


class TestHold:
    WAITS = Entry(EntryState.WAITING, until=NOW + HOUR, wait=WaitKind.POLL, suspended_epoch=0)

    def test_a_stage_alone_suspends_its_run(self) -> None:
        head = leased_head(START)
        commit = transitions.hold(head, lease_of(head), self.WAITS, moment(), told=Told())

        after = exclusive(commit)
        assert (after.status, after.active) == (Status.SUSPENDED, (self.WAITS,))

    def test_one_that_is_tried_again_does_not(self) -> None:
        head, retry = leased_head(START), replace(self.WAITS, wait=WaitKind.RETRY)
        after = exclusive(transitions.hold(head, lease_of(head), retry, moment(), told=Told()))

        assert after.status is Status.RUNNING

    def test_a_sibling_names_the_signal_that_it_used_by_its_place(self) -> None:
        head = leased_head(START, stages=2, group=1, signals=("a#1", "b#1"))
        commit = transitions.hold(head, lease_of(head), self.WAITS, moment(), told=Told(), used_signal="b#1")

        assert shared(commit).change == Hold(0, 0, self.WAITS, (1, "b#1"))


class TestFail:
    def test_a_stage_alone_ends_its_run(self) -> None:
        head = leased_head(START)
        after = exclusive(transitions.fail(head, lease_of(head), ERROR, moment(published=ALL), plan=PLAN, told=Told()))

        assert (after.status, after.failure, after.ended_by) == (Status.FAILED, ERROR, "i.1")
        assert after.active[0].state is EntryState.FAILED
        assert after.events[0].data == {"error_type": "ValueError", "error": "no", "stage_id": "read"}

    def test_a_sibling_ends_it_under_its_own_epoch(self) -> None:
        head = leased_head(START, stages=2, group=1)
        commit = shared(transitions.fail(head, lease_of(head, 1), ERROR, moment(), plan=PLAN, told=Told()))

        assert commit.change == Fail(1, 0, ERROR, "i.1", NOW)
        assert commit.due_at == NOW + HORIZON

    def test_what_the_head_keeps_of_an_error_has_no_traceback(self) -> None:
        failure = transitions.failure_of(StageId("read"), ErrorInfo("E", "m", trace="line 1"), 3)

        assert (failure.error.trace, failure.epoch) == (None, 3)


class TestCancel:
    @pytest.mark.parametrize(("bases", "base"), [(((0, 0),), 0), (((0, 0), (1, 7)), 7)])
    def test_it_is_meant_for_the_newest_rerun(self, bases: Any, base: int) -> None:
        commit = transitions.cancel(leased_head(START, bases=bases), "why", moment())

        assert commit.change == Cancel(base, "why", "i.1", NOW)
        assert commit.group is None


class TestRerun:
    def facts(self, group: int) -> Rerun:
        return Rerun(
            group=group,
            fingerprint="g" * 26,
            deadline=NOW + HOUR,
            expires_at=NOW + 2 * HOUR,
            input_inline=b"{}",
            input_hash=None,
        )

    def test_one_epoch_is_drawn_for_all_first_leases_from_there_on(self) -> None:
        head = new_head(
            START, status=Status.FAILED, group=2, epochs=9, bases=((0, 0), (2, 5)), winners={(0, 0): 3, (1, 0): 4}
        )
        after = exclusive(transitions.rerun(head, self.facts(1), PLAN, moment()))

        assert (after.bases, after.epochs) == (((0, 0), (1, 9)), 10)
        assert after.winners == {(0, 0): 3}
        assert after.active == (Entry(EntryState.READY, 9),) * 2

    def test_what_ended_the_run_and_was_sent_to_it_is_forgotten(self) -> None:
        head = new_head(
            START,
            status=Status.CANCELLED,
            reason="enough",
            failure=ERROR,
            ended_by="x",
            ended_at=START,
            signals=("a#1",),
        )
        after = exclusive(transitions.rerun(head, self.facts(0), PLAN, moment()))

        assert (after.status, after.reason, after.failure, after.ended_by, after.ended_at, after.signals) == (
            Status.RUNNING, None, None, "", None, (),
        )  # fmt: skip

    def test_it_never_shortens_what_is_kept(self) -> None:
        head = new_head(START, status=Status.FAILED, expires_at=NOW + 100 * HOUR)

        assert exclusive(transitions.rerun(head, self.facts(0), PLAN, moment())).expires_at == NOW + 100 * HOUR


class TestSettle:
    def test_a_run_at_work_needs_no_write_of_its_own(self) -> None:
        head = leased_head(START, events=(new_event(START),), due_at=NOW + HORIZON)

        assert transitions.settle(head, moment(), told=Told(1)) is None

    def test_what_was_told_leaves_at_once_where_that_is_asked_for(self) -> None:
        head = leased_head(START, events=(new_event(START),), due_at=NOW + HORIZON)

        assert exclusive(transitions.settle(head, moment(), told=Told(1), drop=True)).events == ()

    def test_a_run_that_is_over_and_has_nothing_to_tell_leaves_the_due_index(self) -> None:
        head = new_head(START, status=Status.COMPLETED, active=(), events=(new_event(START),), due_at=NOW + HORIZON)

        assert exclusive(transitions.settle(head, moment(), told=Told(1))).due_at is None

    def test_one_with_an_event_left_stays(self) -> None:
        head = new_head(START, status=Status.COMPLETED, active=(), events=(new_event(START),) * 2, due_at=NOW)
        after = exclusive(transitions.settle(head, moment(), told=Told(1, refused=True)))

        assert (len(after.events), after.refusals) == (1, 1)
        assert after.due_at is not None
        assert after.due_at > NOW

    def test_siblings_at_work_are_relieved_without_their_version(self) -> None:
        head = leased_head(START, stages=2, group=1, events=(new_event(START),), due_at=NOW + HORIZON)
        commit = shared(transitions.settle(head, moment(), told=Told(1), drop=True))

        assert commit.change == Relieve((0, 0, 0), 1, 1, 0, 0)


@pytest.mark.parametrize("tries", range(8))
def test_an_archive_that_was_refused_is_tried_again_after_twice_as_long_and_six_hours_at_most(tries: int) -> None:
    head = new_head(START, status=Status.COMPLETED, active=(), refusals=tries, due_at=NOW)
    after = exclusive(transitions.await_archive(head, moment(archives=True), told=Told()))

    assert after.refusals == tries + 1
    assert after.due_at == NOW + min(HORIZON * 2**tries, timedelta(hours=6))
