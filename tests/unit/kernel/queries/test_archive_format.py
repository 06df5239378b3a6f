"""A run that is over is archived once it rests, whatever goes wrong on the way."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import BaseModel
from pydantic_core import from_json
from typing_extensions import override

from workflow_engine.adapters.memory import MemoryBlobStore, MemoryPersistence
from workflow_engine.authoring import StageContext, Workflow, stage
from workflow_engine.errors import (
    AwsRequestError,
    CorruptItemError,
    PermanentError,
    TransientError,
    UnsupportedFormatError,
)
from workflow_engine.kernel import KernelSettings
from workflow_engine.kernel.queries import archive_format
from workflow_engine.kernel.queries.archive_format import ArchivedRun
from workflow_engine.kernel.queries.archiver import Archiver
from workflow_engine.model.commands import AnnotateRun, CancelRun, CreateRun, FlushOutbox, RerunFrom
from workflow_engine.model.commits import Committed, Exclusive, Refused, Shared
from workflow_engine.model.status import Status
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

HOUR = timedelta(hours=1)
QUIET: frozenset[str] = frozenset()


class Size(BaseModel):
    letters: int


class Text(BaseModel):
    text: str


@stage("write")
def write(size: Size, ctx: StageContext) -> Text:
    ctx.log("info", "writing", letters=size.letters)
    ctx.annotate("style", {"plain": True})
    if size.letters < 0:
        raise PermanentError("nothing to write")
    return Text(text="ü\n" * size.letters)


@stage("count")
def count(text: Text) -> Size:
    return Size(letters=text.text.count("ü"))


WRITING = Workflow("writing", input=Size).pipe(write).pipe(count).build()


class Blobs(MemoryBlobStore):
    """Counts what is put into the archive; does not answer the first *silent* times."""

    def __init__(self, silent: int = 0) -> None:
        super().__init__()
        self.silent, self.puts = silent, 0

    @override
    def put(self, key: str, data: bytes) -> None:
        if key.startswith(archive_format.PREFIX):
            self.puts += 1
            if self.puts <= self.silent:
                raise TransientError(service="s3", operation="put", code="SlowDown")
        super().put(key, data)


class PowerCutError(BaseException):
    """The process ends here."""


class Persistence(MemoryPersistence):
    """Ends the process at the write with which a finished run leaves the due index, once."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.crashes = 1

    @override
    def commit(self, commit: Exclusive | Shared) -> Committed | Refused:
        if isinstance(commit, Exclusive) and commit.after.status.is_terminal and commit.after.due_at is None:
            self.crashes -= 1
            if self.crashes >= 0:
                raise PowerCutError
        return super().commit(commit)


def engine_with(blobs: Blobs, *, published: frozenset[str] | None = None) -> VirtualEngine:
    settings = KernelSettings(archive=True, due_shards=1)
    if published is not None:
        settings = replace(settings, published=published)
    return VirtualEngine(WRITING, blob_store=blobs, settings=settings)


def archives(engine: VirtualEngine) -> list[str]:
    return list(engine.blob_store.list(archive_format.PREFIX))


def archive_of(engine: VirtualEngine) -> ArchivedRun:
    (key,) = archives(engine)
    return archive_format.read(engine.blob_store.get(key))


@pytest.mark.parametrize("published", [None, QUIET])
def test_a_run_is_archived_once_and_reads_back_as_it_stands(published: frozenset[str] | None) -> None:
    engine = engine_with(Blobs(), published=published)
    run = engine.run(WRITING, Size(letters=3), attributes={"customer": "acme"}, config={})
    engine.advance(3 * HOUR)

    found = archive_of(engine)

    assert engine.blob_store.puts == 1  # type: ignore[attr-defined]
    assert archives(engine) == [f"archive/{run.head.ended_at:%Y-%m-%d}/writing/{run.id}.jsonl"]
    assert run.head.due_at is None
    assert found.head == replace(run.head, input_inline=None, due_shard=0)
    assert found.view(WRITING) == replace(engine.kernel.queries.run(run.id), head=found.head)
    assert found.started_with == engine.kernel.queries.started_with(run.head)
    assert list(found.annotations) == list(engine.kernel.queries.annotations(run.id))


def test_without_the_setting_nothing_is_archived() -> None:
    engine = VirtualEngine(WRITING)
    run = engine.run(WRITING, Size(letters=3))

    assert run.status is Status.COMPLETED
    assert archives(engine) == []


def test_lines_say_what_they_are_and_which_attempt_counts() -> None:
    engine = engine_with(Blobs())
    engine.run(WRITING, Size(letters=2))
    (key,) = archives(engine)

    lines = [from_json(line) for line in engine.blob_store.get(key).splitlines()]

    assert [line["kind"] for line in lines] == ["run", "attempt", "attempt", "annotation"]
    assert [(line["key"]["stage_id"], line["counts"], line["output"]) for line in lines[1:3]] == [
        ("write", True, {"text": "ü\nü\n"}),
        ("count", True, {"letters": 2}),
    ]
    assert lines[0]["input"] == {"letters": 2}


