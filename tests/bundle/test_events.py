"""events/*.json: what AWS would send, one file a trigger. `sam local invoke` uses the same files."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes import EventBridgeEvent, SQSEvent

from workflow_engine.errors import InvalidCommandError
from workflow_engine.model.commands import Command, CreateRun, ExecuteJob, parse_command
from workflow_engine.model.ids import run_id_for

EVENTS = Path(__file__).parents[2] / "events"
SQS_FILES = sorted(path.name for path in EVENTS.glob("*.json") if path.name != "maintenance-tick.json")
# Lambda developer guide, "Using Lambda with Amazon SQS", standard queue.
RECORD_FIELDS = {
    "messageId",
    "receiptHandle",
    "body",
    "attributes",
    "messageAttributes",
    "md5OfBody",
    "eventSource",
    "eventSourceARN",
    "awsRegion",
}
RECORD_ATTRIBUTES = {"ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp"}


def read(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / name).read_text())
    return event


def commands(name: str) -> list[Command]:
    return [parse_command(record.body) for record in SQSEvent(read(name)).records]


@pytest.mark.parametrize("name", SQS_FILES)
def test_a_record_is_what_sqs_sends(name: str) -> None:
    for record in read(name)["Records"]:
        assert record.keys() == RECORD_FIELDS
        assert record["attributes"].keys() == RECORD_ATTRIBUTES
        assert record["eventSource"] == "aws:sqs"
        assert record["md5OfBody"] == hashlib.md5(record["body"].encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("name", "wire_type"),
    [
        ("run-create.json", "run.create"),
        ("run-transition.json", "run.transition"),
        ("run-cancel.json", "run.cancel"),
        ("run-rerun-from.json", "run.rerun_from"),
        ("run-signal.json", "run.signal"),
        ("job-execute.json", "job.execute"),
    ],
)
def test_a_record_holds_the_command_that_its_file_is_named_after(name: str, wire_type: str) -> None:
    (command,) = commands(name)

    assert command.type == wire_type


def test_all_files_speak_of_the_run_that_run_create_makes() -> None:
    """So that they can be invoked one after another, as a story."""
    (create,) = commands("run-create.json")
    assert isinstance(create, CreateRun)
    assert create.idempotency_key is not None
    run_id = run_id_for(create.workflow_id, create.idempotency_key)

    later = [command for name in SQS_FILES if len(read(name)["Records"]) == 1 for command in commands(name)]

    assert {
        command.run_id for command in later if not isinstance(command, CreateRun) and hasattr(command, "run_id")
    } == {run_id}


def test_the_job_is_for_the_first_stage() -> None:
    (job,) = commands("job-execute.json")

    assert isinstance(job, ExecuteJob)
    assert (job.workflow_id, job.attempt) == ("document-analysis", 1)


def test_one_record_of_the_bad_batch_is_no_command_and_its_neighbours_are() -> None:
    bodies = [record.body for record in SQSEvent(read("jobs-one-bad-record.json")).records]

    assert isinstance(parse_command(bodies[0]), CreateRun)
    with pytest.raises(InvalidCommandError):
        parse_command(bodies[1])
    assert isinstance(parse_command(bodies[2]), CreateRun)


def test_the_tick_is_what_an_eventbridge_rule_sends() -> None:
    event = EventBridgeEvent(read("maintenance-tick.json"))

    assert event.detail_type == "Scheduled Event"
    assert event.source == "aws.events"
    assert event.detail == {}
    assert len(event.resources) == 1
