"""What one invocation keeps of a run's outputs."""

import pytest
from pydantic import BaseModel

from workflow_engine import CorruptItemError, Workflow, stage
from workflow_engine.adapters.memory import MemoryBlobStore, MemoryPersistence
from workflow_engine.kernel.execution.run_data import RunData
from workflow_engine.model.ids import StageId
from workflow_engine.model.limits import MAX_INLINE_BYTES
from workflow_engine.model.runs import StageKey
from workflow_engine.testing.builders import new_head
from workflow_engine.testing.clock import START, FakeClock

LARGE, SMALL = b"x" * (MAX_INLINE_BYTES + 1), b"x"


class Item(BaseModel):
    name: str = "x"


@stage("copy")
def copy(item: Item) -> Item:
    return item


@pytest.fixture
def data() -> RunData:
    """Of a run of which nothing is stored: what is read again is not found."""
    workflow = Workflow("w", input=Item).pipe(copy).build()
    return RunData(
        head=new_head(START), definition=workflow, persistence=MemoryPersistence(FakeClock()), blobs=MemoryBlobStore()
    )


def key(group: int, stage_id: str = "copy") -> StageKey:
    return StageKey(group, StageId(stage_id), 0)


def test_what_was_just_stored_is_not_read_again(data: RunData) -> None:
    data.remember(key(0), SMALL)
    data.remember(key(1), LARGE)
    assert data.outputs([key(0), key(1)]) == [SMALL, LARGE]


def test_of_large_outputs_only_the_newest_groups_are_kept(data: RunData) -> None:
    data.remember(key(0), LARGE)
    data.remember(key(1, "left"), LARGE)
    data.remember(key(1, "right"), LARGE)
    assert data.outputs([key(1, "left"), key(1, "right")]) == [LARGE, LARGE]
    with pytest.raises(CorruptItemError):
        data.outputs([key(0)])
