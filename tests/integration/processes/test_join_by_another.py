"""A worker dies between the last sibling's outcome and the join: whoever looks next joins, and somebody goes on."""

from pathlib import Path

import pytest

from tests.integration.processes.workflows import EFFECTS_VARIABLE, fan
from workflow_engine.authoring import Registry
from workflow_engine.kernel.advance import Advancer
from workflow_engine.model.commands import CreateRun, TransitionRun
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import EntryState
from workflow_engine.model.status import Status
from workflow_engine.wiring.memory import MemoryEngine, memory_engine


class KilledError(BaseException):
    """The process is gone."""


@pytest.fixture
def unjoined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[MemoryEngine, RunId]:
    """A run whose siblings are all done, and whose worker died before it could join them."""
    monkeypatch.setenv(EFFECTS_VARIABLE, str(tmp_path / "effects.jsonl"))
    engine = memory_engine(Registry([fan]))
    run_id = RunId(engine.kernel.dispatch(CreateRun(workflow_id=fan.id, input={"value": 1})).run_id)

    def die(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Advancer, "_join", die)
        with pytest.raises(KilledError):
            engine.host.process_available_jobs(max_jobs=100)
    return engine, run_id


def test_a_wake_up_that_joins_sends_the_next_stage(unjoined: tuple[MemoryEngine, RunId]) -> None:
    """It performs no stage. A lease that it took itself would hold the run up for as long as an invocation may last."""
    engine, run_id = unjoined

    result = engine.kernel.dispatch(TransitionRun(run_id=run_id))

    head = engine.persistence.load_head(run_id)
    assert head is not None
    assert (result.action, result.next_group) == ("advanced", 2)
    assert [entry.state for entry in head.active] == [EntryState.READY]


def test_the_run_is_completed_without_a_lost_lease(unjoined: tuple[MemoryEngine, RunId]) -> None:
    engine, run_id = unjoined

    engine.kernel.dispatch(TransitionRun(run_id=run_id))
    engine.host.process_available_jobs(max_jobs=10)

    head = engine.persistence.load_head(run_id)
    assert head is not None
    assert head.status is Status.COMPLETED
    assert head.winners == {}
