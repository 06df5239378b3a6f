"""What every persistence must do with heads that are committed exclusively."""
# ruff: noqa: D102 - a test's name is its docstring

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from workflow_engine.errors import PayloadTooLargeError
from workflow_engine.model.commits import Exclusive
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.limits import HEAD_OUTLIVES, MAX_ITEM_BYTES
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.runs import (
    Entry,
    EntryState,
    Head,
    IdempotencyRecord,
    RunFailure,
    WaitKind,
    riding,
)
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Persistence, Rearm
from workflow_engine.testing.builders import (
    HORIZON,
    committed,
    create,
    leased_head,
    new_event,
    new_head,
    new_record,
    refused,
    rewrite,
)
from workflow_engine.testing.clock import FakeClock

HOUR = timedelta(hours=1)


def full_entry(at: datetime) -> Entry:
    """An entry in which every field is set to something unusual."""
    return Entry(
        EntryState.WAITING,
        epoch=7,
        attempt=3,
        until=at + HOUR,
        by="worker-7",
        lost=2,
        wait=WaitKind.SIGNAL,
        suspended_epoch=6,
        give_up_at=at + 2 * HOUR,
        signal="approval",
    )


def full_head(clock: FakeClock) -> Head:
    """A head in which every field is set to something unusual."""
    at = clock.now()
    return new_head(
        at,
        stages=2,
        status=Status.FAILED,
        version=41,
        by="writer-41",
        group=3,
        active=(full_entry(at), Entry(EntryState.FAILED, epoch=2)),
        bases=((0, 0), (2, 5)),
        winners={(1, 12): 4, (2, 0): 3},
        winners_from=1,
        epochs=9,
        told=17,
        spilled=2,
        events=(
            new_event(at, "stage:failed", stage_id="zählen", attempt=2, retry_at=None, fraction=0.1),
            new_event(at + timedelta(milliseconds=1), "workflow:failed"),
            replace(new_event(at, "stage:failed", stage_id="x"), ref="3.0.7.1.abcdefgh"),
            replace(new_event(at, "annotation:created"), ref="3.0.7.2.abcdefgh"),
        ),
        refusals=1,
        due_shard=1,
        priority=10,
        input_inline=bytes(range(256)),
        input_hash="h" * 26,
        signals=("approval#" + "k" * 26, "more#1"),
        failure=RunFailure(ErrorInfo("ValueError", "no 漢字", retryable=True, trace="line 1\n"), StageId("count"), 2),
        reason="enough",
        ended_by="worker-9",
        ended_at=at + HOUR,
        recent=(riding(new_record(new_head(at), group=1), new_head(at).expires_at - HEAD_OUTLIVES),),
        bundled=True,
    )


def record_of(clock: FakeClock, *, key: str = "order-17", result: str = "{}") -> IdempotencyRecord:
    """A record that expires in an hour."""
    return IdempotencyRecord(key, "run.cancel", "h" * 26, result, clock.now() + HOUR)


