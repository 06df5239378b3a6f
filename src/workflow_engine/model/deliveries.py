"""What a job transport carries and hands out, and what it is asked to repeat at set times."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zlib import crc32

from workflow_engine.errors import InvalidCommandError, PayloadTooLargeError
from workflow_engine.model.commands import (
    AnnotateRun,
    CancelRun,
    Command,
    CreateRun,
    RerunFrom,
    SignalRun,
    parse_command,
)
from workflow_engine.model.limits import MAX_DELAY, MAX_MESSAGE_BYTES

# SQS API reference, ChangeMessageVisibility: 0 to 43,200 seconds.
MAX_VISIBILITY = timedelta(hours=12)
# SQS API reference, ReceiveMessage: WaitTimeSeconds 0 to 20.
MAX_WAIT = timedelta(seconds=20)
# Begins the idempotency key of a command that came in a message without one: the message's id follows.
DELIVERY_KEY = "sqs:"
# A failed message comes back after seconds, not after the queue's visibility timeout (minutes).
FIRST_REDELIVERY = timedelta(seconds=5)
MAX_REDELIVERY = timedelta(minutes=15)
_KEYED = (CreateRun, CancelRun, RerunFrom, SignalRun, AnnotateRun)


@dataclass(frozen=True, slots=True)
class DeadReason:
    """Why a message lies in a dead-letter queue: *code* names the error.

    *message_id* is what it was called in the queue that it came from, *first_at* when it was sent.
    """

    code: str
    message: str = ""
    run_id: str | None = None
    message_id: str | None = None
    first_at: datetime | None = None
    died_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of a message. *body* is untrusted text; *receipt* names this delivery only.

    *receive_count* counts deliveries of the message, from 1. It says nothing about attempts.
    *reason* is there for a dead letter whose sender said why.
    """

    message_id: str
    body: str
    receipt: str
    receive_count: int = 1
    sent_at: datetime | None = None
    reason: DeadReason | None = None


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


def body_of(command: Command) -> str:
    """The message that says *command*: JSON that every queue takes as it is.

    SQS replaces U+FFFE and U+FFFF by U+FFFD (API reference, SendMessage), so they go as escapes;
    JSON itself escapes the other characters that SQS does not take.
    """
    return command.model_dump_json().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def keyed(command: Command, message_id: str) -> Command:
    """*command* under a key of its own, or else under its message's: delivered twice, it counts once."""
    if isinstance(command, _KEYED) and command.idempotency_key is None:
        return command.model_copy(update={"idempotency_key": f"{DELIVERY_KEY}{message_id}"})
    return command


def body_to_send_again(delivery: Delivery) -> str:
    """The body of *delivery* for a message of another id: the key that its own id stood for is
    written into it. What is no command stays as it is."""
    try:
        command = parse_command(delivery.body)
    except InvalidCommandError:
        return delivery.body
    named = keyed(command, delivery.message_id)
    return delivery.body if named is command else body_of(named)


def check_message(body: str) -> None:
    """Refuse a message that SQS would refuse.

    Raises:
        PayloadTooLargeError: it is above 1 MiB.
    """
    if is_too_large(body):
        size = len(body.encode())
        raise PayloadTooLargeError(what="a message", size_bytes=size, limit_bytes=MAX_MESSAGE_BYTES)


def is_too_large(body: str) -> bool:
    """Whether SQS takes no message of that size."""
    return len(body.encode(errors="surrogatepass")) > MAX_MESSAGE_BYTES


def check_delay(delay: timedelta) -> None:
    """Refuse a *delay* that a message cannot be sent with.

    Raises:
        ValueError: it is not within 0 to 900 s.
    """
    if not timedelta(0) <= delay <= MAX_DELAY:
        raise ValueError(f"a delay is 0 to {MAX_DELAY}, not {delay}")


def check_visibility(visibility: timedelta) -> None:
    """Refuse a time for which a message cannot be kept invisible.

    Raises:
        ValueError: it is not within 0 to 12 h.
    """
    if not timedelta(0) <= visibility <= MAX_VISIBILITY:
        raise ValueError(f"a visibility is 0 to {MAX_VISIBILITY}, not {visibility}")


def check_wait(wait: timedelta) -> None:
    """Refuse a time for which nobody can wait for a message.

    Raises:
        ValueError: it is not within 0 to 20 s.
    """
    if not timedelta(0) <= wait <= MAX_WAIT:
        raise ValueError(f"a wait is 0 to {MAX_WAIT}, not {wait}")


def redelivery_delay(delivery: Delivery) -> timedelta:
    """How long a failed message waits: doubling from 2.5 to 5 s up to 7.5 to 15 minutes, whole seconds.

    Where in that range is told by the message's id, so that what failed together comes back apart.
    """
    ceiling = min(FIRST_REDELIVERY * 2 ** min(delivery.receive_count - 1, 16), MAX_REDELIVERY)
    spread = 0.5 + 0.5 * crc32(delivery.message_id.encode()) / 2**32
    return timedelta(seconds=round(ceiling.total_seconds() * spread))
