"""What stands in the place of the SQS event source mapping."""

import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from tests.integration.local.conftest import ROOT, Recorded
from workflow_engine.adapters.system import SystemClock
from workflow_engine.local.driver import Driver
from workflow_engine.local.job_source import JobSource
from workflow_engine.wiring.aws import client


@pytest.fixture
def source(recorded: Recorded) -> JobSource:
    (function,) = recorded.aws.template.functions()
    return JobSource.of(client("sqs"), recorded.runner, function, function.triggers[0])


def send(recorded: Recorded, *bodies: str) -> list[str]:
    url = recorded.queue_url("Jobs")
    return [client("sqs").send_message(QueueUrl=url, MessageBody=body)["MessageId"] for body in bodies]


def test_a_record_looks_like_those_of_the_event_files(recorded: Recorded, source: JobSource) -> None:
    (example,) = json.loads((ROOT / "events" / "run-create.json").read_text())["Records"]
    send(recorded, "hello")
    source.poll()
    (record,) = recorded.handler.events[0]["Records"]

    assert record.keys() == example.keys()
    assert record["attributes"].keys() >= example["attributes"].keys()
    assert record["body"] == "hello"
    assert record["md5OfBody"] == "5d41402abc4b2a76b9719d911017c592"
    assert record["eventSourceARN"] == recorded.aws.template.identities["Jobs"].arn
    assert record["attributes"]["ApproximateReceiveCount"] == "1"


def test_the_context_is_that_of_the_function(recorded: Recorded, source: JobSource) -> None:
    send(recorded, "hello")
    source.poll()
    context = recorded.handler.contexts[0]

    assert 0 < context.get_remaining_time_in_millis() <= 7000
    assert context.function_name == "workflow-engine-local-Worker"
    assert context.invoked_function_arn.endswith(":function:workflow-engine-local-Worker")
    assert context.memory_limit_in_mb == 512
    assert context.aws_request_id


def test_what_the_handler_prints_goes_to_the_log(
    recorded: Recorded, source: JobSource, capsys: pytest.CaptureFixture[str]
) -> None:
    send(recorded, "hello")
    source.poll()

    assert recorded.runner.log.lines == ("handled 1",)
    assert capsys.readouterr().out == ""


def test_a_batch_has_as_many_messages_as_the_template_says(recorded: Recorded, source: JobSource) -> None:
    send(recorded, *"abcdef")

    assert [source.poll(), source.poll(), source.poll()] == [3, 3, 0]
    assert [len(event["Records"]) for event in recorded.handler.events] == [3, 3]


def test_an_empty_queue_invokes_nothing(recorded: Recorded, source: JobSource) -> None:
    assert source.poll() == 0
    assert recorded.handler.events == []


def test_only_what_failed_comes_again(recorded: Recorded, source: JobSource) -> None:
    _, bad, _ = send(recorded, "a", "b", "c")
    recorded.handler.answers.append({"batchItemFailures": [{"itemIdentifier": bad}]})
    source.poll()
    assert recorded.bodies("Jobs") == ["b"]

    # Looking at the queue was its second delivery.
    source.poll()
    (record,) = recorded.handler.events[1]["Records"]
    assert (record["messageId"], record["attributes"]["ApproximateReceiveCount"]) == (bad, "3")
    assert recorded.bodies("Jobs") == []


def test_a_handler_that_raises_fails_its_whole_batch_and_nothing_else(recorded: Recorded, source: JobSource) -> None:
    send(recorded, "a", "b")
    recorded.handler.answers.append(RuntimeError("oops"))
    source.poll()

    assert recorded.bodies("Jobs") == ["a", "b"]
    (failure,) = recorded.runner.failures
    assert str(failure.error) == "oops"


def test_what_failed_too_often_goes_to_the_dead_letter_queue(recorded: Recorded, source: JobSource) -> None:
    send(recorded, "poison")
    recorded.handler.answers.extend([RuntimeError("oops")] * 9)

    assert [source.poll() for _ in range(5)] == [1, 1, 1, 0, 0]
    assert recorded.bodies("Jobs") == []
    assert recorded.bodies("Dead") == ["poison"]


def test_a_trigger_that_is_off_takes_nothing_from_its_queue(recorded: Recorded) -> None:
    document = deepcopy(dict(recorded.aws.template.document))
    document["Resources"]["Worker"]["Properties"]["Events"]["Jobs"]["Properties"]["Enabled"] = False
    send(recorded, "hello")

    driver = Driver(replace(recorded.aws.template, document=document), recorded.runner, SystemClock())
    for _ in range(3):
        driver.step()

    assert [event for event in recorded.handler.events if "Records" in event] == []
    assert recorded.bodies("Jobs") == ["hello"]


@pytest.mark.parametrize("operation", ["sqs.ReceiveMessage", "scheduler.ListSchedules"])
def test_a_stack_that_answers_too_late_now_and_then_is_worked_for_all_the_same(
    recorded: Recorded, operation: str
) -> None:
    late: list[None] = []

    def act(**_: Any) -> None:
        late.append(None)
        if len(late) < 3:
            raise ReadTimeoutError(endpoint_url="http://127.0.0.1")

    service = client(operation.partition(".")[0])
    service.meta.events.register(f"before-call.{operation}", act)
    client("sqs").send_message(QueueUrl=recorded.queue_url("Jobs"), MessageBody="hello")
    Driver(recorded.aws.template, recorded.runner, SystemClock()).drive(
        lambda: any("Records" in event for event in recorded.handler.events)
    )

    assert late
