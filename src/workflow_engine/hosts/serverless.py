"""The host of stateless functions: one message, some messages, or one maintenance tick at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from workflow_engine.errors import WorkflowEngineError
from workflow_engine.kernel import Kernel
from workflow_engine.model.commands import (
    AnnotateRun,
    CancelRun,
    Command,
    CreateRun,
    RerunFrom,
    SignalRun,
    parse_command,
)
from workflow_engine.model.deliveries import DELIVERY_KEY, Delivery
from workflow_engine.model.results import JobExecuted, Result
from workflow_engine.ports.jobs import JobTransport

_KEYED = (CreateRun, CancelRun, RerunFrom, SignalRun, AnnotateRun)


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of a message. *acknowledge* says whether it is dealt with: a stage that failed
    and is tried again has its own message by then, so the old one may go."""

    outcome: Literal["completed", "suspended", "failed"]
    error: str | None = None
    acknowledge: bool = True
    retryable: bool = False
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class ProcessedJobs:
    """How many messages were taken, and how they ended."""

    processed: int
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class MaintenanceTick:
    """What one tick sent on its way."""

    claimed: int
    suspended_checked: int
    stale_released: int
    events_flushed: int
    stuck_reaped: int
    looked_at: int = 0
    failed: int = 0
    oldest_untold: datetime | None = None
    backlog: bool = False


@dataclass(frozen=True, slots=True)
class ServerlessHost:
    """Runs jobs and ticks when it is called; keeps nothing between calls.

    *lease* is for callers that renew leases (a worker); without it a lease ends with the
    invocation.
    """

    kernel: Kernel
    job_transport: JobTransport
    worker_id: str
    lease: timedelta | None = None

    def handle_job(
        self,
        message: Delivery | Command | Mapping[str, Any] | str,
        *,
        deadline: datetime | None = None,
    ) -> JobResult:
        """Execute one message; whatever is wrong with it is said in the answer.

        A command without an idempotency key takes ``sqs:<message id>``, so that a message that is
        delivered twice has its effect once.
        """
        try:
            command = _command_of(message)
            result = self.kernel.dispatch(command, deadline=deadline, lease=self.lease)
        except WorkflowEngineError as error:
            said = f"{error.code}: {error}"
            return JobResult("failed", said, acknowledge=False, retryable=error.retryable)
        if isinstance(result, JobExecuted):
            return JobResult(result.outcome, result.error, retryable=result.retryable, result=result)
        return JobResult("completed", result=result)

    def process_available_jobs(self, max_jobs: int = 1) -> ProcessedJobs:
        """Take up to *max_jobs* messages from the transport and execute them, one by one."""
        succeeded = failed = 0
        for _ in range(max_jobs):
            delivery = self.job_transport.dequeue()
            if delivery is None:
                break
            result = self.process(delivery)
            succeeded += result.outcome != "failed"
            failed += result.outcome == "failed"
        return ProcessedJobs(succeeded + failed, succeeded, failed)

    def process(self, delivery: Delivery) -> JobResult:
        """Execute a delivery and tell the transport how it ended."""
        result = self.handle_job(delivery)
        if result.acknowledge:
            self.job_transport.complete(delivery)
        else:
            self.job_transport.fail(delivery)
        return result

    def run_maintenance_tick(self, *, deadline: datetime | None = None) -> MaintenanceTick:
        """Look at every run that is due."""
        counts = self.kernel.tick(deadline=deadline)
        return MaintenanceTick(
            claimed=counts.claimed,
            suspended_checked=counts.suspended_checked,
            stale_released=counts.stale_released,
            events_flushed=counts.events_flushed,
            stuck_reaped=counts.stuck_reaped,
            looked_at=counts.looked_at,
            failed=counts.failed,
            oldest_untold=counts.oldest_untold,
            backlog=counts.backlog,
        )


def _command_of(message: Delivery | Command | Mapping[str, Any] | str) -> Command:
    if isinstance(message, Delivery):
        command = parse_command(message.body)
        if isinstance(command, _KEYED) and command.idempotency_key is None:
            key = f"{DELIVERY_KEY}{message.message_id}"
            return command.model_copy(update={"idempotency_key": key})
        return command
    return parse_command(message) if isinstance(message, Mapping | str) else message
