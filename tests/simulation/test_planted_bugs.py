"""The simulator turns red for bugs that somebody might write, each within a minute."""

import pytest

from tests.simulation import planted_bugs

# The invariant, or the check at the end of a history, that catches each bug.
CAUGHT_BY = {
    "publish before commit": "I3",
    "drop the epoch from a condition (alone)": "I4",
    "drop the epoch from a condition (siblings)": "I4",
    "clear the head without a condition": "I1",
    "forget due_at": "I2",
    "due_at later than a timer": "I2",
    "let a shared commit move due_at later": "I2",
    "a run id that is not deterministic": "I6",
    "an invocation id that is not deterministic": "I9",
    "ignore a refused entry": "I5",
    "remove an event before it is told": "I5",
    "key a stage record by attempt": "I4",
    "count attempts by the receive count": "I4",
    "skip the size check": "outcome",
    "resume a cancelled run": "I8",
    "lose the last sibling's answer and with it the join": "outcome",
    "take a refusal for a defeat after a lost answer": "outcome",
}


@pytest.mark.parametrize("bug", planted_bugs.BUGS)
def test_it_is_caught(bug: str) -> None:
    found = planted_bugs.catch(bug, seeds=300)

    assert found is not None
    assert found.check == CAUGHT_BY[bug]
