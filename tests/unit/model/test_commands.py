import json
from datetime import timedelta
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from workflow_engine.errors import InvalidCommandError
from workflow_engine.model.commands import (
    AnnotateRun,
    CancelRun,
    ClaimPendingRuns,
    Command,
    CreateRun,
    ExecuteJob,
    FlushOutbox,
    PollSuspendedStages,
    ReapStaleLeases,
    ReapStuckRuns,
    ReplayDeadLetters,
    RerunFrom,
    SignalRun,
    TransitionRun,
    UndoRun,
    parse_command,
)
from workflow_engine.model.problems import MAX_REPORTED_PROBLEMS

COMMANDS: list[Command] = [
    CreateRun(workflow_id="analysis", input={"text": "a"}, idempotency_key="order-17", attributes={"tenant": 1}),
    ClaimPendingRuns(worker_id="worker", max_claims=3),
    TransitionRun(run_id="run-1"),
    CancelRun(run_id="run-1", reason="enough", undo=False),
    UndoRun(run_id="run-1", idempotency_key="again"),
    RerunFrom(run_id="run-1", from_stage_id="count", input={"text": "b"}),
    SignalRun(run_id="run-1", name="approval.given", payload=[1, None]),
    AnnotateRun(run_id="run-1", key="seen by", value={"who": "a"}, actor="user"),
    ReapStuckRuns(threshold=timedelta(minutes=5)),
    ExecuteJob(run_id="run-1", workflow_id="analysis", stage_id="count", attempt=2, claim="due", told_through=7),
    PollSuspendedStages(max_checks=5),
    ReapStaleLeases(threshold=timedelta(seconds=90)),
    FlushOutbox(max_events=7),
    ReplayDeadLetters(max_events=7),
]
# The original's wire forms, from its own documentation.
ORIGINAL: list[tuple[dict[str, Any], type[BaseModel]]] = [
    ({"type": "run.create", "workflowId": "a", "input": {}, "idempotencyKey": "k", "metadata": {"x": 1}}, CreateRun),
    ({"type": "run.claimPending", "workerId": "w", "maxClaims": 3}, ClaimPendingRuns),
    ({"type": "run.transition", "workflowRunId": "r"}, TransitionRun),
    ({"type": "run.cancel", "workflowRunId": "r", "reason": "x"}, CancelRun),
    ({"type": "run.rerunFrom", "workflowRunId": "r", "fromStageId": "s"}, RerunFrom),
    ({"type": "run.reapStuck", "threshold": 60}, ReapStuckRuns),
    ({"type": "job.execute", "workflowRunId": "r", "workflowId": "a", "stageId": "s", "attempt": 1}, ExecuteJob),
    ({"type": "stage.pollSuspended", "maxChecks": 5}, PollSuspendedStages),
    ({"type": "lease.reapStale", "threshold": 60}, ReapStaleLeases),
    ({"type": "outbox.flush", "maxEvents": 5}, FlushOutbox),
    ({"type": "plugin.replayDLQ", "maxEvents": 5}, ReplayDeadLetters),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.type)
def test_a_command_is_read_back_from_its_message(command: Command) -> None:
    message = command.model_dump_json()
    assert parse_command(message) == command
    assert parse_command(message.encode()) == command
    assert parse_command(json.loads(message)) == command
    assert json.loads(message)["type"] == command.type


def test_there_is_a_message_for_every_command() -> None:
    assert len({type(command) for command in COMMANDS}) == len(get_args(Command))


@pytest.mark.parametrize(("message", "kind"), ORIGINAL, ids=range(len(ORIGINAL)))
def test_the_originals_names_are_accepted(message: dict[str, Any], kind: type[BaseModel]) -> None:
    assert type(parse_command(json.dumps(message))) is kind


BAD: list[str | bytes] = [
    "",
    "{",
    "null",
    "[]",
    '"run.cancel"',
    "{}",
    '{"type": null}',
    '{"type": 7}',
    '{"type": "run.delete", "run_id": "r"}',
    '{"type": "run.cancel"}',
    '{"type": "run.cancel", "run_id": 7}',
    '{"type": "run.cancel", "run_id": "a#b"}',
    '{"type": "run.cancel", "run_id": "a\\n"}',
    '{"type": "run.cancel", "run_id": "r", "runId": "q", "extra": 1}',
    '{"type": "run.create", "workflow_id": "a", "input": []}',
    '{"type": "run.create", "workflow_id": "a", "input": {"n": NaN}}',
    '{"type": "run.create", "workflow_id": "a", "input": {"n": 1e999}}',
    '{"type": "run.create", "workflow_id": "a", "input": {"n": "\\ud800"}}',
    '{"type": "run.create", "workflow_id": "a", "input": {}, "priority": 11}',
    '{"type": "run.create", "workflow_id": "a", "input": {}, "idempotency_key": ""}',
    '{"type": "run.create", "workflow_id": "a", "input": {}, "start_at": "2030-01-01T00:00:00"}',
    '{"type": "outbox.flush", "max_events": 0}',
    '{"type": "lease.reap_stale", "threshold": -1}',
    '{"type": "run.create", "workflow_id": "a", "input": {"deep": ' + "[" * 150 + "]" * 150 + "}}",
    "[" * 100_000,
    b"\xff\xfe",
    '{"type": "run.cancel", "run_id": "\xe9"}'.encode("latin-1"),
]


@pytest.mark.parametrize("message", BAD, ids=range(len(BAD)))
def test_what_is_no_command_is_told_with_its_problems(message: str | bytes) -> None:
    with pytest.raises(InvalidCommandError) as caught:
        parse_command(message)
    assert caught.value.problems
    assert not caught.value.retryable


def test_problems_do_not_repeat_what_was_sent() -> None:
    with pytest.raises(InvalidCommandError) as caught:
        parse_command({"type": "run.cancel", "run_id": "secret/value", "reason": 5})
    assert "secret" not in str(caught.value)
    places = [problem.partition(":")[0] for problem in caught.value.problems]
    assert {place.rpartition(".")[2] for place in places} == {"run_id", "reason"}


def test_only_the_first_problems_are_listed() -> None:
    extra = {f"field_{number}": 1 for number in range(30)}
    with pytest.raises(InvalidCommandError) as caught:
        parse_command({"type": "run.cancel", "run_id": "r", **extra})
    assert len(caught.value.problems) == MAX_REPORTED_PROBLEMS + 1
    assert caught.value.problems[-1] == "and 20 more"


def test_a_job_message_of_a_newer_version_is_understood() -> None:
    message = {"type": "job.execute", "run_id": "r", "workflow_id": "a", "stage_id": "s", "of_the_future": 1}
    assert parse_command(message) == ExecuteJob(run_id="r", workflow_id="a", stage_id="s")
