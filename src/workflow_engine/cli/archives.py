"""Runs as JSON lines: exports them, and finds those that only their archive still knows."""

import re
import sys
from dataclasses import replace
from pathlib import Path

from workflow_engine.adapters.memory import (
    MemoryBlobStore,
    MemoryEventSink,
    MemoryJobTransport,
    MemoryPersistence,
    MemoryScheduler,
)
from workflow_engine.kernel import Kernel, payloads
from workflow_engine.kernel.queries import archive_format
from workflow_engine.kernel.queries.archive_format import ArchivedRun
from workflow_engine.local.errors import InvalidOptionError, reason_of
from workflow_engine.model.commits import Exclusive
from workflow_engine.model.ids import RunId
from workflow_engine.model.json_values import written_again

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def export_run(kernel: Kernel, run_id: str, *, output: Path | None, with_logs: bool, archived_on: str | None) -> None:
    """Write a run's JSON lines to *output*, or to standard output. One that is not kept any more
    is written as it was archived.

    Raises:
        RunNotFoundError: there is no such run, and no archive of it.
    """
    head = kernel.queries.find([run_id]).get(RunId(run_id))
    if head is None:
        data = archived(kernel, run_id, archived_on)
    else:
        data = kernel.queries.archive_lines(head, with_logs=with_logs)
    write_to(output, data)


def write_to(output: Path | None, data: bytes) -> None:
    """Write *data* to the file *output*, or as it is to standard output.

    Raises:
        InvalidOptionError: the file cannot be written.
    """
    if output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        return
    try:
        output.write_bytes(data)
    except (OSError, ValueError) as error:
        raise InvalidOptionError(option="--output", problem=f"{output}: {reason_of(error)}") from error


def kernel_with(kernel: Kernel, run_id: str, archived_on: str | None) -> Kernel:
    """*kernel* where it still has the run, else one in memory that has it from its archive.

    Raises:
        RunNotFoundError: there is no such run, and no archive of it.
    """
    if archived_on is None and kernel.queries.find([run_id]):
        return kernel
    return _restored(kernel, archive_format.read(archived(kernel, run_id, archived_on)))


def archived(kernel: Kernel, run_id: str, archived_on: str | None) -> bytes:
    """The newest archive of a run; *archived_on* is the day on which it ended, if that is known.

    Raises:
        InvalidOptionError: *archived_on* is no day.
        RunNotFoundError: there is none.
    """
    if archived_on is not None and not _DAY.fullmatch(archived_on):
        raise InvalidOptionError(option="--archived-on", problem=f"must be YYYY-MM-DD, not {archived_on!r}")
    return kernel.queries.archived(run_id, ended_on=archived_on)


def _restored(kernel: Kernel, run: ArchivedRun) -> Kernel:
    persistence, blobs = MemoryPersistence(kernel.clock), MemoryBlobStore()
    head = run.head
    if run.started_with:
        inline, content = payloads.keep_input(
            head.run_id,
            input=written_again(run.started_with["input"]),
            config=run.started_with["config"],
            attributes=run.started_with["attributes"],
            expires_at=head.expires_at,
            persistence=persistence,
            blobs=blobs,
        )
        head = replace(head, input_inline=inline, input_hash=content)
    persistence.commit(Exclusive(None, head))
    for record in run.records:
        persistence.put_record(record)
    persistence.put_annotations(run.annotations)
    persistence.put_logs(run.logs)
    jobs = MemoryJobTransport(kernel.clock)
    return Kernel(
        persistence=persistence,
        blob_store=blobs,
        job_transport=jobs,
        event_sink=MemoryEventSink(),
        scheduler=MemoryScheduler(kernel.clock, jobs),
        clock=kernel.clock,
        registry=kernel.registry,
    )
