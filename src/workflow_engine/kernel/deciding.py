"""When it is decided what runs next: in a worker, before the commit that needs it, on outputs that are read by then.

Where it cannot be decided here and now (a client, a tick, too little time), the run stops before the group, and a message
brings it to a worker.
"""

import logging

from workflow_engine.errors import ChoiceError, TransientError, WorkflowEngineError
from workflow_engine.kernel import transitions
from workflow_engine.kernel.execution import choosing, failures
from workflow_engine.kernel.execution.attempt import Attempt
from workflow_engine.kernel.execution.ending import Completed
from workflow_engine.kernel.transitions import Decision, Lease, wakes
from workflow_engine.kernel.turn import Turn
from workflow_engine.model import plans

_log = logging.getLogger(__name__)


def decide_behind(attempt: Attempt, lease: Lease, turn: Turn) -> None:
    """Before the commit of *attempt*, which moves the run on if it has no siblings: *turn* has what runs then."""
    turn.decision = None
    if isinstance(attempt.ending, Completed) and turn.head.is_alone and _may_decide(turn):
        outputs: dict[str, bytes] = {lease.stage_id: attempt.ending.output}
        turn.decision = choosing.decided(turn.data, plans.after(turn.head.group), outputs, turn.invocation)


def decide_join(turn: Turn) -> None:
    """Before the join of a group that is all done: *turn* has what runs then."""
    turn.decision = None
    if not wakes.all_done(turn.head) or not _may_decide(turn):
        return
    try:
        turn.decision = _decided(turn, plans.after(turn.head.group))
    except TransientError as error:
        _log.info("what run %s goes on with is decided later: %r", turn.head.run_id, error)


def decide_entry(turn: Turn) -> None:
    """Before a run enters the group that it stands before: *turn* has what runs of it.

    Raises:
        TransientError: a store did not answer; nothing is decided.
    """
    turn.decision = _decided(turn, turn.head.group)


def _may_decide(turn: Turn) -> bool:
    head, invocation = turn.head, turn.invocation
    is_open = not head.is_closing and plans.after(head.group) in turn.plan.conditional
    return is_open and invocation.performs and choosing.has_time(invocation)


def _decided(turn: Turn, group: int) -> Decision:
    before = plans.before(group)
    try:
        outputs = {} if before is None else turn.data.left_by(before)
    except TransientError:
        raise
    except WorkflowEngineError as error:
        stage_id = turn.plan.stage(group, 0)
        problem = f"what comes before it cannot be read: {failures.message_of(error)}"
        info = failures.error_info(ChoiceError(stage_id=stage_id, problem=problem), retryable=False)
        return Decision(failure=transitions.failure_of(stage_id, info))
    return choosing.decided(turn.data, group, outputs, turn.invocation)
