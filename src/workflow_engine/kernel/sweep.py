"""Looks at runs that the due index lists. The cost follows what is due, never what exists."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from workflow_engine.errors import NewerDefinitionError, TransientError, WorkflowEngineError
from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.kernel.teller import message_for
from workflow_engine.kernel.transitions import wakes
from workflow_engine.kernel.transitions.wakes import Wake
from workflow_engine.model.commands import Command, ExecuteJob, TransitionRun
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import WAKE_MARGIN
from workflow_engine.model.runs import EntryState, Head, WaitKind
from workflow_engine.model.status import Status
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.ports.persistence import DuePage, Persistence, Rearm

PAGE = 100
# What a page may take at the end of an invocation; what is left is carried on by the next tick.
PAGE_TIME = timedelta(seconds=5)
# So few messages are gone before a tick comes again; that they wait says nothing.
CROWDED = 10
# How long a full queue is believed to hold the message of a run that nobody claims.
LONGEST_FAITH = timedelta(hours=6)
SOON = timedelta(minutes=1)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class MaintenanceTick:
    """What one tick sent on its way, counted as it goes. *oldest_untold* is since when the oldest event that it
    found has waited, *backlog* is true where due runs were left for the next tick."""

    claimed: int = 0
    suspended_checked: int = 0
    stale_released: int = 0
    events_flushed: int = 0
    stuck_reaped: int = 0
    looked_at: int = 0
    failed: int = 0
    oldest_untold: datetime | None = None
    backlog: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweeper:
    """Reads the due index and hands out what is due."""

    persistence: Persistence
    job_transport: JobTransport
    advancer: Advancer
    settings: KernelSettings

    def listed(self, until: datetime, invocation: Invocation) -> Iterator[Head]:
        """The heads with ``due_at <= until``, as long as time allows: page by page, oldest first within
        each shard, the shards in turns, so that what one of them holds hides nothing of another."""
        cursors: dict[int, str | None] = dict.fromkeys(range(self.settings.due_shards))
        while cursors:
            for shard in list(cursors):
                if invocation.remaining() < PAGE_TIME or invocation.hurried.is_set():
                    return
                page = self.persistence.list_due(shard, until=until, limit=PAGE, cursor=cursors[shard])
                yield from self._heads_of(page)
                _read_on(cursors, shard, page.cursor)

    def live_within_horizon(self, invocation: Invocation, wanted: Callable[[Head], bool]) -> Iterator[Head]:
        """Runs that are *wanted*, among those that a tick will look at within the horizon: all that are
        alive, timers apart."""
        until = invocation.clock.now() + self.settings.horizon
        return filter(wanted, self.listed(until, invocation))

    def serve(self, heads: Iterable[Head], act: Callable[[Head], bool]) -> None:
        """Do *act* for each of *heads* until it answers that this is enough. One for which it raises keeps
        no other waiting; where it raised for all, so does this."""
        served, failed = 0, None
        for head in heads:
            try:
                enough = act(head)
            except Exception as error:
                _log.warning("run %s was left out: %r", head.run_id, error)
                failed = error
                continue
            served += 1
            if enough:
                return
        if failed is not None and not served:
            raise failed

    def tick(self, invocation: Invocation) -> MaintenanceTick:
        """Look at every run that is due, oldest first, page by page, as long as time allows.

        The shards take turns, so that a backlog in one starves no other. ``due_at`` is moved
        before anything is sent: of several ticks the one that moved it sends.
        """
        tick = _Tick(counts=MaintenanceTick(), at=invocation.clock.now(), invocation=invocation)
        cursors: dict[int, str | None] = dict.fromkeys(range(self.settings.due_shards))
        while cursors:
            for shard in list(cursors):
                if invocation.remaining() < PAGE_TIME or invocation.hurried.is_set():
                    tick.counts.backlog = True
                    return tick.counts
                _read_on(cursors, shard, self._page(shard, cursors[shard], tick))
        return tick.counts

    def _page(self, shard: int, cursor: str | None, tick: "_Tick") -> str | None:
        """One page. It reads on behind what it looked at, so that a run that cannot be read or
        moved keeps none behind it waiting."""
        page = self.persistence.list_due(shard, until=tick.at, limit=PAGE, cursor=cursor)
        due = [head for head in self._heads_of(page) if head.due_at is not None and head.due_at <= tick.at]
        wishes = {head.run_id: self._wish(head, tick.at) for head in due}
        won = set(self.persistence.rearm(list(wishes.values()))) if wishes else set()
        moved = [replace(head, due_at=wishes[head.run_id].next_due) for head in due if head.run_id in won]
        waits = self._may_wait(moved, tick)
        jobs = [job for head in moved for job in self._look(head, tick, send_jobs=head.run_id not in waits)]
        refused = self.job_transport.enqueue_parallel(jobs) if jobs else ()
        unsent = dict.fromkeys(RunId(job.run_id) for job in refused if isinstance(job, ExecuteJob | TransitionRun))
        self._bring_back(list(unsent), tick.at + SOON)
        return page.cursor

    def _heads_of(self, page: DuePage) -> list[Head]:
        """In the page's order, oldest first: a batch read answers in any order."""
        heads = self.persistence.load_heads([run.run_id for run in page.runs])
        return [heads[run.run_id] for run in page.runs if run.run_id in heads]

    def _wish(self, head: Head, at: datetime) -> Rearm:
        horizon = self.settings.horizon
        latest = at + horizon
        due = wakes.next_due(head, at, horizon) or latest
        # A deadline that is past stays the nearest time there is; the look itself ends the run.
        next_due = min(due, latest) if due > at else latest
        return Rearm(head.run_id, head.version, head.due_at or at, next_due)

    def _may_wait(self, heads: Sequence[Head], tick: "_Tick") -> set[RunId]:
        """Those of *heads* whose messages are most likely under way: as many messages wait for a worker
        as there are jobs to send. Sent again at every look, a backlog would breed messages without end."""
        jobs = {head.run_id: wakes.sendable(head, tick.at) for head in heads}
        total = sum(map(len, jobs.values()))
        if not total or self._waiting(tick) < max(total, CROWDED):
            return set()
        horizon = self.settings.horizon
        return {head.run_id for head in heads if not _must_be_sent(head, jobs[head.run_id], tick.at, horizon)}

    def _waiting(self, tick: "_Tick") -> int:
        """How many messages waited when the tick first asked; none where the queue does not say."""
        if tick.waiting is None:
            try:
                tick.waiting = self.job_transport.waiting()
            except WorkflowEngineError:
                tick.waiting = 0
        return tick.waiting

    def _look(self, head: Head, tick: "_Tick", *, send_jobs: bool) -> list[Command]:
        tick.counts.looked_at += 1
        try:
            due = wakes.sendable(head, tick.at) if send_jobs else []
            _count(head, tick.counts, due)
            plan = self.advancer.plan_of(head)
            if not _only_jobs(head, tick.at) or plan is None:
                after = self.advancer.wake(head, tick.invocation, send_jobs=False)
                tick.counts.events_flushed += head.untold
                tick.counts.stuck_reaped += after.action == "failed"
                if after.action != "noop":
                    return []
            # Events are told by now, and the jobs of a page go together.
            return [message_for(head, plan, wake) for wake in due] if plan is not None else []
        except NewerDefinitionError:
            # A deploy: the ticks and jobs of the other code carry it on.
            pass
        except Exception as error:
            # Whatever is wrong with one run: ``due_at`` was moved, and it keeps no other waiting.
            tick.counts.failed += 1
            _log.warning("run %s was left to the next look: %r", head.run_id, error)
        return []

    def _bring_back(self, run_ids: Sequence[RunId], soon: datetime) -> None:
        """Have runs whose jobs were not accepted looked at again *soon*, not after the horizon."""
        if not run_ids:
            return
        try:
            heads = self.persistence.load_heads(run_ids).values()
            late = [head for head in heads if head.due_at is not None and head.due_at > soon]
            wishes = [Rearm(head.run_id, head.version, head.due_at or soon, soon) for head in late]
            if wishes:
                self.persistence.rearm(wishes)
        except TransientError as error:
            _log.warning("the jobs of %d runs are sent within the horizon: %s", len(run_ids), error)


