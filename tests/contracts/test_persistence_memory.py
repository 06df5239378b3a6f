import pytest
from typing_extensions import override

from workflow_engine.adapters.memory.persistence import MemoryPersistence
from workflow_engine.ports.persistence import Persistence
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.contracts import PersistenceContract


class TestMemoryPersistence(PersistenceContract):
    @override
    @pytest.fixture
    def persistence(self, clock: FakeClock) -> Persistence:
        return MemoryPersistence(clock)
