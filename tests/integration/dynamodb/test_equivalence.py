"""Random commits leave the same heads in memory and in DynamoDB, and the same answers."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from botocore.session import get_session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflow_engine.adapters.aws.dynamodb import DynamoPersistence
from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.adapters.memory.persistence import MemoryPersistence
from workflow_engine.model.commits import (
    Cancel,
    Change,
    ClaimDue,
    ClaimExpired,
    ClaimFirst,
    Exclusive,
    Extend,
    Fail,
    Finish,
    Hold,
    Reserve,
    Shared,
    Signal,
    newest_base,
)
from workflow_engine.model.ids import RunId, StageId, WorkflowId
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import (
    SKIPPED_EPOCH,
    USED_UP,
    Entry,
    EntryState,
    Head,
    IdempotencyRecord,
    KeptSignal,
    PendingEvent,
    RunFailure,
    WaitKind,
)
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Persistence, Rearm
from workflow_engine.testing.builders import new_head
from workflow_engine.testing.clock import START, FakeClock, SequentialIds

NUMBERS = count()
SHARDS = 2
STEPS = 12
KINDS = {"shared": 8, "exclusive": 2, "rearm": 1}
FAR = START + timedelta(days=1)

# Few values each, so that conditions hold about as often as not.
instants = st.integers(0, 6).map(lambda minutes: START + timedelta(minutes=minutes))
epochs = st.integers(0, 3)
texts = st.sampled_from(["", "worker", "漢字 \x00"])
elements = st.sampled_from(["a#1", "a#2", "b#1"])
events = st.builds(
    PendingEvent,
    type=st.sampled_from(["stage:failed", "workflow:completed"]),
    at=instants,
    data=st.dictionaries(texts, st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts),
)
entries = st.builds(
    Entry,
    state=st.sampled_from(EntryState),
    epoch=epochs,
    attempt=st.integers(1, 3),
    until=instants | instants | st.none(),
    by=texts,
    lost=st.integers(0, 2),
    wait=st.none() | st.sampled_from(WaitKind),
    suspended_epoch=st.none() | epochs,
    give_up_at=st.none() | instants,
    signal=st.none() | elements,
    taken=st.none() | st.none() | elements,
)
# A shared commit skips nothing: that is decided by the one that enters the group.
left_entries = entries.filter(lambda entry: entry.state is not EntryState.SKIPPED)
failures = st.builds(
    RunFailure,
    error=st.builds(ErrorInfo, type=texts, message=texts, retryable=st.booleans(), trace=st.none() | texts),
    stage_id=st.none() | st.just(StageId("count")),
    epoch=epochs,
)
# Mostly live, since nothing but an exclusive commit changes what is not.
statuses = st.sampled_from([Status.RUNNING] * 4 + [Status.SUSPENDED, Status.PENDING, Status.COMPLETED, Status.FAILED])
ordinals = st.integers(0, 3)
mostly = st.sampled_from([True, True, True, False])
FITTING: Mapping[EntryState, tuple[type, ...]] = {
    EntryState.READY: (ClaimFirst,),
    EntryState.WAITING: (ClaimDue,),
    EntryState.LEASED: (ClaimExpired, Extend, Reserve, Finish, Hold, Fail),
    EntryState.DONE: (Signal, Cancel),
    EntryState.FAILED: (Signal,),
    EntryState.SKIPPED: (Signal, Cancel),
}
wakes = st.none() | instants
sizes = st.integers(1, 4)


@st.composite
def rewritten(draw: st.DrawFn, *always: str) -> dict[str, Any]:
    """Some fields of a head, with other values."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "status": statuses,
        "group": st.integers(0, 2),
        "active": st.lists(entries, min_size=2, max_size=3).map(tuple) | st.just(()),
        "bases": st.sampled_from([((0, 0),), ((0, 0), (1, 2)), ((0, 1),), ((0, 0), (0, 1), (2, 3))]),
        "winners": st.dictionaries(st.tuples(st.integers(0, 2), ordinals), epochs | st.just(SKIPPED_EPOCH), max_size=2),
        "epochs": st.integers(1, 4),
        "told": st.integers(0, 9),
        "spilled": st.integers(0, 2),
        "events": st.lists(events, max_size=2).map(tuple),
        "refusals": st.integers(0, 2),
        "due_at": wakes,
        "priority": st.integers(0, 10),
        "input_inline": st.none() | st.binary(max_size=8),
        "input_hash": st.none() | texts,
        "signals": st.lists(elements | st.just(USED_UP), unique=True, max_size=3).map(tuple),
        "failure": st.none() | failures,
        "reason": st.none() | texts,
        "ended_by": texts,
        "ended_at": st.none() | instants,
        "by": texts,
        "enters_at": wakes,
    }
    chosen = draw(st.lists(st.sampled_from(sorted(fields)), unique=True, max_size=6))
    return {name: draw(fields[name]) for name in sorted({*chosen, *always})}


