"""``run.signal``: keeps a signal for a run, once, and wakes the stage that waits for it."""

from collections.abc import Sequence
from dataclasses import replace

from workflow_engine.authoring.known_names import suggestion
from workflow_engine.authoring.stage_definition import SignalDefinition
from workflow_engine.authoring.workflow import WorkflowDefinition
from workflow_engine.errors import (
    DefinitionChangedError,
    IdempotencyConflictError,
    InvalidInputError,
    NewerDefinitionError,
    PayloadTooLargeError,
    RunNotFoundError,
    StaleRunError,
    TooManySignalsError,
    WorkflowNotFoundError,
)
from workflow_engine.kernel import transitions
from workflow_engine.kernel.commit import MAX_TRIES, commit_once
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.invocation import Invocation
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.kernel.teller import Teller
from workflow_engine.kernel.transitions import Told, wakes
from workflow_engine.model.commands import SignalRun
from workflow_engine.model.commits import Committed, newest_base
from workflow_engine.model.deliveries import DELIVERY_KEY
from workflow_engine.model.ids import RunId, content_hash, digest
from workflow_engine.model.json_values import to_json
from workflow_engine.model.limits import MAX_INLINE_BYTES
from workflow_engine.model.results import RunSignalled
from workflow_engine.model.runs import Entry, EntryState, Head, KeptSignal, WaitKind
from workflow_engine.ports.clock import IdSource
from workflow_engine.ports.persistence import Persistence

# A signal carries a decision, not a document: 32 KB keeps its transaction cheap.
MAX_SIGNAL_BYTES = 4 * MAX_INLINE_BYTES


def signal_run(
    command: SignalRun,
    invocation: Invocation,
    *,
    persistence: Persistence,
    definitions: Definitions,
    teller: Teller,
    ids: IdSource,
    settings: KernelSettings,
) -> RunSignalled:
    """Keep the signal; ``delivered`` is false where the run is over, ``early`` true where none waits for it yet.

    Raises:
        RunNotFoundError: there is no such run.
        NewerDefinitionError: it fits none of this process's, and other code knows the run better.
        InvalidInputError: the payload fits no stage that could take it, or it is no signal that any waits for.
        PayloadTooLargeError: it is above 32 KB.
        TooManySignalsError: the run keeps as many as it can, and no stage waits for this one.
        IdempotencyConflictError: since the run was last started, the key had another payload.
    """
    payload = _payload(command)
    head = persistence.load_head(RunId(command.run_id))
    if head is None:
        raise RunNotFoundError(run_id=command.run_id)
    key = command.idempotency_key or ids.new_id()
    # A fresh key was never kept; but a commit of ours that was refused may have happened, and been used up.
    may_be_kept = command.idempotency_key is not None
    for _ in range(MAX_TRIES):
        kept = _kept(command, payload, head, key, invocation=invocation, settings=settings)
        seen = _seen_before(kept, command, persistence) if may_be_kept else None
        if seen is not None or head.status.is_terminal or head.is_closing:
            _wake(head, kept, definitions, teller, invocation=invocation)
            return RunSignalled(delivered=False) if seen is None else _delivered(seen)
        kept = replace(kept, payload=_fixed(head, command, payload, definitions))
        outcome = commit_once(persistence, transitions.signal(head, kept, invocation.moment()))
        if isinstance(outcome, Committed):
            _wake(outcome.head, kept, definitions, teller, invocation=invocation)
            return _delivered(kept)
        head, may_be_kept = outcome.head or head, True
    raise StaleRunError(run_id=head.run_id, tries=MAX_TRIES)


def _payload(command: SignalRun) -> bytes:
    payload = to_json(command.payload)
    if len(payload) > MAX_SIGNAL_BYTES:
        raise PayloadTooLargeError(what="signal payload", size_bytes=len(payload), limit_bytes=MAX_SIGNAL_BYTES)
    return payload


def _kept(
    command: SignalRun,
    payload: bytes,
    head: Head,
    key: str,
    *,
    invocation: Invocation,
    settings: KernelSettings,
) -> KeptSignal:
    base = newest_base(head)
    # A rerun asks anew, so the key of an answer to the run before it is free again. That of a delivery
    # is not: it names the one message, which may come again after the rerun as well as before.
    started = (str(base),) if base and not key.startswith(DELIVERY_KEY) else ()
    waits_for = _waits_for(head)
    return KeptSignal(
        run_id=head.run_id,
        name=command.name,
        key=digest("signal", *started, key),
        content_hash=content_hash(command.payload),
        payload=payload,
        received_at=invocation.clock.now(),
        expires_at=head.deadline + settings.retention,
        early=None if command.name in waits_for else waits_for,
    )


def _seen_before(kept: KeptSignal, command: SignalRun, persistence: Persistence) -> KeptSignal | None:
    """This very signal, if it was kept before: it counts once, even after it was used up."""
    stored = persistence.load_signal(kept.run_id, kept.element)
    if stored is None:
        return None
    if stored.content_hash != kept.content_hash:
        raise IdempotencyConflictError(key=command.idempotency_key or kept.key, command_type=command.type)
    return stored


