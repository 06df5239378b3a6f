"""Create a run and stay until it is over: for scripts, tests and local mode."""

import threading
from collections.abc import Callable
from datetime import timedelta

from workflow_engine.hosts.serverless import ServerlessHost
from workflow_engine.kernel.queries.outcomes import RunOutcome
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.ids import RunId


def run_and_wait(
    host: ServerlessHost,
    command: CreateRun,
    *,
    timeout: timedelta = timedelta(minutes=15),
    pause: Callable[[timedelta], object] | None = None,
) -> RunOutcome:
    """Create a run, work in this thread until it is over or *timeout* has passed, and answer how it
    stands.

    *pause* waits when there is nothing to do; with a clock of one's own it moves that clock.
    """
    kernel = host.kernel
    run_id = RunId(kernel.dispatch(command).run_id)
    end = kernel.clock.now() + timeout
    wait = pause or (lambda span: threading.Event().wait(span.total_seconds()))
    while True:
        head = kernel.queries.head(run_id)
        if head.status.is_terminal or kernel.clock.now() >= end:
            return kernel.queries.outcome(head)
        if not host.process_available_jobs().processed:
            host.run_maintenance_tick()
            wait(timedelta(milliseconds=50))
