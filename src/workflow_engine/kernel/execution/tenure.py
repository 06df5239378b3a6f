"""Whether a lease is still its holder's, while the stage runs: a cancel must reach what runs."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from workflow_engine.errors import WorkflowEngineError
from workflow_engine.kernel.claim import holds
from workflow_engine.kernel.execution.ending import Failed
from workflow_engine.kernel.execution.held_leases import LeaseName
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.transitions import Lease, wakes
from workflow_engine.model.ids import RunId
from workflow_engine.model.instants import whole
from workflow_engine.model.runs import Head
from workflow_engine.ports.persistence import Persistence

# A worker hears of it at its heartbeat; a function has none, and looks so often, where its stage asks.
LOOK_EVERY = timedelta(minutes=1)


@dataclass(slots=True, kw_only=True)
class Tenure:
    """The lease of one attempt, taken just now."""

    run_id: RunId
    lease: Lease
    invocation: Invocation
    persistence: Persistence
    _over: bool = False
    _looked_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        self._looked_at = self.invocation.clock.now()

    def is_known_over(self) -> bool:
        """Whether it is known that the run is over, or the lease another's. Asks nobody."""
        if not self._over and self.invocation.lease is not None:
            lease = self.lease
            name = LeaseName(self.run_id, lease.group, lease.ordinal, lease.entry.epoch)
            self._over = self.invocation.held.is_lost(name)
        return self._over

    def is_over(self) -> bool:
        """Whether the run is over, or the lease another's: as the last heartbeat has it, or where there is none, the
        head, read once a minute at the most."""
        if self.is_known_over() or self.invocation.lease is not None:
            return self._over
        now = self.invocation.clock.now()
        if now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self._over = self._is_gone()
        return self._over

    def _is_gone(self) -> bool:
        try:
            head = self.persistence.load_head(self.run_id)
        except WorkflowEngineError:
            return False
        # One whose end is decided waits for what holds a lease, so that it can undo what that does.
        return head is None or not holds(head, self.lease) or wakes.awaits_its_end(head)


def works_until_of(ending: object, lease: Lease, head: Head, invocation: Invocation) -> datetime | None:
    """Until when the code of an attempt may be at work that could not be stopped; ``None`` where it was. Where a host
    renews its leases, what was taken says an end that may be long past."""
    if not isinstance(ending, Failed) or not ending.at_work:
        return None
    renewed = whole(invocation.lease_end(invocation.clock.now()))
    known = [entry.until for entry in (lease.entry, *head.active[lease.ordinal : lease.ordinal + 1])]
    return max([renewed, *[until for until in known if until is not None]])
