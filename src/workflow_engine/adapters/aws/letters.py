"""Why a message lies in a dead-letter queue, as its attributes (or, of Lambda, its body) say it."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from workflow_engine.model.deliveries import DeadReason
from workflow_engine.model.limits import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef, MessageTypeDef

# The names that EventBridge and EventBridge Scheduler give theirs (user guides, "Using dead-letter queues to
# process undelivered events" and "Configuring a schedule's dead-letter queue"), and more of our own.
CODE, MESSAGE = "ERROR_CODE", "ERROR_MESSAGE"
SCHEDULE, SCHEDULED_AT = "SCHEDULE_ARN", "SCHEDULED_TIME"
RUN_ID, MESSAGE_ID, SENT_AT, DIED_AT = "RUN_ID", "MESSAGE_ID", "SENT_AT", "DIED_AT"
# EventBridge Scheduler puts the time of the firing in its place (user guide, "Adding context attributes").
SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
# What a person reads; the whole of it is in the log.
MAX_MESSAGE = 1024
# SQS API reference, SendMessage: what a message may hold, and its attributes' values, too.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def attributes_of(reason: DeadReason, body: str) -> "dict[str, MessageAttributeValueTypeDef] | None":
    """The attributes that say *reason*; without its message where *body* leaves no room for it, and
    ``None`` where there is none for the rest. They count towards the message's size (SQS, "Message quotas")."""
    said = {
        CODE: reason.code,
        MESSAGE: reason.message[:MAX_MESSAGE],
        RUN_ID: reason.run_id,
        MESSAGE_ID: reason.message_id,
        SENT_AT: reason.first_at and reason.first_at.isoformat(),
        DIED_AT: reason.died_at and reason.died_at.isoformat(),
    }
    # SQS refuses an empty value.
    values = {name: _FORBIDDEN.sub("\ufffd", text) for name, text in said.items() if text}
    room = MAX_MESSAGE_BYTES - len(body.encode())
    if _size(values) > room:
        values.pop(MESSAGE, None)
    if _size(values) > room:
        return None
    return {name: {"DataType": "String", "StringValue": text} for name, text in values.items()}


def reason_of(message: "MessageTypeDef") -> DeadReason | None:
    """What *message* says of its death: ours, EventBridge's and Scheduler's in attributes, Lambda's in the body."""
    attributes = message.get("MessageAttributes", {})
    said = {name: value["StringValue"] for name, value in attributes.items() if "StringValue" in value}
    if CODE not in said:
        return _of_destination(message["Body"])
    return DeadReason(
        code=said[CODE],
        message=said.get(MESSAGE, ""),
        run_id=said.get(RUN_ID),
        message_id=said.get(MESSAGE_ID),
        first_at=_instant(said.get(SENT_AT) or said.get(SCHEDULED_AT)),
        died_at=_instant(said.get(DIED_AT)),
    )


def body_of_letter(message: "MessageTypeDef") -> str:
    """The body that was meant for the job queue. Scheduler may say it as the request that it made ("Configuring a
    schedule's dead-letter queue": the body is what the target was to get), and with the time not yet filled in."""
    body = message["Body"]
    attributes = message.get("MessageAttributes", {})
    if SCHEDULE not in attributes:
        return body
    with suppress(ValueError, AttributeError):
        inner = json.loads(body).get("MessageBody")
        body = inner if isinstance(inner, str) else body
    at = _instant(attributes[SCHEDULED_AT].get("StringValue")) if SCHEDULED_AT in attributes else None
    return body if at is None else body.replace(SCHEDULED_TIME, at.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _size(values: Mapping[str, str]) -> int:
    return sum(len(name) + len("String") + len(text.encode()) for name, text in values.items())


def _of_destination(body: str) -> DeadReason | None:
    """What Lambda sends to a destination (developer guide, "Capturing records of Lambda asynchronous invocations")."""
    try:
        record: Any = json.loads(body)
        condition = str(record["requestContext"]["condition"])
    except (ValueError, KeyError, TypeError):
        return None
    answer = record.get("responsePayload")
    message = answer.get("errorMessage") if isinstance(answer, Mapping) else None
    return DeadReason(condition, str(message or ""), died_at=_instant(record.get("timestamp")))


def _instant(text: object) -> datetime | None:
    with suppress(ValueError):
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    return None
