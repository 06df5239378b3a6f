"""A tick that finds no room to run in is no safety net."""

import pytest

from workflow_engine.cli.concurrency import Concurrency


@pytest.mark.parametrize(
    ("account", "jobs", "tick", "starves"),
    [
        # A new account, with what this template once had for a default, and with what it has now.
        (10, 10, 0, True),
        (10, 5, 0, False),
        (10, 9, 0, False),
        (1000, 100, 0, False),
        (1000, 1000, 0, True),
        (1000, 1000, 2, False),
    ],
)
def test_jobs_that_can_take_all_there_is_starve_the_tick(account: int, jobs: int, tick: int, starves: bool) -> None:
    found = Concurrency(account=account, unreserved=account - tick, jobs=jobs, tick=tick)

    assert found.starves_the_tick is starves
    assert ("no tick runs" in found.said()) is starves
    assert "\n" not in found.said()


def test_what_other_functions_have_reserved_is_not_there_for_the_tick() -> None:
    assert Concurrency(account=1000, unreserved=100, jobs=100, tick=0).starves_the_tick
    assert Concurrency(account=1000, unreserved=100, jobs=60, tick=0).said().endswith("leave 40 of 100 to the tick")
