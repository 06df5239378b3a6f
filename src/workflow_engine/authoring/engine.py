"""What the kernel injects into a stage's context: what a stage may ask of the engine that runs it."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Protocol

from pydantic import BaseModel

from workflow_engine.authoring.retry import RetryPolicy


class DurableSteps(Protocol):
    """What the engine does for the steps and waits of one attempt. Names have their prefix."""

    def call(
        self, name: str, function: Callable[[], Any], *, kind: Any, is_async: bool, retry: RetryPolicy | None
    ) -> Any:
        """The stored outcome of the step, or what *function* comes to; a coroutine of it where *is_async*."""
        ...

    def sleep(self, name: str, duration: timedelta) -> None:
        """Go on once *duration* has passed."""
        ...

    def wait_for_signal(
        self, name: str, signal: str, schema: type[BaseModel] | None, timeout: timedelta | None
    ) -> BaseModel | None:
        """The payload of a signal."""
        ...

    def wait_until(
        self,
        name: str,
        look: Callable[[], Any],
        *,
        kind: Any,
        is_async: bool,
        every: timedelta,
        give_up_after: timedelta | None,
    ) -> Any:
        """What *look* answers once that is neither ``None`` nor ``False``."""
        ...

    def key(self, name: str) -> str:
        """The idempotency key of what a step does outside."""
        ...

    def results(self) -> Mapping[str, Any]:
        """The results that are stored by now, as JSON-compatible values, by name."""
        ...


class Engine(Protocol):
    """What a stage may ask of the engine that runs it."""

    def run_input(self) -> BaseModel:
        """The run's input, validated.

        Raises:
            InvalidInputError: it no longer fits the workflow's model.
            TransientError: the store did not answer.
        """
        ...

    def signal(self, run_id: str, name: str, payload: Any, key: str) -> bool:
        """Keep a signal for a run; answers whether the run could take it."""
        ...

    def steps(self) -> DurableSteps:
        """The steps and waits of this attempt."""
        ...

    def is_over(self) -> bool:
        """Whether the run is over, or the stage's lease another's."""
        ...

    def is_known_over(self) -> bool:
        """The same, as far as it is known by now: asks nobody."""
        ...


class OutputReader(Protocol):
    """Finds the outputs of finished stages."""

    def read(self, stage_id: str) -> bytes | None:
        """The JSON of the output of a stage of an earlier group, ``None`` where there is none to see.

        Raises:
            StageSkippedError: it was skipped in this run.
            TransientError: the store did not answer.
        """
        ...
