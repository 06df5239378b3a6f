import pytest
from typing_extensions import override

from workflow_engine.adapters.memory import MemoryJobTransport
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.contracts import JobTransportContract, JobTransportTimeContract
from workflow_engine.testing.contracts.jobs import A_MINUTE


class TestMemoryJobTransport(JobTransportContract, JobTransportTimeContract):
    @override
    @pytest.fixture
    def transport(self, clock: FakeClock) -> JobTransport:
        return MemoryJobTransport(clock, visibility=A_MINUTE, max_receives=self.max_receives)
