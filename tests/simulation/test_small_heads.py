"""Heads that hold next to nothing, so that what lies beside them is at stake in every history."""

import pytest

from tests.simulation.reference import REFERENCE, REFUSED, SIBLINGS
from workflow_engine.kernel import outbox, relief, winners
from workflow_engine.model import commits
from workflow_engine.testing.simulation import Scenario, explore

BYTES = {
    (outbox, "MAX_ADDED_EVENTS_BYTES"): 1,
    (outbox, "MAX_SIBLING_EVENTS_BYTES"): 1,
    (outbox, "NAMED_BYTES"): 1,
    (outbox, "MAX_HEAD_EVENTS_BYTES"): 100,
    (relief, "MAX_HEAD_EVENTS_BYTES"): 260,
    (relief, "TOLD_EARLY_BYTES"): 150,
    (commits, "MAX_HEAD_EVENTS"): 3,
    (winners, "MAX_HEAD_WINNERS"): 0,
}


@pytest.fixture(autouse=True)
def small_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    for (module, limit), value in BYTES.items():
        monkeypatch.setattr(module, limit, value)


@pytest.mark.parametrize("scenario", [REFERENCE, SIBLINGS, REFUSED], ids=["reference", "siblings", "refused"])
def test_every_invariant_holds_where_all_lies_beside_the_head(scenario: Scenario) -> None:
    assert explore(scenario, 25).seeds == 25
