"""The indexes: what is due, what there is, what failed. They may lag; the heads decide.

Listings are spread over shards, so that no one partition takes all writes; a page merges them.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path

from workflow_engine.adapters.aws.dynamodb import table, wire
from workflow_engine.adapters.aws.dynamodb.items import Items, in_threads
from workflow_engine.adapters.aws.dynamodb.wire import Item
from workflow_engine.ports.persistence import DuePage, DueRun, RunPage

# Below and above every index key, which begins with digits. A key may not be compared with empty text.
_FIRST, _LAST = " ", "\x7f"
_log = logging.getLogger(__name__)
_CURSOR = re.compile(r"[0-9]{15}#[A-Za-z0-9_-]+\Z")


class Indexes:
    """The indexes of one table, over *shards* shards."""

    def __init__(self, items: Items, shards: int) -> None:
        self._items, self._shards = items, shards

    def due(self, shard: int, *, until: datetime, limit: int, cursor: str | None) -> DuePage:
        """Runs of one shard that are due, oldest first."""
        keys = self._items.list_index(
            table.DUE,
            str(shard),
            limit=limit,
            condition=Path(["da"]) <= wire.instant(until),
            after=_due_key(shard, cursor) if cursor else None,
        )
        runs = tuple(DueRun(table.run_of(key["pk"]["S"]), wire.read_instant(key["da"])) for key in _of_runs(keys))
        return DuePage(runs, _due_cursor(keys[-1]) if len(keys) == limit else None)

    def runs(
        self,
        workflow_id: str,
        *,
        since: datetime | None,
        until: datetime | None,
        limit: int,
        cursor: str | None,
    ) -> RunPage:
        """Runs of a workflow by creation time, newest first."""
        return self._page(table.LISTING, "lc", workflow_id, _range(since, until, cursor), limit=limit)

    def failures(self, workflow_id: str, *, since: datetime | None, limit: int, cursor: str | None) -> RunPage:
        """FAILED runs of a workflow by the time they failed, newest first."""
        return self._page(table.FAILURES, "fc", workflow_id, _range(since, None, cursor), limit=limit)

    def dead_letters(self, *, limit: int, after: tuple[str, int] | None = None) -> list[Item]:
        """The keys of dead letters, by run and sequence, behind *after*."""
        behind = None if after is None else Path(["fc"]) > wire.text(table.dead_letter_order(*after))
        found = self._merged(table.FAILURES, table.dead_shard_name, behind, limit, newest_first=False)
        return sorted(found, key=lambda key: key["fc"]["S"])[:limit]

    def _page(self, index: str, order: str, workflow_id: str, bounds: tuple[str, str], *, limit: int) -> RunPage:
        if bounds[0] > bounds[1]:
            return RunPage(())
        condition = Path([order]).between(*map(wire.text, bounds))

        def shard_name(shard: int) -> str:
            return table.listing_shard(workflow_id, shard)

        # One more than asked for tells whether there is another page.
        found = self._merged(index, shard_name, condition, limit + 1, newest_first=True)
        found.sort(key=lambda key: key[order]["S"], reverse=True)
        page = found[:limit]
        run_ids = tuple(table.run_of(key["pk"]["S"]) for key in _of_runs(page))
        return RunPage(run_ids, page[-1][order]["S"] if len(found) > limit else None)

    def _merged(
        self,
        index: str,
        shard_name: Callable[[int], str],
        condition: Condition | None,
        limit: int,
        *,
        newest_first: bool,
    ) -> list[Item]:
        def of_shard(shard: int) -> list[Item]:
            return self._items.list_index(
                index, shard_name(shard), limit=limit, condition=condition, newest_first=newest_first
            )

        return [key for keys in in_threads(of_shard, range(self._shards)) for key in keys]


def _range(since: datetime | None, until: datetime | None, cursor: str | None) -> tuple[str, str]:
    """The first and the last index key: from *since* to just before *until* and *cursor*.

    Raises:
        ValueError: *cursor* is not one that a page gave.
    """
    if cursor is not None and not _CURSOR.match(cursor):
        raise ValueError("no page gave this cursor")
    first = wire.sortable(since) if since else _FIRST
    ends = [end for end in (wire.sortable(until) if until else None, cursor) if end]
    # A key condition has one range, which includes both its ends.
    return first, _just_before(min(ends)) if ends else _LAST


def _just_before(key: str) -> str:
    """A text that is below *key*, and below which all keys are that are below *key*."""
    return key[:-1] + chr(ord(key[-1]) - 1) + _LAST


def _of_runs(keys: Iterable[Item]) -> Iterator[Item]:
    """Those of *keys* that are heads. Were a stray item to stop the others, its shard would stand still."""
    for key in keys:
        if table.is_head(key):
            yield key
        else:
            _log.warning("left out of an index: %s is no head", key["pk"]["S"])


def _due_cursor(key: Item) -> str:
    return f"{key['da']['N']}#{key['pk']['S']}#{key['sk']['S']}"


def _due_key(shard: int, cursor: str) -> Item:
    due_at, _, place = cursor.partition("#")
    partition, _, sort_key = place.rpartition("#")
    return {
        "ds": wire.text(str(shard)),
        "da": wire.number(int(due_at)),
        "pk": wire.text(partition),
        "sk": wire.text(sort_key),
    }
