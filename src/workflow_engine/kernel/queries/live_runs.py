"""Every run that is not over."""

from collections.abc import Iterator
from datetime import UTC, datetime

from workflow_engine.model.runs import Head
from workflow_engine.ports.persistence import Persistence

# Later than any run lives (a workflow's max_duration and retention are bounded by the table's TTL).
FAR = datetime(9999, 1, 1, tzinfo=UTC)
PAGE = 100


def live_runs(persistence: Persistence, shards: int) -> Iterator[Head]:
    """Every run that is not over: none of them is missing in the due index (I2)."""
    for shard in range(shards):
        cursor: str | None = None
        while True:
            page = persistence.list_due(shard, until=FAR, limit=PAGE, cursor=cursor)
            heads = persistence.load_heads([run.run_id for run in page.runs])
            yield from (head for head in heads.values() if not head.status.is_terminal)
            cursor = page.cursor
            if cursor is None:
                break
