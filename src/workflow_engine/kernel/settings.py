"""What the kernel can be told about its surroundings."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase

from workflow_engine.kernel.execution.side_by_side import GroupRunner, run_side_by_side
from workflow_engine.kernel.execution.step_runner import StepRunner, run_step_now
from workflow_engine.kernel.execution.time_limit import StageRunner, run_within
from workflow_engine.kernel.patience import Pause, pause_for_real
from workflow_engine.model.events import EVENT_TYPES, PUBLISHED_BY_DEFAULT
from workflow_engine.model.limits import WAKE_MARGIN


def published_types(patterns: Sequence[str]) -> frozenset[str]:
    """The event types that *patterns* name: ``workflow:*``, ``stage:failed``, ``*``."""
    return frozenset(type_ for type_ in EVENT_TYPES if any(fnmatchcase(type_, pattern) for pattern in patterns))


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """*invocation* is the function's timeout (Lambda: at most 900 s), *due_shards* the number of
    shards of the due index and the listing, *retention* how long a finished run is kept. *run_stage*
    calls the stages' functions, *run_group* those of an inline group side by side, *run_step* those of their steps,
    and *pause* waits before something is tried again: a simulation has them in simulated time. With *archive* a run that is over is stored as JSON lines before it comes
    to rest. *payload_lifetime* is the age at which blobs are deleted, ``None`` where they are not. With
    *records_in_head* small records ride in the head; what rides there is read either way."""

    invocation: timedelta = timedelta(seconds=900)
    published: frozenset[str] = field(default=frozenset(PUBLISHED_BY_DEFAULT))
    due_shards: int = 8
    retention: timedelta = timedelta(days=30)
    run_stage: StageRunner = run_within
    run_group: GroupRunner = run_side_by_side
    run_step: StepRunner = run_step_now
    pause: Pause = pause_for_real
    archive: bool = False
    payload_lifetime: timedelta | None = None
    records_in_head: bool = True

    @property
    def horizon(self) -> timedelta:
        """How far ahead of now a run that is alive may be listed at the most, timers apart (I2)."""
        return self.invocation + WAKE_MARGIN
