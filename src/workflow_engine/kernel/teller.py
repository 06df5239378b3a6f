"""The third step: events, then timers, then jobs, in that order. Nothing here changes a head.

A job message is sent after the events that were committed before it were accepted, so it carries
how far they were (``told_through``), and the next exclusive commit lets them leave the head.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from workflow_engine.errors import TransientError, WorkflowEngineError
from workflow_engine.kernel.outbox import Outbox
from workflow_engine.kernel.transitions import Told, wakes
from workflow_engine.kernel.transitions.wakes import Wake
from workflow_engine.model.commands import ExecuteJob, TransitionRun
from workflow_engine.model.events import event_of
from workflow_engine.model.ids import digest
from workflow_engine.model.limits import (
    MAX_DELAY,
    MAX_REFUSALS,
    MAX_SCHEDULE_NAME,
    SCHEDULE_PRECISION,
)
from workflow_engine.model.plans import Plan
from workflow_engine.model.runs import DeadLetter, Entry, Head, PendingEvent
from workflow_engine.model.status import Status
from workflow_engine.ports.clock import Clock
from workflow_engine.ports.events import EventSink
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.ports.observer import Observer
from workflow_engine.ports.persistence import Persistence
from workflow_engine.ports.scheduler import Scheduler

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """Tells what a head says is to be told."""

    persistence: Persistence
    event_sink: EventSink
    scheduler: Scheduler
    job_transport: JobTransport
    clock: Clock
    observer: Observer

    @property
    def outbox(self) -> Outbox:
        """Where the events that are to be told lie; one for each commit."""
        return Outbox(self.persistence)

    def tell(
        self,
        head: Head,
        plan: Plan,
        told: Told,
        *,
        timers: Sequence[Wake] = (),
        jobs: Sequence[Wake] = (),
    ) -> Told:
        """Tell the events that *head* has untold beyond *told*, then *timers*, then *jobs*.

        Callers name only what their own commit made, or what a tick found: were every look to send
        all that could run, each duplicate in a group of a hundred would breed a hundred more.
        A refusal of events does not hold back the rest. Raises ``TransientError`` where a timer or
        a job could not be sent; a wake-up or a redelivery sends it then.
        """
        told = self.tell_events(head, told)
        at = self.clock.now()
        for wake in timers:
            self.send_later(head, plan, wake, told, at=at)
        self.send_jobs(head, plan, jobs, told)
        return told

    def tell_events(self, head: Head, told: Told) -> Told:
        """Publish events in order; a refused one stops it. One that was refused too often is put
        aside as a dead letter first."""
        if head.told + head.untold <= told.through:
            return told
        start = max(told.through, head.told)
        pending = self.outbox.pending(head, start)
        if not pending:
            return told
        if head.refusals >= MAX_REFUSALS and start == head.told:
            self._put_aside(head, start + 1, pending.pop(0))
            start += 1
        return self._emit(head, pending, start)

    def _emit(self, head: Head, pending: Sequence[PendingEvent], start: int) -> Told:
        events = [event_of(head, event, start + i + 1) for i, event in enumerate(pending)]
        answers = self.event_sink.emit(events) if events else []
        for accepted, answer in enumerate(answers):
            if answer is not None:
                self.observer.happened("EventsRefused", len(events) - accepted)
                return Told(start + accepted, refused=answer.counts)
        return Told(start + len(events))

    def _put_aside(self, head: Head, sequence: int, event: PendingEvent) -> None:
        reason = f"refused {head.refusals} times"
        self.observer.happened("DeadLetters")
        self.persistence.put_dead_letter(
            DeadLetter(
                head.run_id,
                head.workflow_id,
                sequence,
                event,
                reason,
                self.clock.now(),
                head.expires_at,
            )
        )

    def send_jobs(self, head: Head, plan: Plan, wakes: Sequence[Wake], told: Told) -> None:
        """Send the jobs that *wakes* name, in as few requests as possible."""
        if not wakes:
            return
        jobs = [message_for(head, plan, wake, told.through) for wake in wakes]
        if len(jobs) == 1:
            self.job_transport.enqueue(jobs[0])
        elif self.job_transport.enqueue_parallel(jobs):
            raise TransientError(service="jobs", operation="enqueue_parallel", code="partial")

    def send_later(self, head: Head, plan: Plan, wake: Wake, told: Told, *, at: datetime) -> None:
        """Have *wake* sent at its time: by a delayed message up to 900 s ahead (SQS,
        DelaySeconds), beyond that by a schedule that fires early; the message then waits out the
        rest."""
        if wake.at is None:
            return
        job = message_for(head, plan, wake, told.through)
        # The caller looked for timers a moment before *at*, by the same clock: one that was ahead
        # then may be past by now, and no queue takes a negative delay.
        wait = max(wake.at - at, timedelta(0))
        if wait <= MAX_DELAY:
            self.job_transport.enqueue(job, delay=wait)
        else:
            early = wake.at - 2 * SCHEDULE_PRECISION
            self.scheduler.schedule(job, early, schedule_name(head, wake))

    def cancel_timers(self, head: Head, at: datetime) -> None:
        """Forget the schedules of a run whose end is decided; its entries still say what they were."""
        # Also of a stage whose signal has come, and which nobody has claimed for it.
        for wake in wakes.timers(replace(head, status=Status.RUNNING, signals=(), closing=None), at):
            if wake.at is not None:
                self.scheduler.cancel(schedule_name(head, wake))

    def forget_timeout(self, head: Head, entry: Entry, wake: Wake) -> None:
        """The signal that *wake* names has come before its timeout: the timer is not needed any more.
        *entry* is the lease that was taken with it."""
        # A body that waits without an end has a timer for that of its run.
        end = entry.give_up_at or (head.deadline if entry.step is not None else None)
        if wake.signal is None or end is None:
            return
        try:
            self.scheduler.cancel(schedule_name(head, replace(wake, at=end)))
        except WorkflowEngineError as error:
            # It fires for nothing, then. The stage must not wait for that.
            _log.warning("a timer of run %s is left behind: %s", head.run_id, error)


def schedule_name(head: Head, wake: Wake) -> str:
    """The name of the schedule that wakes a stage: the same for the same wait, whoever asks."""
    due = wake.at.isoformat() if wake.at else ""
    name = digest("timer", head.run_id, str(head.group), str(wake.ordinal), str(wake.epoch), due)
    return f"timer-{name}"[:MAX_SCHEDULE_NAME]


def message_for(head: Head, plan: Plan, wake: Wake, told_through: int = 0) -> ExecuteJob | TransitionRun:
    """The message that wakes a stage, or the run where what is next is to be decided."""
    if wake.claim == "enter":
        return TransitionRun(run_id=head.run_id)
    return job_for(head, plan, wake, told_through)


def job_for(head: Head, plan: Plan, wake: Wake, told_through: int = 0) -> ExecuteJob:
    """The message that wakes a stage."""
    assert wake.claim != "enter"
    return ExecuteJob(
        run_id=head.run_id,
        workflow_id=head.workflow_id,
        stage_id=plan.stage(head.group, wake.ordinal),
        attempt=wake.attempt,
        group=head.group,
        ordinal=wake.ordinal,
        epoch=wake.epoch,
        claim=wake.claim,
        starts=wake.starts,
        signal=wake.signal,
        siblings=wake.siblings if wake.signal else None,
        told_through=max(told_through, head.told),
    )
