import json

import pytest
from typing_extensions import override

from workflow_engine.adapters.memory import MemoryEventSink
from workflow_engine.ports.events import EventSink
from workflow_engine.testing.contracts import EventSinkContract
from workflow_engine.testing.contracts.events import Published, Received


class TestMemoryEventSink(EventSinkContract):
    @override
    @pytest.fixture
    def sink(self) -> EventSink:
        return MemoryEventSink()

    @override
    @pytest.fixture
    def received(self, sink: EventSink) -> Received:
        assert isinstance(sink, MemoryEventSink)
        return lambda _: [
            Published(source="workflow-engine", type=event.type, detail=json.loads(event.model_dump_json()))
            for event in sink.events
        ]
