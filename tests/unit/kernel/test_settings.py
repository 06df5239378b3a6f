"""Which events are published."""

import pytest

from workflow_engine.kernel import KernelSettings, published_types
from workflow_engine.model.events import EVENT_TYPES


@pytest.mark.parametrize(
    ("patterns", "types"),
    [
        ([], set()),
        (["workflow:completed"], {"workflow:completed"}),
        (["*"], set(EVENT_TYPES)),
        (["stage:f*", "annotation:*"], {"stage:failed", "annotation:created"}),
        (["nothing:like-it"], set()),
    ],
)
def test_patterns_name_event_types(patterns: list[str], types: set[str]) -> None:
    assert published_types(patterns) == types


def test_by_default_ends_and_failures_and_waits_are_published() -> None:
    assert KernelSettings().published == {
        "workflow:completed",
        "workflow:failed",
        "workflow:cancelled",
        "workflow:suspended",
        "workflow:closing",
        "stage:failed",
    }
