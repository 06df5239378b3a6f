"""The reference workloads, run once for all tests here: on DynamoDB Local, and on moto."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from workflow_engine.costing.deployment import Deployment
from workflow_engine.costing.measurement import measure
from workflow_engine.costing.metered_engine import Outcome
from workflow_engine.costing.report import Report
from workflow_engine.costing.workloads import chain, reference_workloads
from workflow_engine.local.place import Place
from workflow_engine.local.template import Template

MEMORY_MEGABYTES = 1024
TEMPLATE = Path(__file__).parents[3] / "template.yaml"


def deployed(**parameters: str) -> Deployment:
    """The project's own stack, with its defaults but for *parameters*."""
    return Deployment.of(Template.read(TEMPLATE, Place(endpoint="http://127.0.0.1"), parameters))


@pytest.fixture(scope="session")
def consumed(dynamodb_local_url: str) -> Report:
    """The figures with the units that DynamoDB Local says it consumed."""
    loads = reference_workloads()
    return measure(loads, (), deployed(), dynamodb_url=dynamodb_local_url, memory_megabytes=MEMORY_MEGABYTES)


@pytest.fixture(scope="session")
def computed() -> Report:
    """The figures of a chain of 5 with computed units alone, as where DynamoDB Local cannot be had."""
    return measure((chain(5),), (), deployed(), dynamodb_url=None, memory_megabytes=MEMORY_MEGABYTES)


@pytest.fixture(scope="session")
def outcomes(consumed: Report) -> Mapping[str, Outcome]:
    """What came of each reference workload, by name."""
    return {load.name: outcome for load, outcome in consumed.workloads}
