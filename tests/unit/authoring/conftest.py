"""Stages and models that several tests share, and a context without an engine behind it."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from typing_extensions import override

from workflow_engine import StageContext, WorkflowDefinition
from workflow_engine.authoring.engine import OutputReader
from workflow_engine.testing.clock import FakeClock

MakeContext: TypeAlias = Callable[..., StageContext[Any]]


class KeptOutputs(OutputReader):
    """Outputs that the test decided."""

    def __init__(self, outputs: Mapping[str, bytes]) -> None:
        self._outputs = outputs

    @override
    def read(self, stage_id: str) -> bytes | None:
        return self._outputs.get(stage_id)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_context(clock: FakeClock) -> MakeContext:
    """Makes the context of a stage of *workflow*, with the *outputs* (JSON by stage id) before it."""

    def make(
        workflow: WorkflowDefinition,
        stage_id: str,
        *,
        outputs: Mapping[str, bytes] | OutputReader | None = None,
        **others: Any,
    ) -> StageContext[Any]:
        reader = outputs if outputs is not None and not isinstance(outputs, Mapping) else KeptOutputs(outputs or {})
        arguments: dict[str, Any] = {
            "input": None,
            "config": None,
            "attributes": {},
            "make_storage": lambda: None,
            "deadline": clock.now() + timedelta(minutes=5),
        }
        return StageContext(
            run_id="run-1",
            workflow=workflow,
            stage_id=stage_id,
            group=workflow.position(stage_id)[0],
            attempt=1,
            effect_key="effect",
            now=clock.now,
            outputs=reader,
            **{**arguments, **others},
        )

    return make
