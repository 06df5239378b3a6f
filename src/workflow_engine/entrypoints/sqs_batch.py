"""The records of an SQS event, executed one after the other: each fails or succeeds by itself.

The loop is our own: Powertools' batch utility imports the models of all event sources, which is a
third of what a cold start needs beside boto3 (docs/decisions/0007-a-batch-loop-of-our-own.md).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from workflow_engine.adapters.aws.powertools import logger
from workflow_engine.hosts.serverless import ServerlessHost
from workflow_engine.model.deliveries import Delivery


def failures_of(records: Sequence[Mapping[str, Any]], host: ServerlessHost, deadline: datetime) -> list[str]:
    """Execute *records*; answers the message ids of those that must come again.

    What follows a long record may find the time of the invocation used up: it is not begun, since a
    stage would be stopped as if it had taken too long.
    """
    now = host.kernel.clock.now
    return [
        record["messageId"]
        for position, record in enumerate(records)
        if not _is_done(record, host, deadline, begin=position == 0 or now() < deadline)
    ]


def _is_done(record: Mapping[str, Any], host: ServerlessHost, deadline: datetime, *, begin: bool) -> bool:
    try:
        delivery = _delivery(record)
        logger.append_keys(message_id=delivery.message_id, receive_count=delivery.receive_count)
        if begin:
            result = host.handle_job(delivery, deadline=deadline)
            if result.acknowledge:
                return True
            logger.error("message not done", error=result.error, retryable=result.retryable)
        else:
            logger.warning("message not begun: no time is left")
        # Seconds, growing, instead of the queue's visibility timeout.
        host.job_transport.fail(delivery)
    except Exception:
        logger.exception("message not done")
    return False


def _delivery(record: Mapping[str, Any]) -> Delivery:
    return Delivery(
        message_id=record["messageId"],
        body=record["body"],
        receipt=record["receiptHandle"],
        receive_count=int(record["attributes"]["ApproximateReceiveCount"]),
    )
