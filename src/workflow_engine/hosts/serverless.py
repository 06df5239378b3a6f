"""The host of stateless functions: one message, some messages, or one maintenance tick at a time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from workflow_engine.errors import InvocationOverError, WorkflowEngineError
from workflow_engine.hosts.patience import is_given_up, reason_for, text_of
from workflow_engine.kernel import Kernel
from workflow_engine.kernel.invocation import FunctionTime
from workflow_engine.kernel.sweep import MaintenanceTick
from workflow_engine.model.commands import Command, parse_command
from workflow_engine.model.deliveries import DeadReason, Delivery, keyed
from workflow_engine.model.results import JobExecuted, Result
from workflow_engine.ports.jobs import JobTransport

# A message for which there was no time was not tried: it is there for the next invocation, but not for this one.
HAND_BACK = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of a message. *acknowledge* says whether it is dealt with: a stage that failed
    and is tried again has its own message by then, so the old one may go.

    *begun* is false where there was no time for its stage, *dead* says why no other delivery would
    help, and *cause* is an exception that the engine knows nothing of.
    """

    outcome: Literal["completed", "suspended", "failed"]
    error: str | None = None
    acknowledge: bool = True
    retryable: bool = False
    result: Result | None = None
    begun: bool = True
    dead: DeadReason | None = None
    cause: Exception | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ProcessedJobs:
    """How many messages were taken, and how they ended."""

    processed: int
    succeeded: int
    failed: int


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
        time: FunctionTime | None = None,
    ) -> JobResult:
        """Execute one message; whatever is wrong with it is said in the answer.

        A command without an idempotency key takes ``sqs:<message id>``, so that a message that is
        delivered twice has its effect once. *time* is shared by the messages of one invocation.
        """
        command: Command | None = None
        try:
            command = _command_of(message)
            result = self.kernel.dispatch(command, deadline=deadline, lease=self.lease, time=time, delivered=True)
        except Exception as error:
            return self._failed(error, command, message)
        if isinstance(result, JobExecuted):
            return JobResult(result.outcome, result.error, retryable=result.retryable, result=result)
        return JobResult("completed", result=result)

    def give_back(self, delivery: Delivery, result: JobResult) -> bool:
        """Tell the transport of a message that is not dealt with; answers whether it is now a dead letter."""
        if result.dead is not None:
            return self.job_transport.bury(delivery, result.dead)
        if result.begun:
            self.job_transport.fail(delivery)
        else:
            self.job_transport.suspend(delivery, delay=HAND_BACK)
        return False

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
            self.give_back(delivery, result)
        return result

    def run_maintenance_tick(self, *, deadline: datetime | None = None) -> MaintenanceTick:
        """Look at every run that is due."""
        return self.kernel.tick(deadline=deadline)

    def _failed(
        self, error: Exception, command: Command | None, message: Delivery | Command | Mapping[str, Any] | str
    ) -> JobResult:
        known = isinstance(error, WorkflowEngineError)
        at, dead = self.kernel.clock.now(), None
        if isinstance(message, Delivery) and is_given_up(error, command, message, at):
            dead = reason_for(error, command, message, at)
        return JobResult(
            "failed",
            f"{type(error).__name__}: {text_of(error)}",
            acknowledge=False,
            retryable=error.retryable if isinstance(error, WorkflowEngineError) else dead is None,
            begun=not isinstance(error, InvocationOverError),
            dead=dead,
            cause=None if known else error,
        )


def _command_of(message: Delivery | Command | Mapping[str, Any] | str) -> Command:
    if isinstance(message, Delivery):
        return keyed(parse_command(message.body), message.message_id)
    return parse_command(message) if isinstance(message, Mapping | str) else message
