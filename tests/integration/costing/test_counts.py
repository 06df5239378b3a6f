"""What a run asks of AWS. A count that grows here is money that every user pays."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from tests.integration.costing.conftest import MEMORY_MEGABYTES, deployed
from workflow_engine.costing.idle import idle_month
from workflow_engine.costing.metered_engine import Outcome
from workflow_engine.costing.report import Report

MILLION = 1_000_000


def dollars_a_million_stages(outcome: Outcome) -> float:
    return outcome.usage.total() / outcome.stages * MILLION


@pytest.mark.parametrize(("name", "most"), [("chain of 5", 2.00), ("chain of 10", 1.45), ("chain of 100", 1.00)])
def test_a_chain_costs_no_more_than_promised(outcomes: Mapping[str, Outcome], name: str, most: float) -> None:
    assert outcomes[name].status == "COMPLETED"
    assert dollars_a_million_stages(outcomes[name]) <= most


def test_the_computed_units_alone_tell_the_same_price(computed: Report, outcomes: Mapping[str, Outcome]) -> None:
    [(_, outcome)] = computed.workloads
    assert outcome.usage.compared == 0
    assert dollars_a_million_stages(outcome) == pytest.approx(dollars_a_million_stages(outcomes["chain of 5"]))


@pytest.mark.parametrize(("length", "bundles"), [(5, 2), (10, 4), (100, 49)])
def test_a_chained_stage_is_one_small_write_and_no_read(
    outcomes: Mapping[str, Outcome], length: int, bundles: int
) -> None:
    used = outcomes[f"chain of {length}"].usage
    # Beside the one of each stage: the creation, which takes the first lease, and the removal of the last events.
    assert used.writes == length + 2 + bundles
    assert used.requests["dynamodb.PutItem"] == 1 + bundles
    # Create lists the run in two indexes, and its end takes it off one.
    assert used.write_units == used.writes + 3
    assert used.reads == 0
    assert used.refused_writes == 0


def test_a_step_is_one_write_of_its_size_and_no_read(outcomes: Mapping[str, Outcome]) -> None:
    used = outcomes["10 steps in a stage"].usage
    # The creation, the stage, and the removal of the last events; each step is one item.
    assert used.writes == 3 + 10
    assert used.write_units == used.writes + 3
    assert (used.reads, used.refused_writes, used.invocations) == (0, 0, 1)


@pytest.mark.parametrize("length", [5, 10, 100])
def test_a_chained_run_is_one_message_one_event_and_one_invocation(
    outcomes: Mapping[str, Outcome], length: int
) -> None:
    used = outcomes[f"chain of {length}"].usage
    assert (used.messages, used.events, used.invocations, used.schedules) == (1, 1, 1, 0)
    # Send, receive, delete.
    assert used.sqs_requests == 3


def test_a_stage_costs_the_same_wherever_it_stands_in_a_chain(outcomes: Mapping[str, Outcome]) -> None:
    fixed = 2 + 3  # writes beside those of stages, and of indexes
    first = (outcomes["chain of 10"].usage.write_units - fixed) / 10
    later = (outcomes["chain of 100"].usage.write_units - fixed) / 100
    # A bundle for every second stage, of which a short chain needs one less: the last two stay in the head.
    assert first <= later <= 1.5


def test_an_inline_group_is_one_write_one_bundle_and_no_message(outcomes: Mapping[str, Outcome]) -> None:
    outcome = outcomes["1 + 10 + join, inline"]
    used = outcome.usage
    # The creation, the first stage, the ten and their bundle, the join, and the removal of the last events.
    assert (used.writes, used.reads, used.messages, used.invocations) == (6, 0, 1, 1)
    assert used.refused_writes == 0
    assert outcome.usage.total() * MILLION <= 12


def test_a_group_of_a_hundred_costs_what_ten_groups_of_ten_do(outcomes: Mapping[str, Outcome]) -> None:
    used = outcomes["1 + 100 + join"].usage
    assert (used.messages, used.refused_writes) == (101, 0)
    assert used.writes <= 3 * 102 + 3


def test_a_parallel_group_sends_its_messages_in_one_request_and_refuses_nothing(
    outcomes: Mapping[str, Outcome],
) -> None:
    used = outcomes["1 + 10 + join"].usage
    # One for the first stage, one for each of the ten; the join goes on in the invocation that made it.
    assert (used.messages, used.invocations) == (11, 11)
    assert used.requests["sqs.SendMessageBatch"] == 1
    assert used.refused_writes == 0
    # Claim, record and outcome of each stage; create, one join, and the removal of the last events.
    assert used.writes <= 3 * 12
    # Each branch reads what went before, the last one the outputs of all.
    assert used.requests["dynamodb.BatchGetItem"] <= 11


def test_a_suspended_stage_waits_without_a_schedule_below_fifteen_minutes(outcomes: Mapping[str, Outcome]) -> None:
    outcome = outcomes["suspend, 3 polls"]
    assert outcome.waited >= timedelta(minutes=15)
    assert (outcome.usage.messages, outcome.usage.schedules) == (4, 0)
    assert outcome.usage.writes <= 10
    assert outcome.usage.write_units <= 19


def test_a_signal_is_one_transaction_and_one_message(outcomes: Mapping[str, Outcome]) -> None:
    used = outcomes["signal"].usage
    assert used.requests["dynamodb.TransactWriteItems"] == 1
    assert used.messages == 2
    # Suspended and completed, each told once.
    assert used.events == 2
    assert used.write_units <= 19
    assert used.refused_writes == 0
    # Its timeout was set, and taken back.
    assert used.requests["scheduler.CreateSchedule"] == used.requests["scheduler.DeleteSchedule"] == 1


def test_a_timer_of_a_day_is_one_schedule_and_exact_to_a_second(outcomes: Mapping[str, Outcome]) -> None:
    outcome = outcomes["timer of a day"]
    assert timedelta(days=1) <= outcome.waited <= timedelta(days=1, seconds=2)
    assert outcome.usage.schedules == 1
    assert outcome.usage.messages == 3
    assert outcome.usage.write_units <= 15


def test_an_idle_tick_is_one_query_a_shard_and_nothing_else(consumed: Report) -> None:
    tick = consumed.tick
    assert tick is not None
    assert dict(tick.requests) == {"dynamodb.Query": 8}
    assert tick.read_units == 8 / 2


def test_an_idle_month_costs_at_most_two_and_a_half_dollars_at_list_price(consumed: Report) -> None:
    idle = consumed.document()["idle_month"]

    assert sum(idle.values()) <= 2.50
    assert idle["alarms"] == pytest.approx(0.10 * consumed.deployment.alarms)
    # Alarms are what tells that the safety net has a hole: they are not what is saved on.
    assert consumed.deployment.alarms >= 17


def test_whoever_asks_for_a_dashboard_sees_its_price(consumed: Report) -> None:
    assert consumed.tick is not None
    idle = idle_month(deployed(Dashboard="true"), consumed.tick, memory_megabytes=MEMORY_MEGABYTES)

    assert idle["dashboard"] == pytest.approx(3.00)


def test_dynamodb_local_consumes_what_the_rules_say(consumed: Report) -> None:
    compared = [outcome.usage for _, outcome in consumed.workloads]
    assert sum(used.compared for used in compared) > 300
    assert [dict(used.disagreements) for used in compared] == [{}] * len(compared)
