"""What a run's writes are billed, indexes included, and how large its head is."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from workflow_engine.adapters.aws.dynamodb import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.head_codec import encode_head
from workflow_engine.adapters.aws.dynamodb.item_size import item_size
from workflow_engine.model.commits import Cancel, Committed
from workflow_engine.model.runs import Entry, EntryState, Head
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Rearm
from workflow_engine.testing.builders import (
    HORIZON,
    LEASE,
    claim_first,
    committed,
    create,
    finish,
    leased_head,
    new_event,
    new_head,
    new_record,
    refused,
    rewrite,
    share,
)
from workflow_engine.testing.clock import START, FakeClock, SequentialIds

SECOND = timedelta(seconds=1)
CHAIN = 10
IDS = SequentialIds()
# Thirteen characters of an invocation and a counter, as the kernel names a write.
BY = "abcdefghijklm-12"


def usual_head() -> Head:
    """As the kernel creates it: real ids, an input below 256 bytes, one event to tell."""
    event = new_event(START, "workflow:created", priority=5)
    run_id = IDS.new_id()
    return new_head(START, run_id=run_id, by=BY, input_inline=b"x" * 256, due_shard=1, events=(event,))


def chained(head: Head, group: int) -> Any:
    """ "N done, N+1 claimed" in one write."""
    lease = Entry(EntryState.LEASED, until=START + LEASE, by=BY)
    return rewrite(head, BY, group=group, active=(lease,), events=())


def completed(head: Head) -> Any:
    """The last stage is done, and one event tells it."""
    event = new_event(START, "workflow:completed", duration_seconds=12.345)
    return rewrite(head, BY, status=Status.COMPLETED, active=(), events=(event,), ended_by=BY, ended_at=START)


def test_each_write_is_billed_as_little_as_can_be(persistence: DynamoPersistence, wire: Any) -> None:
    head = committed(persistence.commit(create(usual_head())))
    # The item, the due index and the listing.
    assert wire.take_units() == 3
    head = committed(persistence.commit(claim_first(head, START, by=BY)))
    assert wire.take_units() == 1
    for group in range(1, CHAIN):
        persistence.put_record(new_record(head, group=group - 1))
        assert wire.take_units() == 1
        head = committed(persistence.commit(chained(head, group)))
        assert wire.take_units() == 1
    persistence.put_record(new_record(head, group=CHAIN - 1))
    head = committed(persistence.commit(completed(head)))
    assert wire.take_units() == 2
    # The item, and the entry in the due index that goes.
    committed(persistence.commit(rewrite(head, BY, events=(), told=2, due_at=None)))
    assert wire.take_units() == 2
    assert wire.counts() == {"PutItem": 1 + CHAIN, "UpdateItem": 1 + CHAIN + 1}


@pytest.mark.parametrize(("stages", "most"), [(5, 3.2), (10, 2.6)])
def test_a_chain_is_billed_within_its_budget(
    persistence: DynamoPersistence, wire: Any, stages: int, most: float
) -> None:
    head = committed(persistence.commit(create(usual_head())))
    head = committed(persistence.commit(claim_first(head, START, by=BY)))
    for group in range(1, stages):
        persistence.put_record(new_record(head, group=group - 1))
        head = committed(persistence.commit(chained(head, group)))
    persistence.put_record(new_record(head, group=stages - 1))
    head = committed(persistence.commit(completed(head)))
    committed(persistence.commit(rewrite(head, BY, events=(), told=2, due_at=None)))
    assert wire.take_units() / stages <= most


def test_the_head_of_a_usual_run_is_below_1_kb() -> None:
    sizes = []
    head = usual_head()
    sizes.append(item_size(encode_head(head)))
    for group in range(1, CHAIN):
        head = chained(head, group).after
        sizes.append(item_size(encode_head(head)))
    sizes.append(item_size(encode_head(completed(head).after)))
    # With an input at its limit, and room for what a retry and a failure add.
    assert max(sizes) < 720


def test_a_late_stage_costs_what_the_first_does() -> None:
    head = chained(usual_head(), 1).after
    late = replace(head, group=99, version=200, told=150)
    assert item_size(encode_head(late)) - item_size(encode_head(head)) <= 8


def test_a_refusal_costs_no_read(persistence: DynamoPersistence, wire: Any) -> None:
    head = committed(persistence.commit(create(leased_head(START, stages=2))))
    newer = committed(persistence.commit(finish(head, 0)))
    wire.requests.clear()
    assert refused(persistence.commit(finish(head, 0))).head == newer
    assert refused(persistence.commit(rewrite(head))).head == newer
    assert refused(persistence.commit(create(head))).head == newer
    assert wire.counts() == {"UpdateItem": 2, "PutItem": 1}


def test_a_wake_up_that_is_early_enough_costs_a_second_try_and_no_read(
    persistence: DynamoPersistence, wire: Any
) -> None:
    head = committed(persistence.commit(create(new_head(START))))
    wire.requests.clear()
    commit = replace(claim_first(head, START), due_at=START + 2 * HORIZON)
    assert isinstance(persistence.commit(commit), Committed)
    assert wire.counts() == {"UpdateItem": 2}


def test_a_tick_that_moves_due_at_in_between_is_followed(
    persistence: DynamoPersistence, client: Any, clock: FakeClock
) -> None:
    head = committed(persistence.commit(create(new_head(START))))
    wanted = START + HORIZON + 60 * SECOND
    moves = iter([START + HORIZON + 120 * SECOND, START + HORIZON, START + HORIZON + 120 * SECOND])
    is_moving = False

    def move(**_: Any) -> None:
        nonlocal is_moving
        stored = None if is_moving else persistence.load_head(head.run_id)
        next_due = next(moves, None) if stored else None
        if stored and stored.due_at and next_due:
            is_moving = True
            persistence.rearm([Rearm(head.run_id, stored.version, stored.due_at, next_due)])
            is_moving = False

    # The first form finds due_at early enough, and each later try finds that a tick was there before it.
    tries = []

    def on_refusal(parsed: dict[str, Any], **_: Any) -> None:
        if not is_moving and "Error" in parsed:
            tries.append(parsed["Error"]["Code"])
            move()

    client.meta.events.register("after-call.dynamodb.UpdateItem", on_refusal)
    try:
        after = committed(persistence.commit(replace(claim_first(head, START), due_at=wanted)))
    finally:
        client.meta.events.unregister("after-call.dynamodb.UpdateItem", on_refusal)
    assert after.due_at == wanted
    assert len(tries) == 4


def test_a_cancel_costs_one_write(persistence: DynamoPersistence, wire: Any) -> None:
    head = committed(persistence.commit(create(usual_head())))
    wire.take_units()
    committed(persistence.commit(share(head, Cancel(0, "enough", BY, START), new_event(START, "workflow:cancelled"))))
    assert wire.take_units() == 1


def test_heads_and_records_are_read_in_batches(persistence: DynamoPersistence, wire: Any) -> None:
    heads = [new_head(START, run_id=f"run-{number}") for number in range(101)]
    persistence.load_heads([head.run_id for head in heads])
    persistence.load_records(heads[0].run_id, [new_record(heads[0], group=group).key for group in range(100)])
    assert wire.counts() == {"BatchGetItem": 3}
