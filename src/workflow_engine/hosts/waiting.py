"""Create a run and stay until it is over: for scripts, tests and local mode."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from workflow_engine.errors import RunNotFoundError
from workflow_engine.hosts.serverless import ServerlessHost
from workflow_engine.kernel import Kernel, payloads
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import Head, StageKey
from workflow_engine.model.status import Status


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run stands: *output* is the JSON of its last group's output, once COMPLETED (of a
    parallel group: an object with a field for each stage)."""

    run_id: str
    status: Status
    output: bytes | None = None
    error: ErrorInfo | None = None


def outcome_of(kernel: Kernel, head: Head) -> RunOutcome:
    """The outcome that *head* and its records show."""
    error = head.failure.error if head.failure else None
    if head.status is not Status.COMPLETED:
        return RunOutcome(head.run_id, head.status, error=error)
    definition = kernel.definitions.for_run(head)
    last = len(definition.groups) - 1
    keys = {
        stage.id: StageKey(last, StageId(stage.id), head.winner(last, ordinal))
        for ordinal, stage in enumerate(definition.groups[last])
    }
    records = kernel.persistence.load_records(head.run_id, list(keys.values()))
    outputs = {
        stage_id: payloads.fetch(record.output, kernel.blob_store)
        for stage_id, key in keys.items()
        if (record := records.get(key)) is not None and record.output is not None
    }
    output = definition.join_outputs(last, outputs) if outputs else None
    return RunOutcome(head.run_id, head.status, output)


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
        head = kernel.persistence.load_head(run_id)
        if head is None:
            raise RunNotFoundError(run_id=run_id)
        if head.status.is_terminal or kernel.clock.now() >= end:
            return outcome_of(kernel, head)
        if not host.process_available_jobs().processed:
            host.run_maintenance_tick()
            wait(timedelta(milliseconds=50))
