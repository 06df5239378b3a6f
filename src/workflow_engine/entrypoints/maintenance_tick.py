"""The function behind the schedule: looks at every run that is due, once a minute."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from workflow_engine.entrypoints.cold_start import without_garbage_collection

with without_garbage_collection():
    from aws_lambda_powertools.metrics import MetricUnit

    from workflow_engine.adapters.aws.powertools import PowertoolsObserver, logger, metrics
    from workflow_engine.hosts.serverless import ServerlessHost
    from workflow_engine.kernel.sweep import MaintenanceTick
    from workflow_engine.wiring.aws import kernel_of_process

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

ANSWER_MARGIN = timedelta(seconds=2)
_observer = PowertoolsObserver()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics(raise_on_empty_metrics=False, capture_cold_start_metric=False)
def handler(_event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Run one maintenance tick; answers what it did, for the log and for ``sam local invoke``."""
    kernel = kernel_of_process(_observer)
    host = ServerlessHost(kernel, kernel.parts.job_transport, context.aws_request_id)
    started_at = kernel.clock.now()
    left = timedelta(milliseconds=context.get_remaining_time_in_millis())
    tick = host.run_maintenance_tick(deadline=started_at + left - ANSWER_MARGIN)
    ended_at = kernel.clock.now()

    if tick.looked_at or tick.backlog:
        _measure(tick, started_at, ended_at)
    said = {name: value for name, value in asdict(tick).items() if name != "oldest_untold"}
    logger.info("tick", **said)
    return said


def _measure(tick: MaintenanceTick, started_at: datetime, ended_at: datetime) -> None:
    """Count a tick that had something to look at. A custom metric is billed for each hour in which it is sent
    (CloudWatch, pricing), so one that says nothing is not: the alarms take a missing one for a good one."""
    age = max(ended_at - (tick.oldest_untold or ended_at), timedelta(0))
    metrics.add_metric("TickDuration", MetricUnit.Milliseconds, (ended_at - started_at).total_seconds() * 1000)
    metrics.add_metric("TickBacklog", MetricUnit.Count, int(tick.backlog))
    metrics.add_metric("OldestUntoldEventAge", MetricUnit.Seconds, age.total_seconds())
