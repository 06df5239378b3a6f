"""The resources of the project's own template, as the embedded AWS has them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.local.conftest import ROOT
from workflow_engine.local.embedded_aws import EmbeddedAws
from workflow_engine.wiring.aws import client
from workflow_engine.wiring.settings import Settings

TEMPLATE = ROOT / "template.yaml"


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws(TEMPLATE) as entered:
        yield entered


def properties(aws: EmbeddedAws, name: str) -> dict[str, Any]:
    found: dict[str, Any] = aws.template.document["Resources"][name]["Properties"]
    return found


def test_the_table_has_the_keys_indexes_and_ttl_of_the_template(aws: EmbeddedAws) -> None:
    settings = Settings.from_environment()
    table = client("dynamodb").describe_table(TableName=settings.table_name)["Table"]
    ttl = client("dynamodb").describe_time_to_live(TableName=settings.table_name)["TimeToLiveDescription"]
    wanted = properties(aws, "Table")

    assert table["KeySchema"] == wanted["KeySchema"]
    assert {index["IndexName"]: index["KeySchema"] for index in table["GlobalSecondaryIndexes"]} == {
        index["IndexName"]: index["KeySchema"] for index in wanted["GlobalSecondaryIndexes"]
    }
    assert ttl["AttributeName"] == wanted["TimeToLiveSpecification"]["AttributeName"]


def test_the_queue_has_the_attributes_and_the_redrive_of_the_template(aws: EmbeddedAws) -> None:
    settings = Settings.from_environment()
    answer = client("sqs").get_queue_attributes(QueueUrl=settings.job_queue_url, AttributeNames=["All"])
    attributes, wanted = answer["Attributes"], properties(aws, "JobQueue")

    assert attributes["QueueArn"] == settings.job_queue_arn
    # The template has it by InvocationSeconds: 900, and the minute.
    assert int(attributes["VisibilityTimeout"]) == 960
    assert int(attributes["MessageRetentionPeriod"]) == wanted["MessageRetentionPeriod"]
    assert int(attributes["ReceiveMessageWaitTimeSeconds"]) == wanted["ReceiveMessageWaitTimeSeconds"]
    assert str(aws.template.identities["JobDeadLetterQueue"].arn) in attributes["RedrivePolicy"]


def test_all_else_that_the_functions_are_told_of_exists(aws: EmbeddedAws) -> None:
    settings = Settings.from_environment()

    assert client("s3").head_bucket(Bucket=settings.bucket_name)
    assert client("events").describe_event_bus(Name=settings.event_bus_name)["Name"] == settings.event_bus_name
    assert client("scheduler").get_schedule_group(Name=settings.schedule_group_name)["State"] == "ACTIVE"
