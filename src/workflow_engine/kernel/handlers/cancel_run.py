"""``run.cancel``: ends a run at once; what is in flight finishes as a ghost."""

from workflow_engine.errors import RunNotFoundError
from workflow_engine.kernel import idempotency, transitions
from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.commit import MAX_TRIES, commit_once
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.kernel.transitions import Told
from workflow_engine.model.commands import CancelRun
from workflow_engine.model.commits import Committed
from workflow_engine.model.ids import RunId
from workflow_engine.model.plans import Plan
from workflow_engine.model.results import RunCancelled
from workflow_engine.model.runs import Head
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Persistence


def cancel_run(
    command: CancelRun,
    invocation: Invocation,
    *,
    persistence: Persistence,
    advancer: Advancer,
    settings: KernelSettings,
) -> RunCancelled:
    """End the run; ``cancelled`` is false where it was over before, or is about to end otherwise. What it did is undone
    before it ends, where its workflow says how; without *undo* it ends at once, also while that is under way.

    Raises:
        RunNotFoundError: there is no such run.
        IdempotencyConflictError: the key was used for another cancel.
    """
    before = idempotency.replayed(command, RunCancelled, persistence)
    if before is not None:
        return before
    head = persistence.load_head(RunId(command.run_id))
    if head is None:
        raise RunNotFoundError(run_id=command.run_id)
    was_closing = head.is_closing
    result, head = _commit(command, head, invocation, persistence, settings=settings)
    if head.is_closing and not command.undo:
        head = advancer.rest.give_up(head, advancer.definitions.known_plan(head), invocation, ends=True)
    if result.cancelled and not was_closing:
        advancer.observer.happened("RunsCancelled")
        advancer.close(head, invocation)
        if head.status.is_terminal:
            advancer.rest.end(head, Plan(), Told(), invocation)
    return result


def _commit(
    command: CancelRun,
    head: Head,
    invocation: Invocation,
    persistence: Persistence,
    *,
    settings: KernelSettings,
) -> tuple[RunCancelled, Head]:
    done = RunCancelled(cancelled=True)
    for _ in range(MAX_TRIES):
        if head.status.is_terminal or head.is_closing:
            break
        moment = invocation.moment()
        record = idempotency.record_of(command, done, moment.at, settings.retention)
        commit = transitions.cancel(head, command.reason, moment, record, undo=command.undo)
        outcome = commit_once(persistence, commit)
        if isinstance(outcome, Committed):
            return done, outcome.head
        if outcome.replay is not None:
            return idempotency.result_from(outcome.replay, command, RunCancelled), head
        head = outcome.head or head
    late = RunCancelled(cancelled=_is_being_cancelled(head))
    kept = idempotency.record_of(command, late, invocation.clock.now(), settings.retention)
    first = persistence.put_idempotency(kept) if kept else None
    if first is not None:
        return idempotency.result_from(first, command, RunCancelled), head
    return late, head


def _is_being_cancelled(head: Head) -> bool:
    """Whether it is decided that the run is cancelled, and it has something to do before that."""
    return head.is_closing and head.closing is not None and head.closing.status is Status.CANCELLED
