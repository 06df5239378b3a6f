"""Whether the blobs of a run live as long as the run: the bucket deletes them by their age."""

from datetime import timedelta

from workflow_engine.authoring.workflow import WorkflowDefinition
from workflow_engine.errors import InvalidInputError
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.model.limits import HEAD_OUTLIVES

_NOTHING = timedelta(0)


def lifetime_problem(
    definition: WorkflowDefinition, settings: KernelSettings, *, starts_in: timedelta = _NOTHING
) -> str | None:
    """What is wrong with a run that starts in *starts_in*; ``None`` where its payloads outlive it."""
    kept = settings.payload_lifetime
    if kept is None:
        return None
    # A week for what outlives the run; a start that is put off may use it up.
    needed = definition.max_duration + settings.retention + max(HEAD_OUTLIVES, starts_in)
    if needed <= kept:
        return None
    days = -(-needed // timedelta(days=1))
    return (
        f"max_duration of {_days(definition.max_duration)} and retention of {_days(settings.retention)} "
        f"with {_days(max(HEAD_OUTLIVES, starts_in))} more do not fit into the {_days(kept)} after which the bucket "
        f"deletes payloads: set PayloadDays to {days}, or lower max_duration or RetentionDays"
    )


def check_lifetime(
    definition: WorkflowDefinition, settings: KernelSettings, *, starts_in: timedelta = _NOTHING
) -> None:
    """Refuse a run whose payloads would be deleted while it may still need them.

    Raises:
        InvalidInputError: with the three times, and what to set.
    """
    problem = lifetime_problem(definition, settings, starts_in=starts_in)
    if problem is not None:
        raise InvalidInputError(what=f"workflow {definition.id!r}", problems=[problem])


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):g} days"
