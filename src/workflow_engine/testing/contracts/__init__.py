"""What every adapter of a port must do: subclass a contract and give it the adapter as a fixture."""

import pytest

# Before the imports, or their assertions would fail without saying what they saw.
_PERSISTENCE = ("closing", "heads", "indexes", "items", "races", "recent", "shared", "steps")
for _module in ("blobs", "events", "jobs", "scheduler", *(f"persistence_{part}" for part in _PERSISTENCE)):
    pytest.register_assert_rewrite(f"{__name__}.{_module}")

from workflow_engine.testing.contracts.blobs import BlobStoreContract  # noqa: E402
from workflow_engine.testing.contracts.events import EventSinkContract  # noqa: E402
from workflow_engine.testing.contracts.jobs import JobTransportContract, JobTransportTimeContract  # noqa: E402
from workflow_engine.testing.contracts.persistence import PersistenceContract  # noqa: E402
from workflow_engine.testing.contracts.scheduler import SchedulerContract  # noqa: E402

__all__ = [
    "BlobStoreContract",
    "EventSinkContract",
    "JobTransportContract",
    "JobTransportTimeContract",
    "PersistenceContract",
    "SchedulerContract",
]
