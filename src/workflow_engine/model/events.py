"""The events of a run, as they are published. ``event_id`` is ``run_id:sequence`` and stable."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from workflow_engine.model.runs import Head, PendingEvent

SOURCE = "workflow-engine"
PUBLISHED_BY_DEFAULT = (
    "workflow:completed",
    "workflow:failed",
    "workflow:cancelled",
    "workflow:suspended",
    "workflow:closing",
    "stage:failed",
)


class RunEvent(BaseModel):
    """What every event says. Consumers order by ``sequence``, which is dense from 1 within a run."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)
    type: ClassVar[str] = ""

    event_id: str
    sequence: int
    run_id: str
    workflow_id: str
    occurred_at: AwareDatetime


class RareFacts(RunEvent):
    """An event of which few have something to say of some fields: those are published where they do."""

    RARE: ClassVar[frozenset[str]] = frozenset({"not_undone", "undoing"})

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        said: dict[str, Any] = dump(self)
        return {name: value for name, value in said.items() if value or name not in self.RARE}


class WorkflowCreated(RunEvent):
    """A run was created."""

    type: ClassVar[str] = "workflow:created"
    priority: int = 5


class WorkflowStarted(RunEvent):
    """The first stage of a run was claimed."""

    type: ClassVar[str] = "workflow:started"


class WorkflowCompleted(RunEvent):
    """All stages are done."""

    type: ClassVar[str] = "workflow:completed"
    duration_seconds: float | None = None


class WorkflowFailed(RareFacts):
    """The run failed for good; ``stage_id`` is the stage whose error it was, ``not_undone`` are those that could not be
    taken back."""

    type: ClassVar[str] = "workflow:failed"
    error_type: str = ""
    error: str = ""
    stage_id: str | None = None
    not_undone: tuple[str, ...] = ()


class WorkflowCancelled(RareFacts):
    """The run was cancelled; ``not_undone`` are the stages that could not be taken back."""

    type: ClassVar[str] = "workflow:cancelled"
    reason: str | None = None
    not_undone: tuple[str, ...] = ()


class WorkflowClosing(RunEvent):
    """It is decided that the run ends with ``status`` (FAILED or CANCELLED): what it did is undone before that."""

    type: ClassVar[str] = "workflow:closing"
    status: str = ""
    error_type: str = ""
    error: str = ""
    stage_id: str | None = None
    reason: str | None = None


class WorkflowSuspended(RunEvent):
    """Nothing runs; the run waits until ``resume_at``, or for the signal ``waiting_for``."""

    type: ClassVar[str] = "workflow:suspended"
    stage_id: str | None = None
    resume_at: AwareDatetime | None = None
    waiting_for: str | None = None


class StageEvent(RunEvent):
    """What every event of a stage says."""

    stage_id: str
    attempt: int = 1


class StageStarted(StageEvent):
    """A stage was claimed."""

    type: ClassVar[str] = "stage:started"


class StageCompleted(StageEvent):
    """A stage is done."""

    type: ClassVar[str] = "stage:completed"
    duration_seconds: float | None = None


class StageSuspended(StageEvent):
    """A stage waits until ``resume_at``, or for the signal ``waiting_for``."""

    type: ClassVar[str] = "stage:suspended"
    resume_at: AwareDatetime | None = None
    waiting_for: str | None = None


class StageFailed(StageEvent, RareFacts):
    """An attempt failed, of the stage or of *undoing* it; ``retry_at`` says when the next one is due, if there is one."""

    type: ClassVar[str] = "stage:failed"
    error_type: str = ""
    error: str = ""
    retry_at: AwareDatetime | None = None
    undoing: bool = False


class StageUndone(StageEvent):
    """What a stage did was taken back."""

    type: ClassVar[str] = "stage:undone"
    duration_seconds: float | None = None


class StageSkipped(RunEvent):
    """It was decided that a stage does not run."""

    type: ClassVar[str] = "stage:skipped"
    stage_id: str


class StageProgress(StageEvent):
    """A stage told how far it is: ``fraction`` from 0 to 1."""

    type: ClassVar[str] = "stage:progress"
    fraction: float = 0.0
    message: str = ""


class AnnotationCreated(RunEvent):
    """Somebody noted a fact about the run or one of its stages."""

    type: ClassVar[str] = "annotation:created"
    key: str = ""
    value: JsonValue = None
    scope: str = "run"
    actor: str = ""


EVENT_TYPES: Mapping[str, type[RunEvent]] = {
    event.type: event
    for event in (
        WorkflowCreated,
        WorkflowStarted,
        WorkflowCompleted,
        WorkflowFailed,
        WorkflowCancelled,
        WorkflowClosing,
        WorkflowSuspended,
        StageStarted,
        StageCompleted,
        StageSuspended,
        StageFailed,
        StageUndone,
        StageProgress,
        StageSkipped,
        AnnotationCreated,
    )
}


def event_of(head: Head, pending: PendingEvent, sequence: int) -> RunEvent:
    """The event to publish for the *pending* one that has *sequence* in *head*'s run."""
    return build_event(head.run_id, head.workflow_id, pending, sequence)


def build_event(run_id: str, workflow_id: str, pending: PendingEvent, sequence: int) -> RunEvent:
    """The event to publish, from what is stored of it."""
    facts: dict[str, Any] = {
        **pending.data,
        "event_id": f"{run_id}:{sequence}",
        "sequence": sequence,
        "run_id": run_id,
        "workflow_id": workflow_id,
        "occurred_at": pending.at,
    }
    return EVENT_TYPES[pending.type].model_validate(facts)
