"""What takes back what a stage did, and what is told of a run that failed. Values only: when they are run is the
kernel's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from workflow_engine.authoring.retry import RetryPolicy
from workflow_engine.authoring.stage_definition import WakeFunction
from workflow_engine.model.status import Status

# An undo is tried until the phase is given up, a week at most: with the last of these pauses, some 170 times.
UNDO_RETRY = RetryPolicy(max_attempts=1000, max_delay=timedelta(hours=1))
UNDO_TIMEOUT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class UndoDefinition(WakeFunction):
    """The function that takes back what a stage did, and how it is tried."""

    retry: RetryPolicy
    timeout: timedelta


class RunError(BaseModel):
    """What went wrong: the class of the error, and its message (up to 1 KB)."""

    model_config = ConfigDict(frozen=True)

    type: str
    message: str


class Failure(BaseModel):
    """What the stage of ``Workflow.on_failure`` is given: how the run ends (FAILED or CANCELLED), the stage whose error
    it was and the error (``None`` where it is nobody's, or no error), and the ids of the stages that were undone, in
    that order, and of those whose undo failed for good."""

    model_config = ConfigDict(frozen=True)

    status: Status
    stage_id: str | None = None
    error: RunError | None = None
    reason: str | None = None
    undone: tuple[str, ...] = ()
    not_undone: tuple[str, ...] = ()


class Undoes(Protocol):
    """What an undo takes back: the stage, as far as it came. For ``ctx.undoes``."""

    @property
    def effect_key(self) -> str:
        """The idempotency key that the stage gave to what it did outside (its ``ctx.effect_key``)."""
        ...

    @property
    def steps(self) -> Mapping[str, Any]:
        """The results of the stage's steps that were stored, as JSON-compatible values, by name."""
        ...

    @property
    def state(self) -> BaseModel | None:
        """The state that the stage suspended with last, if it did and has no output."""
        ...

    @property
    def error(self) -> RunError | None:
        """What the stage's last attempt failed with, if it did and has no output."""
        ...

    def key(self, name: str) -> str:
        """The idempotency key of what the stage's step *name* did outside (its ``ctx.key(name)``)."""
        ...
