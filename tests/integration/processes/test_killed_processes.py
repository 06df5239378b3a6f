"""Eight workers and two tickers, killed with SIGKILL at random moments: nothing is lost, nothing counts twice."""

from time import monotonic

import pytest

from tests.integration.processes.conftest import kernel_on
from tests.integration.processes.experiment import Experiment
from tests.integration.processes.fleet import Fleet
from tests.integration.processes.stack import Stack


@pytest.mark.timeout(300)
def test_runs_survive_the_death_of_any_process(on_dynamodb_local: Stack) -> None:
    with kernel_on(on_dynamodb_local) as kernel, Fleet(on_dynamodb_local) as fleet:
        experiment, begun = Experiment(on_dynamodb_local, kernel), monotonic()
        experiment.create(28)
        experiment.go(fleet, kills=16, every=(0.1, 0.6), within=180)
        figures = experiment.figures(fleet, monotonic() - begun)
        experiment.check()

    print(figures)  # noqa: T201
    # Otherwise the kills met nobody at work, and nothing was shown.
    assert figures.workers_killed > 8
    assert figures.tickers_killed > 0
    assert figures.leases_taken_over + figures.repeated_effects > figures.retried


@pytest.mark.timeout(300)
def test_they_do_on_moto_alone(on_moto: Stack) -> None:
    with kernel_on(on_moto) as kernel, Fleet(on_moto, workers=3, tickers=1) as fleet:
        experiment = Experiment(on_moto, kernel, seed=2)
        experiment.create(14)
        experiment.go(fleet, kills=8, every=(0.1, 0.8), within=120)
        experiment.check()
