"""``workflow-engine run`` as a user calls it: the real command line, the real functions, the embedded AWS."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.integration.local.conftest import ROOT
from workflow_engine.cli.app import app

TEXT = "# Scaling to zero\n\nA server that waits for work costs money while it waits. A function costs nothing.\n"
APPROVAL = 'approval={"approved": true, "by": "a test"}'
OWN_WORKFLOWS = """
from datetime import timedelta
from pydantic import BaseModel
from workflow_engine import PermanentError, Registry, RetryPolicy, StageContext, StageResult, Workflow, sleep, stage

class Number(BaseModel):
    value: int

@stage("double")
def double(number: Number) -> Number:
    return Number(value=2 * number.value)

@stage("shaky", retry=RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=1), jitter=False))
def shaky(number: Number, ctx: StageContext) -> Number:
    if ctx.attempt < 2:
        raise OSError("the first attempt fails")
    return number

@stage("refuse")
def refuse(number: Number) -> Number:
    raise PermanentError("no such luck")

@stage("scan", retry=RetryPolicy(max_attempts=1))
def scan(number: Number) -> StageResult[Number]:
    if number.value == 1:
        raise FileNotFoundError("no file 'caf\\udce9.txt'")
    if number.value == 2:
        return StageResult(number, artifacts={f"a{n}": "s3://bucket/" + "x" * 80 for n in range(5000)})
    return StageResult(number, artifacts={"page": "caf\\udce9.txt"})

@stage("talk")
def talk(number: Number) -> Number:
    print("this is not for standard output")
    return number

registry = Registry([
    Workflow("doubling", input=Number).pipe(double).pipe(talk).build(),
    Workflow("retrying", input=Number).pipe(shaky).build(),
    Workflow("waiting", input=Number).pipe(double).pipe(sleep("wait", timedelta(hours=1))).pipe(talk).build(),
    Workflow("failing", input=Number).pipe(refuse).build(),
    Workflow("scanning", input=Number).pipe(scan).build(),
])
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is no project, so that nothing of this repository's own state is in reach."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, template: Path = ROOT / "template.yaml") -> Result:
    return CliRunner().invoke(app, ["run", *arguments, "--template", str(template)])


def documents(result: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(result.stdout)["runs"]
    return found


def stages(document: dict[str, Any]) -> dict[str, str]:
    return {stage["stage_id"]: stage["status"] for stage in document["stages"]}


@pytest.fixture
def own_workflows(tmp_path: Path) -> Path:
    """A project of a user's own: the template, and other workflows behind it."""
    text = (ROOT / "template.yaml").read_text().replace("Default: workflows:registry", "Default: own_flows:registry")
    (tmp_path / "template.yaml").write_text(text)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "own_flows.py").write_text(OWN_WORKFLOWS)
    sys.modules.pop("own_flows", None)
    return tmp_path / "template.yaml"


def test_a_document_goes_through_all_stages(project: Path) -> None:
    (project / "page.md").write_text(TEXT)
    result = run("document-analysis", "--input", "page.md", "--json")

    (document,) = documents(result)
    assert result.exit_code == 0
    assert document["source"] == "page.md"
    assert document["status"] == "COMPLETED"
    assert document["output"]["title"] == "Scaling to zero"
    assert stages(document) == dict.fromkeys(["split", "keywords", "readability", "language", "report"], "COMPLETED")
    assert result.stderr == ""


def test_the_table_may_be_on_dynamodb_local(
    project: Path, dynamodb_local_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "page.md").write_text(TEXT)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local_url)
    (document,) = documents(run("document-analysis", "--input", "page.md", "--json"))

    assert document["status"] == "COMPLETED"


def test_people_are_shown_the_output_and_a_timeline(project: Path) -> None:
    (project / "page.md").write_text(TEXT)
    result = run("document-analysis", "--input", "page.md")

    assert "✓ COMPLETED  page.md" in result.stdout
    assert '"title": "Scaling to zero"' in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("readability")]
    assert "✓ COMPLETED" in line
    assert "━" in line


