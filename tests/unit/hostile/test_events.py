"""Whatever an event holds, it is published as what it is, or refused before anything is sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.hostile.strategies import TEXTS, VALUES
from workflow_engine.model.event_entries import EventEntry
from workflow_engine.model.events import EVENT_TYPES, build_event
from workflow_engine.model.runs import PendingEvent
from workflow_engine.testing.clock import START

FORGED = {"event_id": "other:1", "sequence": 99, "run_id": "other", "workflow_id": "other", "occurred_at": "2000-01-01"}


@given(st.sampled_from(sorted(EVENT_TYPES)), st.dictionaries(TEXTS, VALUES, max_size=4))
def test_a_stored_event_cannot_claim_to_be_of_another_run(kind: str, facts: dict[str, Any]) -> None:
    pending = PendingEvent(kind, START, {**facts, **FORGED, "stage_id": "stage"})

    try:
        event = build_event("run-1", "workflow", pending, 3)
        entry = EventEntry.of(event)
    except (ValidationError, ValueError):
        return

    detail = json.loads(entry.detail)
    assert (detail["event_id"], detail["sequence"], detail["run_id"]) == ("run-1:3", 3, "run-1")
    assert detail["workflow_id"] == "workflow"
    assert detail["occurred_at"].startswith(str(START.year))
    assert (entry.source, entry.detail_type) == ("workflow-engine", kind)


@given(TEXTS)
def test_text_is_escaped_in_the_detail(text: str) -> None:
    pending = PendingEvent("workflow:failed", START, {"error_type": "E", "error": text})
    try:
        entry = EventEntry.of(build_event("run-1", "workflow", pending, 1))
    except ValueError:
        assert any(0xD800 <= ord(character) < 0xE000 for character in text)
        return

    assert json.loads(entry.detail)["error"] == text
    assert "\n" not in entry.detail
    assert "\x00" not in entry.detail


def test_a_lone_surrogate_is_refused_as_an_event_that_cannot_be_written() -> None:
    pending = PendingEvent("workflow:failed", START, {"error": "\ud800"})

    with pytest.raises(ValueError, match="surrogate"):
        EventEntry.of(build_event("run-1", "workflow", pending, 1))
