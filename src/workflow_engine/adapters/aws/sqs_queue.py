"""One SQS queue: the requests, their limits and their errors. What the messages mean is not known here."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from workflow_engine.adapters.aws.errors import check_answer, code_of, translating
from workflow_engine.adapters.aws.letters import body_of_letter, reason_of
from workflow_engine.model.deliveries import Delivery
from workflow_engine.model.limits import MAX_MESSAGE_BATCH, MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import (
        MessageAttributeValueTypeDef,
        MessageSystemAttributeValueTypeDef,
        MessageTypeDef,
        ReceiveMessageRequestTypeDef,
    )

SERVICE = "SQS"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Lambda sets it for each invocation ("Defined runtime environment variables").
TRACE_VARIABLE = "_X_AMZN_TRACE_ID"
# A receipt whose message was removed or delivered again, or is visible. The last is what SQS answers to
# ChangeMessageVisibility for a message that is gone; no other parameter that is sent with it can be invalid.
OUTDATED = ("ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue")


class SqsQueue:
    """Sends to, receives from and removes from the queue at *url*. Threads may share it."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def send(
        self,
        body: str,
        *,
        delay: timedelta = timedelta(0),
        attributes: "Mapping[str, MessageAttributeValueTypeDef] | None" = None,
    ) -> None:
        """Send one message."""
        with translating(SERVICE, "SendMessage"):
            answer = self._client.send_message(
                QueueUrl=self._url,
                MessageBody=body,
                DelaySeconds=whole_seconds(delay),
                MessageSystemAttributes=_trace(),
                MessageAttributes=attributes or {},
            )
        check_answer(answer, "MessageId", service=SERVICE, operation="SendMessage")

    def send_batch(self, bodies: Mapping[int, str]) -> set[int]:
        """Send messages that fit into one request; answers which of them were not accepted."""
        with translating(SERVICE, "SendMessageBatch"):
            answer = self._client.send_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(index), "MessageBody": body, "MessageSystemAttributes": _trace()}
                    for index, body in bodies.items()
                ],
            )
        return set(bodies) - {int(accepted["Id"]) for accepted in answer.get("Successful", ())}

    def receive(
        self, *, limit: int, wait: timedelta, visibility: timedelta | None = None, dead: bool = False
    ) -> list[Delivery]:
        """Take up to *limit* messages, at most 10; by default for the queue's own visibility. *dead*
        asks for the reasons of dead letters, too."""
        request: ReceiveMessageRequestTypeDef = {
            "QueueUrl": self._url,
            "MaxNumberOfMessages": min(limit, MAX_MESSAGE_BATCH),
            "WaitTimeSeconds": whole_seconds(wait),
            "MessageSystemAttributeNames": ["ApproximateReceiveCount", "SentTimestamp"],
        }
        if dead:
            request["MessageAttributeNames"] = ["All"]
        if visibility is not None:
            request["VisibilityTimeout"] = whole_seconds(visibility)
        with translating(SERVICE, "ReceiveMessage"):
            answer = self._client.receive_message(**request)
        return [_delivery(message, dead=dead) for message in answer.get("Messages", ())]

    def hide(self, receipt: str, visibility: timedelta) -> None:
        """Change how long the message stays invisible; nothing where the receipt is outdated."""
        with translating(SERVICE, "ChangeMessageVisibility"), _outdated_is_fine():
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=whole_seconds(visibility)
            )

    def delete(self, receipt: str) -> None:
        """Remove the message; nothing where the receipt is outdated."""
        with translating(SERVICE, "DeleteMessage"), _outdated_is_fine():
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=receipt)

    def show(self, receipts: Sequence[str]) -> None:
        """Make messages visible at once; those whose receipt is outdated stay as they are."""
        for start in range(0, len(receipts), MAX_MESSAGE_BATCH):
            part = receipts[start : start + MAX_MESSAGE_BATCH]
            with translating(SERVICE, "ChangeMessageVisibilityBatch"):
                self._client.change_message_visibility_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {"Id": str(index), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                        for index, receipt in enumerate(part)
                    ],
                )

    def delete_all(self, receipts: Sequence[str]) -> None:
        """Remove messages; what is not removed, for whatever reason, comes again."""
        for start in range(0, len(receipts), MAX_MESSAGE_BATCH):
            part = receipts[start : start + MAX_MESSAGE_BATCH]
            with translating(SERVICE, "DeleteMessageBatch"):
                self._client.delete_message_batch(
                    QueueUrl=self._url,
                    Entries=[{"Id": str(index), "ReceiptHandle": receipt} for index, receipt in enumerate(part)],
                )

    def waiting(self) -> int:
        """SQS's ``ApproximateNumberOfMessages``: those that can be received now."""
        name: Literal["ApproximateNumberOfMessages"] = "ApproximateNumberOfMessages"
        with translating(SERVICE, "GetQueueAttributes"):
            answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=[name])
        return int(answer["Attributes"][name])

    def dead_letter_url(self) -> str | None:
        """The queue that this one's redrive policy names."""
        with translating(SERVICE, "GetQueueAttributes"):
            answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["RedrivePolicy"])
        policy = answer.get("Attributes", {}).get("RedrivePolicy")
        if policy is None:
            return None
        *_, account, name = json.loads(policy)["deadLetterTargetArn"].split(":")
        with translating(SERVICE, "GetQueueUrl"):
            return self._client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]


def batches(bodies: Sequence[str]) -> Iterator[range]:
    """The indexes of *bodies*, cut so that each part fits into one request."""
    start = size = 0
    for index, body in enumerate(bodies):
        body_bytes = len(body.encode())
        if index - start == MAX_MESSAGE_BATCH or (index > start and size + body_bytes > MAX_MESSAGE_BYTES):
            yield range(start, index)
            start, size = index, 0
        size += body_bytes
    if bodies:
        yield range(start, len(bodies))


def sent_at_of(attributes: Mapping[Any, str]) -> datetime | None:
    """When a message with these system attributes was sent."""
    sent_ms = attributes.get("SentTimestamp")
    return None if sent_ms is None else EPOCH + timedelta(milliseconds=int(sent_ms))


def whole_seconds(duration: timedelta) -> int:
    """*duration* rounded up: what must not come sooner may come a second later."""
    return ceil(duration.total_seconds())


@contextmanager
def _outdated_is_fine() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        # SQS puts "AWS.SimpleQueueService." before some of its codes.
        if code_of(error).rpartition(".")[2] not in OUTDATED:
            raise


def _trace() -> "dict[Literal['AWSTraceHeader'], MessageSystemAttributeValueTypeDef]":
    """Lets the X-Ray trace of this invocation go on where the message is handled."""
    header = os.environ.get(TRACE_VARIABLE)
    return {"AWSTraceHeader": {"DataType": "String", "StringValue": header}} if header else {}


def _delivery(message: "MessageTypeDef", *, dead: bool) -> Delivery:
    attributes = message.get("Attributes", {})
    return Delivery(
        message_id=message["MessageId"],
        body=body_of_letter(message) if dead else message["Body"],
        receipt=message["ReceiptHandle"],
        receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
        sent_at=sent_at_of(attributes),
        reason=reason_of(message) if dead else None,
    )
