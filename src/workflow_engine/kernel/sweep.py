"""Looks at runs that the due index lists. The cost follows what is due, never what exists."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from workflow_engine.errors import WorkflowEngineError
from workflow_engine.kernel import agenda
from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.kernel.telling import job_for
from workflow_engine.model.commands import Command
from workflow_engine.model.runs import EntryState, Head, WaitKind
from workflow_engine.model.status import Status
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.ports.persistence import Persistence, Rearm

PAGE = 100
# What a page may take at the end of an invocation; what is left is carried on by the next tick.
PAGE_TIME = timedelta(seconds=5)


@dataclass(slots=True)
class SweepCounts:
    """What a tick did. *backlog* is true where due runs were left for the next."""

    claimed: int = 0
    suspended_checked: int = 0
    stale_released: int = 0
    events_flushed: int = 0
    stuck_reaped: int = 0
    looked_at: int = 0
    failed: int = 0
    oldest_untold: datetime | None = None
    backlog: bool = False


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Reads the due index and hands out what is due."""

    persistence: Persistence
    job_transport: JobTransport
    advancer: Advancer
    settings: KernelSettings

    def listed(self, until: datetime, limit: int) -> Iterator[Head]:
        """Up to *limit* heads with ``due_at <= until``, oldest first within each shard. Every run
        that is alive is within the horizon, timers apart."""
        left = limit
        for shard in range(self.settings.due_shards):
            cursor: str | None = None
            while left > 0:
                page = self.persistence.list_due(shard, until=until, limit=min(PAGE, left), cursor=cursor)
                heads = self.persistence.load_heads([run.run_id for run in page.runs])
                left -= len(page.runs)
                yield from (heads[run.run_id] for run in page.runs if run.run_id in heads)
                cursor = page.cursor
                if cursor is None:
                    break

    def live_within_horizon(self, invocation: Invocation, limit: int, wanted: Callable[[Head], bool]) -> list[Head]:
        """Runs that are *wanted*, among those that a tick will look at within the horizon."""
        until = invocation.clock.now() + self.settings.horizon
        return [head for head in self.listed(until, limit) if wanted(head)]

    def tick(self, invocation: Invocation) -> SweepCounts:
        """Look at every run that is due, oldest first, page by page, as long as time allows.

        The shards take turns, so that a backlog in one starves no other. ``due_at`` is moved
        before anything is sent: of several ticks the one that moved it sends.
        """
        counts, at = SweepCounts(), invocation.clock.now()
        cursors: dict[int, str | None] = dict.fromkeys(range(self.settings.due_shards))
        while cursors:
            for shard in list(cursors):
                if invocation.remaining() < PAGE_TIME:
                    counts.backlog = True
                    return counts
                cursor = self._page(shard, cursors[shard], at, counts, invocation)
                if cursor is None:
                    del cursors[shard]
                else:
                    cursors[shard] = cursor
        return counts

    def _page(
        self,
        shard: int,
        cursor: str | None,
        at: datetime,
        counts: SweepCounts,
        invocation: Invocation,
    ) -> str | None:
        """One page. It reads on behind what it looked at, so that a run that cannot be read or
        moved keeps none behind it waiting."""
        page = self.persistence.list_due(shard, until=at, limit=PAGE, cursor=cursor)
        heads = self.persistence.load_heads([run.run_id for run in page.runs])
        # In the page's order, oldest first: a batch read answers in any order.
        found = [heads[run.run_id] for run in page.runs if run.run_id in heads]
        due = [head for head in found if head.due_at is not None and head.due_at <= at]
        wishes = {head.run_id: self._wish(head, at) for head in due}
        won = set(self.persistence.rearm(list(wishes.values()))) if wishes else set()
        jobs: list[Command] = []
        for head in due:
            if head.run_id in won:
                moved = replace(head, due_at=wishes[head.run_id].next_due)
                jobs += self._look(moved, counts, invocation, at)
        if jobs:
            self.job_transport.enqueue_parallel(jobs)
        return page.cursor

    def _wish(self, head: Head, at: datetime) -> Rearm:
        horizon = self.settings.horizon
        latest = at + horizon
        due = agenda.next_due(head, at, horizon) or latest
        # A deadline that is past stays the nearest time there is; the look itself ends the run.
        next_due = min(due, latest) if due > at else latest
        return Rearm(head.run_id, head.version, head.due_at or at, next_due)

    def _look(self, head: Head, counts: SweepCounts, invocation: Invocation, at: datetime) -> list[Command]:
        counts.looked_at += 1
        _count(head, counts, at)
        try:
            plan = self.advancer.plan_of(head)
            if plan is not None and _only_jobs(head, at):
                return [job_for(head, plan, wake) for wake in agenda.sendable(head, at)]
            before = head.untold
            after = self.advancer.wake(head, invocation, send_jobs=True)
            counts.events_flushed += before
            counts.stuck_reaped += after.action == "failed"
        except WorkflowEngineError:
            # ``due_at`` was moved, so that one run that cannot be served keeps no other waiting.
            counts.failed += 1
        return []


def _only_jobs(head: Head, at: datetime) -> bool:
    return not head.status.is_terminal and not head.untold and not agenda.all_done(head.active) and head.deadline > at


def _count(head: Head, counts: SweepCounts, at: datetime) -> None:
    if head.events:
        oldest = head.events[0].at
        counts.oldest_untold = min(counts.oldest_untold or oldest, oldest)
    wakes = agenda.sendable(head, at)
    counts.claimed += head.status is Status.PENDING and bool(wakes)
    for wake in wakes:
        entry = head.active[wake.ordinal]
        counts.stale_released += wake.claim == "expired"
        counts.suspended_checked += entry.wait in (WaitKind.POLL, WaitKind.SIGNAL)
        counts.stuck_reaped += entry.state is EntryState.READY and head.status is not Status.PENDING
