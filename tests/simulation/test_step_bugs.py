"""Bugs in durable steps and in waits of bodies: the simulator turns red for each."""

import pytest

from tests.simulation.step_bugs import STEPS
from tests.simulation.subtle_bugs import caught


@pytest.mark.parametrize("bug", STEPS)
def test_it_is_caught(bug: str) -> None:
    assert caught(STEPS[bug], bug, seeds=300) is not None
