"""What a job transport hands out, and what it is asked to repeat at set times."""

from dataclasses import dataclass
from datetime import datetime

from workflow_engine.model.commands import Command


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of a message. *body* is untrusted text; *receipt* names this delivery only.

    *receive_count* counts deliveries of the message, from 1. It says nothing about attempts.
    """

    message_id: str
    body: str
    receipt: str
    receive_count: int = 1
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A recurring start: *expression* is ``cron(…)`` or ``rate(…)`` of EventBridge Scheduler.

    ``{time}`` in the command's idempotency key stands for the scheduled time of each firing.
    """

    name: str
    expression: str
    command: Command
    timezone: str = "UTC"
    paused: bool = False
