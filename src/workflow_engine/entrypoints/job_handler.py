"""The function behind the job queue: each record is a command, and fails or succeeds by itself."""

from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from workflow_engine.adapters.aws.powertools import PowertoolsObserver, logger, metrics
from workflow_engine.hosts.serverless import JobResult, ServerlessHost
from workflow_engine.model.deliveries import Delivery
from workflow_engine.wiring.aws import kernel_of_process

# What is left to answer after the last commit of an invocation.
ANSWER_MARGIN = timedelta(seconds=1)
_observer = PowertoolsObserver()


class JobNotDoneError(Exception):
    """Tells the batch processor that a record must come again."""


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics(raise_on_empty_metrics=False, capture_cold_start_metric=False)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Execute the commands of an SQS batch; answers the ids of those that must come again."""
    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    kernel = kernel_of_process(_observer)
    host = ServerlessHost(kernel, kernel.job_transport, context.aws_request_id)
    left = timedelta(milliseconds=context.get_remaining_time_in_millis())
    deadline = kernel.clock.now() + left - ANSWER_MARGIN

    def execute(record: SQSRecord) -> JobResult:
        delivery = Delivery(
            message_id=record.message_id,
            body=record.body,
            receipt=record.receipt_handle,
            receive_count=int(record.attributes.approximate_receive_count),
        )
        logger.append_keys(message_id=delivery.message_id, receive_count=delivery.receive_count)
        result = host.handle_job(delivery, deadline=deadline)
        if not result.acknowledge:
            logger.error("message not done", error=result.error, retryable=result.retryable)
            # Seconds, growing, instead of the queue's visibility timeout.
            host.job_transport.fail(delivery)
            raise JobNotDoneError(result.error)
        return result

    with processor(event["Records"], execute):
        processor.process()
    return processor.response()