class HeadContract:
    """Creating, reading and replacing heads."""

    def test_an_unknown_run_has_no_head(self, persistence: Persistence) -> None:
        assert persistence.load_head(RunId("nobody")) is None

    def test_a_created_head_is_read_as_it_was_written(self, persistence: Persistence, clock: FakeClock) -> None:
        head = new_head(clock.now())
        assert committed(persistence.commit(create(head))) == head
        assert persistence.load_head(head.run_id) == head

    def test_every_field_of_a_head_is_kept(self, persistence: Persistence, clock: FakeClock) -> None:
        head = full_head(clock)
        committed(persistence.commit(create(head)))
        assert persistence.load_head(head.run_id) == head

    def test_every_field_can_be_set_and_reset(self, persistence: Persistence, clock: FakeClock) -> None:
        plain = new_head(clock.now(), due_shard=1)
        committed(persistence.commit(create(plain)))
        full = replace(full_head(clock), version=2)
        committed(persistence.commit(Exclusive(plain, full)))
        assert persistence.load_head(plain.run_id) == full
        bare = replace(plain, version=3, due_at=None, input_inline=None)
        committed(persistence.commit(Exclusive(full, bare)))
        assert persistence.load_head(plain.run_id) == bare

    def test_a_run_is_created_once(self, persistence: Persistence, clock: FakeClock) -> None:
        first = new_head(clock.now())
        committed(persistence.commit(create(first)))
        assert refused(persistence.commit(create(replace(first, by="creator-1")))).head == first
        assert persistence.load_head(first.run_id) == first

    def test_an_expired_head_that_is_still_there_counts(self, persistence: Persistence, clock: FakeClock) -> None:
        old = new_head(clock.now())
        committed(persistence.commit(create(old)))
        clock.set(old.expires_at + timedelta(days=1))
        assert persistence.load_head(old.run_id) == old
        assert refused(persistence.commit(create(new_head(clock.now())))).head == old

    def test_a_stale_exclusive_commit_changes_nothing(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        newer = committed(persistence.commit(rewrite(head, "first", told=1)))
        outcome = refused(persistence.commit(rewrite(head, "second", told=2)))
        assert outcome.head == newer
        assert outcome.head.by == "first"
        assert persistence.load_head(head.run_id) == newer

    def test_an_exclusive_commit_needs_a_head(self, persistence: Persistence, clock: FakeClock) -> None:
        assert refused(persistence.commit(rewrite(new_head(clock.now())))).head is None
        assert persistence.load_head(RunId("run")) is None

    def test_a_commit_whose_answer_was_lost_names_itself_in_the_refusal(
        self, persistence: Persistence, clock: FakeClock
    ) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        commit = rewrite(head, "mine-3", group=1, active=(Entry(EntryState.READY),))
        committed(persistence.commit(commit))
        again = refused(persistence.commit(commit))
        assert again.head == commit.after
        assert again.head.by == "mine-3"

    def test_a_create_whose_answer_was_lost_names_itself_in_the_refusal(
        self, persistence: Persistence, clock: FakeClock
    ) -> None:
        commit = create(new_head(clock.now(), by="mine-1"))
        committed(persistence.commit(commit))
        assert refused(persistence.commit(commit)).head == commit.after

    def test_heads_are_read_many_at_once(self, persistence: Persistence, clock: FakeClock) -> None:
        heads = {RunId(f"run-{number}"): new_head(clock.now(), run_id=f"run-{number}") for number in range(130)}
        for head in heads.values():
            committed(persistence.commit(create(head)))
        asked = [*heads, RunId("nobody"), RunId("run-7")]
        assert persistence.load_heads(asked) == heads
        assert persistence.load_heads([]) == {}

    def test_an_exclusive_commit_says_due_at_after_a_tick_moved_it(
        self, persistence: Persistence, clock: FakeClock
    ) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        assert head.due_at is not None
        moved = persistence.rearm([Rearm(head.run_id, head.version, head.due_at, head.due_at + HORIZON)])
        assert moved == [head.run_id]
        after = committed(persistence.commit(rewrite(head, told=1)))
        assert after.due_at == head.due_at
        assert persistence.load_head(head.run_id) == after

    def test_an_exclusive_commit_removes_due_at_after_a_tick_moved_it(
        self, persistence: Persistence, clock: FakeClock
    ) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        assert head.due_at is not None
        persistence.rearm([Rearm(head.run_id, head.version, head.due_at, head.due_at + HORIZON)])
        after = committed(persistence.commit(rewrite(head, status=Status.COMPLETED, due_at=None)))
        assert persistence.load_head(head.run_id) == after

    def test_a_head_above_the_limit_is_refused_with_its_size(self, persistence: Persistence, clock: FakeClock) -> None:
        head = leased_head(clock.now())
        committed(persistence.commit(create(head)))
        with pytest.raises(PayloadTooLargeError) as caught:
            persistence.commit(rewrite(head, reason="x" * (MAX_ITEM_BYTES + 1)))
        assert caught.value.limit_bytes == MAX_ITEM_BYTES
        assert caught.value.size_bytes > MAX_ITEM_BYTES
        assert persistence.load_head(head.run_id) == head


class IdempotencyContract:
    """Keys that are recorded in the write that has the effect."""

    def test_a_record_is_stored_once(self, persistence: Persistence, clock: FakeClock) -> None:
        first = record_of(clock, result='{"cancelled":true}')
        assert persistence.put_idempotency(first) is None
        assert persistence.put_idempotency(record_of(clock, result="other")) == first
        assert persistence.load_idempotency(first.key, first.command_type) == first

    def test_a_key_belongs_to_a_type_of_command(self, persistence: Persistence, clock: FakeClock) -> None:
        persistence.put_idempotency(record_of(clock))
        assert persistence.load_idempotency("order-17", "run.signal") is None
        assert persistence.load_idempotency("order-18", "run.cancel") is None

    def test_keys_are_any_text(self, persistence: Persistence, clock: FakeClock) -> None:
        records = [record_of(clock, key=key, result=key) for key in ("a#b", "a", " ", "ключ\n", "x" * 512)]
        assert [persistence.put_idempotency(record) for record in records] == [None] * len(records)
        assert [persistence.load_idempotency(record.key, record.command_type) for record in records] == records

    def test_an_expired_record_is_gone_and_its_key_free(self, persistence: Persistence, clock: FakeClock) -> None:
        old = record_of(clock)
        persistence.put_idempotency(old)
        clock.set(old.expires_at)
        assert persistence.load_idempotency(old.key, old.command_type) is None
        new = record_of(clock, result="new")
        assert persistence.put_idempotency(new) is None
        assert persistence.load_idempotency(old.key, old.command_type) == new

    def test_a_record_comes_with_its_commit(self, persistence: Persistence, clock: FakeClock) -> None:
        head, record = leased_head(clock.now()), record_of(clock)
        committed(persistence.commit(create(head)))
        commit = replace(rewrite(head, reason="rerun"), idempotency=record)
        assert committed(persistence.commit(commit)) == commit.after
        assert persistence.load_head(head.run_id) == commit.after
        assert persistence.load_idempotency(record.key, record.command_type) == record

    def test_a_create_may_carry_a_record(self, persistence: Persistence, clock: FakeClock) -> None:
        head, record = new_head(clock.now()), record_of(clock)
        committed(persistence.commit(replace(create(head), idempotency=record)))
        assert persistence.load_head(head.run_id) == head
        outcome = refused(persistence.commit(replace(create(replace(head, by="other")), idempotency=record)))
        assert (outcome.head, outcome.replay) == (head, record)

    def test_a_key_that_was_used_refuses_the_commit(self, persistence: Persistence, clock: FakeClock) -> None:
        head, record = leased_head(clock.now()), record_of(clock)
        committed(persistence.commit(create(head)))
        persistence.put_idempotency(record)
        outcome = refused(persistence.commit(replace(rewrite(head), idempotency=record_of(clock, result="second"))))
        assert (outcome.head, outcome.replay) == (head, record)
        assert persistence.load_head(head.run_id) == head

    def test_a_refused_commit_leaves_its_key_free(self, persistence: Persistence, clock: FakeClock) -> None:
        head, record = leased_head(clock.now()), record_of(clock)
        committed(persistence.commit(create(head)))
        newer = committed(persistence.commit(rewrite(head)))
        outcome = refused(persistence.commit(replace(rewrite(head), idempotency=record)))
        assert (outcome.head, outcome.replay) == (newer, None)
        assert persistence.load_idempotency(record.key, record.command_type) is None

    def test_an_expired_record_does_not_refuse_a_commit(self, persistence: Persistence, clock: FakeClock) -> None:
        head, old = leased_head(clock.now()), record_of(clock)
        committed(persistence.commit(create(head)))
        persistence.put_idempotency(old)
        clock.set(old.expires_at)
        record = record_of(clock, result="new")
        committed(persistence.commit(replace(rewrite(head), idempotency=record)))
        assert persistence.load_idempotency(record.key, record.command_type) == record
