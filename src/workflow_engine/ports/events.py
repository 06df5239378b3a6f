"""Where events are told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from workflow_engine.model.events import RunEvent
from workflow_engine.model.limits import MAX_EVENT_REQUEST_BYTES


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event was not accepted.

    *counts* is true where the event itself is at fault: throttling, internal failures and 5xx
    never count towards its dead letter, and neither does an event that was not tried because
    one before it was refused.
    """

    reason: str
    counts: bool

    @classmethod
    def too_large(cls, size_bytes: int) -> "Refusal":
        """The refusal of an entry that no request can carry; it is not sent."""
        reason = f"the entry is {size_bytes} bytes; a request is below {MAX_EVENT_REQUEST_BYTES}"
        return cls(reason=reason, counts=True)

    @classmethod
    def unwritable(cls, error: ValueError) -> "Refusal":
        """The refusal of an event that is no JSON; it is not sent."""
        return cls(reason=f"the event cannot be written: {error}", counts=True)


NOT_TRIED = Refusal(reason="not tried: one before it was refused", counts=False)


class EventSink(Protocol):
    """Publishes events. Passes ``testing.contracts.EventSinkContract``."""

    def emit(self, events: Sequence[RunEvent]) -> Sequence[Refusal | None]:
        """Publish *events* in order; answers each with ``None`` (accepted) or why not.

        Stops at the first that is refused: all after it answer ``NOT_TRIED``. Never raises for a
        service that does not answer: all that was not accepted is refused. An event that was
        accepted may be published again by a later call.
        """
        ...