@dataclass(slots=True, kw_only=True)
class _Tick:
    """What the pages of one tick share."""

    counts: MaintenanceTick
    at: datetime
    invocation: Invocation
    waiting: int | None = None


def _read_on(cursors: dict[int, str | None], shard: int, cursor: str | None) -> None:
    if cursor is None:
        del cursors[shard]
    else:
        cursors[shard] = cursor


def _must_be_sent(head: Head, wakes: Sequence[Wake], at: datetime, horizon: timedelta) -> bool:
    """Whether the jobs of *head* are sent however many messages wait: where a lease has just ended there
    is no message, and once in six hours, by the age of the run, it is not believed that there is."""
    fresh = [head.active[wake.ordinal].until for wake in wakes if wake.claim == "expired"]
    if any(until is not None and at - until < 2 * horizon for until in fresh):
        return True
    age = at - head.created_at
    return age >= LONGEST_FAITH and age % LONGEST_FAITH < horizon + 2 * WAKE_MARGIN


def _only_jobs(head: Head, at: datetime) -> bool:
    moves = head.status.is_terminal or wakes.all_done(head) or wakes.awaits_its_end(head)
    return not moves and not head.untold and head.ends_at > at


def _count(head: Head, counts: MaintenanceTick, wakes: Sequence[Wake]) -> None:
    if head.events:
        oldest = head.events[0].at
        counts.oldest_untold = min(counts.oldest_untold or oldest, oldest)
    counts.claimed += head.status is Status.PENDING and bool(wakes)
    for wake in wakes:
        if wake.claim == "enter":
            counts.stuck_reaped += head.status is not Status.PENDING
            continue
        entry = head.active[wake.ordinal]
        counts.stale_released += wake.claim == "expired"
        counts.suspended_checked += entry.wait in (WaitKind.POLL, WaitKind.SIGNAL, WaitKind.SLEEP)
        counts.stuck_reaped += entry.state is EntryState.READY and head.status is not Status.PENDING
