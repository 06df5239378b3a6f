"""What importing a function loads. A module more is time in every cold start: it needs a reason to be here."""

import json
import subprocess
import sys
from functools import cache

import pytest

HANDLERS = ("job_handler", "maintenance_tick")
# All that is not the standard library, by its first name.
PACKAGES = {
    "annotated_types",
    "aws_lambda_powertools",
    "botocore",
    "dateutil",
    "jmespath",
    "pydantic",
    "pydantic_core",
    "pynamodb",
    "six",
    "typing_extensions",
    "typing_inspection",
    "urllib3",
    "workflow_engine",
}
# Used by botocore and pynamodb where they are installed: here for other reasons, not in the bundle.
WHERE_INSTALLED = {"blinker", "certifi"}
# What is needed by some message or other, and must not be loaded before it is.
ON_DEMAND = {
    "asyncio",
    "workflow_engine.adapters.aws.s3",
    "workflow_engine.adapters.aws.scheduler",
    "workflow_engine.adapters.memory",
    "workflow_engine.authoring.result_types",
    "workflow_engine.kernel.execution.step_gate",
    "workflow_engine.kernel.queries.runs",
    "workflow_engine.model.cron",
    "workflow_engine.testing",
    "aws_lambda_powertools.utilities.batch",
    "aws_lambda_powertools.utilities.data_classes",
    "aws_lambda_powertools.utilities.parser",
}
# The engine's own modules, by layer.
LAYERS = {"adapters", "authoring", "entrypoints", "errors", "hosts", "kernel", "model", "ports", "settings", "wiring"}
PROGRAM = """
import json, sys
before = set(sys.modules)
import workflow_engine.entrypoints.{handler}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@cache
def loaded(handler: str) -> frozenset[str]:
    # In a process of its own: this one has loaded everything.
    command = [sys.executable, "-c", PROGRAM.format(handler=handler)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return frozenset(json.loads(result.stdout))


def packages(modules: frozenset[str]) -> set[str]:
    names = {module.partition(".")[0] for module in modules}
    return {name for name in names if not name.startswith("_")} - sys.stdlib_module_names - WHERE_INSTALLED


@pytest.mark.parametrize("handler", HANDLERS)
def test_importing_a_handler_loads_these_packages_and_no_other(handler: str) -> None:
    assert packages(loaded(handler)) - PACKAGES == set()


@pytest.mark.parametrize("handler", HANDLERS)
def test_what_few_messages_need_is_loaded_when_one_needs_it(handler: str) -> None:
    assert {name for name in loaded(handler) if name in ON_DEMAND} == set()


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_handler_loads_no_layer_that_it_does_not_stand_on(handler: str) -> None:
    own = {name.split(".")[1] for name in loaded(handler) if name.startswith("workflow_engine.")}
    assert own <= LAYERS


def test_the_list_is_not_longer_than_what_is_loaded() -> None:
    assert packages(loaded("job_handler")) == PACKAGES
