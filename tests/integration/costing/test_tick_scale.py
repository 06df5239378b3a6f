"""The cost of a tick follows what is due, not what exists. Sizes: SCALE_LIVE and SCALE_DUE (`make scale`)."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from math import ceil
from time import perf_counter
from typing import Any

import pytest
from botocore.config import Config
from botocore.session import Session
from typing_extensions import override

from workflow_engine.adapters.aws.dynamodb.head_codec import encode_head
from workflow_engine.adapters.aws.dynamodb.persistence import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.adapters.memory import MemoryBlobStore, MemoryEventSink, MemoryJobTransport, MemoryScheduler
from workflow_engine.authoring import Registry
from workflow_engine.costing.workloads import chain
from workflow_engine.kernel import Kernel, KernelSettings
from workflow_engine.model.commands import Command, parse_command
from workflow_engine.model.ids import RunId, WorkflowId
from workflow_engine.model.runs import Entry, EntryState, Head
from workflow_engine.model.shards import shard_of
from workflow_engine.model.status import Status
from workflow_engine.testing.clock import FakeClock, SequentialIds

LIVE = int(os.environ.get("SCALE_LIVE", "2000"))
DUE = int(os.environ.get("SCALE_DUE", "1000"))
SHARDS, PAGE, BATCH = 8, 100, 10
WORKFLOW = chain(5).definition
_tables = count(1)


class CountingTransport(MemoryJobTransport):
    """Counts what SQS would be asked: a request for each ten messages of a call."""

    requests = 0

    @override
    def enqueue_parallel(self, commands: Sequence[Command]) -> Sequence[Command]:
        self.requests += ceil(len(commands) / BATCH)
        return super().enqueue_parallel(commands)

    def run_ids(self) -> list[str]:
        """The runs of the messages that are there, in their order."""
        found = []
        while (delivery := self.dequeue()) is not None:
            command: Any = parse_command(delivery.body)
            found.append(str(command.run_id))
        return found


@dataclass
class Fleet:
    """A table with runs in it, and a kernel for each tick."""

    client: Any
    table: str
    clock: FakeClock = field(default_factory=FakeClock)
    asked: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.client.create_table(**create_table_request(self.table))
        self.client.meta.events.register("provide-client-params", lambda model, **_: self.asked.update([model.name]))

    def add(self, number: int, *, due_in: timedelta, first: int = 0) -> list[str]:
        """*number* runs whose first stage nobody has claimed, the oldest first; answers their ids."""
        heads = [self._head(first + place, due_in + timedelta(milliseconds=place)) for place in range(number)]
        parts = [heads[start : start + 25] for start in range(0, number, 25)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(self._put, parts))
        self.asked.clear()
        return [head.run_id for head in heads]

    def _head(self, number: int, due_in: timedelta) -> Head:
        now = self.clock.now()
        run_id = RunId(f"run-{number:07d}")
        return Head(
            run_id=run_id,
            workflow_id=WorkflowId(WORKFLOW.id),
            fingerprint=WORKFLOW.fingerprint,
            status=Status.PENDING,
            created_at=now,
            deadline=now + timedelta(days=30),
            expires_at=now + timedelta(days=67),
            content_hash="x" * 26,
            by="creator.1",
            active=(Entry(EntryState.READY),),
            due_at=now + due_in,
            due_shard=shard_of(run_id, SHARDS),
            input_inline=b'{"input":{}}',
        )

    def _put(self, heads: Sequence[Head]) -> None:
        requests = [{"PutRequest": {"Item": encode_head(head)}} for head in heads]
        answer = self.client.batch_write_item(RequestItems={self.table: requests})
        assert not answer["UnprocessedItems"]

    def kernel(self) -> tuple[Kernel, CountingTransport]:
        """One more process, with a queue that shows what this one sent."""
        ids = SequentialIds(next(_tables))
        transport = CountingTransport(self.clock)
        kernel = Kernel(
            persistence=DynamoPersistence(
                table_name=self.table, shards=SHARDS, clock=self.clock, ids=ids, client=self.client
            ),
            blob_store=MemoryBlobStore(),
            job_transport=transport,
            event_sink=MemoryEventSink(),
            scheduler=MemoryScheduler(self.clock, transport),
            clock=self.clock,
            registry=Registry([WORKFLOW]),
            settings=KernelSettings(due_shards=SHARDS),
            ids=ids,
        )
        return kernel, transport


@pytest.fixture
def fleet(dynamodb_local_url: str) -> Iterator[Fleet]:
    config = Config(max_pool_connections=32, retries={"total_max_attempts": 2})
    client = Session().create_client("dynamodb", endpoint_url=dynamodb_local_url, config=config)
    fleet = Fleet(client, f"scale-{next(_tables)}")
    yield fleet
    fleet.client.delete_table(TableName=fleet.table)


def test_live_runs_that_are_not_due_cost_a_tick_nothing(fleet: Fleet) -> None:
    kernel, _ = fleet.kernel()
    kernel.tick()
    with_none = dict(fleet.asked)
    fleet.add(LIVE, due_in=timedelta(minutes=5))
    kernel.tick()
    assert dict(fleet.asked) == with_none == {"Query": SHARDS}


def test_due_runs_are_handed_out_in_one_tick_with_batched_reads_and_sends(fleet: Fleet) -> None:
    run_ids = fleet.add(DUE, due_in=timedelta(hours=-1))
    kernel, transport = fleet.kernel()
    begun = perf_counter()
    counts = kernel.tick()
    seconds = perf_counter() - begun
    # What `make scale` is run for.
    print(f"\n{DUE} due in {seconds:.1f} s: {dict(fleet.asked)}, SQS {transport.requests}")  # noqa: T201

    assert (counts.looked_at, counts.failed, counts.backlog) == (DUE, 0, False)
    assert sorted(transport.run_ids()) == sorted(run_ids)
    pages = DUE / PAGE + 2 * SHARDS
    assert fleet.asked["UpdateItem"] == DUE
    assert fleet.asked["Query"] <= pages
    assert fleet.asked["BatchGetItem"] <= pages
    assert transport.requests <= DUE / BATCH + pages


def test_several_ticks_at_once_share_the_work_and_send_nothing_twice(fleet: Fleet) -> None:
    run_ids = fleet.add(DUE, due_in=timedelta(hours=-1))
    kernels = [fleet.kernel() for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda pair: pair[0].tick(), kernels))
    sent = [run_id for _, transport in kernels for run_id in transport.run_ids()]
    assert sorted(sent) == sorted(run_ids)


def test_what_one_tick_has_no_time_for_the_next_one_carries_on_oldest_first(fleet: Fleet) -> None:
    run_ids = fleet.add(DUE, due_in=timedelta(hours=-1))
    kernel, transport = fleet.kernel()
    reads = count()

    def later(**_: Any) -> None:
        # Each page takes a second of the ten that this tick has.
        next(reads)
        fleet.clock.advance(timedelta(seconds=1))

    fleet.client.meta.events.register("after-call.dynamodb.Query", later)
    first = kernel.tick(deadline=fleet.clock.now() + timedelta(seconds=10))
    fleet.client.meta.events.unregister("after-call.dynamodb.Query", later)
    handed_out = transport.run_ids()

    assert first.backlog
    assert 0 < len(handed_out) < DUE
    for shard in range(SHARDS):
        mine = [run_id for run_id in run_ids if shard_of(RunId(run_id), SHARDS) == shard]
        early = [run_id for run_id in handed_out if shard_of(RunId(run_id), SHARDS) == shard]
        assert sorted(early) == sorted(mine[: len(early)])
    kernel.tick()
    assert sorted(handed_out + transport.run_ids()) == sorted(run_ids)