def test_a_run_walks_through_suspend_approval_and_a_schedule_without_a_human(project: Path) -> None:
    (project / "page.md").write_text(TEXT)
    result = run("publish-report", "-i", "page.md", "--signal", APPROVAL, "--by-schedule", "rate(1 day)", "--json")

    (document,) = documents(result)
    assert (result.exit_code, document["status"]) == (0, "COMPLETED")
    assert document["output"]["approved_by"] == "a test"
    attempts = {stage["stage_id"]: [one["status"] for one in stage["attempts"]] for stage in document["stages"]}
    assert attempts["render"] == ["SUSPENDED", "COMPLETED"]
    assert stages(document) == dict.fromkeys(["analyse", "render", "approval", "cool-down", "publish"], "COMPLETED")


def test_a_folder_becomes_a_run_a_file_and_a_bad_file_holds_up_none(project: Path) -> None:
    folder = project / "texts"
    folder.mkdir()
    for name in ("one.txt", "two.txt"):
        (folder / name).write_text(TEXT)
    (folder / "empty.txt").touch()
    (folder / "binary.dat").write_bytes(b"\x00\x01")
    with (folder / "large.txt").open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    result = run("document-analysis", "-i", "texts", "-i", "missing.txt", "--json")

    said = json.loads(result.stdout)
    assert result.exit_code == 2
    assert [(one["source"], one["status"]) for one in said["runs"]] == [
        ("texts/one.txt", "COMPLETED"),
        ("texts/two.txt", "COMPLETED"),
    ]
    assert {one["source"]: one["error"] for one in said["refused"]} == {
        "texts/empty.txt": "UnreadableInputError",
        "texts/binary.dat": "UnreadableInputError",
        "texts/large.txt": "PayloadTooLargeError",
        "missing.txt": "UnreadableInputError",
    }


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["no-such-workflow", "-i", "{}"], "WorkflowNotFoundError: no workflow 'no-such-workflow'; registered: "),
        (["document-analysis", "-i", "missing.md"], "UnreadableInputError: missing.md: no such file"),
        (["document-analysis", "-i", '{"name": "x"}'], "InvalidInputError: "),
        (["document-analysis", "-i", "{"], "UnreadableInputError: "),
        (["document-analysis", "-i", '{"text": "x"}', "--config", '{"nobody": {}}'], "InvalidOptionError: --config"),
        (["document-analysis", "-i", '{"text": "x"}', "--config", '{"keywords": {"limit": 0}}'], "InvalidConfigError"),
        (["document-analysis", "-i", '{"text": "x"}', "--parameter", "Nothing=1"], "TemplateError: parameter Nothing"),
        (["document-analysis", "-i", '{"text": "x"}', "--signal", "approval"], "InvalidOptionError: --signal"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_starts(arguments: list[str], error: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(error)
    assert result.stderr.count("\n") == 1


def test_programs_are_told_what_is_wrong_in_json() -> None:
    result = run("no-such-workflow", "-i", "{}", "--json")

    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"] == "WorkflowNotFoundError"


def test_a_run_that_fails_ends_with_1_and_says_why(own_workflows: Path) -> None:
    result = run("failing", "-i", '{"value": 1}', template=own_workflows)

    assert result.exit_code == 1
    assert "✗ FAILED" in result.stdout
    assert "PermanentError in stage refuse: no such luck" in result.stdout


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(1, "FileNotFoundError in stage scan: no file 'caf\\udce9.txt'", id="error-text"),
        pytest.param(2, "PayloadTooLargeError in stage scan: metrics and artifacts is", id="artifacts"),
        pytest.param(3, "ValueError in stage scan: artifact 'page' holds a lone surrogate", id="artifact"),
    ],
)
def test_an_outcome_that_cannot_be_stored_ends_with_1_and_says_why(own_workflows: Path, value: int, said: str) -> None:
    result = run("scanning", "-i", json.dumps({"value": value}), template=own_workflows)

    assert result.exit_code == 1
    assert said in " ".join(result.stdout.split())


