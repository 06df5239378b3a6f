"""What every persistence must find by time: what is due, what there is, what failed.

The indexes of a real table may lag by seconds; those of an emulator and of memory do not, and the
contract asks them at once.
"""
# ruff: noqa: D102 - a test's name is its docstring

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from workflow_engine.model.commits import Fail
from workflow_engine.model.ids import RunId, WorkflowId
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import Head, RunFailure
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import DueRun, Persistence, Rearm, RunPage
from workflow_engine.testing.builders import (
    WORKFLOW,
    claim_first,
    committed,
    create,
    leased_head,
    new_head,
    rewrite,
    share,
)
from workflow_engine.testing.clock import START

MINUTE = timedelta(minutes=1)
# The adapter under test is made for this many shards.
SHARDS = 4


def created(persistence: Persistence, head: Head) -> Head:
    """*head*, once it is stored."""
    return committed(persistence.commit(create(head)))


def pages(page_behind: Callable[[str | None], RunPage]) -> Iterator[Sequence[RunId]]:
    """The runs of each page until the last."""
    cursor: str | None = None
    while True:
        page = page_behind(cursor)
        yield page.run_ids
        cursor = page.cursor
        if cursor is None:
            return


class DueContract:
    """The due index."""

    def test_due_runs_are_listed_oldest_first(self, persistence: Persistence) -> None:
        for number, minutes in enumerate((3, 1, 2, 4)):
            created(persistence, new_head(START, run_id=f"run-{number}", due_at=START + minutes * MINUTE))
        page = persistence.list_due(0, until=START + 3 * MINUTE, limit=10)
        assert page.runs == (
            DueRun(RunId("run-1"), START + MINUTE),
            DueRun(RunId("run-2"), START + 2 * MINUTE),
            DueRun(RunId("run-0"), START + 3 * MINUTE),
        )
        assert persistence.list_due(0, until=START, limit=10).runs == ()

    def test_a_shard_lists_its_own(self, persistence: Persistence) -> None:
        for shard in range(SHARDS):
            created(persistence, new_head(START, run_id=f"run-{shard}", due_shard=shard, due_at=START))
        for shard in range(SHARDS):
            [due] = persistence.list_due(shard, until=START, limit=10).runs
            assert due.run_id == f"run-{shard}"

    def test_pages_hold_every_due_run_once(self, persistence: Persistence) -> None:
        # Several are due at the same instant: a cursor must not lose those of them that are left.
        for number in range(11):
            created(persistence, new_head(START, run_id=f"run-{number}", due_at=START + number // 4 * MINUTE))
        found: list[DueRun] = []
        cursor: str | None = None
        while True:
            page = persistence.list_due(0, until=START + 9 * MINUTE, limit=3, cursor=cursor)
            assert len(page.runs) <= 3
            found += page.runs
            cursor = page.cursor
            if cursor is None:
                break
        assert [run.due_at for run in found] == [START + number // 4 * MINUTE for number in range(11)]
        assert {run.run_id for run in found} == {f"run-{number}" for number in range(11)}

    def test_the_index_follows_the_head(self, persistence: Persistence) -> None:
        head = created(persistence, new_head(START, due_at=START + MINUTE))
        claimed = committed(persistence.commit(replace(claim_first(head, START), due_at=START)))
        assert self._due(persistence) == [START]
        persistence.rearm([Rearm(head.run_id, claimed.version, START, START + 5 * MINUTE)])
        assert self._due(persistence) == [START + 5 * MINUTE]
        moved = persistence.load_head(head.run_id)
        assert moved is not None
        later = committed(persistence.commit(rewrite(moved, due_at=START + 7 * MINUTE)))
        assert self._due(persistence) == [START + 7 * MINUTE]
        ended = committed(persistence.commit(rewrite(later, status=Status.COMPLETED, due_at=None)))
        assert self._due(persistence) == []
        committed(persistence.commit(rewrite(ended, status=Status.RUNNING, due_at=START)))
        assert self._due(persistence) == [START]

    def test_a_cursor_that_no_page_gave_is_refused(self, persistence: Persistence) -> None:
        with pytest.raises(ValueError):  # noqa: PT011 - what it says is the adapter's
            persistence.list_due(0, until=START, limit=1, cursor="nonsense")
        with pytest.raises(ValueError):  # noqa: PT011 - what it says is the adapter's
            persistence.list_runs(WORKFLOW, cursor="nonsense")

    def _due(self, persistence: Persistence) -> list[datetime]:
        page = persistence.list_due(0, until=START + 60 * MINUTE, limit=10)
        return [run.due_at for run in page.runs]


class ListingContract:
    """The listing and the failures."""

    def test_runs_are_listed_newest_first_over_all_shards(self, persistence: Persistence) -> None:
        self._create_many(persistence, 10)
        created(persistence, new_head(START, run_id="other", workflow_id=WorkflowId("document-analysis-2")))
        assert persistence.list_runs(WORKFLOW).run_ids == tuple(f"run-{number}" for number in reversed(range(10)))
        assert persistence.list_runs("document").run_ids == ()

    def test_a_listing_has_bounds(self, persistence: Persistence) -> None:
        self._create_many(persistence, 10)
        page = persistence.list_runs(WORKFLOW, since=START + 3 * MINUTE, until=START + 6 * MINUTE)
        assert page.run_ids == ("run-5", "run-4", "run-3")
        assert persistence.list_runs(WORKFLOW, since=START + 8 * MINUTE).run_ids == ("run-9", "run-8")
        assert persistence.list_runs(WORKFLOW, until=START + MINUTE).run_ids == ("run-0",)
        assert persistence.list_runs(WORKFLOW, until=START).run_ids == ()
        assert persistence.list_runs(WORKFLOW, since=START + MINUTE, until=START + MINUTE).run_ids == ()
        assert persistence.list_runs(WORKFLOW, since=START + 2 * MINUTE, until=START + MINUTE).run_ids == ()

    @pytest.mark.parametrize("limit", [1, 3, 10, 11])
    def test_pages_hold_every_run_once(self, persistence: Persistence, limit: int) -> None:
        # Two of a kind: runs of the same millisecond, in different shards.
        for number in range(10):
            at = START + number // 2 * MINUTE
            created(persistence, new_head(at, run_id=f"run-{number}", due_shard=number % SHARDS))
        found = list(pages(lambda cursor: persistence.list_runs(WORKFLOW, limit=limit, cursor=cursor)))
        assert all(len(page) <= limit for page in found)
        assert [run_id for page in found for run_id in page] == [f"run-{number}" for number in reversed(range(10))]

    def test_a_page_behind_a_cursor_keeps_its_bounds(self, persistence: Persistence) -> None:
        self._create_many(persistence, 10)
        first = persistence.list_runs(WORKFLOW, since=START + 4 * MINUTE, until=START + 8 * MINUTE, limit=2)
        assert first.run_ids == ("run-7", "run-6")
        second = persistence.list_runs(
            WORKFLOW, since=START + 4 * MINUTE, until=START + 8 * MINUTE, limit=2, cursor=first.cursor
        )
        assert second.run_ids == ("run-5", "run-4")

    def test_the_listing_never_changes(self, persistence: Persistence) -> None:
        head = created(persistence, leased_head(START))
        ended = committed(persistence.commit(rewrite(head, status=Status.COMPLETED, due_at=None)))
        committed(persistence.commit(rewrite(ended, status=Status.RUNNING)))
        assert persistence.list_runs(WORKFLOW).run_ids == ("run",)

    def test_failures_are_listed_newest_first(self, persistence: Persistence) -> None:
        for number, minutes in enumerate((3, 1, 2)):
            head = created(persistence, leased_head(START, run_id=f"run-{number}", stages=2, due_shard=number))
            self._fail(persistence, head, START + minutes * MINUTE, shared=number % 2 == 0)
        created(persistence, leased_head(START, run_id="alive"))
        assert persistence.list_failures(WORKFLOW).run_ids == ("run-0", "run-2", "run-1")
        assert persistence.list_failures(WORKFLOW, since=START + 2 * MINUTE).run_ids == ("run-0", "run-2")
        assert persistence.list_failures("document").run_ids == ()
        found = list(pages(lambda cursor: persistence.list_failures(WORKFLOW, limit=2, cursor=cursor)))
        assert found == [("run-0", "run-2"), ("run-1",)]

    @pytest.mark.parametrize("shared", [True, False])
    def test_a_rerun_is_no_failure_until_it_fails_again(self, persistence: Persistence, shared: bool) -> None:
        head = created(persistence, leased_head(START, stages=2))
        failed = self._fail(persistence, head, START + MINUTE, shared=shared)
        again = rewrite(failed, status=Status.RUNNING, active=head.active, failure=None, ended_by="", ended_at=None)
        rerun = committed(persistence.commit(again))
        assert persistence.list_failures(WORKFLOW).run_ids == ()
        self._fail(persistence, rerun, START + 3 * MINUTE, shared=shared)
        assert persistence.list_failures(WORKFLOW, since=START + 3 * MINUTE).run_ids == ("run",)

    def test_other_endings_are_no_failures(self, persistence: Persistence) -> None:
        for status in (Status.COMPLETED, Status.CANCELLED):
            created(persistence, new_head(START, run_id=status.lower(), status=status, ended_at=START, ended_by="w"))
        assert persistence.list_failures(WORKFLOW).run_ids == ()

    def _create_many(self, persistence: Persistence, count: int) -> None:
        for number in range(count):
            at = START + number * MINUTE
            created(persistence, new_head(at, run_id=f"run-{number}", due_shard=number % SHARDS))

    def _fail(self, persistence: Persistence, head: Head, at: datetime, *, shared: bool) -> Head:
        failure = RunFailure(ErrorInfo("ValueError", "wrong"))
        if shared:
            return committed(persistence.commit(share(head, Fail(0, head.active[0].epoch, failure, "w", at))))
        ended = rewrite(head, status=Status.FAILED, failure=failure, ended_at=at, ended_by="w", due_at=None)
        return committed(persistence.commit(ended))
