"""Bugs in the closing phase of runs: the simulator turns red for each."""

import pytest

from tests.simulation.subtle_bugs import caught
from tests.simulation.undo_bugs import UNDOS


@pytest.mark.parametrize("bug", UNDOS)
def test_it_is_caught(bug: str) -> None:
    assert caught(UNDOS[bug], bug, seeds=300) is not None
