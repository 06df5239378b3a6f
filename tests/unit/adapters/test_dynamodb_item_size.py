"""The rules of the Developer Guide, "DynamoDB item sizes and formats"; an emulator confirms them elsewhere."""

from typing import Any

import pytest

from workflow_engine.adapters.aws.dynamodb.item_size import item_size, number_size, value_size

NUMBERS = {
    "0": 1,
    "1": 2,
    "12": 2,
    "123": 3,
    "1200": 2,
    "120": 3,
    "0.5": 2,
    "-12": 3,
    "1893456900000": 6,
    "0000": 1,
    "12345678901234567890123456789012345678": 20,
}
VALUES: list[tuple[dict[str, Any], int]] = [
    ({"S": ""}, 0),
    ({"S": "漢字a"}, 7),
    ({"B": b"\x00\xff"}, 2),
    ({"BOOL": False}, 1),
    ({"NULL": True}, 1),
    ({"L": []}, 3),
    ({"L": [{"S": "ab"}, {"L": []}]}, 3 + (1 + 2) + (1 + 3)),
    ({"M": {}}, 3),
    ({"M": {"key": {"S": "ab"}}}, 3 + (1 + 3 + 2)),
    ({"SS": ["a", "bc"]}, 3),
    ({"NS": ["1", "123"]}, 5),
]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_takes_a_byte_for_two_digits_and_one_more(number: str) -> None:
    assert number_size(number) == NUMBERS[number]


@pytest.mark.parametrize(("value", "size"), VALUES, ids=range(len(VALUES)))
def test_a_value_takes_what_the_guide_says(value: dict[str, Any], size: int) -> None:
    assert value_size(value) == size


def test_an_item_takes_its_names_and_its_values() -> None:
    assert item_size({"pk": {"S": "R#run"}, "ключ": {"N": "1"}}) == (2 + 5) + (8 + 2)
