"""What the kernel injects into a stage's context: what a stage may ask of the engine that runs it."""

from typing import Any, Protocol

from pydantic import BaseModel

from workflow_engine.authoring.durable import DurableSteps


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
            TransientError: the store did not answer.
        """
        ...
