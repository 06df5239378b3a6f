"""Recurring starts are kept in the table, which outlives the schedule group and with it every schedule."""

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import Schedule, Workflow, stage
from workflow_engine.adapters.memory import MemoryPersistence
from workflow_engine.errors import InvalidCommandError, TransientError
from workflow_engine.kernel.schedules import Schedules
from workflow_engine.model.deliveries import Recurrence
from workflow_engine.testing.engine import VirtualEngine


class Night(BaseModel):
    number: int = 0


@stage("count")
def count(night: Night) -> None:
    pass


NIGHTLY = Schedule(name="nightly", workflow_id="counting", expression="cron(0 3 * * ? *)", input={"number": 1})
HOURLY = Schedule(
    name="hourly", workflow_id="counting", expression="rate(1 hour)", input={"number": 2}, timezone="Europe/Vienna"
)


@pytest.fixture
def engine() -> VirtualEngine:
    return VirtualEngine(Workflow("counting", input=Night).pipe(count).build())


def lose_the_group(engine: VirtualEngine) -> None:
    """As AWS does when the schedule group is deleted with its stack, or replaced by another."""
    for recurrence in engine.scheduler.list_recurrences():
        engine.scheduler.delete_recurrence(recurrence.name)


def test_schedules_that_went_with_their_group_are_made_again_as_they_were(engine: VirtualEngine) -> None:
    schedules = engine.kernel.schedules
    schedules.put(NIGHTLY)
    schedules.put(HOURLY)
    schedules.pause("hourly")
    before = schedules.list()
    lose_the_group(engine)
    assert schedules.list() == []
    assert schedules.missing() == ("hourly", "nightly")

    synced = schedules.sync()

    assert (synced.made, synced.kept) == (("hourly", "nightly"), ())
    assert schedules.list() == before
    assert schedules.missing() == ()


def test_what_is_in_order_is_left_alone(engine: VirtualEngine) -> None:
    schedules = engine.kernel.schedules
    schedules.put(HOURLY)
    engine.advance(timedelta(hours=2, minutes=24))
    fires_at = engine.scheduler.next_fire_at()

    synced = schedules.sync()

    assert (synced.made, synced.kept) == ((), ())
    # A rate that is put anew fires at once, and counts from there.
    assert engine.scheduler.next_fire_at() == fires_at


def test_a_schedule_that_was_deleted_stays_deleted(engine: VirtualEngine) -> None:
    schedules = engine.kernel.schedules
    schedules.put(NIGHTLY)
    assert schedules.delete("nightly")
    assert not schedules.delete("nightly")

    assert (schedules.sync().made, schedules.list()) == ((), [])


def test_one_that_is_kept_and_does_not_fire_can_be_deleted(engine: VirtualEngine) -> None:
    engine.kernel.schedules.put(NIGHTLY)
    lose_the_group(engine)

    assert engine.kernel.schedules.delete("nightly")
    assert engine.kernel.schedules.sync().made == ()


def test_a_schedule_of_a_version_that_kept_none_is_kept_from_now_on(engine: VirtualEngine) -> None:
    engine.scheduler.put_recurrence(NIGHTLY.as_recurrence())

    synced = engine.kernel.schedules.sync()

    assert (synced.made, synced.kept) == ((), ("nightly",))
    lose_the_group(engine)
    engine.kernel.schedules.sync()
    assert engine.kernel.schedules.list() == [NIGHTLY]


def test_a_schedule_that_the_service_refused_is_not_kept(engine: VirtualEngine) -> None:
    with pytest.raises(InvalidCommandError):
        engine.kernel.schedules.put(NIGHTLY.model_copy(update={"expression": "every night"}))

    assert engine.persistence.list_recurrences() == []


def test_a_schedule_that_somebody_changed_by_hand_is_as_it_was_put(engine: VirtualEngine) -> None:
    engine.kernel.schedules.put(NIGHTLY)
    engine.scheduler.put_recurrence(NIGHTLY.model_copy(update={"paused": True}).as_recurrence())

    assert engine.kernel.schedules.sync().made == ("nightly",)
    assert engine.kernel.schedules.list() == [NIGHTLY]


def test_what_the_table_of_a_stack_that_is_gone_kept_is_made_in_this_one(engine: VirtualEngine) -> None:
    persistence = MemoryPersistence(engine.clock)
    for old in (NIGHTLY, HOURLY.model_copy(update={"input": {"number": 3}})):
        persistence.put_recurrence(old.as_recurrence())
    left_behind = replace(engine.kernel.schedules, persistence=persistence)
    engine.kernel.schedules.put(HOURLY)

    synced = engine.kernel.schedules.sync(left_behind)

    # What was put here is newer.
    assert synced.made == synced.kept == ("nightly",)
    assert engine.kernel.schedules.list() == [HOURLY, NIGHTLY]
    assert engine.kernel.schedules.sync(left_behind).made == ()


def test_a_put_that_was_not_answered_is_put_again(engine: VirtualEngine) -> None:
    class Silent(MemoryPersistence):
        answers = False

        @override
        def put_recurrence(self, recurrence: Recurrence) -> None:
            if not self.answers:
                raise TransientError(service="DynamoDB", operation="PutItem", code="Timeout")
            super().put_recurrence(recurrence)

    silent = Silent(engine.clock)
    schedules = Schedules(engine.scheduler, engine.kernel.registry, silent)
    with pytest.raises(TransientError):
        schedules.put(NIGHTLY)
    silent.answers = True
    schedules.put(NIGHTLY)

    assert schedules.list() == [NIGHTLY]
    assert schedules.sync().made == ()
