"""``export``, and ``show`` of a run that only its archive still knows."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from workflow_engine.adapters.memory import MemoryPersistence
from workflow_engine.authoring import Workflow, stage
from workflow_engine.cli.archives import export_run, kernel_with
from workflow_engine.cli.run_views import show_run
from workflow_engine.errors import RunNotFoundError
from workflow_engine.kernel import KernelSettings
from workflow_engine.kernel.queries.archive_format import read
from workflow_engine.local.errors import InvalidOptionError
from workflow_engine.testing.engine import VirtualEngine, VirtualRun


class Text(BaseModel):
    text: str


@stage("shout")
def shout(text: Text) -> Text:
    return Text(text=text.text.upper())


SHOUTING = Workflow("shouting", input=Text).pipe(shout).build()


@pytest.fixture
def run() -> VirtualRun:
    engine = VirtualEngine(SHOUTING, settings=KernelSettings(archive=True))
    return engine.run(SHOUTING, Text(text="hey"), attributes={"customer": "acme"})


def forget(run: VirtualRun) -> VirtualEngine:
    """The engine after the table's TTL."""
    run.engine.persistence = MemoryPersistence(run.engine.clock)
    run.engine.deploy(SHOUTING)
    return run.engine


def export(engine: VirtualEngine, run_id: str, path: Path | None, archived_on: str | None = None) -> None:
    export_run(engine.kernel, run_id, output=path, with_logs=False, archived_on=archived_on)


def test_an_export_has_the_lines_that_the_archive_has(run: VirtualRun, tmp_path: Path) -> None:
    export(run.engine, run.id, tmp_path / "kept.jsonl")
    export(forget(run), run.id, tmp_path / "archived.jsonl")

    assert (tmp_path / "kept.jsonl").read_bytes() == (tmp_path / "archived.jsonl").read_bytes()
    assert read((tmp_path / "kept.jsonl").read_bytes()).head.run_id == run.id


def test_an_export_goes_to_standard_output(run: VirtualRun, capsys: pytest.CaptureFixture[str]) -> None:
    export(run.engine, run.id, None)

    assert [json.loads(line)["kind"] for line in capsys.readouterr().out.splitlines()] == ["run", "attempt"]


@pytest.mark.parametrize("day_is_known", [False, True])
def test_an_archived_run_is_shown_as_it_was(
    run: VirtualRun, day_is_known: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    show_run(run.engine.kernel, run.id, with_input=True, as_json=True)
    before = json.loads(capsys.readouterr().out)
    day = f"{run.head.ended_at:%Y-%m-%d}" if day_is_known else None

    show_run(kernel_with(forget(run).kernel, run.id, day), run.id, with_input=True, as_json=True)

    assert before["output"] == {"text": "HEY"}
    assert json.loads(capsys.readouterr().out) == before


def test_a_run_that_is_kept_is_read_from_the_table(run: VirtualRun) -> None:
    assert kernel_with(run.engine.kernel, run.id, None) is run.engine.kernel


def test_a_run_that_nobody_knows_is_not_found(run: VirtualRun) -> None:
    with pytest.raises(RunNotFoundError):
        kernel_with(run.engine.kernel, "unknown", None)


def test_a_run_that_ended_on_another_day_is_not_found(run: VirtualRun) -> None:
    with pytest.raises(RunNotFoundError):
        export(forget(run), run.id, None, archived_on="1999-12-31")


def test_a_day_that_is_none_is_refused(run: VirtualRun) -> None:
    with pytest.raises(InvalidOptionError, match="YYYY-MM-DD"):
        export(forget(run), run.id, None, archived_on="yesterday")
