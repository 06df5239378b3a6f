"""What follows what."""

import pytest

from workflow_engine.model import plans
from workflow_engine.model.plans import Plan

PLAN = Plan([("read",), ("left", "right"), ("write",)])


def test_a_plan_is_the_value_that_nested_tuples_are() -> None:
    assert PLAN == (("read",), ("left", "right"), ("write",))
    assert hash(PLAN) == hash((("read",), ("left", "right"), ("write",)))


def test_the_first_group_takes_the_input_and_every_other_the_one_before_it() -> None:
    assert PLAN.first == ("read",)
    assert [PLAN.source_of(group) for group in range(3)] == [(), ("read",), ("left", "right")]
    assert [plans.before(group) for group in range(3)] == [None, 0, 1]


@pytest.mark.parametrize(("group", "last"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_run_is_complete_behind_the_last_group(group: int, last: bool) -> None:
    assert PLAN.is_last(group) is last


def test_walking_through_a_plan_meets_every_group_once() -> None:
    group, seen = 0, [0]
    while not PLAN.is_last(group):
        group = plans.after(group)
        seen.append(group)

    assert seen == [0, 1, 2]
    assert list(plans.through(2)) == seen
    assert [plans.number(one) for one in seen] == [1, 2, 3]


def test_a_stage_is_found_by_its_place() -> None:
    assert [PLAN.stage(1, ordinal) for ordinal in range(2)] == ["left", "right"]
    with pytest.raises(IndexError):
        PLAN.stage(1, 2)


def test_the_groups_before_one_come_with_their_numbers() -> None:
    assert list(PLAN.until(0)) == []
    assert list(PLAN.until(2)) == [(0, ("read",)), (1, ("left", "right"))]


@pytest.mark.parametrize(
    ("group", "last", "stages"),
    [(0, 0, ["read"]), (1, 2, ["left", "right", "write"]), (1, 9, ["left", "right", "write"]), (2, 1, [])],
)
def test_the_stages_between_two_groups_end_with_the_plan(group: int, last: int, stages: list[str]) -> None:
    assert PLAN.between(group, last) == stages


@pytest.mark.parametrize(("group", "stages"), [(1, ("left", "right")), (2, ("write",)), (7, ("write",))])
def test_behind_the_end_the_nearest_group_is_the_last(group: int, stages: tuple[str, ...]) -> None:
    assert PLAN.nearest(group) == stages
