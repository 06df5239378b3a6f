"""Bugs in choices: the simulator turns red for each."""

import pytest

from tests.simulation.choice_bugs import CHOICES
from tests.simulation.subtle_bugs import caught


@pytest.mark.parametrize("bug", CHOICES)
def test_it_is_caught(bug: str) -> None:
    assert caught(CHOICES[bug], bug, seeds=300) is not None
