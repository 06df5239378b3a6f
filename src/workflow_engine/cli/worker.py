"""A worker on a stack, until it is told to stop."""

import os
import socket
from datetime import timedelta

from workflow_engine.cli.output import complain, print_json, say
from workflow_engine.cli.stacks import Stack
from workflow_engine.hosts import WorkerHost
from workflow_engine.local.errors import one_line


def work(stack: Stack, name: str | None, concurrency: int, tick_seconds: int, *, as_json: bool) -> None:
    """Execute jobs until SIGTERM or SIGINT, and say what was done."""

    def report(error: Exception) -> None:
        complain(f"{type(error).__name__}: {one_line(str(error))}")

    host = WorkerHost(
        stack.kernel,
        stack.jobs,
        name or f"{socket.gethostname()}-{os.getpid()}",
        concurrency=concurrency,
        tick_every=timedelta(seconds=tick_seconds),
        on_error=report,
    )
    if not as_json:
        say(f"worker {host.worker_id} takes jobs of {stack.name}; Ctrl-C lets it finish")
    host.run()
    stats = host.stats()
    if as_json:
        print_json(
            {
                "worker_id": stats.worker_id,
                "jobs_processed": stats.jobs_processed,
                "orchestration_ticks": stats.orchestration_ticks,
                "threads_left": stats.threads_left,
                "uptime_seconds": round(stats.uptime.total_seconds(), 3),
            }
        )
    else:
        say(f"{stats.jobs_processed} jobs in {stats.uptime}")
