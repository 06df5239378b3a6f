"""How large DynamoDB takes an item to be, in bytes.

Developer Guide, "DynamoDB item sizes and formats": names and strings are their UTF-8 bytes; a number
has a byte for two significant digits and one more (two that make a byte of the decimal number, as
DynamoDB Local shows: 1200 takes one, 120 two); binary values are their raw bytes; a boolean or a
null is one byte; a list or map has 3 bytes of overhead and one more for each element. A negative
number takes another byte (not documented; DynamoDB Local agrees).
"""

from collections.abc import Mapping
from typing import Any

CONTAINER_BYTES = 3
ELEMENT_BYTES = 1


def item_size(item: Mapping[str, Mapping[str, Any]]) -> int:
    """The size of *item*, whose values are as botocore's client takes them (``{"S": "text"}``)."""
    return sum(text_size(name) + value_size(value) for name, value in item.items())


def value_size(value: Mapping[str, Any]) -> int:
    """The size of one attribute value."""
    [(kind, content)] = value.items()
    if kind == "S":
        return text_size(content)
    if kind == "N":
        return number_size(content)
    if kind == "B":
        return len(content)
    return _composite_size(kind, content)


def _composite_size(kind: str, content: Any) -> int:
    if kind in ("BOOL", "NULL"):
        return 1
    if kind in ("SS", "NS", "BS"):
        return sum(value_size({kind[0]: element}) for element in content)
    elements = len(content) * ELEMENT_BYTES
    if kind == "M":
        return CONTAINER_BYTES + elements + item_size(content)
    return CONTAINER_BYTES + elements + sum(map(value_size, content))


def text_size(text: str) -> int:
    """The bytes of *text* as UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def number_size(number: str) -> int:
    """The size of a number, which is written without an exponent."""
    whole, _, fraction = number.lstrip("-").partition(".")
    # Two digits are a byte, counted from the decimal point; bytes of zeros at either end are left out.
    digits = whole.zfill(len(whole) + len(whole) % 2) + fraction.ljust(len(fraction) + len(fraction) % 2, "0")
    pairs = [digits[at : at + 2] != "00" for at in range(0, len(digits), 2)]
    if True not in pairs:
        return 1
    significant = len(pairs) - pairs.index(True) - pairs[::-1].index(True)
    return significant + 1 + number.startswith("-")