def _fixed(head: Head, command: SignalRun, payload: bytes, definitions: Definitions) -> bytes:
    """What is kept of the payload, which must fit the stage that waits for the signal, or else one
    that still may: the value that it stands for now, so that each attempt gets the same. As it was
    sent where it is open which of several models will read it."""
    limit = wakes.signals_limit(head, command.name)
    if len(head.signals) >= limit:
        raise TooManySignalsError(run_id=head.run_id, name=command.name, kept=len(head.signals), limit=limit)
    definition = definitions.for_run(head)
    try:
        _check_name(head, command.name, definition)
    except InvalidInputError as error:
        definitions.leave_to_others(head, error)
        raise
    if any(entry.step is not None for entry in _waiting(head, command.name)):
        return payload
    takers, may_be_a_body = _takers(head, command.name, definition), _may_be_a_body(head, command.name, definition)
    fixed, problems = _tried(takers, payload)
    if fixed is not None and not may_be_a_body and len({taker.payload_model for taker in takers}) == 1:
        return fixed
    if fixed is not None or may_be_a_body:
        return payload
    refused = InvalidInputError(
        what=f"signal {command.name!r}", problems=["no stage of this run takes signals any more"]
    )
    if problems:
        refused = InvalidInputError(what=f"payload of signal {command.name!r}", problems=problems)
    definitions.leave_to_others(head, refused)
    raise refused


def _tried(takers: Sequence[SignalDefinition], payload: bytes) -> tuple[bytes | None, Sequence[str]]:
    """What the first of *takers* that takes *payload* makes of it, and the problems that the first has with it."""
    problems: Sequence[str] = ()
    for handler in takers:
        try:
            return handler.fixed_payload(payload), problems
        except InvalidInputError as error:
            problems = problems or error.problems
    return None, problems


def _check_name(head: Head, name: str, definition: WorkflowDefinition) -> None:
    """Refuse a name that no stage can wait for any more, as far as they all say which they wait for."""
    handlers = _later(definition, head)
    if _may_be_a_body(head, name, definition):
        return
    known = {*_waits_for(head), *(known for handler in handlers for known in handler.names)}
    if handlers and all(handler.names for handler in handlers) and name not in known:
        problem = (
            f"no stage of this run waits for it{suggestion(name, known)}; they wait for {', '.join(sorted(known))}"
        )
        raise InvalidInputError(what=f"signal {name!r}", problems=[problem])


def _delivered(kept: KeptSignal) -> RunSignalled:
    return RunSignalled(delivered=True, early=kept.early is not None, waits_for=kept.early or ())


def _waits_for(head: Head) -> tuple[str, ...]:
    """The signals that stages wait for now."""
    names = (
        entry.signal for entry in head.active if entry.wait is WaitKind.SIGNAL and entry.state is not EntryState.DONE
    )
    return tuple(sorted({name for name in names if name is not None}))


def _waiting(head: Head, name: str) -> list[Entry]:
    """The entries that wait for the signal now."""
    return [entry for entry in head.active if entry.wait is WaitKind.SIGNAL and entry.signal == name]


def _may_be_a_body(head: Head, name: str, definition: WorkflowDefinition) -> bool:
    """Whether the body of a stage may come to wait for the signal: what has a context can, for any name and
    payload, unless a handler waits for it now."""
    if _waiting(head, name):
        return False
    return any(stage.wants_context for group in definition.groups[head.group :] for stage in group)


def _later(definition: WorkflowDefinition, head: Head) -> list[SignalDefinition]:
    stages = (stage for group in definition.groups[head.group :] for stage in group)
    return [stage.signal for stage in stages if stage.signal is not None]


def _takers(head: Head, name: str, definition: WorkflowDefinition) -> list[SignalDefinition]:
    waiting = [
        definition.groups[head.group][ordinal].signal
        for ordinal, entry in enumerate(head.active)
        if entry.wait is WaitKind.SIGNAL and entry.signal == name
    ]
    later = [handler for handler in _later(definition, head) if not handler.names or name in handler.names]
    return [handler for handler in waiting or later if handler is not None]


def _wake(
    head: Head,
    kept: KeptSignal,
    definitions: Definitions,
    teller: Teller,
    *,
    invocation: Invocation,
) -> None:
    """Send the job of each stage that waits for this signal. Were we to die before, the due index
    would: the commit has brought ``due_at`` near."""
    at = invocation.clock.now()
    woken = [wake for wake in wakes.sendable(head, at) if wake.signal == kept.element]
    if not woken:
        return
    try:
        plan = definitions.for_run(head).plan
    except (WorkflowNotFoundError, DefinitionChangedError, NewerDefinitionError):
        return
    teller.send_jobs(head, plan, woken, Told())
