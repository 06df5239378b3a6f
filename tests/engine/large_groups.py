"""Large groups whose siblings do as they are told, and a store that counts what they write."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from math import ceil
from typing import Any, TypeAlias

from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import RetryPolicy, Stage, StageContext, Workflow, WorkflowDefinition, stage
from workflow_engine.adapters.aws.dynamodb.head_codec import encode_head
from workflow_engine.adapters.aws.dynamodb.item_size import item_size
from workflow_engine.adapters.memory import MemoryPersistence
from workflow_engine.model.commits import Committed, Exclusive, Refused, Shared
from workflow_engine.model.ids import RunId
from workflow_engine.model.runs import EventKey, Head, PendingEvent, Winners
from workflow_engine.ports.clock import Clock

UNIT_BYTES = 1024


class Item(BaseModel):
    """What the siblings take and give."""

    name: str = "x"


Sibling: TypeAlias = Callable[[int, StageContext[Any]], None]


def group_of(
    size: int, behaves: Sibling, *, retry: RetryPolicy | None = None, timeout_minutes: int = 5
) -> WorkflowDefinition:
    """A workflow of one group, whose siblings do what *behaves* does with their number."""

    def sibling(number: int) -> Stage[..., Item]:
        policy, timeout = retry or RetryPolicy(max_attempts=1), timedelta(minutes=timeout_minutes)

        @stage(f"sibling-{number}", retry=policy, timeout=timeout)
        def work(item: Item, ctx: StageContext[Any]) -> Item:
            behaves(number, ctx)
            return item

        return work

    return Workflow("group", input=Item).parallel(*(sibling(number) for number in range(size))).build()


class CountingPersistence(MemoryPersistence):
    """Counts what DynamoDB would bill for heads and for events outside of them, and how large heads get."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.head_units = 0
        self.largest_events = 0
        self.largest_head = 0
        self.calls: Counter[str] = Counter()
        self.items: Counter[str] = Counter()
        self._sizes: dict[RunId, int] = {}
        self._spilled: set[tuple[RunId, EventKey]] = set()

    @override
    def commit(self, commit: Exclusive | Shared) -> Committed | Refused:
        run_id = commit.after.run_id if isinstance(commit, Exclusive) else commit.run_id
        outcome = super().commit(commit)
        self.calls[type(outcome).__name__] += 1
        if outcome.head is not None:
            size = item_size(encode_head(outcome.head))
            self.largest_head = max(self.largest_head, size)
            self.largest_events = max(self.largest_events, _events_bytes(outcome.head))
            # Billed by the larger one of what was there and what is left.
            self.head_units += ceil(max(size, self._sizes.get(run_id, 0)) / UNIT_BYTES)
            self._sizes[run_id] = size
        return outcome

    @override
    def put_winners(self, page: Winners) -> None:
        self.items["put_winners"] += 1
        super().put_winners(page)

    @override
    def put_spilled(self, head: Head, events: Mapping[EventKey, PendingEvent]) -> None:
        self.items["put_spilled"] += len(events)
        self._spilled |= {(head.run_id, key) for key in events}
        super().put_spilled(head, events)

    @override
    def delete_spilled(self, run_id: RunId, keys: Sequence[EventKey]) -> None:
        self._spilled -= {(run_id, key) for key in keys}
        super().delete_spilled(run_id, keys)

    def left(self) -> int:
        """How many items of events there are."""
        return len(self._spilled)


def _events_bytes(head: Head) -> int:
    return item_size({"ev": encode_head(head).get("ev", {"L": []})})
