"""Sends the queue what starts a run, so that whoever asks for it waits for one request and for no store."""

from collections.abc import Callable, Mapping
from typing import Any

from workflow_engine.errors import InvalidCommandError, PayloadTooLargeError, SubmissionError, TransientError
from workflow_engine.kernel import payloads
from workflow_engine.kernel.handlers.create_run import fixed
from workflow_engine.kernel.parts import Parts
from workflow_engine.model.commands import CreateRun, parse_command
from workflow_engine.model.deliveries import body_of
from workflow_engine.model.ids import RunId, run_id_for
from workflow_engine.model.limits import MAX_MESSAGE_BYTES


def submit(
    command: CreateRun | Mapping[str, Any] | str | bytes, *, parts: Parts, dispatch: Callable[[CreateRun], Any]
) -> RunId:
    """Send *command* as ``Kernel.submit`` says; what no message can hold is dispatched."""
    asked = parse_command(command) if isinstance(command, Mapping | str | bytes) else command
    if not isinstance(asked, CreateRun):
        named = getattr(asked, "type", type(asked).__name__)
        raise InvalidCommandError(problems=[f"{named} starts no run, and only such a command is submitted"])
    at = parts.clock.now()
    fixed(asked, parts.registry.get(asked.workflow_id), at, parts.settings)
    payloads.check_attributes(asked.attributes)
    key = asked.idempotency_key or parts.ids.new_id()
    keyed = asked if asked.idempotency_key else asked.model_copy(update={"idempotency_key": key})
    run_id = run_id_for(keyed.workflow_id, key)
    try:
        _send(keyed, parts, dispatch)
    except TransientError as error:
        raise SubmissionError(run_id=run_id, idempotency_key=key, reason=str(error)) from error
    return run_id


def _send(command: CreateRun, parts: Parts, dispatch: Callable[[CreateRun], Any]) -> None:
    if len(body_of(command).encode()) > MAX_MESSAGE_BYTES:
        dispatch(command)
        return
    try:
        parts.job_transport.enqueue(command)
    except PayloadTooLargeError:  # what else the transport counts as part of a message
        dispatch(command)