@st.composite
def changes(draw: st.DrawFn, head: Head) -> Change:
    """A change of a shared commit, mostly one that fits the entry it names."""
    ordinal, any_epoch = draw(ordinals), draw(epochs)
    entry = head.active[ordinal] if ordinal < len(head.active) else None
    fits = entry is not None and draw(mostly)
    epoch = entry.epoch if entry and fits else any_epoch
    kinds = FITTING[entry.state] if entry and fits else tuple(kind for each in FITTING.values() for kind in each)
    until, at, by, drawn_entry = draw(instants), draw(instants), draw(texts), draw(left_entries)
    if draw(mostly):
        at = FAR
    name, key = draw(elements).split("#")
    made: dict[type, Change] = {
        ClaimFirst: ClaimFirst(ordinal, epoch, until, by, draw(st.none() | st.just(head.status) | statuses)),
        ClaimDue: ClaimDue(ordinal, epoch, until, by, at, draw(st.none() | elements), draw(sizes)),
        ClaimExpired: ClaimExpired(ordinal, epoch, until, by, expired_before=at),
        Extend: Extend(ordinal, epoch, until),
        Reserve: Reserve(ordinal, epoch, draw(elements), draw(sizes)),
        Finish: Finish(ordinal, epoch, drawn_entry),
        Hold: Hold(ordinal, epoch, drawn_entry, draw(st.none() | st.tuples(st.integers(0, 2), elements))),
        Fail: Fail(ordinal, epoch, draw(failures), by, at),
        Cancel: Cancel(draw(st.just(newest_base(head)) | epochs), draw(st.none() | texts), by, at),
        Signal: Signal(KeptSignal(head.run_id, name, key, "h", b"{}", at, FAR), draw(sizes)),
    }
    return made[draw(st.sampled_from(kinds))]


def records(run_id: RunId) -> st.SearchStrategy[IdempotencyRecord | None]:
    """A record now and then; three keys a run, so that some are used twice."""
    key = st.integers(0, 2).map(lambda number: f"{run_id}-{number}")
    record = st.builds(IdempotencyRecord, key, st.just("run.cancel"), st.just("h"), texts, st.just(FAR))
    return st.none() | st.none() | record


@st.composite
def steps(draw: st.DrawFn, seen: list[Head]) -> Exclusive | Shared | Rearm:
    """The next step: mostly from the newest head seen, sometimes from an older one."""
    head = seen[-1] if draw(st.integers(0, 4)) else draw(st.sampled_from(seen))
    # Once it has ended, only an exclusive commit goes anywhere.
    weights = {"shared": 2, "exclusive": 6, "rearm": 1} if head.status.is_terminal else KINDS
    kind = draw(st.sampled_from([kind for kind, weight in weights.items() for _ in range(weight)]))
    if kind == "rearm":
        seen_due = head.due_at or START
        return Rearm(head.run_id, head.version, seen_due, draw(instants))
    if kind == "exclusive":
        after = replace(
            head, version=head.version + 1, **draw(rewritten(*(["status"] if head.status.is_terminal else [])))
        )
        return Exclusive(head, after, draw(records(head.run_id)))
    return Shared(
        head.run_id,
        draw(st.sampled_from([None, head.group, head.group, 1])),
        draw(changes(head)),
        tuple(draw(st.lists(events, max_size=2))),
        draw(wakes),
        draw(records(head.run_id)),
    )


def check(stored: Persistence, memory: Persistence, data: st.DataObject) -> None:
    """Take random steps in both, and compare what they answer and what is left."""
    number = next(NUMBERS)
    fields = data.draw(rewritten("active"))
    # A workflow of its own, so that listings hold this run alone.
    run_id, workflow_id = f"run-{number}", WorkflowId(f"workflow-{number}")
    head = new_head(
        START,
        **{"due_shard": number % SHARDS, "status": Status.RUNNING, **fields},
        run_id=run_id,
        workflow_id=workflow_id,
    )
    assert stored.commit(Exclusive(None, head)) == memory.commit(Exclusive(None, head))
    seen = [head]
    for _ in range(data.draw(st.integers(1, STEPS))):
        step = data.draw(steps(seen))
        if isinstance(step, Rearm):
            assert stored.rearm([step]) == memory.rearm([step])
        else:
            assert stored.commit(step) == memory.commit(step)
        current = memory.load_head(head.run_id)
        assert stored.load_head(head.run_id) == current
        assert current is not None
        seen.append(current)
    assert stored.list_failures(workflow_id) == memory.list_failures(workflow_id)
    assert stored.list_runs(workflow_id) == memory.list_runs(workflow_id)
    assert due(stored, head) == due(memory, head)
    for element in ("a#1", "a#2", "b#1"):
        assert stored.load_signal(head.run_id, element) == memory.load_signal(head.run_id, element)
    for key in range(3):
        name = f"{head.run_id}-{key}"
        assert stored.load_idempotency(name, "run.cancel") == memory.load_idempotency(name, "run.cancel")


def due(persistence: Persistence, head: Head) -> list[datetime]:
    """When the index says that the run is due."""
    runs = persistence.list_due(head.due_shard, until=FAR, limit=100_000).runs
    return [run.due_at for run in runs if run.run_id == head.run_id]


def on_table(client: Any, table_name: str, clock: FakeClock) -> Iterator[DynamoPersistence]:
    client.create_table(**create_table_request(table_name))
    yield DynamoPersistence(table_name=table_name, shards=SHARDS, clock=clock, ids=SequentialIds(), client=client)
    client.delete_table(TableName=table_name)


CLOCK = FakeClock()
MEMORY = MemoryPersistence(CLOCK)


@pytest.fixture(scope="module")
def on_local(client: Any) -> Iterator[DynamoPersistence]:
    yield from on_table(client, "equivalence", CLOCK)


@pytest.fixture(scope="module")
def on_moto(moto_url: str) -> Iterator[DynamoPersistence]:
    yield from on_table(get_session().create_client("dynamodb", endpoint_url=moto_url), "equivalence", CLOCK)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_dynamodb_local_and_memory_agree(on_local: DynamoPersistence, data: st.DataObject) -> None:
    check(on_local, MEMORY, data)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_moto_and_memory_agree(on_moto: DynamoPersistence, data: st.DataObject) -> None:
    check(on_moto, MEMORY, data)
