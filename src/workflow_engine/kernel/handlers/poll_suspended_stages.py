"""``stage.poll_suspended``: makes the checks that are due, here and now."""

from workflow_engine.errors import DefinitionChangedError, NewerDefinitionError, RunExpiredError, WorkflowNotFoundError
from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.claim import take
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.sweep import Sweeper
from workflow_engine.kernel.transitions import Told, wakes
from workflow_engine.model.commands import PollSuspendedStages
from workflow_engine.model.results import JobExecuted, SuspendedStagesPolled
from workflow_engine.model.runs import Head, WaitKind
from workflow_engine.ports.persistence import Persistence

_WAITS = (WaitKind.POLL, WaitKind.SIGNAL, WaitKind.SLEEP)


def poll_suspended_stages(
    command: PollSuspendedStages,
    invocation: Invocation,
    *,
    persistence: Persistence,
    sweeper: Sweeper,
    advancer: Advancer,
) -> SuspendedStagesPolled:
    """Claim each suspended stage whose wait is over, check it, and move its run on.

    Runs that are over are skipped, and checks that may take longer than there is time: those come to
    the next. What a run goes on with is sent as a job, not run here.
    """
    invocation.may_chain = False

    def may_check(head: Head) -> bool:
        return bool(_due(head, invocation))

    checked = failed = 0
    resumed: list[str] = []

    def check(head: Head) -> bool:
        nonlocal checked, failed
        for wake in _due(head, invocation):
            if checked == command.max_checks:
                return True
            result = _check(head, wake, invocation, persistence, advancer=advancer)
            if result is None:
                continue
            checked += 1
            failed += result.outcome == "failed" and not result.ghost
            if result.outcome == "completed" and not result.ghost:
                resumed.append(head.run_id)
        return checked == command.max_checks

    sweeper.serve(sweeper.live_within_horizon(invocation, may_check), check)
    return SuspendedStagesPolled(checked=checked, resumed=len(resumed), failed=failed, resumed_run_ids=resumed)


def _due(head: Head, invocation: Invocation) -> list[wakes.Wake]:
    due = wakes.sendable(head, invocation.clock.now())
    return [wake for wake in due if wake.claim == "due" and head.active[wake.ordinal].wait in _WAITS]


def _check(
    head: Head,
    wake: wakes.Wake,
    invocation: Invocation,
    persistence: Persistence,
    *,
    advancer: Advancer,
) -> JobExecuted | None:
    try:
        definition = advancer.definition_of(head, invocation)
    except NewerDefinitionError:
        return None
    except (WorkflowNotFoundError, DefinitionChangedError, RunExpiredError) as error:
        advancer.fail_run(head, error, invocation)
        return JobExecuted(outcome="failed", error=str(error))
    if not invocation.may_begin(definition.at(head.group, wake.ordinal).timeout):
        return None
    stage_id = definition.plan.stage(head.group, wake.ordinal)
    now, lease = take(persistence, head.run_id, head.group, stage_id, wake=wake, invocation=invocation)
    if now is None or lease is None:
        return None
    advancer.teller.forget_timeout(now, lease.entry, wake)
    return advancer.work(now, [lease], definition, Told(), invocation=invocation)
