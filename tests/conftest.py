"""What every test may rely on: a world without AWS, and emulators for the tests that name them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

import dynamodb_local

ROOT = Path(__file__).parent.parent

# A test's time is the machine's, and the machine may be busy: pytest-timeout bounds it instead.
settings.register_profile("project", deadline=None)
# For `--hypothesis-profile=thorough`, as scripts/reliability_processes.py has it.
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("project")


def pytest_configure() -> None:
    """Take away whatever could reach an account of the developer's."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        # No file of the developer's changes what a client does.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def pytest_report_header() -> str:
    """Say which emulators the tests run against."""
    if dynamodb_local.find():
        return "emulators: moto, DynamoDB Local"
    return "emulators: moto; DynamoDB Local is not here (`make dynamodb-local`), the tests that need it are deselected"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what needs DynamoDB Local where there is none; the header says so."""
    if dynamodb_local.find():
        return
    unwanted = [item for item in items if _needs_dynamodb_local(item)]
    config.hook.pytest_deselected(items=unwanted)
    items[:] = [item for item in items if item not in set(unwanted)]


def _needs_dynamodb_local(item: pytest.Item) -> bool:
    if item.get_closest_marker("dynamodb_local"):
        return True
    return isinstance(item, pytest.Function) and "dynamodb_local_url" in item.fixturenames


@pytest.fixture(scope="session")
def dynamodb_local_url() -> Iterator[str]:
    """A DynamoDB Local of this worker's; tables of different tests must differ in name."""
    with _server("dynamodb_local.py", "run") as url:
        yield url


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """A serialised moto server of this worker's; it keeps what earlier tests left."""
    with _server("moto_serial.py") as url:
        yield url


@contextmanager
def _server(script: str, *arguments: str) -> Iterator[str]:
    # It ends when its standard input does, so it does not outlive a worker that was killed.
    command = [sys.executable, str(ROOT / "scripts" / script), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert url, f"{script} did not start; what it said is on standard error"
        yield url
