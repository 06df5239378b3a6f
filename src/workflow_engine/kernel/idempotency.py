"""Same key, same command, same content: the first result again (I6).

For ``run.create`` the run's id is derived from the key, and for ``run.signal`` the signal's, so the
effect is its own record. The others keep one, in the same transaction as the effect.
"""

from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar

from workflow_engine.errors import IdempotencyConflictError
from workflow_engine.model.commands import AnnotateRun, CancelRun, RerunFrom, UndoRun
from workflow_engine.model.ids import content_hash
from workflow_engine.model.results import ResultModel
from workflow_engine.model.runs import IdempotencyRecord
from workflow_engine.ports.persistence import Persistence

Recorded: TypeAlias = AnnotateRun | CancelRun | RerunFrom | UndoRun
ResultT = TypeVar("ResultT", bound=ResultModel)


def replayed(command: Recorded, result_type: type[ResultT], persistence: Persistence) -> ResultT | None:
    """The result that the command's key had before, if it had one.

    Raises:
        IdempotencyConflictError: it was for other content.
    """
    if command.idempotency_key is None:
        return None
    record = persistence.load_idempotency(command.idempotency_key, command.type)
    return None if record is None else result_from(record, command, result_type)


def result_from(record: IdempotencyRecord, command: Recorded, result_type: type[ResultT]) -> ResultT:
    """The result that *record* keeps, if it is for the same content."""
    if record.content_hash != _hash(command):
        raise IdempotencyConflictError(key=record.key, command_type=command.type)
    return result_type.model_validate_json(record.result)


def record_of(command: Recorded, result: ResultModel, at: datetime, retention: timedelta) -> IdempotencyRecord | None:
    """What is kept of *command*; ``None`` where it has no key."""
    if command.idempotency_key is None:
        return None
    return IdempotencyRecord(
        key=command.idempotency_key,
        command_type=command.type,
        content_hash=_hash(command),
        result=result.model_dump_json(),
        expires_at=at + retention,
    )


def _hash(command: Recorded) -> str:
    # Before defaults: a deploy that adds a field with one changes no content.
    return content_hash(command.model_dump(mode="json", exclude={"idempotency_key"}, exclude_defaults=True))
