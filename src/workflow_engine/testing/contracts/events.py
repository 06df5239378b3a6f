"""What every event sink must do."""
# ruff: noqa: D102 - a test's name is its docstring

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflow_engine.model.events import AnnotationCreated, RunEvent, StageFailed, WorkflowCompleted
from workflow_engine.model.limits import MAX_EVENT_REQUEST_BYTES
from workflow_engine.ports.events import NOT_TRIED, EventSink

AT = datetime(2030, 1, 1, 12, 30, 15, 250_000, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Published:
    """An event as a consumer receives it."""

    source: str
    type: str
    detail: Mapping[str, Any]


Received: TypeAlias = Callable[[int], Sequence[Published]]


def facts(sequence: int, run_id: str = "run-1") -> dict[str, Any]:
    """What every event of a run says."""
    return {
        "event_id": f"{run_id}:{sequence}",
        "sequence": sequence,
        "run_id": run_id,
        "workflow_id": "document-analysis",
        "occurred_at": AT + timedelta(seconds=sequence),
    }


def completed(sequence: int) -> WorkflowCompleted:
    """An event that every sink takes."""
    return WorkflowCompleted(**facts(sequence), duration_seconds=1.5)


def annotation_of_size(sequence: int, size_bytes: int) -> AnnotationCreated:
    """An event whose detail is *size_bytes* long."""
    empty = len(AnnotationCreated(**facts(sequence), value="").model_dump_json())
    return AnnotationCreated(**facts(sequence), value="x" * (size_bytes - empty))


class EventSinkContract:
    """Subclass it; ``received`` waits for a number of events and answers all that have come."""

    @pytest.fixture
    def sink(self) -> EventSink:
        """The sink to test."""
        raise NotImplementedError

    @pytest.fixture
    def received(self, sink: EventSink) -> Received:
        """What consumers of *sink* have received, in no order."""
        raise NotImplementedError

    def test_an_event_is_published_as_the_contract_says(self, sink: EventSink, received: Received) -> None:
        event = StageFailed(**facts(3), stage_id="embed", attempt=2, error_type="ValueError", error="na\u00efve")
        assert list(sink.emit([event])) == [None]
        (published,) = received(1)
        assert (published.source, published.type) == ("workflow-engine", "stage:failed")
        assert published.detail == {
            "event_id": "run-1:3",
            "sequence": 3,
            "run_id": "run-1",
            "workflow_id": "document-analysis",
            "occurred_at": "2030-01-01T12:30:18.250000Z",
            "stage_id": "embed",
            "attempt": 2,
            "error_type": "ValueError",
            "error": "na\u00efve",
            "retry_at": None,
        }

    def test_all_events_of_a_batch_are_published(self, sink: EventSink, received: Received) -> None:
        events = [completed(sequence) for sequence in range(1, 26)]
        assert list(sink.emit(events)) == [None] * 25
        assert sorted(item.detail["sequence"] for item in received(25)) == list(range(1, 26))

    def test_no_events_are_no_request(self, sink: EventSink, received: Received) -> None:
        assert list(sink.emit([])) == []
        assert list(received(0)) == []

    def test_an_accepted_event_may_be_published_again(self, sink: EventSink, received: Received) -> None:
        assert list(sink.emit([completed(1)])) == [None]
        assert list(sink.emit([completed(1)])) == [None]
        assert [item.detail["event_id"] for item in received(2)] == ["run-1:1", "run-1:1"]

    def test_an_event_too_large_for_any_request_is_refused_and_stops_the_rest(
        self, sink: EventSink, received: Received
    ) -> None:
        too_large = annotation_of_size(2, MAX_EVENT_REQUEST_BYTES)
        first, second, third, fourth = sink.emit([completed(1), too_large, completed(3), completed(4)])
        assert first is None
        assert second is not None
        assert second.counts
        assert str(MAX_EVENT_REQUEST_BYTES) in second.reason
        assert (third, fourth) == (NOT_TRIED, NOT_TRIED)
        assert [item.detail["sequence"] for item in received(1)] == [1]

    def test_large_events_go_in_requests_of_their_own(self, sink: EventSink, received: Received) -> None:
        events = [annotation_of_size(sequence, 400_000) for sequence in range(1, 6)]
        assert list(sink.emit(events)) == [None] * 5
        assert sorted(item.detail["sequence"] for item in received(5)) == [1, 2, 3, 4, 5]

    def test_an_event_that_is_no_json_is_refused(self, sink: EventSink, received: Received) -> None:
        unwritable = StageFailed.model_construct(**facts(1), stage_id="embed", error="\ud800")
        refusal, not_tried = sink.emit([unwritable, completed(2)])
        assert refusal is not None
        assert refusal.counts
        assert not_tried == NOT_TRIED
        assert list(received(0)) == []

    @settings(
        max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
    )
    @given(text=st.text(st.characters(codec="utf-8"), max_size=100))
    def test_any_text_is_published_as_it_is(self, sink: EventSink, received: Received, text: str) -> None:
        event: RunEvent = AnnotationCreated(**facts(1), key=text, value={text: [text]})
        before = len(received(0))
        assert list(sink.emit([event])) == [None]
        detail = received(before + 1)[-1].detail
        assert (detail["key"], detail["value"]) == (text, {text: [text]})
