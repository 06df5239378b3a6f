"""What is stored of a step of a stage's body, as values. No I/O and no rules: those are in the kernel."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.payloads import ErrorInfo, Payload


class StepKind(StrEnum):
    """What a record of a step says: what a function came to, how a wait ended, or how often a function has
    failed so far."""

    CALL = "c"
    SLEEP = "t"
    SIGNAL = "s"
    UNTIL = "p"
    TRIES = "n"


@dataclass(frozen=True, slots=True)
class StepScope:
    """Whose steps they are: those of a stage since the run was last rerun from its group or one before it,
    whose first leases have the epoch *base*."""

    group: int
    stage_id: StageId
    base: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """The outcome of a step, which never changes: whoever puts it second takes the one that is there.

    *name* is unique in its *scope*. *output* is the JSON of the result, or of a signal's payload; *error* what it
    failed with, or that the wait expired. *signal* is the element of ``Head.signals`` that a wait has used up.
    *epoch* is that of the lease under which it was put, *tries* how often the function was called under it.
    """

    run_id: RunId
    scope: StepScope
    name: str
    kind: StepKind
    epoch: int
    started_at: datetime
    finished_at: datetime
    expires_at: datetime
    tries: int = 1
    output: Payload | None = None
    error: ErrorInfo | None = None
    signal: str | None = None
