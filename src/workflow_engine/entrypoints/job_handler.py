"""The function behind the job queue: each record is a command, and fails or succeeds by itself.

The batch is a loop of our own: Powertools' batch utility imports the models of all event sources,
which is a third of what a cold start needs beside boto3.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from workflow_engine.entrypoints.cold_start import without_garbage_collection

with without_garbage_collection():
    from workflow_engine.adapters.aws.powertools import PowertoolsObserver, logger, metrics
    from workflow_engine.hosts.serverless import ServerlessHost
    from workflow_engine.model.deliveries import Delivery
    from workflow_engine.wiring.aws import kernel_of_process

if TYPE_CHECKING:
    from datetime import datetime

    from aws_lambda_powertools.utilities.typing import LambdaContext

# What is left to answer after the last commit of an invocation.
ANSWER_MARGIN = timedelta(seconds=1)
_observer = PowertoolsObserver()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics(raise_on_empty_metrics=False, capture_cold_start_metric=False)
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, list[dict[str, str]]]:
    """Execute the commands of an SQS batch; answers the ids of those that must come again."""
    kernel = kernel_of_process(_observer)
    host = ServerlessHost(kernel, kernel.job_transport, context.aws_request_id)
    left = timedelta(milliseconds=context.get_remaining_time_in_millis())
    deadline = kernel.clock.now() + left - ANSWER_MARGIN
    failed = [record["messageId"] for record in event["Records"] if not _is_done(record, host, deadline)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _is_done(record: Mapping[str, Any], host: ServerlessHost, deadline: "datetime") -> bool:
    """Execute one record; a failure of whatever kind is its own, not its neighbours'."""
    try:
        delivery = _delivery(record)
        logger.append_keys(message_id=delivery.message_id, receive_count=delivery.receive_count)
        result = host.handle_job(delivery, deadline=deadline)
        if not result.acknowledge:
            logger.error("message not done", error=result.error, retryable=result.retryable)
            # Seconds, growing, instead of the queue's visibility timeout.
            host.job_transport.fail(delivery)
    except Exception:
        logger.exception("message not done")
        return False
    return result.acknowledge


def _delivery(record: Mapping[str, Any]) -> Delivery:
    return Delivery(
        message_id=record["messageId"],
        body=record["body"],
        receipt=record["receiptHandle"],
        receive_count=int(record["attributes"]["ApproximateReceiveCount"]),
    )
