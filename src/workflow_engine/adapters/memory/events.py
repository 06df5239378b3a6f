"""Events kept in the memory of this process."""

import threading
from collections.abc import Sequence

from typing_extensions import override

from workflow_engine.model.event_entries import EventEntry
from workflow_engine.model.events import RunEvent
from workflow_engine.model.limits import MAX_EVENT_REQUEST_BYTES
from workflow_engine.ports.events import NOT_TRIED, EventSink, Refusal


class MemoryEventSink(EventSink):
    """Accepts what EventBridge would accept, and keeps it. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[RunEvent] = []

    @property
    def events(self) -> list[RunEvent]:
        """All events accepted so far, in order, repeats included."""
        with self._lock:
            return list(self._events)

    @override
    def emit(self, events: Sequence[RunEvent]) -> Sequence[Refusal | None]:
        refused_at, refusal = _first_refusal(events)
        with self._lock:
            self._events.extend(events[:refused_at])
        if refusal is None:
            return [None] * len(events)
        return [None] * refused_at + [refusal] + [NOT_TRIED] * (len(events) - refused_at - 1)


def _first_refusal(events: Sequence[RunEvent]) -> tuple[int, Refusal | None]:
    for index, event in enumerate(events):
        try:
            size = EventEntry.of(event).size_bytes
        except ValueError as error:
            return index, Refusal.unwritable(error)
        if size >= MAX_EVENT_REQUEST_BYTES:
            return index, Refusal.too_large(size)
    return len(events), None
