"""``lease.reap_stale``: sends again what was leased by somebody who did not finish."""

from workflow_engine.kernel import agenda
from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.sweep import Sweeper
from workflow_engine.kernel.telling import Teller
from workflow_engine.kernel.transitions import Told
from workflow_engine.model.commands import ReapStaleLeases
from workflow_engine.model.results import StaleLeasesReaped
from workflow_engine.model.runs import Head

MAX_CANDIDATES = 1000


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

    def stale(head: Head) -> list[agenda.Wake]:
        return [wake for wake in agenda.sendable(head, at) if wake.claim == "expired"]

    heads = sweeper.live_within_horizon(invocation, MAX_CANDIDATES, lambda head: bool(stale(head)))
    released = 0
    for head in heads:
        plan = advancer.plan_of(head)
        if plan is not None:
            wakes = stale(head)
            teller.send_jobs(head, plan, wakes, Told())
            released += len(wakes)
    return StaleLeasesReaped(released=released)
