"""No hot partition: what one second of heavy work writes to each partition key, by the real keys.

DynamoDB takes 1,000 writes a second of a partition, of a table's and of an index's alike (developer guide,
"Best practices for designing and using partition keys"), and an index that is throttled throttles the table.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from botocore.session import Session
from typing_extensions import override

from workflow_engine.adapters.aws.dynamodb.head_codec import encode_head
from workflow_engine.adapters.aws.dynamodb.heads import sizes_of
from workflow_engine.adapters.aws.dynamodb.persistence import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.adapters.memory import (
    MemoryBlobStore,
    MemoryEventSink,
    MemoryJobTransport,
    MemoryPersistence,
    MemoryScheduler,
)
from workflow_engine.authoring import Registry, Workflow, WorkflowDefinition, stage
from workflow_engine.costing.capacity import Index, Item, index_write_units, indexes_of
from workflow_engine.costing.workloads import Parcel, Workload, chain, fan
from workflow_engine.errors import PermanentError
from workflow_engine.hosts import ServerlessHost
from workflow_engine.kernel import Kernel, KernelSettings
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.commits import Committed, Exclusive, Refused, Shared
from workflow_engine.model.runs import Bundle, Head, StageRecord
from workflow_engine.ports.persistence import HeadSizes
from workflow_engine.testing.clock import FakeClock, SequentialIds

LIMIT = 1000
SHARDS = KernelSettings().due_shards
INDEXES = indexes_of(create_table_request("any"))


class CountingPersistence(MemoryPersistence):
    """Counts the writes to each partition key of the table and its indexes."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self._time = clock
        self.writes: Counter[tuple[str, str]] = Counter()

    @override
    def commit(self, commit: Exclusive | Shared) -> Committed | Refused:
        self._time.advance(timedelta(microseconds=50))
        run_id = commit.after.run_id if isinstance(commit, Exclusive) else commit.run_id
        before = self.load_head(run_id)
        answer = super().commit(commit)
        old = encode_head(before) if before else None
        new = encode_head(answer.head) if answer.head else None
        self.writes["table", run_id] += 1
        for index in INDEXES:
            self._count(index, old, new)
        return answer

    def _count(self, index: Index, old: Item | None, new: Item | None) -> None:
        units = index_write_units(old, new, [index])
        entry = index.entry(new) or index.entry(old)
        if units and entry is not None:
            self.writes[index.name, entry[index.keys[0]]["S"]] += units

    @override
    def put_record(self, record: StageRecord) -> None:
        self.writes["table", record.run_id] += 1
        super().put_record(record)

    @override
    def put_bundle(self, bundle: Bundle) -> None:
        self.writes["table", bundle.run_id] += 1
        super().put_bundle(bundle)

    @override
    def head_sizes(self, head: Head) -> HeadSizes:
        return sizes_of(head)


def one_second(starts: Sequence[tuple[Workload, int]], shards: int = SHARDS) -> Counter[tuple[str, str]]:
    """The writes of so many runs of each workload, from their start to their end."""
    clock = FakeClock()
    persistence, transport = CountingPersistence(clock), MemoryJobTransport(clock)
    kernel = Kernel(
        persistence=persistence,
        blob_store=MemoryBlobStore(),
        job_transport=transport,
        event_sink=MemoryEventSink(),
        scheduler=MemoryScheduler(clock, transport),
        clock=clock,
        registry=Registry([workload.definition for workload, _ in starts]),
        settings=KernelSettings(due_shards=shards),
        ids=SequentialIds(7),
    )
    for workload, number in starts:
        for _ in range(number):
            kernel.dispatch(CreateRun(workflow_id=workload.definition.id, input=dict(workload.input)))
    host = ServerlessHost(kernel, transport, "worker")
    while host.process_available_jobs(1000).processed:
        pass
    return persistence.writes


def busiest(writes: Counter[tuple[str, str]]) -> dict[str, int]:
    """The most writes to one partition key, by table or index."""
    found: dict[str, int] = {}
    for (where, _), number in writes.items():
        found[where] = max(found.get(where, 0), number)
    return found


def failing() -> Workload:
    @stage("fails")
    def fails(parcel: Parcel) -> Parcel:
        raise PermanentError(f"parcel {parcel.number}")

    definition: WorkflowDefinition = Workflow("failing", input=Parcel).pipe(fails).build()
    return Workload(name="failing", definition=definition, input=chain(1).input, steps=1)


def test_a_thousand_starts_and_five_thousand_stages_of_one_workflow_heat_no_partition() -> None:
    writes = one_second([(chain(5), 1000)])
    assert sum(number for (where, _), number in writes.items() if where == "table") > 9_000
    assert set(busiest(writes)) == {"table", "due", "listing"}
    assert max(busiest(writes).values()) < LIMIT / 2


def test_skewed_work_heats_no_partition() -> None:
    """One run takes 400 of the stages, one a group of a hundred at once; the rest is short."""
    writes = one_second([(chain(400), 1), (fan(100), 1), (chain(4), 998)])
    assert max(busiest(writes).values()) < LIMIT
    assert busiest(writes)["table"] > 3 * 100


def test_a_thousand_failures_a_second_heat_no_partition() -> None:
    writes = one_second([(failing(), 1000)])
    assert busiest(writes)["failures"] < LIMIT / 2
    assert max(busiest(writes).values()) < LIMIT


def test_twice_the_shards_take_twice_the_starts() -> None:
    few, many = (busiest(one_second([(chain(1), 400)], shards)) for shards in (4, 8))
    for index in ("due", "listing"):
        assert many[index] < few[index] * 0.75


def test_shards_are_raised_on_a_live_table_and_nothing_is_lost(dynamodb_local_url: str) -> None:
    client: Any = Session().create_client("dynamodb", endpoint_url=dynamodb_local_url)
    client.create_table(**create_table_request("raised"))
    clock, ids = FakeClock(), SequentialIds()
    transport = MemoryJobTransport(clock)
    workload = chain(1)

    def kernel(shards: int) -> Kernel:
        return Kernel(
            persistence=DynamoPersistence(table_name="raised", shards=shards, clock=clock, ids=ids, client=client),
            blob_store=MemoryBlobStore(),
            job_transport=transport,
            event_sink=MemoryEventSink(),
            scheduler=MemoryScheduler(clock, transport),
            clock=clock,
            registry=Registry([workload.definition]),
            settings=KernelSettings(due_shards=shards),
            ids=ids,
        )

    def create(on: Kernel) -> str:
        clock.advance(timedelta(seconds=1))
        return on.dispatch(CreateRun(workflow_id=workload.definition.id, input=dict(workload.input))).run_id

    before, after = kernel(2), kernel(8)
    run_ids = [create(before) for _ in range(12)] + [create(after) for _ in range(12)]

    assert list(after.parts.persistence.list_runs(workload.definition.id).run_ids) == run_ids[::-1]
    while transport.dequeue() is not None:
        pass
    clock.advance(timedelta(hours=1))
    assert after.tick().looked_at == len(run_ids)


@pytest.mark.parametrize("width", [10, 100])
def test_a_parallel_group_stays_below_the_limit_of_its_runs_partition(width: int) -> None:
    assert busiest(one_second([(fan(width), 1)]))["table"] < LIMIT
