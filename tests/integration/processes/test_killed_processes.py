"""Eight workers and two tickers, killed with SIGKILL at random moments: nothing is lost, nothing counts twice."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from time import monotonic

import pytest

from tests.integration.processes.conftest import kernel_on
from tests.integration.processes.experiment import Experiment, Heard
from tests.integration.processes.fleet import Fleet
from tests.integration.processes.stack import Stack
from workflow_engine.model.status import Status


@pytest.mark.timeout(300)
def test_runs_survive_the_death_of_any_process(on_dynamodb_local: Stack) -> None:
    with kernel_on(on_dynamodb_local) as kernel:
        experiment, begun = Experiment(on_dynamodb_local, kernel), monotonic()
        # First, or quick workers would be done with the one before the next is created, and die idle.
        experiment.create(28)
        with Fleet(on_dynamodb_local) as fleet:
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
    with kernel_on(on_moto) as kernel:
        experiment = Experiment(on_moto, kernel, seed=2)
        experiment.create(14)
        with Fleet(on_moto, workers=3, tickers=1) as fleet:
            experiment.go(fleet, kills=8, every=(0.1, 0.8), within=180)
            experiment.check()
        for spoil in SPOILT:
            assert_is_seen(experiment, spoil)


# Planted losses: what would be found if one of these had happened


def lose_an_event(experiment: Experiment) -> None:
    del heard_of(experiment, "chain").events[3]


def swap_two_events(experiment: Experiment) -> None:
    events = heard_of(experiment, "chain").events
    events[2], events[3] = events[3], events[2]


def count_an_outcome_twice(experiment: Experiment) -> None:
    events = heard_of(experiment, "nap").events
    last = deepcopy(events[-1])
    last["detail"] |= {"sequence": last["detail"]["sequence"] + 1, "event_id": "again"}
    events.append(last)


def change_an_event_that_is_told_again(experiment: Experiment) -> None:
    events = heard_of(experiment, "fan").events
    again = deepcopy(events[0])
    again["detail"]["priority"] = 9
    events.append(again)


def lose_an_effect(experiment: Experiment) -> None:
    marks = experiment.stack.effects.read_text().splitlines()
    run = next(run for run in experiment.runs if run.kind == "chain")
    experiment.stack.effects.write_text(
        "".join(f"{mark}\n" for mark in marks if run.id not in mark or '"last"' not in mark)
    )


def do_an_effect_under_another_key(experiment: Experiment) -> None:
    with experiment.stack.effects.open("a") as file:
        run = next(run for run in experiment.runs if run.kind == "fan")
        file.write(json.dumps({"key": "another", "run": run.id, "stage": "left", "pid": 1}) + "\n")


def end_otherwise(experiment: Experiment) -> None:
    run = next(run for run in experiment.runs if run.kind == "nap")
    experiment.heads[run.id] = replace(experiment.heads[run.id], status=Status.CANCELLED)


SPOILT = (
    lose_an_event,
    swap_two_events,
    count_an_outcome_twice,
    change_an_event_that_is_told_again,
    lose_an_effect,
    do_an_effect_under_another_key,
    end_otherwise,
)


def heard_of(experiment: Experiment, kind: str) -> Heard:
    """The events of a run, each once, so that one that is lost is not there a second time."""
    run = next(run for run in experiment.runs if run.kind == kind)
    heard = experiment.heard[run.id]
    heard.events = heard.once()
    return heard


def assert_is_seen(experiment: Experiment, spoil: Callable[[Experiment], None]) -> None:
    heard, heads = deepcopy(experiment.heard), dict(experiment.heads)
    effects = experiment.stack.effects.read_text()
    spoil(experiment)
    with pytest.raises(AssertionError):
        experiment.check()
    experiment.heard, experiment.heads = heard, heads
    experiment.stack.effects.write_text(effects)
    experiment.check()
