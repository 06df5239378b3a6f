"""Pure: (the head as read, what happened, the time) → a commit. No I/O, no clock, no ids.

Everything that changes a run's state is decided here; what a shared commit does to the head that it meets
is ``model.commits.apply_shared``. A group of one is committed exclusively; in
a larger group a sibling changes only its own entry (``Shared``), so that siblings that finish at
the same moment refuse nobody, and whoever sees all done makes the exclusive join. Callers say
``transitions.finish(…)``; which of the modules a decision is in is for its readers.
"""

from workflow_engine.kernel.transitions import closing
from workflow_engine.kernel.transitions.entering import enter, entering
from workflow_engine.kernel.transitions.facts import Decision, Lease, Moment, NewRun, Outcomes, Rerun, Told
from workflow_engine.kernel.transitions.groups import adopting, join, merge
from workflow_engine.kernel.transitions.heads import failure_of
from workflow_engine.kernel.transitions.runs import (
    ANNOTATED,
    await_archive,
    cancel,
    create,
    draw,
    fail_run,
    note,
    relieve,
    rerun,
    settle,
    signal,
    start,
)
from workflow_engine.kernel.transitions.stages import claim, fail, finish, hold, settled

__all__ = [
    "ANNOTATED",
    "Decision",
    "Lease",
    "Moment",
    "NewRun",
    "Outcomes",
    "Rerun",
    "Told",
    "adopting",
    "await_archive",
    "cancel",
    "claim",
    "closing",
    "create",
    "draw",
    "enter",
    "entering",
    "fail",
    "fail_run",
    "failure_of",
    "finish",
    "hold",
    "join",
    "merge",
    "note",
    "relieve",
    "rerun",
    "settle",
    "settled",
    "signal",
    "start",
]
