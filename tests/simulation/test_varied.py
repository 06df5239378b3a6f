"""Random histories beyond the reference: people, workers, long chains, errors that no retry mends,
stores that forget."""

from collections.abc import Mapping

import pytest

from tests.simulation import varied
from workflow_engine.testing.simulation import Scenario, explore, simulate

SCENARIOS: Mapping[str, Scenario] = {
    "people": varied.PEOPLE,
    "long chains": varied.LONG,
    "old keys after a rerun": varied.AGAIN,
    "workers": varied.WORKERS,
    "stores that forget": varied.EXPIRING,
    "archives and plugins": varied.ARCHIVED,
    "commands by the queue": varied.QUEUED,
    "batches": varied.BATCHED,
    "errors for good": varied.REFUSING,
    "old code beside new": varied.SIDE_BY_SIDE,
    "reruns": varied.RERUN,
    "records that are gone": varied.EXPIRED,
    "stages that never work": varied.STUBBORN,
    "cancelled while they wait": varied.CANCELLED,
    "workers that hang": varied.GHOSTS,
    "records in heads": varied.RIDING,
    "stages that signal": varied.TELLING,
    "inline groups": varied.INLINE,
    "inline groups by the queue": varied.INLINE_BY_QUEUE,
    "steps and waits in bodies": varied.STEPPING,
    "steps of workers that hang": varied.STEPPING_GHOSTS,
    "steps in workers": varied.STEPPING_WORKERS,
    "sagas": varied.UNDOING,
    "sagas of workers that hang": varied.UNDOING_GHOSTS,
    "sagas of code that cannot be stopped": varied.UNDOING_THREADS,
    "sagas in workers": varied.UNDOING_WORKERS,
    "sagas by the queue": varied.UNDOING_BY_QUEUE,
    "sagas that are cancelled at work": varied.UNDOING_CANCELLED,
    "choices": varied.CHOOSING,
    "choices by the queue": varied.CHOOSING_BY_QUEUE,
    "choices in workers": varied.CHOOSING_WORKERS,
    "choices that are turned around": varied.TURNED,
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_invariant_holds_in_every_history(name: str) -> None:
    report = explore(SCENARIOS[name], 10)

    assert report.fewest_faults is not None
    assert report.fewest_faults >= 5


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_is_the_same_history(name: str) -> None:
    once, again = simulate(SCENARIOS[name], 3), simulate(SCENARIOS[name], 3)

    assert once.fingerprint == again.fingerprint


def test_nothing_comes_late_or_costs_more_where_nothing_goes_wrong() -> None:
    report = explore(varied.CALM, 20)

    assert report.faults == 0
    assert report.runs > 60


def test_an_inline_group_costs_no_more_and_is_never_late_where_nothing_goes_wrong() -> None:
    report = explore(varied.INLINE_CALM, 20)

    assert report.faults == 0
    assert report.runs > 60


def test_steps_and_waits_are_never_late_and_cost_no_more_where_nothing_goes_wrong() -> None:
    report = explore(varied.STEPPING_CALM, 20)

    assert report.faults == 0
    assert report.runs > 60


def test_what_a_run_did_is_undone_once_and_at_once_where_nothing_goes_wrong() -> None:
    report = explore(varied.UNDOING_CALM, 20)

    assert report.faults == 0
    assert report.runs > 60


def test_a_choice_is_made_once_and_in_time_where_nothing_goes_wrong() -> None:
    report = explore(varied.CHOOSING_CALM, 20)

    assert report.faults == 0
    assert report.runs > 60


@pytest.mark.parametrize("seed", range(4))
def test_thirty_siblings_of_which_half_ask_people_come_to_their_end(seed: int) -> None:
    assert simulate(varied.WIDE, seed).violation is None


def test_thirty_siblings_to_which_nothing_happens_are_called_no_more_than_they_ask_for() -> None:
    history = simulate(varied.WIDE_CALM, 0)
    (tally,) = history.tallies.values()

    assert history.violation is None
    # Each of fifteen asks and handles its answer; six of the others fail once; one counts them all.
    assert sum(tally.calls.values()) == 30 + 15 + 6 + 1
    assert tally.lost == 0
