"""How long a message that fails is tried again, and when it is given up and why.

An outage is never a reason to give up: SQS does, in days (``maxReceiveCount`` in template.yaml).
"""

from datetime import datetime, timedelta

from workflow_engine.errors import (
    AwsRequestError,
    RunNotFoundError,
    SettingsError,
    UnsupportedFormatError,
    WorkflowEngineError,
    WorkflowNotFoundError,
)
from workflow_engine.model.commands import AnnotateRun, CancelRun, Command, CreateRun, RerunFrom, SignalRun
from workflow_engine.model.deliveries import MAX_REDELIVERY, DeadReason, Delivery
from workflow_engine.model.limits import A_DEPLOY

# What the engine did not expect is a fault of code: the next deploy may have mended it. With the pauses between
# deliveries, 20 of them take an hour and a half to three.
MAX_SURPRISES = 20
# What a person has to mend, and what waits behind an outage: as long as a command lives through that.
A_DAY = timedelta(days=1) + 2 * MAX_REDELIVERY
# May overtake the run.create that it follows: a queue keeps no order, least of all after an outage.
_OVERTAKING = (AnnotateRun, CancelRun, RerunFrom, SignalRun)
_MENDED_BY_PEOPLE = (AwsRequestError, SettingsError, UnsupportedFormatError)


def is_given_up(error: Exception, command: Command | None, delivery: Delivery, at: datetime) -> bool:
    """Whether another delivery of the message that failed with *error* would be of no use."""
    if not isinstance(error, WorkflowEngineError):
        return delivery.receive_count >= MAX_SURPRISES
    if error.retryable:
        return False
    patience = _patience(error, command)
    if patience is None:
        return True
    if delivery.sent_at is None:
        return delivery.receive_count >= MAX_SURPRISES
    return at - delivery.sent_at >= patience


def reason_for(error: Exception, command: Command | None, delivery: Delivery, at: datetime) -> DeadReason:
    """What is written on the dead letter."""
    return DeadReason(
        code=type(error).__name__,
        message=text_of(error),
        run_id=getattr(command, "run_id", None),
        message_id=delivery.message_id,
        first_at=delivery.sent_at,
        died_at=at,
    )


def text_of(error: Exception) -> str:
    """The message of any exception, also of one that cannot tell it."""
    try:
        return str(error)
    except Exception:
        return "(its message cannot be shown)"


def _patience(error: WorkflowEngineError, command: Command | None) -> timedelta | None:
    """How long after it was sent a message may fail so; ``None`` where once is enough."""
    if isinstance(error, _MENDED_BY_PEOPLE):
        return A_DAY
    if isinstance(error, RunNotFoundError) and isinstance(command, _OVERTAKING):
        return A_DAY
    if isinstance(error, WorkflowNotFoundError) and isinstance(command, CreateRun):
        return A_DEPLOY
    return None
