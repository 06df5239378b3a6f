"""Where events are told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from workflow_engine.model.events import RunEvent


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event was not accepted.

    *counts* is true where the event itself is at fault: throttling, internal failures and 5xx
    never count towards its dead letter, and neither does an event that was not tried because
    one before it was refused.
    """

    reason: str
    counts: bool


class EventSink(Protocol):
    """Publishes events. Passes ``testing.contracts.EventSinkContract``."""

    def emit(self, events: Sequence[RunEvent]) -> Sequence[Refusal | None]:
        """Publish *events* in order; answers each with ``None`` (accepted) or why not.

        Never raises for a service that does not answer: all that was not accepted is refused. An
        event that was accepted may be published again by a later call.
        """
        ...
