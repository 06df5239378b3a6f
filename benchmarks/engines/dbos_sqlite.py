"""DBOS on SQLite, its database in a folder of memory where there is one: nothing waits for a disk."""

import importlib
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if sqlite3.sqlite_version_info < (3, 42):
    # DBOS asks SQLite for unixepoch('subsec'), which that of Debian 12 does not know.
    newer = importlib.import_module("pysqlite3")
    sys.modules |= {"sqlite3": newer, "sqlite3.dbapi2": newer.dbapi2}

from dbos import DBOS
from workloads import PARCEL, Workload, join, main
from workloads import step as step_body

MEMORY = Path("/dev/shm")


@DBOS.step()
def step(parcel: dict[str, Any]) -> dict[str, Any]:
    """A step."""
    return step_body(parcel)


@DBOS.step()
def gather(parcels: list[dict[str, Any]]) -> dict[str, Any]:
    """The step that joins."""
    return join(parcels)


@DBOS.workflow()
def chain(length: int) -> dict[str, Any]:
    """Steps in a row."""
    parcel = dict(PARCEL)
    for _ in range(length):
        parcel = step(parcel)
    return parcel


@DBOS.workflow()
def branch(parcel: dict[str, Any]) -> dict[str, Any]:
    """One of several at once: a child workflow, as DBOS does that."""
    return step(parcel)


@DBOS.workflow()
def fan(width: int) -> dict[str, Any]:
    """A step, several at once, and the join."""
    first = step(dict(PARCEL))
    handles = [DBOS.start_workflow(branch, first) for _ in range(width)]
    return gather([handle.get_result() for handle in handles])


def prepare(workload: Workload) -> Callable[[], Sequence[int]]:
    """What runs the workload; DBOS itself is one a process."""
    workflow: Any = fan if workload.width else chain
    argument = workload.width or workload.length

    def run() -> Sequence[int]:
        if workload.backlog:
            handles = [DBOS.start_workflow(workflow, argument) for _ in range(workload.runs)]
            return [handle.get_result()["number"] for handle in handles]
        return [workflow(argument)["number"] for _ in range(workload.runs)]

    return run


def serve() -> None:
    """Run within a database of its own."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        database = f"sqlite:///{folder}/dbos.sqlite"
        DBOS(config={"name": "benchmark", "system_database_url": database, "log_level": "ERROR"})
        DBOS.launch()
        try:
            main(prepare)
        finally:
            sys.stdout.flush()
            DBOS.destroy()


if __name__ == "__main__":
    os.environ.setdefault("DBOS__CONSOLE_LOG", "false")
    serve()
