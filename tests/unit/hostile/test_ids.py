"""No id, key or name reaches what belongs to another run: its items, its blobs, its schedules."""

from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.hostile.strategies import TEXTS
from workflow_engine.adapters.aws.dynamodb import table
from workflow_engine.adapters.aws.s3 import _name_of, _read
from workflow_engine.adapters.memory import MemoryBlobStore
from workflow_engine.errors import BlobNotFoundError, InvalidInputError, PayloadTooLargeError
from workflow_engine.kernel.execution.stage_storage import AttemptStorage
from workflow_engine.kernel.payloads import attempt_prefix, blob_prefix
from workflow_engine.kernel.teller import schedule_name
from workflow_engine.kernel.transitions.wakes import Wake
from workflow_engine.model.ids import RunId, StageId, digest, run_id_for
from workflow_engine.model.runs import StageKey
from workflow_engine.testing.builders import new_head
from workflow_engine.testing.clock import START

RUN_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True).map(RunId)
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
KEYS = st.builds(StageKey, st.integers(0, 3), NAMES.map(StageId), st.integers(0, 3))


@given(RUN_IDS, RUN_IDS, KEYS, KEYS)
def test_two_attempts_share_no_place(one: RunId, other: RunId, key: StageKey, other_key: StageKey) -> None:
    assume((one, key) != (other, other_key))

    assert (table.run_partition(one), table.record_key(key)) != (
        table.run_partition(other),
        table.record_key(other_key),
    )
    assert not attempt_prefix(one, key).startswith(attempt_prefix(other, other_key))
    assert one == other or not blob_prefix(one).startswith(blob_prefix(other))


@given(KEYS)
def test_a_sort_key_says_what_it_was_made_from(key: StageKey) -> None:
    assert table.stage_key_of(table.record_key(key)) == key
    assert table.stage_key_of(table.log_key(key, 7)) == key


@given(RUN_IDS, NAMES, TEXTS, TEXTS)
def test_a_partition_belongs_to_one_kind_of_thing(run_id: RunId, workflow: str, key: str, command: str) -> None:
    partitions = {
        table.run_partition(run_id),
        table.definition_partition(workflow),
        table.idempotency_partition(key, command),
    }

    assert len(partitions) == 3
    assert table.run_of(table.run_partition(run_id)) == run_id


@given(st.lists(TEXTS, min_size=1, max_size=3), st.lists(TEXTS, min_size=1, max_size=3))
def test_a_digest_does_not_confuse_where_one_part_ends(parts: list[str], others: list[str]) -> None:
    assume(parts != others)

    assert digest(*parts) != digest(*others)


@given(NAMES, TEXTS, NAMES, TEXTS)
def test_an_idempotency_key_chooses_nobody_elses_run(workflow: str, key: str, other: str, other_key: str) -> None:
    """The key is free text, and becomes an id only through a digest: nobody can aim at a run that is there."""
    assume((workflow, key) != (other, other_key))

    assert run_id_for(workflow, key) != run_id_for(other, other_key)
    assert run_id_for(workflow, key).isalnum()


@given(RUN_IDS, RUN_IDS, st.integers(0, 3), st.integers(0, 5))
def test_two_runs_share_no_schedule(one: RunId, other: RunId, ordinal: int, epoch: int) -> None:
    assume(one != other)
    wake = Wake(ordinal=ordinal, claim="due", epoch=epoch, attempt=1, at=START + timedelta(hours=1))
    names = {schedule_name(new_head(START, run_id=run_id), wake) for run_id in (one, other)}

    assert len(names) == 2
    assert all(len(name) <= 64 and name.replace("-", "").isalnum() for name in names)


def storage(blobs: MemoryBlobStore, run_id: str, epoch: int = 0) -> AttemptStorage:
    return AttemptStorage(blobs=blobs, run_id=RunId(run_id), group=0, stage_id=StageId("stage"), epoch=epoch)


@given(
    st.text(st.characters(), max_size=60)
    | st.sampled_from(["../../../run-2/0/stage/0/storage/a", "..", "/a", "a//b", "./a"])
)
def test_a_stage_reaches_no_other_runs_storage(key: str) -> None:
    blobs = MemoryBlobStore()
    storage(blobs, "run-2").save("a", b"theirs")
    before = {name: blobs.get(name) for name in blobs.list("")}
    try:
        storage(blobs, "run-1").save(key, b"mine")
        storage(blobs, "run-1").delete(key)
        with pytest.raises(BlobNotFoundError):
            storage(blobs, "run-1").load(key)
    except (InvalidInputError, PayloadTooLargeError, ValueError):
        pass

    assert {name: blobs.get(name) for name in blobs.list("")} == before


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
    | st.sampled_from(["../../x", "a/../b", ".", ".."])
)
def test_no_key_climbs_out_of_its_prefix_in_s3(key: str) -> None:
    """A proxy may resolve dots; the object's name has none to resolve."""
    prefix = attempt_prefix("run-1", StageKey(0, StageId("stage"), 0)) + "storage/"

    name = _name_of(prefix + key)

    assert name.startswith(prefix)
    assert not {".", ".."} & set(name.split("/"))
    assert not any(ord(character) < 32 for character in name)
    assert _read(name) == prefix + key
