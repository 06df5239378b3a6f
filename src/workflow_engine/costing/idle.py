"""A stack in which nothing runs, for a month, whole: the tick, the queue's pollers, logs, and what watches it."""

from collections.abc import Mapping
from datetime import timedelta

from workflow_engine.costing.deployment import Deployment
from workflow_engine.costing.prices import dollars
from workflow_engine.costing.storing import MONTH
from workflow_engine.costing.usage import Usage

TICKS = MONTH // timedelta(minutes=1)
# Lambda's pollers of a queue without messages: five, each with long polls of 20 s. SQS bills them. (Two would do, were there
# no MaximumConcurrency: Lambda developer guide, "Configuring scaling behavior for SQS event source mappings".)
POLLS = 5 * 3 * TICKS
# The tick's own line, and the two that Lambda writes of each invocation. It counts nothing while nothing is due.
LOG_BYTES = 1_000
# "Single-digit millisecond" (DynamoDB developer guide, "What is Amazon DynamoDB?"): what a query keeps the tick waiting.
QUERY = timedelta(milliseconds=5)
# DynamoDB asks for the key of a table that the account's key protects again after five minutes (developer guide,
# "DynamoDB encryption at rest: usage notes").
KEY_REQUESTS = MONTH // timedelta(minutes=5)


def idle_month(deployment: Deployment, tick: Usage, *, memory_megabytes: int) -> Mapping[str, float]:
    """US dollars by item at list price, from the requests of one *tick* of *deployment*.

    Free tiers are left out. Its table and bucket are empty, it sends no metric and no trace.
    """
    taken_in = TICKS * LOG_BYTES / 1e9
    seconds = (tick.requests["dynamodb.Query"] * QUERY).total_seconds()
    return {
        "alarms": dollars("alarm", deployment.alarms),
        "dashboard": dollars("dashboard", deployment.dashboards),
        "empty polls of the queue": dollars("sqs_request", POLLS),
        "the tick's schedule": dollars("schedule", TICKS),
        "logs": dollars("log_gigabyte", taken_in)
        + dollars("log_gigabyte_month", taken_in * (deployment.logs_kept / MONTH)),
        "requests for the table's key": dollars("kms_request", KEY_REQUESTS),
        "the tick's reads": dollars("dynamodb_read", TICKS * tick.read_units),
        "the tick's GB-seconds": dollars("lambda_gb_second", TICKS * seconds * memory_megabytes / 1024),
        "the tick's invocations": dollars("lambda_request", TICKS),
    }
