"""The statuses of runs and stages, and which of them are final."""

from enum import StrEnum


class Status(StrEnum):
    """Where a run or a stage stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing but ``run.rerun_from`` and ``run.undo`` change it any more (I8)."""
        return self in TERMINAL


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.SKIPPED})
LIVE = frozenset({Status.PENDING, Status.RUNNING, Status.SUSPENDED})
