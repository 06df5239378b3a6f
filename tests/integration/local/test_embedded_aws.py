"""The resources of the project's own template, as the embedded AWS has them."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.local.conftest import ROOT
from workflow_engine.cli.embedded.embedded_aws import EmbeddedAws
from workflow_engine.cli.embedded.environment import DYNAMODB_ENDPOINT
from workflow_engine.settings import Settings
from workflow_engine.wiring.aws import client

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
    assert int(attributes["VisibilityTimeout"]) == wanted["VisibilityTimeout"]
    assert int(attributes["MessageRetentionPeriod"]) == wanted["MessageRetentionPeriod"]
    assert int(attributes["ReceiveMessageWaitTimeSeconds"]) == wanted["ReceiveMessageWaitTimeSeconds"]
    assert str(aws.template.identities["JobDeadLetterQueue"].arn) in attributes["RedrivePolicy"]


def test_all_else_that_the_functions_are_told_of_exists(aws: EmbeddedAws) -> None:
    settings = Settings.from_environment()

    assert client("s3").head_bucket(Bucket=settings.bucket_name)
    assert client("events").describe_event_bus(Name=settings.event_bus_name)["Name"] == settings.event_bus_name
    assert client("scheduler").get_schedule_group(Name=settings.schedule_group_name)["State"] == "ACTIVE"


def test_a_second_stack_in_the_same_process_starts_with_nothing() -> None:
    for _ in range(2):
        with EmbeddedAws(TEMPLATE) as aws:
            bucket = aws.variables["BUCKET_NAME"]
            assert "Contents" not in client("s3").list_objects_v2(Bucket=bucket)
            client("s3").put_object(Bucket=bucket, Key="left", Body=b"behind")


def test_the_environment_is_the_functions_own_only_while_it_runs() -> None:
    before = dict(os.environ)

    with EmbeddedAws(TEMPLATE, overrides={"DueShards": "2"}) as aws:
        assert os.environ["AWS_ENDPOINT_URL"] == aws.template.place.endpoint
        assert Settings.from_environment().due_shards == 2
    assert dict(os.environ) == before


def test_the_table_can_be_on_dynamodb_local(dynamodb_local_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DYNAMODB_ENDPOINT, dynamodb_local_url)

    for _ in range(2):  # the second time it is there already
        with EmbeddedAws(TEMPLATE):
            table = client("dynamodb").describe_table(TableName=Settings.from_environment().table_name)["Table"]
            assert client("dynamodb").meta.endpoint_url == dynamodb_local_url
            assert len(table["GlobalSecondaryIndexes"]) == 3
