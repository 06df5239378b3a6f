"""Emulators that several processes use at once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.processes.patience import Patience
from tests.integration.processes.stack import Stack, stack
from workflow_engine.kernel import Kernel
from workflow_engine.local import server
from workflow_engine.wiring.aws import build_kernel, forget_clients
from workflow_engine.wiring.settings import Settings


@pytest.fixture
def polled_moto_url() -> Iterator[str]:
    """moto, one request at a time, in which a long poll of one process does not hold up the others."""
    with pytest.MonkeyPatch.context() as patch:
        # Eight workers with nothing to do must not keep the emulator busy.
        patch.setattr(server, "POLL_EVERY", timedelta(milliseconds=300))
        with server.MotoServer() as moto:
            yield moto.url


@contextmanager
def kernel_on(stack: Stack) -> Iterator[Kernel]:
    """A kernel of this process's own, as the others have theirs."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.environment.items():
            patch.setenv(name, value)
        forget_clients()
        try:
            yield build_kernel(Settings.from_environment(os.environ))
        finally:
            forget_clients()


@pytest.fixture
def on_dynamodb_local(polled_moto_url: str, dynamodb_local_url: str, tmp_path: Path) -> Iterator[Stack]:
    """The table in DynamoDB Local, everything else in moto."""
    with stack(polled_moto_url, dynamodb_local_url, tmp_path, Patience()) as made:
        yield made


@pytest.fixture
def on_moto(polled_moto_url: str, tmp_path: Path) -> Iterator[Stack]:
    """The table in moto, too."""
    with stack(polled_moto_url, polled_moto_url, tmp_path, Patience()) as made:
        yield made
