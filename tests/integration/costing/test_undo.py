"""What undoing a run asks of AWS, and that a run which is not undone asks for nothing more."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.costing.conftest import MEMORY_MEGABYTES, deployed
from workflow_engine.authoring import Stage, StageContext, Workflow, WorkflowDefinition, stage
from workflow_engine.costing.measurement import OwnRun, measure
from workflow_engine.costing.usage import Usage
from workflow_engine.costing.workloads import Parcel
from workflow_engine.errors import PermanentError

DOCS = Path(__file__).parents[3] / "docs"
MILLION = 1_000_000
HALF_A_MINUTE = timedelta(seconds=30)
LENGTHS = (5, 10)
SIBLINGS = 10


def _stage(name: str, *, undo: bool, fails: bool = False) -> Stage[..., Any]:
    @stage(name, timeout=HALF_A_MINUTE)
    def work(parcel: Parcel) -> Parcel:
        if fails:
            raise PermanentError("it is not to be")
        return parcel.model_copy(update={"number": parcel.number + 1})

    def take_back(parcel: Parcel | None, ctx: StageContext) -> None: ...

    if undo:
        work.undo(take_back)
    return work


def _chain(length: int, *, undo: bool, fails: bool) -> WorkflowDefinition:
    workflow = Workflow(f"chain-{length}-{undo}-{fails}", input=Parcel)
    for number in range(length):
        workflow.pipe(_stage(f"step-{number}", undo=undo, fails=fails and number == length - 1))
    return workflow.build()


def _fan(*, undo: bool) -> WorkflowDefinition:
    @stage("last", timeout=HALF_A_MINUTE)
    def last() -> Parcel:
        raise PermanentError("it is not to be")

    branches = [_stage(f"branch-{number}", undo=undo) for number in range(SIBLINGS)]
    return Workflow(f"fan-{undo}", input=Parcel).parallel(*branches).pipe(last).build()


@pytest.fixture(scope="module")
def used(dynamodb_local_url: str) -> Mapping[str, Usage]:
    """What each run used, by the id of its workflow."""
    found = [
        *(
            _chain(length, undo=undo, fails=fails)
            for length in LENGTHS
            for undo in (False, True)
            for fails in (False, True)
        ),
        *(_fan(undo=undo) for undo in (False, True)),
    ]
    runs = [OwnRun(name=one.id, definition=one, input=Parcel().model_dump(mode="json")) for one in found]
    report = measure((), runs, deployed(), dynamodb_url=dynamodb_local_url, memory_megabytes=MEMORY_MEGABYTES)
    return {name: outcome.usage for name, outcome in report.others}


@pytest.mark.parametrize("length", LENGTHS)
def test_an_undo_that_is_not_called_costs_nothing(used: Mapping[str, Usage], length: int) -> None:
    with_undo, without = used[f"chain-{length}-True-False"], used[f"chain-{length}-False-False"]
    assert with_undo.requests == without.requests
    assert (with_undo.write_units, with_undo.read_units) == (without.write_units, without.read_units)
    assert with_undo.total() == without.total()


@pytest.mark.parametrize("length", LENGTHS)
def test_an_undo_is_a_write_and_a_record_and_the_phase_one_more(used: Mapping[str, Usage], length: int) -> None:
    undone, failed = used[f"chain-{length}-True-True"], used[f"chain-{length}-False-True"]
    assert undone.writes - failed.writes == 2 * length + 1
    assert undone.write_units - failed.write_units == 2 * length + 3
    # What the stage that failed has left is looked for once, and the run is told to be closing.
    assert (undone.reads, undone.events - failed.events) == (1, 1)
    assert (undone.invocations, undone.messages, undone.refused_writes) == (1, 1, 0)


def test_undos_of_siblings_are_messages_with_three_writes_each(used: Mapping[str, Usage]) -> None:
    undone, failed = used["fan-True"], used["fan-False"]
    assert undone.messages - failed.messages == SIBLINGS
    # Two more to enter the phase and to end it.
    assert undone.writes - failed.writes == 3 * SIBLINGS + 2
    assert undone.refused_writes == 0


@pytest.mark.parametrize("length", LENGTHS)
def test_the_guide_says_what_undoing_costs(used: Mapping[str, Usage], length: int) -> None:
    failed, undone = (used[f"chain-{length}-{undo}-True"].total() * MILLION for undo in (False, True))
    row = f"| chain of {length}, the last fails | ${failed:.2f} | ${undone:.2f} | ${undone - failed:.2f} |"
    assert row in (DOCS / "guides" / "sagas.md").read_text()
