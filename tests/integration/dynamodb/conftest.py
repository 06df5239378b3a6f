"""A table on DynamoDB Local, with an eye on what goes over the wire."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from botocore.config import Config
from botocore.session import get_session

from workflow_engine.adapters.aws.dynamodb import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.testing.clock import FakeClock, SequentialIds

NUMBERS = count()
SHARDS = 4


class Wire:
    """The requests that one client sent: how many of each operation, and the units they were billed."""

    def __init__(self, client: Any) -> None:
        self.requests: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.units: list[float] = []
        self._events = client.meta.events
        self._events.register("provide-client-params.dynamodb.*", self._before)
        self._events.register("after-call.dynamodb.*", self._after)

    def stop(self) -> None:
        """Look no more."""
        self._events.unregister("provide-client-params.dynamodb.*", self._before)
        self._events.unregister("after-call.dynamodb.*", self._after)

    def _before(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        if "ReturnConsumedCapacity" in model.input_shape.members:
            params["ReturnConsumedCapacity"] = "TOTAL"
            self.requests[model.name].append(params)

    def _after(self, parsed: dict[str, Any], **_: Any) -> None:
        consumed = parsed.get("ConsumedCapacity")
        if consumed:
            every = consumed if isinstance(consumed, list) else [consumed]
            self.units.append(sum(each["CapacityUnits"] for each in every))

    def take_units(self) -> float:
        """The units since the last call of this."""
        total = sum(self.units)
        self.units.clear()
        return total

    def counts(self) -> dict[str, int]:
        """How many requests of each operation there were."""
        return {name: len(requests) for name, requests in self.requests.items()}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def client(dynamodb_local_url: str) -> Any:
    """One client for all, since making one takes longer than a test. It sends a request once."""
    config = Config(retries={"mode": "standard", "total_max_attempts": 1})
    return get_session().create_client("dynamodb", endpoint_url=dynamodb_local_url, config=config)


@pytest.fixture
def table_name(client: Any) -> Iterator[str]:
    name = f"integration-{next(NUMBERS)}"
    client.create_table(**create_table_request(name))
    yield name
    client.delete_table(TableName=name)


@pytest.fixture
def persistence(client: Any, table_name: str, clock: FakeClock) -> DynamoPersistence:
    return DynamoPersistence(table_name=table_name, shards=SHARDS, clock=clock, ids=SequentialIds(), client=client)


@pytest.fixture
def wire(client: Any, table_name: str) -> Iterator[Wire]:
    """What goes over the wire from now on."""
    wire = Wire(client)
    yield wire
    wire.stop()
