"""AWS's rules for units, on items made for each rule."""

import pytest

from workflow_engine.adapters.aws.dynamodb.table import create_table_request
from workflow_engine.costing.capacity import (
    Item,
    index_write_units,
    indexes_of,
    query_units,
    read_units,
    table_write_units,
)

INDEXES = indexes_of(create_table_request("any"))


def item(size_bytes: int = 0, **attributes: str) -> Item:
    named = {name: {"S": value} for name, value in attributes.items()}
    return {"pk": {"S": "p"}, "sk": {"S": "s"}, **named, **({"x": {"S": "x" * size_bytes}} if size_bytes else {})}


@pytest.mark.parametrize(("size_bytes", "units"), [(0, 1), (1000, 1), (1024, 2), (2100, 3)])
def test_a_write_takes_a_unit_for_each_kb_begun(size_bytes: int, units: int) -> None:
    assert table_write_units(None, item(size_bytes)) == units


def test_an_update_is_billed_by_the_larger_of_before_and_after() -> None:
    assert table_write_units(item(5000), item()) == table_write_units(item(), item(5000)) == 5


def test_a_write_that_finds_and_leaves_nothing_takes_one_unit() -> None:
    assert table_write_units(None, None) == 1


def test_an_index_takes_one_unit_for_an_entry_that_comes_or_goes() -> None:
    listed = item(ds="1", da="2")
    assert index_write_units(None, listed, INDEXES) == index_write_units(listed, None, INDEXES) == 1


def test_an_index_takes_two_units_for_a_key_that_moves_and_none_for_one_that_stays() -> None:
    assert index_write_units(item(ds="1", da="2"), item(ds="1", da="3"), INDEXES) == 2
    assert index_write_units(item(ds="1", da="2"), item(900, ds="1", da="2"), INDEXES) == 0


def test_an_item_without_an_indexs_keys_is_not_in_it() -> None:
    assert index_write_units(None, item(ds="1"), INDEXES) == 0


def test_reads_take_a_unit_for_each_4_kb_of_an_item_and_half_of_it_eventually() -> None:
    assert read_units([item(5000), None], consistent=True) == 3
    assert read_units([item(5000), None], consistent=False) == 1.5


def test_a_query_counts_its_items_together_and_finds_nothing_for_half_a_unit() -> None:
    assert query_units([item(3000), item(3000)], consistent=True) == 2
    assert query_units([], consistent=False) == 0.5
