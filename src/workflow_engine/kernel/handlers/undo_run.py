"""``run.undo``: what a finished run did, and nobody took back, is undone, or tried again."""

from dataclasses import replace

from workflow_engine.errors import InvalidStateError, RunNotFoundError, StaleRunError
from workflow_engine.kernel import idempotency, records, transitions
from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.commit import MAX_TRIES, commit_once
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.kernel.transitions import Told, wakes
from workflow_engine.model.commands import UndoRun
from workflow_engine.model.commits import Committed, Exclusive
from workflow_engine.model.ids import RunId
from workflow_engine.model.instants import whole
from workflow_engine.model.limits import HEAD_OUTLIVES, MAX_CLOSING
from workflow_engine.model.plans import Plan
from workflow_engine.model.results import RunUndone
from workflow_engine.model.runs import Head
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Persistence


def undo_run(
    command: UndoRun,
    invocation: Invocation,
    *,
    persistence: Persistence,
    definitions: Definitions,
    advancer: Advancer,
    settings: KernelSettings,
) -> RunUndone:
    """Begin to undo what a FAILED or CANCELLED run did: what could not be undone when it ended, or, where nothing was
    tried then, all of it. It is RUNNING meanwhile, and ends as it had ended.

    Raises:
        RunNotFoundError: there is no such run.
        InvalidStateError: it is not over, is COMPLETED, has nothing to undo, or what it left has expired.
        WorkflowNotFoundError, DefinitionChangedError: nobody here knows how.
        NewerDefinitionError: this process does not, and other code does.
        IdempotencyConflictError: the key was used for another undo.
    """
    before = idempotency.replayed(command, RunUndone, persistence)
    if before is not None:
        return before
    head = persistence.load_head(RunId(command.run_id))
    for _ in range(MAX_TRIES):
        if head is None:
            raise RunNotFoundError(run_id=command.run_id)
        commit, result, plan = _decided(command, head, invocation, definitions, settings=settings)
        records.flush(head, persistence)
        outcome = commit_once(persistence, commit)
        if isinstance(outcome, Committed):
            advancer.wake(outcome.head, invocation, send_jobs=True)
            # What waits for somebody who may be at work still.
            at = invocation.clock.now()
            for timer in wakes.timers(outcome.head, at):
                advancer.teller.send_later(outcome.head, plan, timer, Told(), at=at)
            return result
        if outcome.replay is not None:
            return idempotency.result_from(outcome.replay, command, RunUndone)
        head = outcome.head
    raise StaleRunError(run_id=command.run_id, tries=MAX_TRIES)


def _decided(
    command: UndoRun, head: Head, invocation: Invocation, definitions: Definitions, *, settings: KernelSettings
) -> tuple[Exclusive, RunUndone, Plan]:
    if head.status not in (Status.FAILED, Status.CANCELLED):
        raise InvalidStateError(run_id=head.run_id, status=head.status, command=command.type)
    definition, moment = definitions.to_undo(head), invocation.moment()
    until = whole(min(moment.at + min(MAX_CLOSING, settings.retention), head.expires_at - HEAD_OUTLIVES))
    wanted = transitions.closing.wanted(head, definition.plan)
    if not wanted or until <= moment.at:
        detail = "what it left has expired" if wanted else "it has done nothing that is not undone, or has no undo"
        raise InvalidStateError(run_id=head.run_id, status=head.status, command=command.type, detail=detail)
    result = RunUndone(run_id=head.run_id, stages=[definition.plan.stage(group, one) for group, one in wanted])
    record = idempotency.record_of(command, result, moment.at, settings.retention)
    commit = transitions.closing.asked(head, definition.plan, moment, wanted=wanted, until=until)
    return replace(commit, idempotency=record), result, definition.plan
