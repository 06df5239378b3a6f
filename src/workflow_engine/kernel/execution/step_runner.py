"""How the function of a step is called."""

from collections.abc import Callable
from typing import Any, Protocol


class StepRunner(Protocol):
    """Calls the function of a step, as ``run_step_now`` does."""

    def __call__(self, call: Callable[[], Any], run_id: str, stage_id: str, name: str, /) -> Any:
        """What *call* answers for the step *name* of a stage: of an ``async def`` function, what is to be awaited."""
        ...


def run_step_now(call: Callable[[], Any], _run_id: str, _stage_id: str, _name: str, /) -> Any:
    """What *call* answers."""
    return call()
