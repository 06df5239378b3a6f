"""pytest fixtures for tests of workflows; they are there wherever this package is installed.

::

    def test_a_report_is_published_once_it_is_approved(workflow_engine):
        run = workflow_engine.run(publish_report, {"name": "a.txt", "text": "…"})
        assert run.waiting_for == ("approval",)
        workflow_engine.signal(run, "approval", {"approved": True, "by": "ada"})
        assert run.status == "COMPLETED"
"""

from typing import TYPE_CHECKING

import pytest

# pytest loads plugins at its start, with or without a test that uses them: the engine is imported
# by the fixtures.
if TYPE_CHECKING:
    from workflow_engine.testing.clock import FakeClock
    from workflow_engine.testing.engine import VirtualEngine


@pytest.fixture
def workflow_clock() -> "FakeClock":
    """The time of ``workflow_engine``: it moves when the test, or what a run waits for, moves it."""
    from workflow_engine.testing.clock import FakeClock

    return FakeClock()


@pytest.fixture
def workflow_engine(workflow_clock: "FakeClock") -> "VirtualEngine":
    """An engine in memory and in virtual time: ``run``, ``signal``, ``advance``, ``deploy``."""
    from workflow_engine.testing.engine import VirtualEngine

    return VirtualEngine(clock=workflow_clock)
