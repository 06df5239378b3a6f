"""The function behind the job queue: each record is a command."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from workflow_engine.entrypoints.cold_start import without_garbage_collection

with without_garbage_collection():
    from workflow_engine.adapters.aws.powertools import PowertoolsObserver, logger, metrics
    from workflow_engine.entrypoints.sqs_batch import all_given_back, failures_of
    from workflow_engine.hosts.serverless import ServerlessHost
    from workflow_engine.wiring.aws import job_transport_of_process, kernel_of_process

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# What is left to answer after the last commit of an invocation.
ANSWER_MARGIN = timedelta(seconds=1)
_observer = PowertoolsObserver()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics(raise_on_empty_metrics=False, capture_cold_start_metric=False)
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Execute the commands of an SQS batch; answers the ids of those that must come again."""
    try:
        kernel = kernel_of_process(_observer)
    except Exception:
        logger.exception("no message can be handled: the workflows cannot be loaded, or the environment is wrong")
        return _answer(all_given_back(event["Records"], job_transport_of_process))
    host = ServerlessHost(kernel, kernel.parts.job_transport, context.aws_request_id)
    left = timedelta(milliseconds=context.get_remaining_time_in_millis())
    return _answer(failures_of(event["Records"], host, kernel.clock.now() + left - ANSWER_MARGIN))


def _answer(failed: list[str]) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
