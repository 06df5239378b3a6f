from collections.abc import Iterator
from itertools import count

import boto3
import pytest
from botocore.config import Config
from mypy_boto3_dynamodb import DynamoDBClient
from typing_extensions import override

from workflow_engine.adapters.aws.dynamodb import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.ports.persistence import Persistence
from workflow_engine.testing.clock import FakeClock, SequentialIds
from workflow_engine.testing.contracts import PersistenceContract
from workflow_engine.testing.contracts.persistence import SHARDS

NUMBERS = count()


@pytest.fixture(scope="module")
def client(moto_url: str) -> DynamoDBClient:
    # A busy emulator may keep the last of a hundred threads waiting; a request sent twice would be another test.
    config = Config(max_pool_connections=100, read_timeout=100, retries={"total_max_attempts": 1})
    return boto3.client("dynamodb", endpoint_url=moto_url, config=config)


@pytest.fixture
def table_name(client: DynamoDBClient) -> Iterator[str]:
    name = f"contract-{next(NUMBERS)}"
    client.create_table(**create_table_request(name))
    yield name
    client.delete_table(TableName=name)


class TestDynamoPersistenceOnMoto(PersistenceContract):
    @override
    @pytest.fixture
    def persistence(self, clock: FakeClock, client: DynamoDBClient, table_name: str) -> Persistence:
        return DynamoPersistence(table_name=table_name, shards=SHARDS, clock=clock, ids=SequentialIds(), client=client)
