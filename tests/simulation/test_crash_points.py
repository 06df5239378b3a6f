"""A crash before and after every port call of every reference workflow, and whatever clients do to it."""

from dataclasses import replace

import pytest

from tests.simulation import varied
from tests.simulation.reference import PLOTS, REFERENCE
from workflow_engine.testing.simulation import Plot
from workflow_engine.testing.simulation.crash_points import survive_crashes
from workflow_engine.testing.simulation.faults import Fault

NAMES = [f"{place}-{plot.workflow_id}" for place, plot in enumerate(PLOTS)]


@pytest.mark.parametrize("plot", PLOTS, ids=NAMES)
def test_every_crash_is_survived(plot: Plot) -> None:
    report = survive_crashes(replace(REFERENCE, plots=(plot,)), pairs=10)

    assert report.points == 2 * report.calls
    assert report.points > 0


@pytest.mark.parametrize("fault", [Fault.FAIL_BEFORE, Fault.ANSWER_LOST, Fault.TWICE], ids=lambda fault: fault.name)
@pytest.mark.parametrize("plot", PLOTS[:3], ids=NAMES[:3])
def test_every_call_may_fail_lose_its_answer_or_happen_twice(plot: Plot, fault: Fault) -> None:
    report = survive_crashes(replace(REFERENCE, plots=(plot,)), faults=[fault])

    assert report.points == report.calls


# `make reliability` has all of them, with each kind of answer that is lost, too.
@pytest.mark.parametrize(
    "name",
    [
        "riding-1",
        "inline-0",
        "inline-3",
        "queued-0",
        "queued-4",
        "telling",
        "stepping-1",
        "choosing-0",
        "choosing-1",
        "undoing-5",
    ],
)
def test_so_are_those_of_what_came_later(name: str) -> None:
    report = survive_crashes(varied.LATER[name])

    assert report.points == 2 * report.calls
    assert report.points > 0


@pytest.mark.parametrize(
    "fault", [Fault.FAIL_BEFORE, Fault.ANSWER_LOST, Fault.TWICE, Fault.STALL_AFTER], ids=lambda fault: fault.name
)
def test_whatever_happens_to_a_call_a_saga_is_undone(fault: Fault) -> None:
    report = survive_crashes(varied.LATER["undoing-5"], faults=[fault])

    assert report.points == report.calls
