"""The simulator's histories on the DynamoDB adapter: what memory cannot show is a wrong expression."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import boto3
import pytest
from moto import mock_aws
from mypy_boto3_dynamodb import DynamoDBClient

from tests.simulation.reference import DEPLOYED, REFERENCE, REFUSED, SIBLINGS
from workflow_engine.adapters.aws.dynamodb import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.ports.clock import Clock
from workflow_engine.testing.clock import SequentialIds
from workflow_engine.testing.simulation import Scenario, SimulationError, simulate
from workflow_engine.testing.simulation.tasks import Stores

NUMBERS = count()
SCENARIOS = {"reference": REFERENCE, "deploys": DEPLOYED, "refused events": REFUSED, "siblings": SIBLINGS}


def on_dynamodb(scenario: Scenario, client: DynamoDBClient) -> Scenario:
    """*scenario* with a table of its own for each history."""
    ids = SequentialIds(seed=1 << 40)

    def stores(clock: Clock) -> Stores:
        name = f"simulated-{next(NUMBERS)}"
        client.create_table(**create_table_request(name))
        shards = scenario.settings.due_shards
        return Stores(DynamoPersistence(table_name=name, shards=shards, clock=clock, ids=ids, client=client))

    return replace(scenario, stores=stores)


@pytest.fixture
def moto_client() -> Iterator[DynamoDBClient]:
    with mock_aws():
        yield boto3.client("dynamodb")


@pytest.fixture(scope="module")
def local_client(dynamodb_local_url: str) -> DynamoDBClient:
    return boto3.client("dynamodb", endpoint_url=dynamodb_local_url)


def same_as_in_memory(name: str, seed: int, client: DynamoDBClient) -> None:
    """Every invariant holds, and every port call is answered as the adapter in memory answers it."""
    scenario = SCENARIOS[name]
    stored = simulate(on_dynamodb(scenario, client), seed)
    if stored.violation is not None:
        raise SimulationError(stored, stored)
    in_memory = simulate(scenario, seed)

    assert [str(line) for line in stored.lines] == [str(line) for line in in_memory.lines]
    assert stored.steps >= 200


@pytest.mark.parametrize("seed", range(1))
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_history_on_moto_is_the_one_in_memory(name: str, seed: int, moto_client: DynamoDBClient) -> None:
    same_as_in_memory(name, seed, moto_client)


@pytest.mark.parametrize("seed", range(100, 104))
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_history_on_dynamodb_local_is_the_one_in_memory(name: str, seed: int, local_client: DynamoDBClient) -> None:
    same_as_in_memory(name, seed, local_client)
