"""In the place of Lambda's SQS event source mapping: receives, invokes, deletes what was done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workflow_engine.local.functions import FunctionRunner, Invocation
from workflow_engine.local.place import Place
from workflow_engine.local.template import Function, Trigger

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# SQS API reference: ReceiveMessage and DeleteMessageBatch take at most 10 messages.
MAX_BATCH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSource:
    """Polls the queue at *queue_url* for *function*, as its *trigger* says."""

    client: "SQSClient"
    runner: FunctionRunner
    function: Function
    queue_url: str
    queue_arn: str
    batch_size: int
    partial_failures: bool
    place: Place

    @classmethod
    def of(cls, client: "SQSClient", runner: FunctionRunner, function: Function, trigger: Trigger) -> "JobSource":
        """The source that *trigger* of *function* describes."""
        arn = str(trigger.properties["Queue"])
        name = arn.rpartition(":")[2]
        return cls(
            client=client,
            runner=runner,
            function=function,
            queue_url=client.get_queue_url(QueueName=name)["QueueUrl"],
            queue_arn=arn,
            batch_size=int(trigger.properties.get("BatchSize", MAX_BATCH)),
            partial_failures="ReportBatchItemFailures" in trigger.properties.get("FunctionResponseTypes", ()),
            place=runner.place,
        )

    def poll(self) -> int:
        """Handle one batch, if there is one; answers how many messages it had.

        What is not deleted comes again after its visibility timeout, and goes to the dead-letter
        queue when it has come too often: the queue sees to both.
        """
        answer = self.client.receive_message(
            QueueUrl=self.queue_url,
            MaxNumberOfMessages=min(self.batch_size, MAX_BATCH),
            # Waiting is up to the caller, who has timers to look after as well.
            WaitTimeSeconds=0,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages = answer.get("Messages", [])
        if messages:
            event = {"Records": [self._record(message) for message in messages]}
            self._delete(self._done(messages, self.runner.invoke(self.function, event)))
        return len(messages)

    def _record(self, message: "MessageTypeDef") -> dict[str, Any]:
        """A record as Lambda gives it (Lambda developer guide, "Using Lambda with Amazon SQS")."""
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": dict(message.get("Attributes", {})),
            "messageAttributes": {
                name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()
            },
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.queue_arn,
            "awsRegion": self.place.region,
        }

    def _done(self, messages: Sequence["MessageTypeDef"], invocation: Invocation) -> list["MessageTypeDef"]:
        if invocation.error is not None:
            return []
        failed = failed_items(invocation.answer, {message["MessageId"] for message in messages})
        if not self.partial_failures:
            failed = set()
        return [message for message in messages if message["MessageId"] not in failed]

    def _delete(self, messages: Sequence["MessageTypeDef"]) -> None:
        if messages:
            self.client.delete_message_batch(
                QueueUrl=self.queue_url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                    for index, message in enumerate(messages)
                ],
            )


def failed_items(answer: Any, ids: set[str]) -> set[str]:
    """Which of the messages *ids* a handler's *answer* reports as failed.

    No answer, or an empty list, means none. An answer that names something else means all (Lambda
    developer guide, "Implementing partial batch responses").
    """
    if not answer:
        return set()
    try:
        failed = {item["itemIdentifier"] for item in answer.get("batchItemFailures") or ()}
    except (AttributeError, KeyError, TypeError):
        return set(ids)
    return failed if failed <= ids else set(ids)


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    names = {"StringValue": "stringValue", "BinaryValue": "binaryValue", "DataType": "dataType"}
    return {names[name]: part for name, part in value.items() if name in names}
