"""``run.claim_pending``: starts runs that wait for somebody to start them, by priority, then age."""

from itertools import islice

from workflow_engine.errors import DefinitionChangedError, NewerDefinitionError, WorkflowNotFoundError
from workflow_engine.kernel import transitions
from workflow_engine.kernel.commit import commit_once
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.sweep import Sweeper
from workflow_engine.kernel.teller import Teller
from workflow_engine.kernel.transitions import Told, wakes
from workflow_engine.model.commands import ClaimPendingRuns
from workflow_engine.model.commits import Committed
from workflow_engine.model.results import PendingRunsClaimed
from workflow_engine.model.runs import Head
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Persistence

# Read before any is started; a head is half a read unit.
MAX_CANDIDATES = 10_000


def claim_pending_runs(
    command: ClaimPendingRuns,
    invocation: Invocation,
    *,
    persistence: Persistence,
    sweeper: Sweeper,
    definitions: Definitions,
    teller: Teller,
) -> PendingRunsClaimed:
    """Make PENDING runs RUNNING and send their first jobs. Of several claimers one gets a run.

    Of all that wait, up to 10,000, those of the highest priority are started, the oldest first. The
    tick needs no such search, since whoever creates a run sends its jobs.
    """

    def may_start(head: Head) -> bool:
        at = invocation.clock.now()
        return head.status is Status.PENDING and bool(wakes.sendable(head, at))

    pending = islice(sweeper.live_within_horizon(invocation, may_start), MAX_CANDIDATES)
    found = sorted(pending, key=lambda head: (-head.priority, head.created_at))
    claimed: list[str] = []

    def start(head: Head) -> bool:
        outcome = commit_once(persistence, transitions.start(head, invocation.moment()))
        if isinstance(outcome, Committed):
            claimed.append(head.run_id)
            _send(outcome.head, definitions, teller, invocation)
        return len(claimed) == command.max_claims

    sweeper.serve(found, start)
    return PendingRunsClaimed(claimed=claimed)


def _send(head: Head, definitions: Definitions, teller: Teller, invocation: Invocation) -> None:
    try:
        plan = definitions.for_run(head).plan
    except (WorkflowNotFoundError, DefinitionChangedError, NewerDefinitionError):
        return
    teller.tell(head, plan, Told(), jobs=wakes.sendable(head, invocation.clock.now()))
