"""DynamoDB's units by AWS's rules, computed from items: the check on what an emulator says it consumed.

Developer Guide, "Read and write operations": a write takes a unit for each KB begun of the larger of the
item before and after; a refused one takes what its item would; a read a unit for each 4 KB begun, half
where it is eventually consistent; a transaction takes twice that. "Global secondary indexes", write
considerations: an index takes a unit where an entry appears or goes, two where its key changes, none where
nothing of it changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, TypeAlias

from workflow_engine.adapters.aws.dynamodb.item_size import item_size

Item: TypeAlias = Mapping[str, Mapping[str, Any]]
KEY = ("pk", "sk")
WRITE_BYTES = 1024
READ_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Index:
    """An index of keys only: its own two key attributes."""

    name: str
    keys: tuple[str, str]

    def entry(self, item: Item | None) -> Item | None:
        """What the index holds of *item*; ``None`` where that has not both keys."""
        if item is None or any(key not in item for key in self.keys):
            return None
        return {name: item[name] for name in (*KEY, *self.keys)}


def indexes_of(table: Mapping[str, Any]) -> tuple[Index, ...]:
    """The indexes that a ``CreateTable`` request declares."""
    found = []
    for index in table.get("GlobalSecondaryIndexes", ()):
        first, second = (part["AttributeName"] for part in index["KeySchema"])
        found.append(Index(index["IndexName"], (first, second)))
    return tuple(found)


def table_write_units(before: Item | None, after: Item | None) -> int:
    """The table's units of a write that finds *before* and leaves *after*; of a refused one, too."""
    larger = max(item_size(before or {}), item_size(after or {}))
    return max(ceil(larger / WRITE_BYTES), 1)


def index_write_units(before: Item | None, after: Item | None, indexes: Sequence[Index]) -> int:
    """The units that all *indexes* take for that write."""
    return sum(_entry_units(index.entry(before), index.entry(after)) for index in indexes)


def _entry_units(old: Item | None, new: Item | None) -> int:
    if old == new:
        return 0
    return sum(ceil(item_size(entry) / WRITE_BYTES) for entry in (old, new) if entry is not None)


def read_units(items: Iterable[Item | None], *, consistent: bool) -> float:
    """The units of reading *items* one by one, absent ones (``None``) included."""
    whole = sum(max(ceil(item_size(item or {}) / READ_BYTES), 1) for item in items)
    return whole if consistent else whole / 2


def query_units(items: Sequence[Item], *, consistent: bool) -> float:
    """The units of a page of a query: its items together, and a unit where there are none."""
    whole = max(ceil(sum(map(item_size, items)) / READ_BYTES), 1)
    return whole if consistent else whole / 2
