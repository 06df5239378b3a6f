"""``job.execute``: claim what the message is meant for and carry the run forward.

Redelivery is harmless: the head says what is left to do.
"""

from workflow_engine.errors import (
    DefinitionChangedError,
    InvocationOverError,
    RunExpiredError,
    RunNotFoundError,
    WorkflowEngineError,
    WorkflowNotFoundError,
)
from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.claim import take
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.patience import A_MOMENT
from workflow_engine.kernel.teller import Teller
from workflow_engine.kernel.transitions import Lease, Told, wakes
from workflow_engine.kernel.transitions.wakes import Wake
from workflow_engine.model.commands import ExecuteJob
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import MAX_DELAY
from workflow_engine.model.results import JobExecuted
from workflow_engine.model.runs import Entry, EntryState, Head
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Persistence

# A claim that is refused is tried again as the head that refused it says; each time somebody else
# has moved the run.
MAX_CLAIMS = 5


def execute_job(
    command: ExecuteJob,
    invocation: Invocation,
    *,
    persistence: Persistence,
    advancer: Advancer,
    definitions: Definitions,
    teller: Teller,
) -> JobExecuted:
    """Run the stage that the message is meant for, and those that can be chained after it.

    Raises:
        RunNotFoundError: there is no such run.
        WorkflowNotFoundError: its workflow is not registered; the run has failed for it.
        InvocationOverError: too little time is left for the stage; nothing was claimed.
        NewerDefinitionError: the run is left to code that knows its definition.
        TransientError: nothing is lost; a redelivery or the due index goes on.
    """
    # Whoever sent it is asked for what a stage comes to: what its outcome leads to is decided here, too.
    invocation.performs = True
    _refuse_late(command, invocation, definitions)
    _leave_unknown(command, definitions, persistence)
    head, lease, wake = _claim(command, invocation, persistence, definitions)
    if head is None:
        raise RunNotFoundError(run_id=command.run_id)
    if lease is None or wake is None:
        return _unclaimed(head, command, invocation, advancer, definitions=definitions, teller=teller)
    try:
        definition = advancer.definition_of(head, invocation)
    except (WorkflowNotFoundError, DefinitionChangedError, RunExpiredError) as error:
        return _ended(head, lease, error, invocation, advancer=advancer)
    except Exception:  # nobody may find the stage in good hands that do nothing
        advancer.give_back(head, lease, invocation)
        raise
    # What the message was meant for may not be what its stage could be claimed for by then.
    teller.forget_timeout(head, lease.entry, wake)
    advancer.observe_claim(wake)
    told = Told(min(command.told_through, head.told + head.untold))
    return advancer.work(head, [lease], definition, told, invocation=invocation)


def _ended(
    head: Head, lease: Lease, error: WorkflowEngineError, invocation: Invocation, *, advancer: Advancer
) -> JobExecuted:
    """A run that cannot go on, whose stage was claimed."""
    goes_on = head.is_closing and not isinstance(error, RunExpiredError)
    if goes_on or (head.closes_on and not head.is_closing):
        # A lease that holds is waited for before anything is undone, and under this one nothing was begun.
        head = advancer.give_back(head, lease, invocation)
        if wakes.awaits_its_end(head):
            # Somebody else has decided it meanwhile, and has waited for this lease.
            advancer.close(head, invocation)
            return JobExecuted(outcome="failed", error=str(error))
    advancer.fail_run(head, error, invocation, invocation.patience(A_MOMENT))
    if isinstance(error, WorkflowNotFoundError):
        raise error
    return JobExecuted(outcome="failed", error=str(error))


def _refuse_late(command: ExecuteJob, invocation: Invocation, definitions: Definitions) -> None:
    """Before the claim, which would have to be given back; whether there is such a stage is told by the run."""
    timeout = definitions.longest_timeout(command.workflow_id, command.stage_id, command.group)
    if timeout is not None and not invocation.may_begin(timeout):
        raise InvocationOverError(stage_id=command.stage_id)


def _leave_unknown(command: ExecuteJob, definitions: Definitions, persistence: Persistence) -> None:
    """Without a claim: the message is there again for the code that knows its workflow."""
    try:
        definitions.registry.get(command.workflow_id)
    except WorkflowNotFoundError as error:
        head = persistence.load_head(RunId(command.run_id))
        if head is not None and not head.status.is_terminal:
            definitions.leave_to_others(head, error)


