"""A stack in which nothing runs, for a month: the tick, the queue's pollers, logs and metrics."""

from collections.abc import Mapping

from workflow_engine.cli.costing.prices import dollars
from workflow_engine.cli.costing.usage import Usage

TICKS = 30 * 24 * 60
# Lambda's pollers of a queue without messages: five, each with long polls of 20 s. SQS bills them.
POLLS = 5 * 3 * TICKS
# The tick's log line, its metrics as a log line, and Lambda's own three lines.
LOG_BYTES = 1_200
METRICS = 3


def idle_month(tick: Usage, *, memory_megabytes: int) -> Mapping[str, float]:
    """US dollars by item, from the requests of one *tick*. Storage and free tiers are left out."""
    return {
        "DynamoDB": dollars("dynamodb_read", TICKS * tick.read_units),
        "SQS (empty polls)": dollars("sqs_request", POLLS),
        "Scheduler": dollars("schedule", TICKS),
        "Lambda requests": dollars("lambda_request", TICKS),
        "Lambda GB-seconds": TICKS * tick.compute(memory_megabytes),
        "logs": dollars("log_gigabyte", TICKS * LOG_BYTES / 1e9),
        "metrics": dollars("custom_metric", METRICS),
    }
