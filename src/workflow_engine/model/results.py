"""What each command answers."""

from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict


class ResultModel(BaseModel):
    """What all results share."""

    model_config = ConfigDict(frozen=True, defer_build=True)


ResultT = TypeVar("ResultT", bound=ResultModel, covariant=True)


class RunCreated(ResultModel):
    """The run exists. ``status`` is what it was created with."""

    run_id: str
    status: Literal["PENDING"] = "PENDING"


class PendingRunsClaimed(ResultModel):
    """The runs that this claim started."""

    claimed: list[str]


class RunTransitioned(ResultModel):
    """What the look at the run led to; ``next_group`` is the group it is in, while it goes on."""

    action: Literal["advanced", "completed", "failed", "noop"]
    next_group: int | None = None


class RunCancelled(ResultModel):
    """Whether this command ended the run, or it is decided that the run ends as cancelled once it has undone what it did."""

    cancelled: bool


class RunUndone(ResultModel):
    """What the run did is being undone: ``stages`` are those that are, the last one first."""

    run_id: str
    stages: list[str]


class RunRerun(ResultModel):
    """The run goes again; ``discarded_stages`` are those whose outputs are no longer seen."""

    run_id: str
    from_stage_id: str
    discarded_stages: list[str]


class RunSignalled(ResultModel):
    """Whether the signal is kept for, or has reached, a stage of a live run.

    *early* is true of one that is kept and that no stage waits for yet: *waits_for* are the names that
    stages do wait for, lest one was misspelled.
    """

    delivered: bool
    early: bool = False
    waits_for: tuple[str, ...] = ()


class RunAnnotated(ResultModel):
    """The annotation is kept under this id."""

    annotation_id: str


class StuckRunsReaped(ResultModel):
    """How many runs were sent on, and how many failed."""

    recovered: int
    failed: int


class JobExecuted(ResultModel):
    """What became of the stage that the message was meant for.

    ``ghost`` is true where this delivery decided nothing: the stage was done, leased by another
    worker, or its outcome came too late. ``retryable`` says whether a failed attempt is tried again.
    """

    outcome: Literal["completed", "suspended", "failed"]
    error: str | None = None
    next_poll_at: AwareDatetime | None = None
    ghost: bool = False
    retryable: bool = False


class SuspendedStagesPolled(ResultModel):
    """How many checks were made, and what they led to."""

    checked: int
    resumed: int
    failed: int
    resumed_run_ids: list[str]


class StaleLeasesReaped(ResultModel):
    """How many leases were found ended, and their jobs sent again."""

    released: int


class OutboxFlushed(ResultModel):
    """How many events were accepted."""

    published: int


class DeadLettersReplayed(ResultModel):
    """How many dead letters were accepted."""

    replayed: int


Result: TypeAlias = ResultModel


def dump_result(result: Result) -> dict[str, Any]:
    """*result* as JSON-compatible values."""
    return result.model_dump(mode="json")
