import re
from datetime import UTC, timedelta

from workflow_engine.adapters.system import RandomIds, SystemClock


def test_the_time_is_in_utc_and_whole_milliseconds() -> None:
    times = [SystemClock().now() for _ in range(1000)]
    assert {time.tzinfo for time in times} == {UTC}
    assert {time.microsecond % 1000 for time in times} == {0}
    assert times[-1] - times[0] < timedelta(minutes=1)


def test_ids_are_26_characters_and_all_different() -> None:
    ids = [RandomIds().new_id() for _ in range(1000)]
    assert all(re.fullmatch("[a-z2-7]{26}", each) for each in ids)
    assert len(set(ids)) == len(ids)
