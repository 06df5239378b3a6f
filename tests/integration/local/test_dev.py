"""``workflow-engine dev``: what it keeps between starts, and what it does when the code changes."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.integration.local.conftest import ROOT, DevStack
from workflow_engine.cli.app import app
from workflow_engine.cli.dev_stack import variables_at
from workflow_engine.local.dev_stack import CodeWatch

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


def refused(*options: str) -> str:
    """What ``dev`` says where it does not start."""
    result = CliRunner().invoke(app, ["dev", *options])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.output
    return result.stderr


def test_a_port_that_somebody_has_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert refused("--port", port).startswith(
            f"InvalidOptionError: --port: cannot listen on '127.0.0.1', port {port}"
        )


@pytest.mark.parametrize("host", ["no-such-host.invalid", "300.1.1.1", "x" * 5000, "http://127.0.0.1", "::g"])
def test_a_host_that_is_none_is_one_line(host: str) -> None:
    assert refused("--host", host).startswith("InvalidOptionError: --host: ")


def test_a_folder_for_its_state_that_cannot_be_written_is_one_line(project: Path) -> None:
    (project / ".workflow-engine").touch()
    assert refused().startswith("InvalidOptionError: dev: cannot keep its state in ")


def test_a_state_that_cannot_be_read_is_one_line_and_stays(project: Path) -> None:
    state = project / ".workflow-engine" / "state.json"
    state.parent.mkdir()
    state.write_text('{"format": 2}')

    assert "state.json: has format 2, and this version reads 1" in refused()
    assert state.read_text() == '{"format": 2}'


def test_what_was_there_is_not_forgotten_by_a_start_that_fails(project: Path) -> None:
    state = project / ".workflow-engine" / "state.json"
    state.parent.mkdir()
    state.write_text("precious")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused("--fresh", "--port", str(taken.getsockname()[1]))

    assert state.read_text() == "precious"


def test_it_listens_on_an_ipv6_address(project: Path) -> None:
    with DevStack(project, "--host", "::1") as dev:
        assert dev.said["endpoint"].startswith("http://[::1]:")
        # In a process of its own: this one may connect to 127.0.0.1 only.
        command = [sys.executable, "-m", "workflow_engine.cli", "run", "asking", "-i", '{"text": "x"}', "--no-wait"]
        assert subprocess.run(command, cwd=project, capture_output=True, check=False).returncode == 0
        assert variables_at("there", dev.said["variables"])["JOB_QUEUE_URL"].startswith("http://there:")


def test_a_second_one_in_the_same_folder_is_refused_even_before_the_first_is_found(project: Path) -> None:
    with DevStack(project):
        (project / ".workflow-engine" / "dev.json").unlink()
        assert refused().startswith("InvalidOptionError: dev: runs already, at ")


def test_ctrl_c_says_where_what_was_there_is_kept(project: Path) -> None:
    with DevStack(project) as dev:
        dev.process.send_signal(signal.SIGINT)
        assert dev.process.wait(60) == 0
        assert dev.errors.splitlines()[-1].startswith("stopped; .workflow-engine/state.json has all of it")
        assert "stopping, when the job in hand is done" in dev.errors


def test_code_in_a_folder_that_vanishes_is_no_code(tmp_path: Path) -> None:
    (tmp_path / "src" / "gone").mkdir(exist_ok=True)
    code = CodeWatch(tmp_path / "src")
    (tmp_path / "src" / "gone").rmdir()

    assert not code.has_changed()
    assert not CodeWatch(tmp_path / "nowhere").has_changed()
