"""What the functions say of themselves: JSON logs, EMF metrics and X-Ray segments, by Powertools.

A stage's input and output never reach a log from here.
"""

import logging
import os
import warnings
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from typing_extensions import override

from workflow_engine.ports.observer import Observer

# Lambda gives a function with JSON logs a level of its own (developer guide, "Log-level filtering"), INFO unless the
# template says otherwise, and Powertools obeys it before the level that was asked for. It goes before the first Logger.
ON_LAMBDA = os.environ.pop("AWS_LAMBDA_LOG_LEVEL", None) is not None
logger = Logger()
metrics = Metrics()
if ON_LAMBDA:
    # Lambda's runtime has set the root logger to its own level; what stages log by `logging` follows ours, too.
    logging.getLogger().setLevel(logger.log_level)
# Most ticks have nothing to count, and a line that says so is billed like any other.
warnings.filterwarnings("ignore", message="No application metrics to publish")
# What the libraries say of where they found their settings is the same at each cold start.
for library in ("botocore", "pynamodb"):
    logging.getLogger(library).setLevel(max(logger.log_level, logging.WARNING))


class PowertoolsObserver(Observer):
    """Puts run, stage and attempt on every log line of a stage, the stage's own included, counts,
    and wraps each stage in an X-Ray subsegment where the invocation is traced."""

    def __init__(self) -> None:
        self._segment: Any = None
        self._keys: dict[str, Any] | None = None

    @override
    def stage_started(self, run_id: str, workflow_id: str, stage_id: str, attempt: int) -> None:
        self._keys = dict(logger.get_current_keys())
        logger.append_keys(run_id=run_id, workflow_id=workflow_id, stage_id=stage_id, attempt=attempt)
        recorder = _recorder()
        if recorder is not None:
            self._segment = recorder.begin_subsegment(f"stage {stage_id}")
            if self._segment is not None:
                self._segment.put_annotation("run_id", run_id)

    @override
    def stage_ended(self, workflow_id: str, stage_id: str, outcome: str, seconds: float) -> None:
        logger.info("stage ended", outcome=outcome, seconds=round(seconds, 3))
        metrics.add_metric("StageDuration", MetricUnit.Milliseconds, seconds * 1000)
        metrics.add_metric(f"Stages{outcome.capitalize()}", MetricUnit.Count, 1)
        self._restore_keys()
        if self._segment is not None:
            self._segment = None
            _recorder().end_subsegment()

    def _restore_keys(self) -> None:
        """The lines after a stage have the keys of those before it, whatever the stage added: the
        loggers of a process that have one name are one."""
        if self._keys is None:
            return
        before, self._keys = self._keys, None
        logger.remove_keys([key for key in logger.get_current_keys() if key not in before])
        logger.append_keys(**before)

    @override
    def happened(self, fact: str, count: int = 1) -> None:
        metrics.add_metric(fact, MetricUnit.Count, count)


def _recorder() -> Any:
    """X-Ray's recorder in a sampled invocation of a stack that traces, else ``None``: the SDK is not
    even imported then.

    Lambda says in ``_X_AMZN_TRACE_ID`` whether an invocation is sampled (developer guide, "Using
    the X-Ray SDK": ``Sampled=1``), which the sender of a message may have decided.
    """
    sampled = "Sampled=1" in os.environ.get("_X_AMZN_TRACE_ID", "")
    if not sampled or os.environ.get("POWERTOOLS_TRACE_DISABLED") == "true":
        return None
    from aws_lambda_powertools import Tracer

    return Tracer().provider
