"""What calls the kernel: functions that are invoked, and processes that run."""

from workflow_engine.hosts.serverless import (
    JobResult,
    MaintenanceTick,
    ProcessedJobs,
    ServerlessHost,
)
from workflow_engine.hosts.waiting import run_and_wait
from workflow_engine.hosts.worker import WorkerHost, WorkerStats
from workflow_engine.kernel.queries.outcomes import RunOutcome, outcome_of

__all__ = [
    "JobResult",
    "MaintenanceTick",
    "ProcessedJobs",
    "RunOutcome",
    "ServerlessHost",
    "WorkerHost",
    "WorkerStats",
    "outcome_of",
    "run_and_wait",
]
