"""Stacks one after another in one process. moto's state is the process's, so these have no stack beside them."""

import os

import pytest

from tests.integration.local.conftest import ROOT
from workflow_engine.local.embedded_aws import EmbeddedAws
from workflow_engine.local.environment import DYNAMODB_ENDPOINT
from workflow_engine.wiring.aws import client
from workflow_engine.wiring.settings import Settings

TEMPLATE = ROOT / "template.yaml"


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
