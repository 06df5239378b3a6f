"""An hour without one of the services, under load; and an hour with a little of everything."""

import pytest

from tests.simulation.memory import growth_bytes
from tests.simulation.reference import out_of_order, soak
from workflow_engine.model.limits import MAX_HEAD_EVENTS_BYTES
from workflow_engine.testing.simulation import simulate

# A leak of anything that belongs to a job is larger: the smallest object has 16 bytes, a string 49.
LEAK_BYTES = 40
# What one stage of the reference tells at once, beyond the events that may stay in a head.
ONE_STAGE_BYTES = 8 * 1024


@pytest.mark.parametrize("port", ["events", "jobs", "blobs", "persistence"])
def test_an_hour_without_a_service_loses_nothing_and_drains(port: str) -> None:
    calm, stormy = simulate(out_of_order(), 1), simulate(out_of_order(port), 1)

    assert stormy.violation is None
    assert stormy.unanswered[port] > 100
    assert stormy.runs == calm.runs == 120
    assert stormy.dead_letters == 0
    assert stormy.largest_head <= MAX_HEAD_EVENTS_BYTES + ONE_STAGE_BYTES
    # No herd: what failed is not tried more often than the outage is long, and what waited comes at the workers' pace.
    assert stormy.steps < 2 * calm.steps
    assert stormy.busiest_second < 4 * calm.busiest_second


def test_a_bus_that_refuses_is_told_to_whoever_watches() -> None:
    assert simulate(out_of_order("events"), 1).facts["EventsRefused"] > 100


def test_a_store_that_does_not_answer_is_reported_by_every_function() -> None:
    assert simulate(out_of_order("persistence"), 1).facts["ErrorsReported"] > 50


def test_all_services_at_once() -> None:
    history = simulate(out_of_order("events", "jobs", "blobs", "persistence"), 2)

    assert history.violation is None
    assert history.dead_letters == 0


def test_a_soak_with_every_fault_now_and_then() -> None:
    history = simulate(soak(400), 1)

    if history.violation is not None:
        raise history.violation
    assert history.runs >= 390
    assert history.faults > 100


def test_the_memory_of_a_worker_stays_flat() -> None:
    assert growth_bytes(jobs=500, a_round=100) < LEAK_BYTES * 500