def _claim(
    command: ExecuteJob,
    invocation: Invocation,
    persistence: Persistence,
    definitions: Definitions,
) -> tuple[Head | None, Lease | None, Wake | None]:
    """The head, and where the stage could be claimed the lease and what it was claimed for."""
    run_id, wake, head = RunId(command.run_id), _meant(command), None
    group = command.group
    for _ in range(MAX_CLAIMS):
        if wake is not None and group is not None:
            tried = wake
            head, lease = take(persistence, run_id, group, command.stage_id, wake=wake, invocation=invocation)
            if lease is not None:
                return head, lease, wake
        else:
            tried, head = None, persistence.load_head(run_id)
        if head is None or head.status.is_terminal:
            return head, None, None
        group, ordinal = _place(head, command, definitions)
        if group != head.group or ordinal >= len(head.active):
            return head, None, None
        wake = wakes.wake_for(head, ordinal, invocation.clock.now())
        if wake is None or wake == tried:
            return head, None, None
    return head, None, None


def _meant(command: ExecuteJob) -> Wake | None:
    """What the message says of the lease it is for; ``None`` where it came from outside."""
    if command.claim is None or command.ordinal is None or command.epoch is None:
        return None
    if command.signal is not None and command.siblings is None:
        # From the version before: whether the stage has siblings that must not have the signal, too,
        # is in the head.
        return None
    return Wake(
        ordinal=command.ordinal,
        claim=command.claim,
        epoch=command.epoch,
        attempt=command.attempt,
        signal=command.signal,
        siblings=command.siblings or 1,
        # One of the version before does not say it of a first lease.
        starts=command.starts or command.claim == "first",
    )


def _place(head: Head, command: ExecuteJob, definitions: Definitions) -> tuple[int, int]:
    if command.group is not None and command.ordinal is not None:
        return command.group, command.ordinal
    try:
        definition = definitions.closest(head)
    except WorkflowNotFoundError:
        return head.group, 0
    return definition.position(command.stage_id)


def _unclaimed(
    head: Head,
    command: ExecuteJob,
    invocation: Invocation,
    advancer: Advancer,
    *,
    definitions: Definitions,
    teller: Teller,
) -> JobExecuted:
    """Nothing could be claimed. Woken early: wait out the rest. Leased by another: the due index
    watches it. Moved on: do what a wake-up does, but send only what lies behind this message, for
    its sender may have died right after it had moved the run."""
    at = invocation.clock.now()
    entry = _entry(head, command)
    # What waits in a run whose end is decided is not gone on with.
    if entry is not None and not head.status.is_terminal and not wakes.awaits_its_end(head):
        if entry.state is EntryState.WAITING and entry.until is not None:
            if entry.epoch == command.epoch and entry.until - at <= MAX_DELAY:
                wait = max(entry.until - at, at - at)
                teller.job_transport.enqueue(command, delay=wait)
            return JobExecuted(outcome="suspended", next_poll_at=entry.until, ghost=True)
        if entry.state is EntryState.LEASED and not wakes.has_expired(entry, at):
            return JobExecuted(outcome="completed", ghost=True)
    behind = command.group is not None and command.group < head.group
    advancer.wake(head, invocation, send_jobs=behind)
    _refuse_unknown(head, definitions)
    return _past(head)


def _refuse_unknown(head: Head, definitions: Definitions) -> None:
    """A message of a run that failed for its workflow is no more use the second time: acknowledged
    as "moved on", it would not reach the dead-letter queue, where somebody sees it."""
    if head.failure is not None and head.failure.error.type == WorkflowNotFoundError.__name__:
        definitions.registry.get(head.workflow_id)


def _past(head: Head) -> JobExecuted:
    if head.status is Status.FAILED:
        error = head.failure.error if head.failure else None
        text = f"{error.type}: {error.message}" if error else None
        return JobExecuted(outcome="failed", error=text, ghost=True)
    return JobExecuted(outcome="completed", ghost=True)


def _entry(head: Head, command: ExecuteJob) -> Entry | None:
    if command.group != head.group or command.ordinal is None:
        return None
    return head.active[command.ordinal] if command.ordinal < len(head.active) else None