def test_an_output_in_the_blob_store_is_copied_into_the_archive() -> None:
    engine = engine_with(Blobs())
    run = engine.run(WRITING, Size(letters=50_000))

    record = archive_of(engine).records[0]

    assert run.records[0].output is not None
    assert run.records[0].output.blob_key is not None
    assert record.output is not None
    assert record.output.inline == engine.kernel.queries.output(run.records[0])


def test_outputs_beyond_what_memory_has_room_for_stay_blobs() -> None:
    engine = engine_with(Blobs())
    run = engine.run(WRITING, Size(letters=50_000))
    archiver = Archiver(
        persistence=engine.persistence,
        blobs=engine.blob_store,
        definitions=engine.kernel.parts.definitions,
        max_output_bytes=100,
    )

    found = archive_format.read(archiver.lines(run.head))

    assert found.records == sorted(run.records, key=lambda record: record.key.group)
    assert found.records[0].output is not None
    assert found.records[0].output.blob_key is not None


def test_what_the_lifecycle_has_deleted_does_not_keep_the_rest_from_the_archive() -> None:
    engine = engine_with(Blobs(silent=1))
    run = engine.start(WRITING, Size(letters=50_000))
    engine.work()
    assert run.status is Status.COMPLETED
    for key in engine.blob_store.list("runs/"):
        engine.blob_store.delete(key)
    engine.advance(HOUR)

    found = archive_of(engine)

    assert [record.output for record in found.records] == [record.output for record in run.records]


@pytest.mark.parametrize("published", [None, QUIET])
def test_a_run_stays_due_until_the_blob_store_answers(published: frozenset[str] | None) -> None:
    engine = engine_with(Blobs(silent=2), published=published)
    run = engine.run(WRITING, Size(letters=1))
    assert (run.status, archives(engine)) == (Status.COMPLETED, [])
    assert run.head.due_at is not None

    engine.advance(2 * HOUR)

    assert run.head.due_at is None
    assert archive_of(engine).head.status is Status.COMPLETED


@pytest.mark.parametrize("published", [None, QUIET])
def test_a_crash_between_the_archive_and_the_rest_is_made_good_by_a_tick(published: frozenset[str] | None) -> None:
    clock, blobs = FakeClock(), Blobs()
    settings = KernelSettings(archive=True, due_shards=1)
    settings = settings if published is None else replace(settings, published=published)
    engine = VirtualEngine(WRITING, clock=clock, persistence=Persistence(clock), blob_store=blobs, settings=settings)
    run = engine.start(WRITING, Size(letters=1))
    with pytest.raises(PowerCutError):
        engine.work()
    assert run.head.due_at is not None

    engine.advance(HOUR)

    assert run.head.due_at is None
    assert blobs.puts == 2
    assert archive_of(engine).head.version == run.head.version


def fail(engine: VirtualEngine) -> VirtualRun:
    return engine.run(WRITING, Size(letters=-1))


def cancel(engine: VirtualEngine) -> VirtualRun:
    run = engine.start(WRITING, Size(letters=1))
    engine.kernel.dispatch(CancelRun(run_id=run.id, reason="enough"))
    return run


def expire(engine: VirtualEngine) -> VirtualRun:
    run = engine.start(WRITING, Size(letters=1))
    engine.clock.set(run.head.deadline + HOUR)
    engine.work()
    return run


@pytest.mark.parametrize("end", [fail, cancel, expire])
@pytest.mark.parametrize("published", [None, QUIET])
def test_every_way_to_end_is_archived(
    end: Callable[[VirtualEngine], VirtualRun], published: frozenset[str] | None
) -> None:
    engine = engine_with(Blobs(), published=published)
    run = end(engine)

    found = archive_of(engine)

    assert run.status in (Status.FAILED, Status.CANCELLED)
    assert (found.head.status, found.head.failure, found.head.reason) == (
        run.status,
        run.head.failure,
        run.head.reason,
    )
    assert found.view(WRITING).stages == engine.kernel.queries.run(run.id).stages


def test_a_rerun_that_finishes_is_archived_again() -> None:
    engine = engine_with(Blobs())
    run = engine.run(WRITING, Size(letters=2))
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="count"))
    engine.drive(run)

    found = archive_of(engine)

    assert len(found.records) == 3
    assert found.view(WRITING).stages == engine.kernel.queries.run(run.id).stages


def test_a_rerun_that_finishes_on_another_day_is_what_a_reader_finds() -> None:
    engine = engine_with(Blobs())
    run = engine.run(WRITING, Size(letters=2))
    engine.advance(timedelta(days=2))
    engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="count"))
    engine.drive(run)
    keys = archives(engine)

    newest = archive_format.find_key(keys, run.id)

    assert len(keys) == 2
    assert newest == archive_format.key_of(run.head)
    assert archive_format.find_key(keys, "another") is None


