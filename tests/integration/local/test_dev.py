"""``workflow-engine dev``: what it keeps between starts, and what it does when the code changes."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.integration.local.conftest import ROOT, DevStack
from workflow_engine.cli.app import app

WORKFLOWS = """
from pydantic import BaseModel
from workflow_engine import Registry, StageContext, WaitForSignal, Workflow, stage

class Text(BaseModel):
    text: str

@stage("ask")
def ask(text: Text, ctx: StageContext) -> WaitForSignal[Text]:
    ctx.storage.save("large", Text(text="x" * 100_000))
    return WaitForSignal("answer", Text)

@ask.on_signal
def answered(answer: Text, ctx: StageContext) -> Text:
    return Text(text=f"ANSWER {answer.text}")

registry = Registry([Workflow("asking", input=Text).pipe(ask).build()])
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose code the tests' own process never imports: it would be remembered there."""
    text = (ROOT / "template.yaml").read_text().replace("Default: workflows:registry", "Default: kept_flows:registry")
    (tmp_path / "template.yaml").write_text(text)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "kept_flows.py").write_text(WORKFLOWS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    monkeypatch.delitem(__import__("sys").modules, "kept_flows", raising=False)
    return tmp_path


def said(*arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def waiting_run() -> str:
    (run,) = said("run", "asking", "--input", '{"text": "hello"}', "--no-wait")["runs"]
    while said("show", run["run_id"])["status"] != "SUSPENDED":
        pass
    run_id: str = run["run_id"]
    return run_id


def answered(run_id: str) -> Any:
    said("signal", run_id, "answer", '{"text": "yes"}')
    (run,) = said("watch", run_id)["runs"]
    return run["output"]


def test_a_run_goes_on_after_the_stack_was_stopped_and_started(project: Path) -> None:
    with DevStack(project) as dev:
        assert not dev.said["loaded"]
        said("schedules", "put", "nightly", "asking", "cron(0 3 * * ? *)", "--input", '{"text": "x"}')
        run_id = waiting_run()
    with DevStack(project) as dev:
        assert dev.said["loaded"]
        assert [one["name"] for one in said("schedules")] == ["nightly"]
        assert answered(run_id) == {"text": "ANSWER yes"}


def test_a_run_goes_on_after_the_stack_was_killed(project: Path) -> None:
    with DevStack(project) as dev:
        run_id = waiting_run()
        state = project / ".workflow-engine" / "state.json"
        while not state.exists() or "answer" not in state.read_text():
            pass
        dev.kill()
    with DevStack(project) as dev:
        assert dev.said["loaded"]
        assert answered(run_id) == {"text": "ANSWER yes"}


def test_what_was_there_is_forgotten_where_that_is_asked_for(project: Path) -> None:
    with DevStack(project):
        waiting_run()
    with DevStack(project, "--fresh") as dev:
        assert not dev.said["loaded"]
        assert said("list", "asking")["runs"] == []


def test_changed_code_is_what_runs_next(project: Path) -> None:
    code = project / "src" / "kept_flows.py"
    with DevStack(project) as dev:
        run_id = waiting_run()
        code.write_text(WORKFLOWS.replace("ANSWER", "CHANGED"))
        while dev.errors.count("functions: ready") < 2:
            pass
        assert answered(run_id) == {"text": "CHANGED yes"}


def test_broken_code_is_told_of_and_does_no_harm(project: Path) -> None:
    code = project / "src" / "kept_flows.py"
    with DevStack(project) as dev:
        run_id = waiting_run()
        code.write_text("this is no Python")
        said("signal", run_id, "answer", '{"text": "yes"}')
        while "SyntaxError" not in dev.errors:
            pass
        code.write_text(WORKFLOWS)
        while dev.errors.count("functions: ready") < 2:
            pass
        (run,) = said("watch", run_id)["runs"]
        assert run["output"] == {"text": "ANSWER yes"}


def test_the_files_of_a_stack_that_ended_mislead_nobody(project: Path) -> None:
    with DevStack(project) as dev:
        dev.kill()
    assert (project / ".workflow-engine" / "dev.json").exists()

    result = CliRunner().invoke(app, ["list", "asking"])
    assert (result.exit_code, result.stderr.split(":")[0]) == (3, "StackNotFoundError")
