import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest

from workflow_engine.testing.clock import START, FakeClock, SequentialIds

MINUTE = timedelta(minutes=1)


def test_a_fake_clock_stands_still_until_it_is_moved() -> None:
    clock = FakeClock()
    assert clock.now() == clock.now() == START
    assert clock.advance(MINUTE) == clock.now() == START + MINUTE
    assert clock.advance(-2 * MINUTE) == START - MINUTE


def test_a_fake_clock_tells_utc_whatever_it_is_set_to() -> None:
    clock = FakeClock()
    clock.set(datetime(2031, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == datetime(2031, 1, 1, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    with pytest.raises(ValueError, match="time zone"):
        clock.set(datetime(2031, 1, 1))  # noqa: DTZ001 - what is refused


def test_sequential_ids_look_like_real_ones_and_repeat() -> None:
    first, second = SequentialIds(), SequentialIds()
    ids = [first.new_id() for _ in range(100)]
    assert ids == [second.new_id() for _ in range(100)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[a-z2-7]{26}", each) for each in ids)


def test_sources_of_other_seeds_share_no_ids() -> None:
    sources = [SequentialIds(seed) for seed in (0, 1, 2, 2**60)]
    ids = [source.new_id() for source in sources for _ in range(100)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[a-z2-7]{26}", each) for each in ids)


def test_threads_share_a_source() -> None:
    source = SequentialIds()
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda _: source.new_id(), range(2000)))
    assert len(set(ids)) == len(ids)
