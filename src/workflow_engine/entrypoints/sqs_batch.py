"""The records of an SQS event, executed one after the other: each fails or succeeds by itself.

The loop is our own: Powertools' batch utility imports the models of all event sources, which is a
third of what a cold start needs beside boto3 (docs/decisions/0007-a-batch-loop-of-our-own.md).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from workflow_engine.adapters.aws.powertools import logger
from workflow_engine.adapters.aws.sqs_queue import sent_at_of
from workflow_engine.hosts.serverless import JobResult, ServerlessHost
from workflow_engine.kernel.invocation import FunctionTime
from workflow_engine.model.deliveries import Delivery
from workflow_engine.ports.jobs import JobTransport


def failures_of(records: Sequence[Mapping[str, Any]], host: ServerlessHost, deadline: datetime) -> list[str]:
    """Execute *records*; answers the message ids of those that must come again.

    They share the time that is left until *deadline*: what comes after a long record and may not fit
    into the rest is not begun, since its stage would be stopped as if it had taken too long.
    """
    batch = _Batch(host, deadline, FunctionTime(deadline - host.kernel.clock.now()))
    return [record["messageId"] for record in records if not batch.is_done(record)]


def all_given_back(records: Sequence[Mapping[str, Any]], transport: Callable[[], JobTransport]) -> list[str]:
    """Give *records* back unread, for seconds and then minutes; answers the ids of all of them. Left to the
    queue's visibility timeout, they would stay hidden long after the next deploy."""
    try:
        queue = transport()
        for record in records:
            queue.fail(_delivery(record))
    except Exception:
        logger.exception("messages stay hidden for the queue's visibility timeout")
    return [record["messageId"] for record in records]


@dataclass(slots=True)
class _Batch:
    host: ServerlessHost
    deadline: datetime
    time: FunctionTime
    is_first: bool = True

    def is_done(self, record: Mapping[str, Any]) -> bool:
        """Whether *record* need not come again: it was dealt with, or is a dead letter now."""
        try:
            delivery = _delivery(record)
            logger.append_keys(message_id=delivery.message_id, receive_count=delivery.receive_count)
            result = self._result(delivery)
            if result.acknowledge:
                return True
            _log(result)
            return self.host.give_back(delivery, result)
        except Exception:
            logger.exception("message not done")
            return False

    def _result(self, delivery: Delivery) -> JobResult:
        is_first, self.is_first = self.is_first, False
        if not is_first and self.host.kernel.clock.now() >= self.deadline:
            return JobResult("failed", "no time is left", acknowledge=False, retryable=True, begun=False)
        return self.host.handle_job(delivery, deadline=self.deadline, time=self.time)


def _log(result: JobResult) -> None:
    if not result.begun:
        logger.warning("message not begun", error=result.error)
        return
    text = "message given up" if result.dead else "message not done"
    logger.error(text, error=result.error, retryable=result.retryable, exc_info=result.cause)


def _delivery(record: Mapping[str, Any]) -> Delivery:
    return Delivery(
        message_id=record["messageId"],
        body=record["body"],
        receipt=record["receiptHandle"],
        receive_count=int(record["attributes"]["ApproximateReceiveCount"]),
        sent_at=sent_at_of(record["attributes"]),
    )
