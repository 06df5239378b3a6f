"""What calls the kernel: functions that are invoked, and processes that run."""

from workflow_engine.hosts.serverless import (
    JobResult,
    ProcessedJobs,
    ServerlessHost,
)
from workflow_engine.hosts.waiting import run_and_wait
from workflow_engine.hosts.worker import WorkerHost, WorkerStats
from workflow_engine.kernel.queries.outcomes import RunOutcome, outcome_of
from workflow_engine.kernel.sweep import MaintenanceTick

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
