"""Random histories of the reference workflows: what `make test` can afford of them."""

import os
import subprocess
import sys

import pytest

from tests.simulation.reference import REFERENCE
from workflow_engine.testing.simulation import explore, simulate

SEEDS, BLOCK = 500, 25


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_every_invariant_holds_in_every_history(first: int) -> None:
    report = explore(REFERENCE, range(first, first + BLOCK))

    assert report.seeds == BLOCK
    assert report.fewest_steps is not None
    assert report.fewest_steps >= 200
    assert report.fewest_faults is not None
    assert report.fewest_faults >= 5


def test_the_same_seed_is_the_same_history() -> None:
    once, again = simulate(REFERENCE, 7), simulate(REFERENCE, 7)

    assert [str(line) for line in once.lines] == [str(line) for line in again.lines]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_same_seed_is_the_same_history_in_another_process(hash_seed: str) -> None:
    program = (
        "from workflow_engine.testing.simulation import simulate\n"
        "from tests.simulation.reference import REFERENCE\n"
        "print(simulate(REFERENCE, 11).fingerprint)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "TZ": "Asia/Kathmandu"}
    answer = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == simulate(REFERENCE, 11).fingerprint


def test_a_history_is_told_again_by_its_decisions_alone() -> None:
    history = simulate(REFERENCE, 5)
    retold = simulate(REFERENCE, seed=-1, script=history.taken)

    assert retold.fingerprint == history.fingerprint
