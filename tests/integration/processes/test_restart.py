"""One worker, alone with its stack as in local mode, killed in the middle; another one goes on from there."""

import threading

import pytest

from tests.integration.processes.conftest import kernel_on
from tests.integration.processes.experiment import Experiment
from tests.integration.processes.fleet import Fleet
from tests.integration.processes.stack import Stack
from workflow_engine.model.status import Status


@pytest.mark.timeout(300)
def test_what_was_begun_is_finished_after_a_restart(on_moto: Stack) -> None:
    with kernel_on(on_moto) as kernel:
        experiment = Experiment(on_moto, kernel, seed=3)
        experiment.create(7)
        with Fleet(on_moto, workers=1, tickers=0):
            while not experiment.marks():
                threading.Event().wait(0.05)
        # Nobody is there now, and it is in the middle of something.
        experiment.look()
        assert Status.RUNNING in {head.status for head in experiment.heads.values()}

        with Fleet(on_moto, workers=1, tickers=1) as fleet:
            experiment.go(fleet, kills=0, every=(0, 0), within=120)
        experiment.check()
