"""The function behind the job queue: each record is a command."""

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from workflow_engine.entrypoints.cold_start import without_garbage_collection

with without_garbage_collection():
    from workflow_engine.adapters.aws.powertools import PowertoolsObserver, logger, metrics
    from workflow_engine.entrypoints.sqs_batch import all_given_back, failures_of
    from workflow_engine.errors import StagesLeftRunningError
    from workflow_engine.hosts.serverless import ServerlessHost
    from workflow_engine.kernel.execution.time_limit import threads_left
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
    failed = failures_of(event["Records"], host, kernel.clock.now() + left - ANSWER_MARGIN)
    _end_with_threads_left()
    return _answer(failed)


def _end_with_threads_left() -> None:
    """A stage of an inline group that took too long goes on in its thread, and would go on in the next
    invocations: all is stored by now, so the process ends. Lambda makes a new one for a runtime that has
    exited (Developer Guide, "Lambda runtime environment lifecycle"), and for nothing less; the messages come
    again, to which there is nothing left to do."""
    left = threads_left()
    if left and "AWS_LAMBDA_RUNTIME_API" in os.environ:
        error = StagesLeftRunningError(threads=left)
        logger.error("the process ends", error=str(error))
        metrics.flush_metrics(raise_on_empty_metrics=False)
        raise SystemExit(str(error))


def _answer(failed: list[str]) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
