"""The commands that look at runs and put them right, against the stack that ``workflow-engine dev`` keeps."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.integration.local.conftest import COMMAND_THAT_ENDS_WITH_US, ROOT, DevStack
from workflow_engine.cli.app import app

WORKFLOWS = """
from datetime import timedelta
from pydantic import BaseModel
from workflow_engine import PermanentError, Registry, StageContext, WaitForSignal, Workflow, stage

class Number(BaseModel):
    value: int

class Answer(BaseModel):
    yes: bool

@stage("log-it")
def log_it(number: Number, ctx: StageContext) -> Number:
    ctx.log("warning", "a number came", value=number.value)
    return number

@stage("ask")
def ask(number: Number, ctx: StageContext) -> WaitForSignal[Answer]:
    return WaitForSignal("answer", Answer, timeout=timedelta(days=1))

@ask.on_signal
def answered(answer: Answer, ctx: StageContext) -> Number:
    return Number(value=int(answer.yes))

@stage("refuse-odd")
def refuse_odd(number: Number) -> Number:
    if number.value % 2:
        raise PermanentError("odd")
    return number

registry = Registry([
    Workflow("asking", input=Number).pipe(log_it).pipe(ask).build(),
    Workflow("even", input=Number).pipe(log_it).pipe(refuse_odd).build(),
])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with a local stack that runs."""
    folder = tmp_path_factory.mktemp("project")
    text = (ROOT / "template.yaml").read_text().replace("Default: workflows:registry", "Default: dev_flows:registry")
    (folder / "template.yaml").write_text(text)
    (folder / "src").mkdir()
    (folder / "src" / "dev_flows.py").write_text(WORKFLOWS)
    with DevStack(folder):
        yield folder
    sys.modules.pop("dev_flows", None)


@pytest.fixture(autouse=True)
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def said(*arguments: str) -> Any:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def start(workflow: str, value: int, *more: str) -> str:
    """The id of a run that is not waited for."""
    (run,) = said("run", workflow, "--input", json.dumps({"value": value}), "--no-wait", *more)["runs"]
    run_id: str = run["run_id"]
    return run_id


def finished(workflow: str, value: int, *more: str) -> str:
    """The id of a run that is over."""
    result = call("run", workflow, "--input", json.dumps({"value": value}), "--json", *more)
    run_id: str = json.loads(result.stdout)["runs"][0]["run_id"]
    return run_id


def waiting(value: int = 1) -> str:
    """The id of a run that waits for its answer."""
    run_id = start("asking", value)
    while said("show", run_id)["stages"][1]["waiting"] is None:
        pass
    return run_id


def test_runs_are_listed_newest_first_and_by_status_and_attribute() -> None:
    older = finished("even", 2, "--attribute", "batch=7")
    newer = finished("even", 3, "--attribute", "batch=7")

    assert [run["run_id"] for run in said("list", "even", "--attribute", "batch=7")["runs"]] == [newer, older]
    (failed,) = said("list", "even", "--status", "failed", "--attribute", "batch=7")["runs"]
    assert (failed["run_id"], failed["error"]["message"]) == (newer, "odd")
    assert said("list", "even", "--attribute", "batch=7", "--limit", "1")["more"]
    assert said("list", "even", "--attribute", "batch=7", "--since", "2100-01-01")["runs"] == []
    assert older in call("list").stdout


def test_a_run_is_shown_with_its_stages_its_error_and_its_graph() -> None:
    text = call("show", finished("even", 5)).stdout

    assert "PermanentError in stage refuse-odd: odd" in text
    assert "✓ log-it → ✗ refuse-odd" in text
    assert "Traceback" in text


def test_a_run_that_waits_says_for_what() -> None:
    run_id = waiting()
    document = said("show", run_id)

    assert document["status"] == "SUSPENDED"
    assert document["stages"][1]["waiting"]["signal"] == "answer"
    assert document["input"] == {"value": 1}
    assert "ask waits for signal answer" in call("show", run_id).stdout


def test_a_signal_lets_a_run_go_on_and_watch_stays_until_its_end() -> None:
    run_id = waiting()

    assert said("signal", run_id, "answer", '{"yes": true}') == {
        "run_id": run_id,
        "name": "answer",
        "delivered": True,
    }
    (run,) = said("watch", run_id)["runs"]
    assert (run["status"], run["output"]) == ("COMPLETED", {"value": 1})
    assert "nobody waits" in call("signal", run_id, "answer", '{"yes": true}').stdout


def test_a_signal_that_does_not_fit_is_refused() -> None:
    result = call("signal", waiting(), "answer", '{"yes": "perhaps"}')

    assert result.exit_code == 2
    assert result.stderr.startswith("InvalidInputError: payload of signal 'answer'")


def test_a_run_can_be_cancelled_once() -> None:
    run_id = waiting()

    assert said("cancel", run_id, "--reason", "not needed")["cancelled"]
    assert not said("cancel", run_id)["cancelled"]
    document = said("show", run_id)
    assert (document["status"], document["reason"]) == ("CANCELLED", "not needed")
    assert call("watch", run_id).exit_code == 1


def test_a_failed_run_goes_again_from_where_it_failed_with_another_input_from_the_start() -> None:
    run_id = finished("even", 7)

    assert said("rerun", run_id)["from_stage_id"] == "refuse-odd"
    assert call("watch", run_id).exit_code == 1
    assert said("rerun", run_id, "--input", '{"value": 8}')["from_stage_id"] == "log-it"
    (run,) = said("watch", run_id)["runs"]
    assert run["output"] == {"value": 8}


def test_many_runs_go_again_once_under_their_key() -> None:
    failed = {finished("even", value, "--attribute", "many=1") for value in (1, 3)}
    finished("even", 2, "--attribute", "many=1")
    chosen = ["--workflow", "even", "--attribute", "many=1", "--rate", "100"]

    assert {run["run_id"] for run in said("rerun", *chosen, "--dry-run")["runs"]} == failed
    first = said("rerun", *chosen, "--key", "again")
    assert {run["run_id"] for run in first["rerun"]} == failed
    for run_id in failed:
        call("watch", run_id)
    versions = [len(said("show", run_id)["stages"][1]["attempts"]) for run_id in failed]
    second = said("rerun", *chosen, "--key", "again")
    assert {run["run_id"] for run in second["rerun"]} == failed
    for run_id in failed:
        call("watch", run_id)
    assert [len(said("show", run_id)["stages"][1]["attempts"]) for run_id in failed] == versions


def test_events_and_logs_tell_what_happened() -> None:
    run_id = finished("even", 9)
    types = [event["type"] for event in said("events", run_id)]

    assert types[0] == "workflow:created"
    assert types[-1] == "workflow:failed"
    assert "stage:completed" in types
    line = json.loads(call("logs", run_id, "--json").stdout)
    assert (line["stage_id"], line["level"], line["message"], line["fields"]) == (
        "log-it",
        "WARNING",
        "a number came",
        {"value": 9},
    )
    assert "a number came" in call("logs", run_id, "--follow", "--stage", "log-it").stdout
    assert call("logs", run_id, "--stage", "refuse-odd").stdout == ""


def test_schedules_are_put_listed_paused_and_deleted() -> None:
    put = said("schedules", "put", "yearly", "even", "cron(0 3 1 1 ? *)", "--input", '{"value": 2}')
    assert put["expression"] == "cron(0 3 1 1 ? *)"
    (listed,) = said("schedules")
    assert (listed["name"], listed["paused"]) == ("yearly", False)
    assert listed["next_at"].endswith("-01-01T03:00:00+00:00")
    said("schedules", "pause", "yearly")
    assert "paused" in call("schedules").stdout
    said("schedules", "resume", "yearly")
    said("schedules", "delete", "yearly")
    assert said("schedules") == []
    missing = call("schedules", "delete", "yearly")
    assert (missing.exit_code, missing.stderr) == (
        2,
        "InvalidOptionError: NAME: no schedule 'yearly'; there are none\n",
    )
    bad = call("schedules", "put", "bad", "even", "every day", "--input", '{"value": 2}')
    assert (bad.exit_code, bad.stderr.split(":")[0]) == (2, "InvalidCommandError")


def test_a_schedule_starts_runs() -> None:
    said("schedules", "put", "often", "even", "rate(1 hour)", "--input", '{"value": 4000}')
    try:
        while not (runs := said("list", "even")["runs"]) or said("show", runs[0]["run_id"])["input"] != {"value": 4000}:
            pass
        assert call("watch", runs[0]["run_id"]).exit_code == 0
    finally:
        said("schedules", "delete", "often")


def test_dead_letters_are_listed_and_sent_again(project: Path) -> None:
    variables = json.loads((project / ".workflow-engine" / "dev.json").read_text())
    assert said("dead-letters") == {"events": [], "messages": [], "schedules": [], "ticks": []}
    script = (
        "import sys; from botocore.session import get_session; sqs = get_session().create_client('sqs');"
        "sqs.send_message(QueueUrl=sys.argv[1], MessageBody=sys.argv[2])"
    )
    queue = variables["JOB_QUEUE_URL"].replace("JobQueue", "JobDeadLetterQueue")
    body = json.dumps({"type": "run.create", "workflow_id": "even", "input": {"value": 6}, "idempotency_key": "dead"})
    subprocess.run([sys.executable, "-c", script, queue, body], env={**os.environ, **variables}, check=True)

    assert [one["body"] for one in said("dead-letters")["messages"]] == [body]
    assert said("dead-letters", "replay") == {"events": 0, "messages": 1}
    again = finished("even", 6, "--key", "dead")
    assert said("show", again)["status"] == "COMPLETED"
    assert said("dead-letters")["messages"] == []


def test_dead_schedules_are_sent_to_the_job_queue_and_dead_ticks_are_forgotten(project: Path) -> None:
    variables = json.loads((project / ".workflow-engine" / "dev.json").read_text())
    script = (
        "import sys; from botocore.session import get_session; sqs = get_session().create_client('sqs');"
        "sqs.send_message(QueueUrl=sys.argv[1], MessageBody=sys.argv[2])"
    )
    create = {"type": "run.create", "workflow_id": "even", "input": {"value": 8}, "idempotency_key": "fired"}
    failed = {"requestContext": {"condition": "RetriesExhausted"}, "responsePayload": {"errorMessage": "no table"}}
    for name, body in (("SCHEDULE_DLQ_URL", create), ("TICK_DLQ_URL", failed)):
        command = [sys.executable, "-c", script, variables[name], json.dumps(body)]
        subprocess.run(command, env={**os.environ, **variables}, check=True)

    listed = said("dead-letters")
    assert [json.loads(one["body"]) for one in listed["schedules"]] == [create]
    assert [(one["reason"], one["detail"]) for one in listed["ticks"]] == [("RetriesExhausted", "no table")]
    assert said("dead-letters", "replay") == {"events": 0, "messages": 1}
    assert said("dead-letters", "forget") == {"forgotten": 1}
    assert said("dead-letters") == {"events": [], "messages": [], "schedules": [], "ticks": []}
    assert said("show", finished("even", 8, "--key", "fired"))["status"] == "COMPLETED"


def test_the_last_run_and_the_beginning_of_an_id_are_names_of_runs() -> None:
    run_id = finished("even", 8)
    for name in ("last", run_id[:8], run_id):
        assert said("show", name)["run_id"] == run_id


def test_runs_are_submitted_and_seen_through_or_left_to_the_queue() -> None:
    run = said("run", "even", "--input", '{"value": 6}', "--submit")["runs"][0]
    assert run["status"] == "COMPLETED"
    left = said("run", "even", "--input", '{"value": 6}', "--submit", "--no-wait")
    ids = [one["run_id"] for one in (*left["runs"], *left.get("submitted", ()))]
    assert len(ids) == 1
    assert said("watch", ids[0])["runs"][0]["status"] == "COMPLETED"


def test_a_workflow_and_a_run_are_drawn() -> None:
    assert "-->" in call("graph", "even").stdout
    assert call("graph", "even", "--format", "svg").stdout.startswith("<svg ")
    drawn = said("graph", "--run", finished("even", 1))
    assert drawn["states"] == {"log-it": "COMPLETED", "refuse-odd": "FAILED"}


@pytest.mark.parametrize("command", ["show", "watch", "events", "logs", "cancel", "rerun"])
def test_a_run_that_is_not_there_is_said_in_one_line(command: str) -> None:
    result = call(command, "nobody")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "RunNotFoundError: no run 'nobody'\n"


def test_a_worker_does_jobs_until_it_is_told_to_stop() -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", COMMAND_THAT_ENDS_WITH_US, "worker", "--json", "--name", "one"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    for value in range(0, 20, 2):
        finished("even", value)
    worker.send_signal(signal.SIGTERM)
    stdout, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert json.loads(stdout)["worker_id"] == "one"


def test_other_programs_are_told_how_to_reach_the_stack(project: Path) -> None:
    variables = json.loads((project / ".workflow-engine" / "dev.json").read_text())
    port = variables["AWS_ENDPOINT_URL"].rpartition(":")[2]

    assert f"export TABLE_NAME={variables['TABLE_NAME']}\n" in call("dev", "env").stdout
    sam = json.loads(call("dev", "env", "--format", "sam", "--host", "172.17.0.1").stdout)
    assert sam.keys() == {"JobFunction", "TickFunction"}
    assert sam["JobFunction"]["AWS_ENDPOINT_URL"] == f"http://172.17.0.1:{port}"
    assert sam["JobFunction"]["JOB_QUEUE_URL"].startswith(f"http://172.17.0.1:{port}/")


def test_a_second_stack_is_refused_while_one_runs() -> None:
    result = call("dev")

    assert (result.exit_code, result.stderr.split(",")[0]) == (2, "InvalidOptionError: dev: runs already")


# What is only seen where there is a stack to talk to.
HOSTILE = ["x" * 5000, "../a#b", "é\n", "-", "nan"]


@pytest.mark.parametrize("hostile", HOSTILE, ids=[repr(text[:8]) for text in HOSTILE])
def test_a_hostile_id_or_name_is_one_line_and_no_failed_run(hostile: str) -> None:
    tried = [
        *([command, "--", hostile] for command in ("show", "watch", "events", "logs", "export", "cancel", "rerun")),
        ["signal", "--", hostile, "answer"],
        ["signal", "--", "run", hostile],
        ["signal", "run", "answer", "null", f"--key={hostile}"],
        ["cancel", "run", f"--reason={hostile}"],
        ["rerun", "run", f"--from={hostile}"],
        ["rerun", "--workflow=nobody", f"--from={hostile}", f"--key={hostile}"],
        ["rerun", "--workflow=nobody", f"--rate={hostile}"],
        ["logs", "run", f"--stage={hostile}"],
        ["graph", f"--run={hostile}"],
        ["list", "--", hostile],
        ["list", "even", f"--since={hostile}"],
        ["list", "even", f"--attribute={hostile}=1"],
        ["show", "run", f"--archived-on={hostile}"],
        ["run", "even", '--input={"value": 2}', "--no-wait", f"--key={hostile}", f"--attribute=a={hostile}"],
        ["schedules", "put", "--input={}", "--", hostile, "even", "rate(1 day)"],
        ["schedules", "put", '--input={"value": 2}', "--", "nightly", "even", hostile],
        ["schedules", "put", "n", "even", "cron(0 3 * * ? *)", '--input={"value": 2}', f"--timezone={hostile}"],
        ["schedules", "delete", "--", hostile],
    ]
    wrong = {}
    for words in tried:
        result = call(*words)
        told = result.exit_code in (2, 3) and result.stdout == "" and result.stderr.count("\n") == 1
        if result.exit_code != 0 and (not told or "defect" in result.stderr):
            wrong[" ".join(words)[:80]] = (result.exit_code, result.output[:300])

    assert wrong == {}
