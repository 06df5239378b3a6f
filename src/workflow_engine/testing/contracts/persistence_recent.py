"""What every persistence must do with records that ride in the head, and that leave it in bundles."""
# ruff: noqa: D102 - a test's name is its docstring

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from workflow_engine.errors import PayloadTooLargeError
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import HEAD_OUTLIVES, MAX_ITEM_BYTES
from workflow_engine.model.payloads import ErrorInfo, Payload
from workflow_engine.model.runs import Bundle, Head, StageRecord, riding
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Persistence
from workflow_engine.testing.builders import create, new_head, new_record, rewrite
from workflow_engine.testing.clock import START

RUN = RunId("run")
MILLISECOND = timedelta(milliseconds=1)


def rider(group: int, *, epoch: int = 0, base_head: Head | None = None, **changes: Any) -> StageRecord:
    """A record as it rides in the head."""
    head = base_head or new_head(START)
    at = START + group * timedelta(seconds=1)
    times = {"started_at": at, "finished_at": at + 17 * MILLISECOND}
    record = new_record(head, group=group, stage_id=f"stage-{group}", epoch=epoch, **{**times, **changes})
    return riding(record, head.expires_at - HEAD_OUTLIVES)


def bundle(*records: StageRecord, base: int = 0, expires_at: datetime | None = None) -> Bundle:
    """What leaves the head together."""
    expiry = expires_at or records[0].expires_at
    return Bundle(RUN, base, tuple(riding(record, expiry) for record in records), expiry)


class RecentContract:
    """Records in heads and in bundles."""

    def test_a_head_keeps_what_rides_in_it(self, persistence: Persistence) -> None:
        full = rider(
            12,
            epoch=345,
            status=Status.FAILED,
            attempt=4,
            started_at=START - timedelta(minutes=3),
            output=Payload(size_bytes=70_000, blob_key="run/12/stage-12/345"),
            error=ErrorInfo("ValueError", "нет", retryable=True, trace="line 1\nline 2"),
            metrics={"rows": 1e300, "share": 0.1},
            artifacts={"report": "run/report.html"},
        )
        part = rider(3, error=ErrorInfo("OSError", "no"), output=None)
        part = replace(part, key=replace(part.key, part="undo"))
        recent = (rider(0), rider(1, output=None), rider(2, output=Payload.of(b"")), part, full)
        head = new_head(START, recent=recent, bundled=True)
        persistence.commit(create(head))
        assert persistence.load_head(RUN) == head
        emptied = rewrite(head, recent=())
        persistence.commit(emptied)
        assert persistence.load_head(RUN) == emptied.after
        assert persistence.list_records(RUN) == []

    def test_who_wrote_what_rides_in_a_head_is_not_kept(self, persistence: Persistence) -> None:
        persistence.commit(create(new_head(START, recent=(replace(rider(0), by="me.1"),), bundled=True)))
        found = persistence.load_head(RUN)
        assert found is not None
        assert found.recent == (rider(0),)

    def test_that_nothing_rode_in_a_head_is_kept_too(self, persistence: Persistence) -> None:
        persistence.commit(create(new_head(START)))
        found = persistence.load_head(RUN)
        assert found is not None
        assert (found.recent, found.bundled) == ((), False)

    def test_the_bundle_of_a_record_has_the_least_name_that_is_not_below(self, persistence: Persistence) -> None:
        first, second = bundle(rider(0), rider(1, epoch=2)), bundle(rider(2), rider(3))
        late = bundle(rider(0))
        for one in (second, late, first):
            persistence.put_bundle(one)
        wanted = {0: late, 1: first, 2: second, 3: second}
        for group, expected in wanted.items():
            found = persistence.load_bundle(RUN, 0, rider(group, epoch=2 if group == 1 else 0).key)
            assert found == expected
        assert persistence.load_bundle(RUN, 0, rider(1).key) == first
        assert persistence.load_bundle(RUN, 0, rider(1, epoch=3).key) == second
        assert persistence.load_bundle(RUN, 0, rider(4).key) is None

    def test_a_bundle_of_another_base_or_run_is_not_taken(self, persistence: Persistence) -> None:
        persistence.put_bundle(bundle(rider(3), base=1))
        persistence.put_bundle(replace(bundle(rider(3)), run_id=RunId("run-2")))
        persistence.put_record(new_record(new_head(START), group=5))
        assert persistence.load_bundle(RUN, 0, rider(2).key) is None
        assert persistence.load_bundle(RUN, 2, rider(2).key) is None

    def test_a_bundle_stays_as_it_was_put_first(self, persistence: Persistence) -> None:
        first = bundle(rider(0), rider(1))
        persistence.put_bundle(first)
        persistence.put_bundle(bundle(rider(1)))
        assert persistence.load_bundle(RUN, 0, rider(1).key) == first

    def test_what_is_in_bundles_is_listed_with_the_records_once_each(self, persistence: Persistence) -> None:
        own = new_record(new_head(START), group=2)
        persistence.put_record(own)
        persistence.put_record(replace(rider(1), by="me.1", status=Status.FAILED))
        persistence.put_bundle(bundle(rider(0), rider(1)))
        persistence.put_bundle(bundle(rider(0)))
        persistence.put_bundle(bundle(rider(3, epoch=9), base=9))
        assert persistence.list_records(RUN) == [rider(0), rider(1), own, rider(3, epoch=9)]
        assert persistence.load_records(RUN, [rider(0).key, rider(3).key]) == {}

    def test_a_bundle_lives_longer_when_told_with_all_that_is_in_it(self, persistence: Persistence) -> None:
        persistence.put_bundle(bundle(rider(0), rider(1)))
        longer = rider(0).expires_at + timedelta(days=30)
        persistence.extend_expiry(RUN, longer)
        found = persistence.load_bundle(RUN, 0, rider(0).key)
        assert found is not None
        assert {found.expires_at, *(record.expires_at for record in found.records)} == {longer}
        assert {record.expires_at for record in persistence.list_records(RUN)} == {longer}

    def test_a_bundle_that_is_too_large_is_refused(self, persistence: Persistence) -> None:
        with pytest.raises(PayloadTooLargeError):
            persistence.put_bundle(bundle(rider(0, output=Payload.of(b"x" * MAX_ITEM_BYTES))))
        assert persistence.list_records(RUN) == []

    def test_a_head_is_measured_apart_from_what_rides_in_it(self, persistence: Persistence) -> None:
        small, large = rider(1), rider(1, output=Payload.of(b"x" * 1000))
        head = new_head(START, recent=(small, large), bundled=True)
        found = persistence.head_sizes(head)
        alone = persistence.head_sizes(replace(head, recent=()))
        assert found.apart == alone.apart
        assert alone.recent == ()
        assert small.output is not None
        assert found.recent[1] - found.recent[0] == 1000 - small.output.size_bytes
        fuller = persistence.head_sizes(replace(head, signals=("approval#1",)))
        assert fuller.apart > found.apart
        assert fuller.recent == found.recent
