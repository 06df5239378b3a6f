"""Values as DynamoDB's API writes them, and back. Not for what they mean: that is the codecs'.

Written by hand, since pynamodb's serialisers cost more than the rest of a head's way to the wire.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from workflow_engine.errors import CorruptItemError, UnsupportedFormatError

Value: TypeAlias = dict[str, Any]
Item: TypeAlias = dict[str, Value]
_T = TypeVar("_T")

# Every item carries it; a version that finds a higher one leaves the item alone. 2: winners outside of the
# head, and parts of stages; 3: records in heads and in bundles; 4: stages that wait in their body; 5: runs that
# have something to do before they end, and runs of which stages were skipped, or what runs next is open.
FORMAT = 5
CHOICE_FORMAT = 5
BODY_FORMAT = 4
RIDING_FORMAT = 3
PARTS_FORMAT = 2
# What an item is written in that every version can read.
USUAL_FORMAT = 1

# What reading raises of values that are not what the codec takes them for; too deep for JSON is one of them.
_UNREADABLE = (
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
    StopIteration,
    TypeError,
    ValueError,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def text(value: str) -> Value:
    """A string."""
    return {"S": value}


def number(value: int) -> Value:
    """An integer."""
    return {"N": str(value)}


def binary(value: bytes) -> Value:
    """Bytes."""
    return {"B": value}


def json_text(value: object) -> Value:
    """JSON-compatible *value* as compact text: smaller than a map, and exact.

    Raises:
        ValueError: NaN or infinity.
        TypeError: not JSON.
    """
    return {"S": _encode(value)}


def milliseconds(instant: datetime) -> int:
    """*instant* in milliseconds since 1970, cut off."""
    return (instant - EPOCH) // MILLISECOND


def instant(value: datetime) -> Value:
    """*value* to the millisecond."""
    return {"N": str((value - EPOCH) // MILLISECOND)}


def expiry(value: datetime) -> Value:
    """*value* in whole seconds, as DynamoDB's TTL takes it; rounded up, so that nothing goes early."""
    return {"N": str(-((EPOCH - value) // SECOND))}


def sortable(value: datetime) -> str:
    """*value* in milliseconds, as text that sorts like it (until the year 33658)."""
    return f"{milliseconds(value):015d}"


def read_text(value: Mapping[str, Any]) -> str:
    """The string in *value*."""
    found: str = value["S"]
    return found


def read_number(value: Mapping[str, Any]) -> int:
    """The integer in *value*."""
    return int(value["N"])


def read_binary(value: Mapping[str, Any]) -> bytes:
    """The bytes in *value*."""
    return bytes(value["B"])


def read_json(value: Mapping[str, Any]) -> Any:
    """What the JSON text in *value* says."""
    return json.loads(value["S"])


def read_object(value: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object in *value*."""
    found = json.loads(value["S"])
    if not isinstance(found, dict):
        raise TypeError("not a JSON object")
    return found


def read_instant(value: Mapping[str, Any]) -> datetime:
    """The instant in *value*, in UTC."""
    return EPOCH + timedelta(milliseconds=int(value["N"]))


def read_expiry(value: Mapping[str, Any]) -> datetime:
    """The expiry in *value*, in UTC."""
    return EPOCH + timedelta(seconds=int(value["N"]))


def read_sortable(value: str) -> datetime:
    """The instant that the text begins with."""
    return EPOCH + timedelta(milliseconds=int(value[:15]))


def optional(item: Mapping[str, Value], name: str, read: Callable[[Value], _T]) -> _T | None:
    """What *read* makes of the attribute, or ``None`` where it is absent."""
    value = item.get(name)
    return None if value is None else read(value)


def name_of(item: Mapping[str, Any]) -> str:
    """What an error calls the item."""
    return f"{item.get('pk', {}).get('S', '?')}/{item.get('sk', {}).get('S', '?')}"


@contextmanager
def reading(what: str, item: Mapping[str, Value], *, newest: int = USUAL_FORMAT) -> Iterator[None]:
    """Reads *item*, which is *what*, of formats up to *newest*.

    Raises:
        UnsupportedFormatError: a newer version wrote it.
        CorruptItemError: the block did not find what it looked for.
    """
    try:
        found = int(item["f"]["N"])
        if found > newest:
            raise UnsupportedFormatError(what=what, found=found, supported=newest)
        yield
    except KeyError as error:
        raise CorruptItemError(what=what, problem=f"no {error}") from error
    except _UNREADABLE as error:
        raise CorruptItemError(what=what, problem=str(error)) from error
