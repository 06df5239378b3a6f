"""``run.reap_stuck``: helps runs on that make no progress, and ends those that cannot."""

from datetime import datetime

from workflow_engine.errors import NewerDefinitionError
from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.kernel.sweep import Sweeper
from workflow_engine.kernel.transitions import wakes
from workflow_engine.model.commands import ReapStuckRuns
from workflow_engine.model.results import StuckRunsReaped
from workflow_engine.model.runs import EntryState, Head


def reap_stuck_runs(
    command: ReapStuckRuns,
    invocation: Invocation,
    *,
    sweeper: Sweeper,
    advancer: Advancer,
    settings: KernelSettings,
) -> StuckRunsReaped:
    """Recover first: what is pending without a message is sent again, a finished group is joined.
    A run fails only where it cannot go on: past its ``max_duration``, or without its workflow."""
    at = invocation.clock.now()

    def is_stuck(head: Head) -> bool:
        if head.status.is_terminal:
            return False
        if head.ends_at <= at:
            return True
        before = at - command.threshold
        armed = (head.due_at or at) - settings.horizon
        return _pending_since(head, before, armed)

    recovered = failed = 0

    def help_on(head: Head) -> bool:
        nonlocal recovered, failed
        try:
            result = advancer.wake(head, invocation, send_jobs=True)
        except NewerDefinitionError:
            return False
        failed += result.action == "failed"
        recovered += result.action != "failed"
        return False

    sweeper.serve(sweeper.live_within_horizon(invocation, is_stuck), help_on)
    return StuckRunsReaped(recovered=recovered, failed=failed)


def _pending_since(head: Head, before: datetime, armed: datetime) -> bool:
    """Whether something could have run since *before*. A stage that is READY does not say since
    when; the run was last armed at *armed*, or later."""
    if wakes.all_done(head) or head.is_undecided:
        return armed <= before and (wakes.all_done(head) or bool(wakes.sendable(head, before)))
    states = [head.active[wake.ordinal].state for wake in wakes.sendable(head, before)]
    return any(state is not EntryState.READY or armed <= before for state in states)