@pytest.mark.parametrize("published", [None, QUIET])
def test_a_note_on_an_archived_run_gets_into_its_archive(published: frozenset[str] | None) -> None:
    engine = engine_with(Blobs(), published=published)
    run = engine.run(WRITING, Size(letters=2))
    engine.kernel.dispatch(AnnotateRun(run_id=run.id, key="reviewed", value={"ok": True}, actor="auditor"))

    assert [note.name for note in archive_of(engine).annotations] == ["style", "reviewed"]
    assert run.head.due_at is None


def test_telling_the_events_of_a_run_by_command_does_not_pass_over_its_archive() -> None:
    engine = engine_with(Blobs(silent=1))
    run = engine.run(WRITING, Size(letters=2))
    engine.kernel.dispatch(FlushOutbox())
    engine.advance(HOUR)

    assert archive_of(engine).head.run_id == run.id


class Locked(MemoryBlobStore):
    """Takes no archives, for a reason that no retry mends, until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.tries, self.open = 0, False

    @override
    def put(self, key: str, data: bytes) -> None:
        if key.startswith(archive_format.PREFIX) and not self.open:
            self.tries += 1
            raise AwsRequestError(service="s3", operation="PutObject", code="AccessDenied", detail="no")
        super().put(key, data)


def test_a_run_whose_archive_is_refused_has_ended_as_it_did() -> None:
    engine = VirtualEngine(WRITING, blob_store=Locked(), settings=KernelSettings(archive=True))
    run = engine.run(WRITING, Size(letters=2))
    cancelled = engine.start(WRITING, Size(letters=2))

    assert engine.kernel.dispatch(CancelRun(run_id=cancelled.id)).cancelled
    assert (run.status, cancelled.status) == (Status.COMPLETED, Status.CANCELLED)
    assert engine.job_transport.list_dead() == []


def test_a_refused_archive_is_tried_ever_more_seldom_and_stored_once_it_can_be() -> None:
    blobs = Locked()
    engine = VirtualEngine(WRITING, blob_store=blobs, settings=KernelSettings(archive=True))
    run = engine.run(WRITING, Size(letters=2))
    engine.advance(24 * HOUR)
    assert 4 <= blobs.tries <= 10
    engine.advance(24 * HOUR)
    assert blobs.tries <= 15
    blobs.open = True
    engine.advance(7 * HOUR)
    assert archive_of(engine).head.run_id == run.id
    assert run.head.due_at is None


def test_a_note_on_a_run_whose_archive_was_refused_is_told_like_any_other() -> None:
    blobs = Locked()
    settings = KernelSettings(archive=True, published=frozenset({"annotation:created"}))
    engine = VirtualEngine(WRITING, blob_store=blobs, settings=settings)
    run = engine.run(WRITING, Size(letters=2))
    engine.advance(72 * HOUR)
    engine.kernel.dispatch(AnnotateRun(run_id=run.id, key="reviewed", value=1, actor="auditor"))
    assert [event.type for event in run.events][-1] == "annotation:created"
    assert engine.persistence.list_dead_letters(limit=10) == []


def test_what_can_never_be_archived_is_given_up_once_it_is_not_kept_any_more() -> None:
    blobs = Locked()
    short = Workflow("short", input=Size, max_duration=24 * HOUR).pipe(write).build()
    settings = KernelSettings(archive=True, retention=24 * HOUR)
    engine = VirtualEngine(short, blob_store=blobs, settings=settings)
    run = engine.run(short, Size(letters=2))
    engine.advance(60 * HOUR)
    assert run.head.due_at is None
    tries = blobs.tries
    engine.advance(60 * HOUR)
    assert blobs.tries == tries


def test_logs_are_in_an_export_that_asks_for_them() -> None:
    engine = engine_with(Blobs())
    run = engine.run(WRITING, Size(letters=2))
    archiver = Archiver(
        persistence=engine.persistence, blobs=engine.blob_store, definitions=engine.kernel.parts.definitions
    )

    found = archive_format.read(archiver.lines(run.head, with_logs=True))

    assert list(found.logs) == list(engine.persistence.list_logs(run.id))
    assert found.logs[0].fields == {"letters": 2}
    assert archive_of(engine).logs == []


@pytest.mark.parametrize("data", [b"", b"{}\n", b"no json\n", b'{"kind":"attempt"}\n', b'{"kind":"run","format":1}\n'])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptItemError, match="archive cannot be read"):
        archive_format.read(data)


def test_an_archive_of_a_newer_version_is_refused() -> None:
    with pytest.raises(UnsupportedFormatError):
        archive_format.read(b'{"kind":"run","format":2}\n')


def test_a_run_that_is_not_over_has_no_place_in_the_archive() -> None:
    engine = engine_with(Blobs())
    run = engine.start(WRITING, Size(letters=1))

    with pytest.raises(ValueError, match="not over"):
        archive_format.key_of(run.head)


def test_a_command_creates_what_an_archive_can_name() -> None:
    engine = engine_with(Blobs())
    run_id = engine.kernel.dispatch(CreateRun(workflow_id="writing", input={"letters": 1})).run_id
    engine.advance(HOUR)

    assert archives(engine)[0].endswith(f"/writing/{run_id}.jsonl")
