"""The price list, and how others' bills are modelled."""

from datetime import UTC, date, datetime, timedelta

import pytest

from workflow_engine.adapters.aws.dynamodb.item_size import item_size
from workflow_engine.costing.capacity import Index
from workflow_engine.costing.peers import DURABLE, EXPRESS, STEP_FUNCTIONS, peers
from workflow_engine.costing.prices import dollars, prices
from workflow_engine.costing.storing import Stored, stored
from workflow_engine.costing.usage import Usage, chunks
from workflow_engine.costing.workloads import chain, reference_workloads


def test_every_price_has_a_source_and_a_date() -> None:
    assert all(price.source and price.read_on >= date(2026, 1, 1) and price.per >= 1 for price in prices().values())


def test_a_price_is_for_its_number_of_units() -> None:
    assert dollars("dynamodb_write", 2_000_000) == pytest.approx(1.25)
    assert dollars("s3_put", 1_000) == pytest.approx(0.005)


def test_a_bill_names_every_service_and_leaves_nothing_out() -> None:
    used = Usage(
        write_units=1, read_units=1, sqs_requests=1, events=1, schedules=1, s3_puts=1, s3_gets=1, invocations=1
    )
    expected = (0.625 + 0.125 + 0.4 + 1 + 1 + 5 + 0.4 + 0.2) / 1_000_000
    assert used.total() == pytest.approx(expected)
    assert all(used.bill().values())


@pytest.mark.parametrize(("size_bytes", "billed"), [(0, 1), (64 * 1024, 1), (64 * 1024 + 1, 2)])
def test_messages_are_billed_by_each_64_kb_begun(size_bytes: int, billed: int) -> None:
    assert chunks(size_bytes) == billed


def test_a_durable_function_is_an_operation_a_step() -> None:
    a_stage = (peers(chain(10))[DURABLE] or 0) - (peers(chain(9))[DURABLE] or 0)
    assert a_stage * 1_000_000 == pytest.approx(8.25)


def test_step_functions_is_a_transition_and_a_function_a_step() -> None:
    a_stage = (peers(chain(10))[STEP_FUNCTIONS] or 0) - (peers(chain(9))[STEP_FUNCTIONS] or 0)
    assert a_stage * 1_000_000 == pytest.approx(25.2)


def test_what_waits_cannot_be_an_express_workflow() -> None:
    impossible = {load.name for load in reference_workloads() if peers(load)[EXPRESS] is None}
    assert impossible == {"suspend, 3 polls", "signal", "timer of a day"}


def test_what_is_kept_is_billed_with_its_overhead_for_as_long_as_it_is_there() -> None:
    """A KB for two months, of which an index holds a copy of the keys."""
    since = datetime(2030, 1, 1, tzinfo=UTC)
    expires = {"N": str(int((since + timedelta(days=60)).timestamp()))}
    item = {"pk": {"S": "R#run"}, "sk": {"S": "H"}, "k": {"S": "key"}, "l": {"S": "other"}, "expires_at": expires}
    kept = stored([item], [Index("by", ("k", "l"))], since=since)

    table_bytes = item_size(item) + 100
    index_bytes = item_size({name: item[name] for name in ("pk", "sk", "k", "l")}) + 100
    assert (kept.table_bytes, kept.index_bytes) == (table_bytes, index_bytes)
    assert kept.dollars() == pytest.approx(2 * (table_bytes * (0.25 + 0.20) + index_bytes * 0.25) / 1e9)


def test_what_never_expires_is_no_runs() -> None:
    since = datetime(2030, 1, 1, tzinfo=UTC)

    assert stored([{"pk": {"S": "D#workflow"}, "sk": {"S": "fingerprint"}}], [], since=since) == Stored()


def test_a_trace_is_billed_for_each_invocation() -> None:
    assert Usage(invocations=11).traces() == pytest.approx(11 * 5 / 1_000_000)
