"""Bugs of a line or two that break no condition of a write: the simulator turns red for each."""

import pytest

from tests.simulation import subtle_bugs
from tests.simulation.planting import Edit

# What needs a hundred histories and more is left to `make reliability`, and so is what a test shows.
SLOW = {
    "a chain goes on under a lease that another took",
    "a dead letter goes whether it was accepted or not",
    "a repeated create sends no jobs",
}
CAUGHT_BY = {
    "spilled events are never deleted": "left",
    "a rerun with input loses the config": "outcome",
    "lost leases add up over retries": "I4",
    "a rerun does not extend what it keeps": "expiry",
    "a heartbeat renews only the first lease": "calls",
    "a rerun keeps the winners of its own group": "I4",
    "a rerun keeps the old deadline": "expiry",
    "a rerun keeps the signals of the run before": "I8",
    "a stage alone keeps the signal that it has answered": "liveness",
    "a signal used up by a group is there for the next": "I4",
    "refusals of one event count for the next": "I5",
    "one attempt too many": "attempts",
    "a check that raised begins its stage anew": "I4",
    "a check may be later than the stage gives up": "I4",
    "a signal that does not fit starts the wait's time anew": "outcome",
    "a wait that is over by its signal sends its message at its time": "late",
    "a timer fires two minutes late": "late",
    "only the first timer of a cancelled run is forgotten": "left",
    "a signal forgets another timer than its wait's": "left",
    "the last spilled event is not deleted": "left",
    "what an attempt leaves expires with the first deadline": "expiry",
    "annotations of all attempts share their ids": "notes",
    "an effect key that a rerun does not change": "effects",
    "a rerun with input loses the attributes": "outcome",
    "a rerun leaves the blobs of its own group": "left",
    "a repeat of a rerun runs it again": "I6",
    "a cancel reaches only a run that was never started again": "I8",
    "a failed run is not archived": "archive",
    "a stage that won at its second attempt is shown without it": "queries",
    "a re-arm looks at the time alone": "I1",
    "a chained lease of a worker is as long as a function's": "lease",
    "a command that did not get an answer is acknowledged": "lost",
    "a re-arm forgets the timer that comes before the horizon": "I2",
    "a bundle is named by its first record": "records",
    "a record leaves the head before its bundle is there": "records",
    "a record without room is in no item": "I4",
    "a record rides where it costs a unit": "I7",
    "a rerun drops what rides in the head": "records",
    "a bundle is read past a rerun": "records",
    "a rerun keeps what rides in the head": "I1",
    "an inline write rewrites the list as remembered": "I4",
    "an inline sibling is committed under another's epoch": "I4",
    "a part of a group's records rides": "I4",
    "an inline sibling that waits is left to the tick": "late",
    "a run is begun by whoever finds it begun": "calls",
    "a run that was begun waits for its message": "calls",
}


@pytest.mark.parametrize("bug", CAUGHT_BY)
def test_it_is_caught(bug: str) -> None:
    found = subtle_bugs.catch(bug, seeds=200)

    assert found is not None
    assert found.check == CAUGHT_BY[bug]


def test_every_bug_is_looked_for() -> None:
    assert {*CAUGHT_BY, *SLOW} == set(subtle_bugs.BUGS)
    assert len(subtle_bugs.THIRTY) == 30


@pytest.mark.parametrize("bug", SLOW)
def test_what_is_left_to_make_reliability_can_be_planted(bug: str) -> None:
    edits: tuple[Edit, ...] = subtle_bugs.BUGS[bug].edits

    for edit in edits:
        assert edit.code() != edit.function.__code__