def test_a_retry_is_waited_for(own_workflows: Path) -> None:
    result = run("retrying", "-i", '{"value": 1}', "--json", template=own_workflows)

    (document,) = documents(result)
    (stage,) = document["stages"]
    assert result.exit_code == 0
    assert [attempt["status"] for attempt in stage["attempts"]] == ["FAILED", "COMPLETED"]
    assert stage["attempts"][0]["error"]["message"] == "the first attempt fails"


def test_several_workers_share_the_runs_and_print_nothing_of_their_own(own_workflows: Path) -> None:
    inputs = [argument for value in range(6) for argument in ("-i", json.dumps({"value": value}))]
    result = run("doubling", *inputs, "--workers", "3", "--json", template=own_workflows)

    assert result.exit_code == 0
    assert [document["output"] for document in documents(result)] == [{"value": 2 * value} for value in range(6)]


def test_the_functions_logs_are_shown_where_they_are_asked_for(own_workflows: Path) -> None:
    result = run("doubling", "-i", '{"value": 1}', "--verbose", template=own_workflows)

    assert "this is not for standard output" in result.stderr
    assert "this is not for standard output" not in result.stdout


def test_an_interrupted_run_ends_at_once_and_says_which_run_that_was(own_workflows: Path) -> None:
    command = [sys.executable, "-m", "workflow_engine.cli", "run", "waiting", "-i", '{"value": 1}', "--verbose"]
    process = subprocess.Popen(command, cwd=own_workflows.parent, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "stage ended" in line:
            process.send_signal(signal.SIGINT)
            break
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    *_, about, last = said.splitlines()
    assert last == "interrupted"
    assert re.match(r"[a-z2-7]{26} ends with this process", about)


def test_nothing_is_left_of_it_in_a_shell(project: Path) -> None:
    """In a process of its own, without a template anywhere near: usage errors need no AWS."""
    command = [sys.executable, "-m", "workflow_engine.cli", "run", "document-analysis", "-i", "{}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    finished = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)

    assert finished.returncode == 2
    assert finished.stderr.startswith("TemplateError: template.yaml: is neither in")
    assert list(project.iterdir()) == []


ONE_WORKFLOW = """
from pydantic import BaseModel
from workflow_engine import Registry, Workflow, stage

class Number(BaseModel):
    value: int{default}

@stage("double")
def double(number: Number) -> Number:
    return Number(value=2 * number.value)

registry = Registry([Workflow("doubling", input=Number).pipe(double).build()])
"""


def test_the_only_workflow_needs_no_name_and_what_has_defaults_no_input(own_workflows: Path) -> None:
    (own_workflows.parent / "src" / "own_flows.py").write_text(ONE_WORKFLOW.format(default=" = 21"))

    result = run("--json", template=own_workflows)
    (document,) = documents(result)
    assert (document["workflow_id"], document["status"], document["output"]) == ("doubling", "COMPLETED", {"value": 42})

    assert documents(run("--input", '{"value": 1}', "--json", template=own_workflows))[0]["output"] == {"value": 2}


def test_an_input_that_is_needed_is_asked_for(own_workflows: Path) -> None:
    (own_workflows.parent / "src" / "own_flows.py").write_text(ONE_WORKFLOW.format(default=""))
    result = run("doubling", template=own_workflows)

    assert result.exit_code == 2
    assert result.stderr.startswith("InvalidOptionError: --input: is needed: ")
    assert "value" in result.stderr


def test_of_several_workflows_one_must_be_named(own_workflows: Path) -> None:
    result = run("--input", '{"value": 1}', template=own_workflows)

    assert result.exit_code == 2
    assert result.stderr == (
        "InvalidOptionError: WORKFLOW: name one; there are doubling, failing, retrying, scanning, waiting\n"
    )


def test_those_that_are_run_beside_may_be_the_only_ones(own_workflows: Path) -> None:
    (document,) = documents(run("--and", 'doubling={"value": 4}', "--json", template=own_workflows))

    assert document["output"] == {"value": 8}
