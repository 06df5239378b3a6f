"""What a plugin is refused for."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from workflow_engine import Plugin, WorkflowDefinitionError


def hears(_event: Any) -> Iterator[None]:
    yield


async def hears_later(_event: Any) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize("handle", [hears, hears_later])
def test_a_generator_that_nobody_would_run_is_no_handler(handle: Any) -> None:
    with pytest.raises(WorkflowDefinitionError, match="generator"):
        Plugin("audit", on=["stage:*"], handle=handle)


def test_a_function_and_an_awaitable_one_are() -> None:
    async def waits(_event: Any) -> None: ...

    assert Plugin("audit", on=["stage:*"], handle=print).event_types == Plugin("b", ["stage:*"], waits).event_types
