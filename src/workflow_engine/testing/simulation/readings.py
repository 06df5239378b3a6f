"""What people read of a run when a history is over: queries and archives say what its head says."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from workflow_engine.kernel import Kernel
from workflow_engine.kernel.queries import archive_format
from workflow_engine.kernel.queries.views import RunView
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import EntryState, Head, StageRecord
from workflow_engine.model.status import Status
from workflow_engine.testing.simulation.census import LONGER_THAN_A_HISTORY
from workflow_engine.testing.simulation.world import World

# What an archive leaves out, or what changes after it without a change of the run's story.
_LEFT_OUT: Mapping[str, Any] = {
    "due_at": None, "due_shard": 0, "events": (), "refusals": 0, "spilled": 0, "told": 0, "version": 0, "by": "",
    "input_hash": None, "input_inline": None,
}  # fmt: skip


def check_readings(world: World, kernel: Kernel) -> Iterator[str]:
    """One line for everything that is said of a run and is not so."""
    heads = world.observer.heads
    yield from _check_lists(kernel, list(heads.values()))
    for head in heads.values():
        view = kernel.queries.run(head.run_id)
        yield from _check_view(view, complete=world.settings.retention > LONGER_THAN_A_HISTORY)
        if world.settings.archive and head.status.is_terminal:
            yield from _check_archive(world, view)


def _check_lists(kernel: Kernel, heads: list[Head]) -> Iterator[str]:
    for workflow_id in sorted({head.workflow_id for head in heads}):
        wanted = {head.run_id for head in heads if head.workflow_id == workflow_id}
        yield from _check_list(kernel, workflow_id, None, wanted)
        failed = {head.run_id for head in heads if head.run_id in wanted and head.status is Status.FAILED}
        yield from _check_list(kernel, workflow_id, Status.FAILED, failed)


def _check_list(kernel: Kernel, workflow_id: str, status: Status | None, wanted: set[RunId]) -> Iterator[str]:
    found: list[Head] = []
    cursor: str | None = None
    while cursor is not None or not found:
        page = kernel.queries.runs(workflow_id, status=status, limit=2, cursor=cursor)
        found += page.heads
        cursor = page.cursor
        if status is None and len(page.heads) > 2:
            yield f"queries: {len(page.heads)} runs were answered, 2 were asked for"
        if cursor is None:
            break
    if len(found) != len(wanted) or {head.run_id for head in found} != wanted:
        yield f"queries: of {len(wanted)} runs of {workflow_id} ({status or 'any'}) {len(found)} are listed"
    if status is None and [one.created_at for one in found] != sorted((h.created_at for h in found), reverse=True):
        yield f"queries: runs of {workflow_id} are not listed by age"


def _check_view(view: RunView, *, complete: bool) -> Iterator[str]:
    """The stages of a run are as its head says, and what counted is there, if the records are *complete*."""
    head = view.head
    if view.definition is None or view.definition.fingerprint != head.fingerprint:
        return
    not_undone = head.closing.not_undone if head.closing is not None else ()
    for stage in view.stages:
        shown = stage.undo is not None and stage.undo.status is Status.FAILED
        if shown != ((stage.group, stage.ordinal) in not_undone):
            yield f"queries: the undo of stage {stage.stage_id} of run {head.run_id} is shown as {stage.undo}"
        last = stage.group == len(view.definition.plan)
        if last or (stage.status is Status.SKIPPED and stage.counted is None):
            # Nobody's outcome depends on what is run on a failure: its records alone say what came of it.
            continue
        done = stage.group < head.group or head.status is Status.COMPLETED
        done = done or (stage.entry is not None and stage.entry.state is EntryState.DONE)
        if done != (stage.status is Status.COMPLETED):
            yield f"queries: stage {stage.stage_id} of run {head.run_id} is shown as {stage.status}"
        completed = any(record.status is Status.COMPLETED for record in stage.attempts)
        if complete and done and completed and stage.counted is None:
            yield f"queries: what stage {stage.stage_id} of run {head.run_id} came to is not shown"
        if done and stage.counted is not None and stage.counted.status is not Status.COMPLETED:
            yield f"queries: a record of {stage.counted.status} is shown as what {stage.stage_id} came to"


def _check_archive(world: World, view: RunView) -> Iterator[str]:
    """The newest archive of a run tells its story."""
    head = view.head
    key = archive_format.find_key(world.blobs.list(archive_format.PREFIX), head.run_id)
    if key is None:
        yield f"archive: run {head.run_id} is over, and has none"
        return
    archived = archive_format.read(world.blobs.get(key))
    if _story(archived.head) != _story(head):
        yield f"archive: run {head.run_id} is archived as another one"
    counted = {_said(one) for one in archived.records if one.status is not Status.SUSPENDED}
    for stage in view.stages:
        if stage.counted is not None and _said(stage.counted) not in counted:
            yield f"archive: stage {stage.stage_id} of run {head.run_id} is not archived as it counted"


def _story(head: Head) -> Head:
    return replace(head, expires_at=head.deadline, **_LEFT_OUT)


def _said(record: StageRecord) -> tuple[object, ...]:
    return record.key, record.status, record.attempt, record.by, record.finished_at
