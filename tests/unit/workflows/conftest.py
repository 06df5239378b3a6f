"""A stage's context without an engine behind it: stages are plain functions and are tested as such."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from pydantic import BaseModel
from typing_extensions import override

from workflow_engine import BlobNotFoundError, StageContext, StageStorage
from workflow_engine.authoring.engine import OutputReader
from workflow_engine.testing.clock import FakeClock
from workflows import registry

MakeContext: TypeAlias = Callable[..., StageContext[Any]]


class KeptOutputs(OutputReader):
    """Outputs that the test decided."""

    def __init__(self, outputs: Mapping[str, BaseModel]) -> None:
        self._outputs = outputs

    @override
    def read(self, stage_id: str) -> bytes | None:
        output = self._outputs.get(stage_id)
        return None if output is None else output.model_dump_json().encode()


class DictStorage(StageStorage):
    """Keeps what stages save in a dictionary."""

    def __init__(self, kept: dict[str, bytes]) -> None:
        self._kept = kept

    @override
    def save(self, key: str, data: bytes | str | BaseModel) -> None:
        text = data.model_dump_json() if isinstance(data, BaseModel) else data
        self._kept[key] = text.encode() if isinstance(text, str) else text

    @override
    def load(self, key: str) -> bytes:
        if key not in self._kept:
            raise BlobNotFoundError(key=key)
        return self._kept[key]

    @override
    def exists(self, key: str) -> bool:
        return key in self._kept

    @override
    def delete(self, key: str) -> None:
        self._kept.pop(key, None)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_context(clock: FakeClock) -> MakeContext:
    """Make the context of a stage; contexts of the same stage share their storage."""
    storages: dict[str, dict[str, bytes]] = defaultdict(dict)

    def make(
        workflow_id: str,
        stage_id: str,
        *,
        config: BaseModel | None = None,
        outputs: Mapping[str, BaseModel] | None = None,
        attempt: int = 1,
    ) -> StageContext[Any]:
        workflow = registry.get(workflow_id)
        group, _ = workflow.position(stage_id)
        return StageContext(
            run_id="run-1",
            workflow=workflow,
            stage_id=stage_id,
            group=group,
            attempt=attempt,
            input=None,
            config=config,
            attributes={},
            effect_key=f"effect-of-{stage_id}",
            deadline=clock.now() + timedelta(minutes=1),
            now=clock.now,
            outputs=KeptOutputs(outputs or {}),
            make_storage=lambda: DictStorage(storages[stage_id]),
        )

    return make
