"""Engines in memory, for hosts."""

from collections.abc import Callable
from typing import TypeAlias

import pytest

from workflow_engine import Registry, WorkflowDefinition
from workflow_engine.testing.clock import FakeClock
from workflow_engine.wiring.memory import MemoryEngine, memory_engine

MakeEngine: TypeAlias = Callable[..., MemoryEngine]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_engine(clock: FakeClock) -> MakeEngine:
    """Makes an engine in memory that knows *workflows*."""

    def make(*workflows: WorkflowDefinition) -> MemoryEngine:
        return memory_engine(Registry(workflows), clock=clock)

    return make
