"""``run.create``: one put creates the run, records its key and lists it; then its jobs are sent.

Where the command came as a message, its invocation goes on with the first stage at once, if that is alone
and there is time for it: the put takes the lease, and no message follows.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from workflow_engine.authoring.registry import Registry
from workflow_engine.authoring.workflow import WorkflowDefinition
from workflow_engine.errors import IdempotencyConflictError, InvalidConfigError, InvalidInputError
from workflow_engine.kernel import payloads, transitions
from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.claim import CLAIM_PATIENCE
from workflow_engine.kernel.commit import commit_once
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.handlers.execute_job import execute_job
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.leaving import leases_by
from workflow_engine.kernel.lifetimes import check_lifetime
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.kernel.teller import Teller, job_for
from workflow_engine.kernel.transitions import Moment, NewRun, Told, wakes
from workflow_engine.model.commands import CreateRun
from workflow_engine.model.commits import Committed
from workflow_engine.model.ids import RunId, WorkflowId, content_hash, run_id_for
from workflow_engine.model.instants import whole
from workflow_engine.model.limits import HEAD_OUTLIVES, MAX_CHOICE_TIME
from workflow_engine.model.results import RunCreated
from workflow_engine.model.runs import Head
from workflow_engine.model.shards import shard_of
from workflow_engine.model.status import Status
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.clock import IdSource
from workflow_engine.ports.persistence import Persistence


def create_run(
    command: CreateRun,
    invocation: Invocation,
    *,
    registry: Registry,
    definitions: Definitions,
    persistence: Persistence,
    blob_store: BlobStore,
    ids: IdSource,
    settings: KernelSettings,
    advancer: Advancer,
) -> RunCreated:
    """Start a run; with a key that was used for the same content, the run that it started before.

    Raises:
        WorkflowNotFoundError, InvalidInputError, InvalidConfigError: nothing was stored. Invalid is also
            a run whose payloads would be deleted before its end.
        PayloadTooLargeError: input, config or attributes are too large; nothing was stored.
        IdempotencyConflictError: the key was used for other content.
    """
    definition = registry.get(command.workflow_id)
    run_id, moment = _run_id(command, ids), invocation.moment()
    try:
        input, config = fixed(command, definition, moment.at, settings)
    except (InvalidInputError, InvalidConfigError):
        # A deploy may have made the rules stricter since the first time; the first result stands.
        if not _was_created(run_id, command, persistence):
            raise
        return RunCreated(run_id=run_id)
    definitions.keep(definition)
    keep = partial(payloads.keep_input, run_id, input=input, config=config, persistence=persistence, blobs=blob_store)
    run = _new_run(run_id, command, definition, moment.at, settings=settings, keep_input=keep)
    _begin(run, command, definition, invocation, moment=moment, advancer=advancer)
    return RunCreated(run_id=run_id)


def _begin(
    run: NewRun,
    command: CreateRun,
    definition: WorkflowDefinition,
    invocation: Invocation,
    *,
    moment: Moment,
    advancer: Advancer,
) -> None:
    """Put the run and go on with it."""
    until = _lease_end(definition, invocation, moment.at)
    commit = transitions.create(run, definition.plan, moment, until=until)
    # Unanswered, it may have happened: whoever comes next would find the stage in good hands.
    outcome = commit_once(advancer.persistence, commit, invocation.patience(CLAIM_PATIENCE) if until else None)
    if isinstance(outcome, Committed):
        # Now: what comes of its first stages, and whether they end at all, is another matter.
        advancer.observer.happened("RunsStarted")
        _go_on(outcome.head, definition, invocation, advancer, by=moment.by)
    elif outcome.head is not None:
        _again(outcome.head, command, definition, invocation, advancer=advancer)


def _lease_end(definition: WorkflowDefinition, invocation: Invocation, at: datetime) -> datetime | None:
    """The end of a lease on the first stage, if this invocation is to perform it."""
    first = definition.groups[0]
    alone = len(first) == 1 or 0 in definition.inline
    alone = alone and 0 not in definition.plan.conditional
    if not invocation.performs or not alone or not invocation.may_begin(max(stage.timeout for stage in first)):
        return None
    return invocation.lease_end(at)


def _go_on(head: Head, definition: WorkflowDefinition, invocation: Invocation, advancer: Advancer, *, by: str) -> None:
    """Perform the first group, if the run as it is now says that the leases on it are ours; else tell what
    there is to do."""
    if _may_enter(head, invocation):
        advancer.enter(head, invocation)
        return
    ours = head.group == 0 and not head.status.is_terminal
    leases = leases_by(head, by, definition.plan) if ours else ()
    if not leases:
        _tell(head, definition, advancer.teller, invocation.clock.now())
        return
    told = advancer.tell_in_passing(head, Told()) if head.events else Told()
    advancer.work(head, leases, definition, told, invocation=invocation)


def _may_enter(head: Head, invocation: Invocation) -> bool:
    """Whether it can be decided here and now what the run begins with."""
    due = head.enters_at is None or head.enters_at <= invocation.clock.now()
    return head.is_undecided and due and invocation.performs and invocation.may_begin(MAX_CHOICE_TIME)


def _new_run(
    run_id: RunId,
    command: CreateRun,
    definition: WorkflowDefinition,
    at: datetime,
    *,
    settings: KernelSettings,
    keep_input: Callable[..., tuple[bytes | None, str | None]],
) -> NewRun:
    """The facts of the run, with its input stored where the head has no room for it."""
    start_at = command.start_at and whole(command.start_at)
    deadline = whole(max(start_at or at, at) + definition.max_duration)
    expires_at = deadline + settings.retention
    inline, input_hash = keep_input(attributes=command.attributes, expires_at=expires_at)
    return NewRun(
        run_id=run_id,
        workflow_id=WorkflowId(command.workflow_id),
        fingerprint=definition.fingerprint,
        content_hash=_content(command),
        deadline=deadline,
        expires_at=expires_at + HEAD_OUTLIVES,
        due_shard=shard_of(run_id, settings.due_shards),
        priority=command.priority,
        input_inline=inline,
        input_hash=input_hash,
        start_at=start_at,
        closes_on=definition.plan.closes_on,
    )


def _run_id(command: CreateRun, ids: IdSource) -> RunId:
    if command.idempotency_key is None:
        return RunId(ids.new_id())
    return run_id_for(command.workflow_id, command.idempotency_key)


def fixed(
    command: CreateRun, definition: WorkflowDefinition, at: datetime, settings: KernelSettings
) -> tuple[bytes, dict[str, Any]]:
    """Input and config with the defaults of this moment: each attempt of each stage gets the same.

    Raises:
        InvalidInputError, InvalidConfigError: they are none, or the run would outlive its payloads.
    """
    _check_instant(command.start_at)
    input, _ = definition.fixed_input(command.input)
    config = definition.fixed_config(command.config)
    if command.start_at is not None and command.start_at - at > definition.max_duration:
        problem = f"is more than {definition.max_duration} ahead, the workflow's max_duration"
        raise InvalidInputError(what="start_at", problems=[problem])
    check_lifetime(definition, settings, starts_in=max((command.start_at or at) - at, timedelta(0)))
    return input, config


def _check_instant(start_at: datetime | None) -> None:
    """Refuse a time that is none in UTC: the first and the last hours that Python knows, elsewhere."""
    try:
        if start_at is not None:
            start_at.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInputError(what="start_at", problems=["is no time that there is in UTC"]) from error


def _was_created(run_id: RunId, command: CreateRun, persistence: Persistence) -> bool:
    head = persistence.load_head(run_id) if command.idempotency_key is not None else None
    return head is not None and head.content_hash == _content(command)


def _content(command: CreateRun) -> str:
    """Hashed before defaults: a deploy that adds a field with one changes no content. An instant is
    the same in every time zone."""
    if command.start_at is not None:
        command = command.model_copy(update={"start_at": command.start_at.astimezone(UTC)})
    return content_hash(command.model_dump(mode="json", exclude={"idempotency_key"}, exclude_defaults=True))


def _again(
    head: Head, command: CreateRun, definition: WorkflowDefinition, invocation: Invocation, *, advancer: Advancer
) -> None:
    """The run is there already. If it was never claimed, its creator may have died before it sent the jobs;
    if it was begun by its creator, whose lease has ended, that one has died in its first stage."""
    if head.content_hash != _content(command):
        key = command.idempotency_key or head.run_id
        raise IdempotencyConflictError(key=key, command_type=command.type)
    at = invocation.clock.now()
    if head.status is Status.PENDING and head.fingerprint == definition.fingerprint:
        _tell(head, definition, advancer.teller, at)
    elif invocation.performs and head.group == 0 and any(wakes.has_expired(entry, at) for entry in head.active):
        _take_over(head, definition, invocation, advancer)


def _take_over(head: Head, definition: WorkflowDefinition, invocation: Invocation, advancer: Advancer) -> None:
    """Claim the first stage, or have its group, whose leases are all over, carried on by messages."""
    wake = wakes.wake_for(head, 0, invocation.clock.now())
    if len(head.active) > 1:
        advancer.wake(head, invocation, send_jobs=True)
    elif wake is not None:
        execute_job(
            job_for(head, definition.plan, wake),
            invocation,
            persistence=advancer.persistence,
            advancer=advancer,
            definitions=advancer.definitions,
            teller=advancer.teller,
        )


def _tell(head: Head, definition: WorkflowDefinition, teller: Teller, at: datetime) -> None:
    teller.tell(
        head,
        definition.plan,
        Told(),
        timers=wakes.timers(head, at),
        jobs=wakes.sendable(head, at),
    )
