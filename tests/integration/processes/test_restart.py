"""One worker, alone with its stack as in local mode, killed in the middle; another one goes on from there."""

import threading
from pathlib import Path
from time import monotonic

import pytest

from tests.integration.processes.conftest import kernel_on
from tests.integration.processes.experiment import Experiment
from tests.integration.processes.fleet import Fleet
from tests.integration.processes.patience import Patience
from tests.integration.processes.stack import Stack, stack
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.ids import RunId
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


@pytest.mark.timeout(300)
def test_a_message_is_not_hidden_for_as_long_as_a_function_would_need(polled_moto_url: str, tmp_path: Path) -> None:
    """The queue hides a message for 90 minutes. Nobody ticks here: only its redelivery can bring the run back."""
    patience = Patience(visibility_seconds=5400)
    with stack(polled_moto_url, polled_moto_url, tmp_path, patience) as made, kernel_on(made) as kernel:
        experiment = Experiment(made, kernel, seed=4)
        run_id = RunId(kernel.dispatch(CreateRun(workflow_id="single", input={"value": 1})).run_id)
        slow = RunId(kernel.dispatch(CreateRun(workflow_id="failing", input={"value": 1})).run_id)
        with Fleet(made, workers=1, tickers=0):
            while slow not in {mark["run"] for mark in experiment.marks()}:
                threading.Event().wait(0.01)
        assert kernel.parts.persistence.load_heads([slow])[slow].status is Status.RUNNING

        with Fleet(made, workers=1, tickers=0):
            end = monotonic() + 60
            while not all(
                head.status.is_terminal for head in kernel.parts.persistence.load_heads([run_id, slow]).values()
            ):
                assert monotonic() < end
                threading.Event().wait(0.1)
