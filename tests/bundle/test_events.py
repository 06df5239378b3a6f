"""events/*.json: what AWS would send, one file a trigger. `sam local invoke` uses the same files."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes import EventBridgeEvent, SQSEvent
from pydantic import BaseModel

from workflow_engine.errors import InvalidCommandError
from workflow_engine.model.commands import (
    CancelRun,
    Command,
    CreateRun,
    ExecuteJob,
    RerunFrom,
    SignalRun,
    TransitionRun,
    UndoRun,
    parse_command,
)
from workflow_engine.model.deliveries import Delivery
from workflow_engine.model.ids import run_id_for
from workflow_engine.testing.engine import VirtualEngine
from workflows import registry
from workflows.document_analysis.models import Document
from workflows.order_process import workflow
from workflows.order_process.memory import MemoryBank, Outside
from workflows.order_process.models import Order
from workflows.publish_report.models import Approval
from workflows.publish_report.stages import APPROVAL

EVENTS = Path(__file__).parents[2] / "events"
SQS_FILES = sorted(path.name for path in EVENTS.glob("*.json") if path.name != "maintenance-tick.json")
ABOUT_A_RUN = (CancelRun, ExecuteJob, RerunFrom, SignalRun, TransitionRun, UndoRun)
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


@pytest.mark.parametrize("name", [name for name in SQS_FILES if name != "jobs-one-bad-record.json"])
def test_a_record_holds_the_command_that_its_file_is_named_after(name: str) -> None:
    (command,) = commands(name)

    assert name.startswith(command.type.replace(".", "-").replace("_", "-"))


def test_the_files_are_a_story_of_the_runs_that_they_create() -> None:
    """They can be invoked one after another: every id is that of a run which an earlier file made."""
    story = [commands(name)[0] for name in SQS_FILES if name != "jobs-one-bad-record.json"]
    created = {
        run_id_for(command.workflow_id, command.idempotency_key)
        for command in story
        if isinstance(command, CreateRun) and command.idempotency_key
    }

    spoken_of = {command.run_id for command in story if isinstance(command, ABOUT_A_RUN)}

    assert len(created) == 3
    assert spoken_of == created


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("run-create.json", Document),
        ("run-create-publish-report.json", Document),
        ("run-create-order-process.json", Order),
    ],
)
def test_a_run_is_created_of_a_workflow_that_is_there_with_input_that_it_takes(
    name: str, model: type[BaseModel]
) -> None:
    (create,) = commands(name)

    assert isinstance(create, CreateRun)
    assert registry.get(create.workflow_id).validate_input(create.input) == model.model_validate(create.input)


def test_the_order_is_cancelled_as_it_stands_and_undone_when_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = MemoryBank()
    monkeypatch.setattr(workflow, "outside", Outside(bank=bank))
    engine = VirtualEngine(workflow.order_process)
    told = []
    for name in ("run-create-order-process.json", "run-cancel-order-process.json", "run-undo.json"):
        [record] = SQSEvent(read(name)).records
        assert engine.host.handle_job(Delivery(message_id=name, body=record.body, receipt=name)).acknowledge
        told.append((engine.kernel.queries.runs("order-process").heads[0].status, len(bank.charged.open)))
    engine.work()
    told.append((engine.kernel.queries.runs("order-process").heads[0].status, len(bank.charged.open)))

    assert told == [("RUNNING", 1), ("CANCELLED", 1), ("RUNNING", 1), ("CANCELLED", 0)]


def test_the_stages_that_are_named_exist() -> None:
    plan = registry.get("document-analysis").plan
    (job,), (rerun,) = commands("job-execute.json"), commands("run-rerun-from.json")

    assert isinstance(job, ExecuteJob)
    assert isinstance(rerun, RerunFrom)
    assert job.stage_id in plan[0]
    assert rerun.from_stage_id in plan[-1]


def test_the_signal_is_the_one_that_publishing_waits_for() -> None:
    (signal,) = commands("run-signal.json")

    assert isinstance(signal, SignalRun)
    assert signal.name == APPROVAL
    assert Approval.model_validate(signal.payload).approved


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
