"""Events as EventBridge takes them: the text of the detail, and how large an entry counts."""

from dataclasses import dataclass
from datetime import datetime

from workflow_engine.model.events import SOURCE, RunEvent

# EventBridge user guide, "Calculating PutEvents event entry size": a time counts 14 bytes.
_TIME_BYTES = 14


@dataclass(frozen=True, slots=True)
class EventEntry:
    """One event to publish. *detail* is its JSON text."""

    source: str
    detail_type: str
    detail: str
    time: datetime

    @classmethod
    def of(cls, event: RunEvent) -> "EventEntry":
        """The entry that publishes *event*.

        Raises:
            ValueError: the event cannot be written as JSON (a lone surrogate in its text).
        """
        return cls(
            source=SOURCE,
            detail_type=event.type,
            detail=event.model_dump_json(),
            time=event.occurred_at,
        )

    @property
    def size_bytes(self) -> int:
        """What the entry counts towards the limit of a request."""
        texts = (self.source, self.detail_type, self.detail)
        return _TIME_BYTES + sum(len(text.encode()) for text in texts)
