"""``lease.reap_stale``: sends again what was leased by somebody who did not finish."""

from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.sweep import Sweeper
from workflow_engine.kernel.teller import Teller
from workflow_engine.kernel.transitions import Told, wakes
from workflow_engine.model.commands import ReapStaleLeases
from workflow_engine.model.results import StaleLeasesReaped
from workflow_engine.model.runs import Head


def reap_stale_leases(
    command: ReapStaleLeases,
    invocation: Invocation,
    *,
    sweeper: Sweeper,
    advancer: Advancer,
    teller: Teller,
) -> StaleLeasesReaped:
    """Send the jobs of stages whose lease ended more than ``threshold`` ago.

    The lease is not taken away here: the job that is sent takes it over under a new epoch, and
    the late worker's outcome is refused from then on.
    """
    at = invocation.clock.now() - command.threshold

    def stale(head: Head) -> list[wakes.Wake]:
        return [wake for wake in wakes.sendable(head, at) if wake.claim == "expired"]

    released = 0

    def release(head: Head) -> bool:
        nonlocal released
        plan = advancer.plan_of(head)
        if plan is not None:
            wakes = stale(head)
            teller.send_jobs(head, plan, wakes, Told())
            released += len(wakes)
        return False

    sweeper.serve(sweeper.live_within_horizon(invocation, lambda head: bool(stale(head))), release)
    return StaleLeasesReaped(released=released)
