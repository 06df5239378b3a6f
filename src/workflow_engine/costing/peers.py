"""What the same workload costs elsewhere: a model of how others bill it, kind to them where in doubt.

Step Functions: a transition for the start and for each state; a parallel group has one of its own; a poll
is Wait, Task and Choice. Express: an execution, and 64 MB for as long as it runs (100 ms a stage are
assumed); nothing that waits for more than five minutes fits. Both invoke a function for each stage.
Lambda durable functions: an operation for a step, a wait, a check and a parallel group, two for a callback,
and a KB written for each. Temporal Cloud: an action for the start, an activity, a timer, a check and a signal.
"""

from collections.abc import Mapping

from workflow_engine.costing.prices import dollars
from workflow_engine.costing.workloads import Workload

EXPRESS_STAGE_SECONDS = 0.1
EXPRESS_GIGABYTES = 64 / 1024
OPERATION_GIGABYTES = 1 / 1_000_000

STEP_FUNCTIONS, EXPRESS = "Step Functions", "SFN Express"
DURABLE, TEMPORAL = "durable functions", "Temporal Cloud"


def peers(workload: Workload) -> Mapping[str, float | None]:
    """US dollars of one run elsewhere; ``None`` where it cannot be done."""
    return {
        STEP_FUNCTIONS: _standard(workload),
        EXPRESS: _express(workload),
        DURABLE: _durable(workload),
        TEMPORAL: _temporal(workload),
    }


def _functions(workload: Workload) -> float:
    return dollars("lambda_request", workload.steps + workload.checks)


def _standard(workload: Workload) -> float:
    states = workload.steps + workload.waits + 3 * workload.checks + workload.callbacks + workload.forks
    return dollars("step_functions_transition", 1 + states) + _functions(workload)


def _express(workload: Workload) -> float | None:
    if workload.waits or workload.checks or workload.callbacks:
        return None
    gb_seconds = workload.steps * EXPRESS_STAGE_SECONDS * EXPRESS_GIGABYTES
    return dollars("express_request", 1) + dollars("express_gb_second", gb_seconds) + _functions(workload)


def _durable(workload: Workload) -> float:
    operations = workload.steps + workload.waits + workload.checks + 2 * workload.callbacks + workload.forks
    resumes = workload.waits + workload.checks + workload.callbacks
    written = dollars("durable_gigabyte", operations * OPERATION_GIGABYTES)
    return dollars("durable_operation", operations) + written + dollars("lambda_request", 1 + resumes)


def _temporal(workload: Workload) -> float:
    return dollars("temporal_action", 1 + workload.steps + workload.waits + workload.checks + workload.callbacks)
