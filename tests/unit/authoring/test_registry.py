"""The registry finds workflows by id, and runs in flight their version."""

from typing import Any

import pytest
from pydantic import BaseModel

from workflow_engine import (
    Registry,
    Workflow,
    WorkflowDefinition,
    WorkflowDefinitionError,
    WorkflowNotFoundError,
    stage,
)


class Document(BaseModel):
    text: str = ""


@stage("read")
def read(document: Document) -> Document:
    return document


def workflow(workflow_id: str, version: int = 1) -> WorkflowDefinition:
    return Workflow(workflow_id, input=Document, version=version).pipe(read).build()


def test_the_newest_version_is_found_whatever_the_order() -> None:
    first, second, third = (workflow("w", version) for version in (1, 2, 3))
    registry = Registry([second, third, first])
    assert registry.get("w") is third
    assert registry.versions("w") == (third, second, first)


def test_a_run_finds_the_version_it_was_started_with_however_alike() -> None:
    first, second = workflow("w", 1), workflow("w", 2)
    registry = Registry([first, second])
    assert registry.resolve("w", first.fingerprint) is first
    assert registry.resolve("w", second.fingerprint) is second
    assert registry.resolve("w", "gone") is second


def test_a_fingerprint_of_another_workflow_is_not_found_under_this_one() -> None:
    first, other = workflow("w"), workflow("other")
    assert Registry([first, other]).resolve("w", other.fingerprint) is first


def test_an_unknown_id_is_told_with_those_that_are_known() -> None:
    registry = Registry([workflow("b"), workflow("a")])
    with pytest.raises(WorkflowNotFoundError, match="no workflow 'c'; registered: a, b"):
        registry.get("c")
    with pytest.raises(WorkflowNotFoundError):
        registry.resolve("c", "fingerprint")


def test_it_can_be_looked_through() -> None:
    definitions = [workflow("a", 2), workflow("a", 1), workflow("b")]
    registry = Registry(definitions)
    assert list(registry) == definitions
    assert len(registry) == 3
    assert "a" in registry
    assert "c" not in registry
    assert list(Registry([])) == []


def test_one_version_twice_is_refused() -> None:
    with pytest.raises(WorkflowDefinitionError, match="version 1 is registered twice"):
        Registry([workflow("w"), workflow("w")])


def test_a_workflow_that_is_not_built_is_refused() -> None:
    unbuilt: Any = Workflow("w", input=Document).pipe(read)
    with pytest.raises(WorkflowDefinitionError, match="workflow 'w': is not built"):
        Registry([unbuilt])
