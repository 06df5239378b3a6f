"""``sleep``: a stage that only waits, and hands on what it was given."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel

from workflow_engine.authoring.context import StageContext
from workflow_engine.authoring.outcomes import NotReady, Suspended, check_positive
from workflow_engine.authoring.stages import Stage, stage
from workflow_engine.model.limits import MAX_RUN_DURATION


class SleepState(BaseModel):
    """When a sleeping stage is over."""

    wake_at: AwareDatetime


def sleep(stage_id: str, duration: timedelta) -> Stage[..., Any]:
    """A stage that waits for *duration* without running, and passes its input on.

    It costs a timer, not time: nothing runs meanwhile. The output model is that of whatever comes
    before it. Exact to about a second.

    Raises:
        ValueError: *duration* is not positive.
    """
    check_positive("the duration of sleep", duration)

    @stage(stage_id)
    def fall_asleep(ctx: StageContext) -> Suspended[SleepState]:
        # Longer than any run lives is as good as for ever, and adds up with any instant.
        span = min(duration, MAX_RUN_DURATION)
        return Suspended(SleepState(wake_at=ctx.now() + span), poll_every=span)

    @fall_asleep.check_completion
    def wake_up(state: SleepState, ctx: StageContext) -> BaseModel | NotReady | None:
        left = state.wake_at - ctx.now()
        return ctx.input if left <= timedelta(0) else NotReady(next_check_in=left)

    return Stage(replace(fall_asleep.definition, passthrough=True, sleeps=duration, problems=()))
