"""What every persistence must do; an adapter's test gives it the adapter as a fixture.

.. code-block:: python

    class TestMyPersistence(PersistenceContract):
        @pytest.fixture
        def persistence(self, clock: FakeClock) -> Persistence:
            return MyPersistence(shards=SHARDS, clock=clock)

A test begins with an empty store.
"""

import pytest

from workflow_engine.ports.persistence import Persistence
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.contracts.persistence_choices import ChoiceContract
from workflow_engine.testing.contracts.persistence_closing import ClosingContract
from workflow_engine.testing.contracts.persistence_heads import HeadContract, IdempotencyContract
from workflow_engine.testing.contracts.persistence_indexes import SHARDS, DueContract, ListingContract
from workflow_engine.testing.contracts.persistence_items import NoteContract, RecordContract
from workflow_engine.testing.contracts.persistence_races import GhostContract, RaceContract, RearmContract
from workflow_engine.testing.contracts.persistence_recent import RecentContract
from workflow_engine.testing.contracts.persistence_shared import SharedContract, SignalContract
from workflow_engine.testing.contracts.persistence_steps import StepContract

__all__ = ["SHARDS", "PersistenceContract"]


class PersistenceContract(
    HeadContract,
    IdempotencyContract,
    SharedContract,
    SignalContract,
    RaceContract,
    GhostContract,
    RearmContract,
    RecordContract,
    RecentContract,
    StepContract,
    ChoiceContract,
    ClosingContract,
    NoteContract,
    DueContract,
    ListingContract,
):
    """Everything that the port promises."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The time, which stands still."""
        return FakeClock()

    @pytest.fixture
    def persistence(self, clock: FakeClock) -> Persistence:
        """An empty store, made for ``SHARDS`` shards and *clock*."""
        raise NotImplementedError("an adapter's test overrides this fixture")
