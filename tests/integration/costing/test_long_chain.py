"""Stage 1,000 of a chain costs what its first does: heads do not grow."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from typing_extensions import override

from workflow_engine.adapters.aws.dynamodb.head_codec import encode_head
from workflow_engine.adapters.aws.dynamodb.heads import sizes_of
from workflow_engine.adapters.aws.dynamodb.item_codecs import encode_bundle, encode_record
from workflow_engine.adapters.aws.dynamodb.item_size import item_size
from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.adapters.aws.dynamodb.wire import Item
from workflow_engine.adapters.memory import (
    MemoryBlobStore,
    MemoryEventSink,
    MemoryJobTransport,
    MemoryPersistence,
    MemoryScheduler,
)
from workflow_engine.authoring import Registry
from workflow_engine.costing.capacity import index_write_units, indexes_of, table_write_units
from workflow_engine.costing.workloads import chain
from workflow_engine.hosts import ServerlessHost
from workflow_engine.kernel import Kernel
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.commits import Committed, Exclusive, Refused, Shared
from workflow_engine.model.runs import Bundle, Head, StageRecord
from workflow_engine.ports.persistence import HeadSizes
from workflow_engine.testing.clock import FakeClock

STAGES = 1000
INDEXES = indexes_of(create_table_request("any"))


class PricedPersistence(MemoryPersistence):
    """Notes the units that each write would take as an item in DynamoDB, and how large it is."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self._time = clock
        self.units: list[int] = []
        self.sizes: list[int] = []
        self.bundled: list[bool] = []

    @override
    def commit(self, commit: Exclusive | Shared) -> Committed | Refused:
        # An index key that is written anew with the same time would cost nothing.
        self._time.advance(timedelta(milliseconds=1))
        run_id = commit.after.run_id if isinstance(commit, Exclusive) else commit.run_id
        before = self.load_head(run_id)
        answer = super().commit(commit)
        old = encode_head(before) if before else None
        new = encode_head(answer.head) if answer.head else None
        self.units.append(table_write_units(old, new) + index_write_units(old, new, INDEXES))
        self.sizes.append(item_size(new or {}))
        self.bundled.append(False)
        return answer

    @override
    def put_record(self, record: StageRecord) -> None:
        super().put_record(record)
        self._put(encode_record(record))

    @override
    def put_bundle(self, bundle: Bundle) -> None:
        super().put_bundle(bundle)
        self._put(encode_bundle(bundle))

    @override
    def head_sizes(self, head: Head) -> HeadSizes:
        return sizes_of(head)

    def _put(self, item: Item) -> None:
        self.units.append(table_write_units(None, item))
        self.sizes.append(item_size(item))
        self.bundled.append(True)


@pytest.fixture(scope="module")
def written() -> PricedPersistence:
    """What a chain of a thousand stages wrote."""
    workload = chain(STAGES)
    clock = FakeClock()
    persistence, transport = PricedPersistence(clock), MemoryJobTransport(clock)
    kernel = Kernel(
        persistence=persistence,
        blob_store=MemoryBlobStore(),
        job_transport=transport,
        event_sink=MemoryEventSink(),
        scheduler=MemoryScheduler(clock, transport),
        clock=clock,
        registry=Registry([workload.definition]),
    )
    kernel.dispatch(CreateRun(workflow_id=workload.definition.id, input=dict(workload.input)))
    host = ServerlessHost(kernel, transport, "worker")
    while host.process_available_jobs().processed:
        pass
    return persistence


def mean(numbers: Sequence[int]) -> float:
    return sum(numbers) / len(numbers)


def test_stage_1000_takes_the_units_of_the_first_one(written: PricedPersistence) -> None:
    # Create, claim, one for each stage, a bundle of some stages now and then, and the removal of the last events.
    bundles = len(written.units) - (STAGES + 3)
    assert 0 < bundles <= STAGES / 2
    assert set(written.units[2:-2]) == {1}
    assert max(written.sizes) < 1024


def test_bundles_are_as_far_apart_at_the_end_as_at_the_begin(written: PricedPersistence) -> None:
    early, late = (sum(written.bundled[at : at + 200]) for at in (0, len(written.bundled) - 200))
    assert abs(early - late) <= 200 / 50
