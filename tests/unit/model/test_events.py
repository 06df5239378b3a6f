import pytest
from pydantic import ValidationError

from workflow_engine.model.events import EVENT_TYPES, PUBLISHED_BY_DEFAULT, StageFailed, WorkflowFailed, event_of
from workflow_engine.model.runs import PendingEvent
from workflow_engine.testing.builders import new_head
from workflow_engine.testing.clock import START

HEAD = new_head(START)


def test_an_event_has_a_stable_id_and_its_place_in_the_run() -> None:
    pending = PendingEvent(
        "workflow:failed", START, {"error_type": "ValueError", "error": "wrong", "stage_id": "count"}
    )
    event = event_of(HEAD, pending, 7)
    assert isinstance(event, WorkflowFailed)
    assert (event.event_id, event.sequence, event.run_id) == ("run:7", 7, "run")
    assert (event.workflow_id, event.occurred_at) == (HEAD.workflow_id, START)
    assert (event.error_type, event.stage_id) == ("ValueError", "count")


def test_what_is_stored_cannot_pretend_to_be_another_run() -> None:
    pending = PendingEvent("workflow:failed", START, {"run_id": "other", "event_id": "other:1", "sequence": 99})
    event = event_of(HEAD, pending, 7)
    assert (event.run_id, event.event_id, event.sequence) == ("run", "run:7", 7)


def test_instants_are_read_from_the_text_that_was_stored() -> None:
    facts = {"stage_id": "count", "retry_at": START.isoformat()}
    event = event_of(HEAD, PendingEvent("stage:failed", START, facts), 1)
    assert isinstance(event, StageFailed)
    assert event.retry_at == START


def test_an_event_of_a_newer_version_keeps_what_this_one_knows() -> None:
    event = event_of(HEAD, PendingEvent("workflow:started", START, {"of_the_future": 1}), 1)
    assert event.type == "workflow:started"
    assert "of_the_future" not in event.model_dump()


def test_a_type_names_its_class() -> None:
    assert set(PUBLISHED_BY_DEFAULT) <= set(EVENT_TYPES)
    for kind, event in EVENT_TYPES.items():
        assert event.__name__.lower() == kind.replace(":", "")


def test_a_stage_event_needs_its_stage() -> None:
    with pytest.raises(ValidationError):
        event_of(HEAD, PendingEvent("stage:failed", START), 1)
