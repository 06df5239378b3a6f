"""What a run leaves in the table until its TTL, and what AWS bills for keeping it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from workflow_engine.adapters.aws.dynamodb.item_size import item_size
from workflow_engine.costing.capacity import Index, Item
from workflow_engine.costing.prices import dollars

# AWS bills each item, and each entry of an index, with 100 bytes more than its size (DynamoDB pricing, "Data storage").
OVERHEAD_BYTES = 100
# The month of all figures by the month.
MONTH = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Bytes, and for how long: GB-months in the table and in its indexes."""

    table_bytes: int = 0
    index_bytes: int = 0
    table_gigabyte_months: float = 0.0
    index_gigabyte_months: float = 0.0

    def dollars(self) -> float:
        """What it costs until it is gone: storage, and backups of the table, which are billed by its size ("Point-in-time
        recovery: how it works")."""
        stored = dollars("dynamodb_gigabyte_month", self.table_gigabyte_months + self.index_gigabyte_months)
        return stored + dollars("dynamodb_backup_gigabyte_month", self.table_gigabyte_months)


def stored(items: Iterable[Item], indexes: Sequence[Index], *, since: datetime) -> Stored:
    """What *items*, written at *since*, take until they expire. What does not is no run's."""
    found = Stored()
    for item in items:
        if "expires_at" not in item:
            continue
        in_table = item_size(item) + OVERHEAD_BYTES
        entries = [entry for index in indexes if (entry := index.entry(item)) is not None]
        in_indexes = sum(item_size(entry) + OVERHEAD_BYTES for entry in entries)
        months = (int(item["expires_at"]["N"]) - since.timestamp()) / MONTH.total_seconds()
        found = Stored(
            table_bytes=found.table_bytes + in_table,
            index_bytes=found.index_bytes + in_indexes,
            table_gigabyte_months=found.table_gigabyte_months + in_table * months / 1e9,
            index_gigabyte_months=found.index_gigabyte_months + in_indexes * months / 1e9,
        )
    return found
