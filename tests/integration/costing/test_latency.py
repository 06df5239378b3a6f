"""Latency as what it is made of: AWS calls one after the other, from one moment of a run to the next."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from pydantic import BaseModel
from typing_extensions import override

from workflow_engine.adapters.memory import (
    MemoryBlobStore,
    MemoryEventSink,
    MemoryJobTransport,
    MemoryPersistence,
    MemoryScheduler,
)
from workflow_engine.authoring import Registry, Stage, Workflow, stage
from workflow_engine.hosts import ServerlessHost
from workflow_engine.kernel import Kernel
from workflow_engine.model.commands import Command, CreateRun
from workflow_engine.model.commits import Committed, Exclusive, Refused, Shared
from workflow_engine.model.events import RunEvent
from workflow_engine.model.runs import Bundle, StageRecord
from workflow_engine.ports.events import Refusal
from workflow_engine.testing.clock import FakeClock


class Nothing(BaseModel):
    """What the stages hand on."""


class Persistence(MemoryPersistence):
    """Notes its writes; a read would be noted by its name, too."""

    def __init__(self, clock: FakeClock, calls: list[str]) -> None:
        super().__init__(clock)
        self.calls = calls

    @override
    def commit(self, commit: Exclusive | Shared) -> Committed | Refused:
        self.calls.append("head")
        return super().commit(commit)

    @override
    def put_record(self, record: StageRecord) -> None:
        self.calls.append("record")
        super().put_record(record)

    @override
    def put_bundle(self, bundle: Bundle) -> None:
        self.calls.append("bundle")
        super().put_bundle(bundle)


class Transport(MemoryJobTransport):
    """Notes what is sent."""

    def __init__(self, clock: FakeClock, calls: list[str]) -> None:
        super().__init__(clock)
        self.calls = calls

    @override
    def enqueue(self, command: Command, *, delay: timedelta = timedelta(0)) -> None:
        self.calls.append("send")
        super().enqueue(command, delay=delay)


class Sink(MemoryEventSink):
    """Notes what is published."""

    def __init__(self, calls: list[str]) -> None:
        super().__init__()
        self.calls = calls

    @override
    def emit(self, events: Sequence[RunEvent]) -> Sequence[Refusal | None]:
        self.calls.append("publish")
        return super().emit(events)


@pytest.fixture
def calls() -> list[str]:
    """A run of two chained stages, as the calls it makes and the stages it runs."""
    noted: list[str] = []

    def noting(stage_id: str) -> Stage[..., Nothing]:
        @stage(stage_id)
        def work(nothing: Nothing) -> Nothing:
            noted.append(stage_id)
            return nothing

        return work

    definition = Workflow("noted", input=Nothing).pipe(noting("first")).pipe(noting("last")).build()
    clock = FakeClock()
    transport = Transport(clock, noted)
    kernel = Kernel(
        persistence=Persistence(clock, noted),
        blob_store=MemoryBlobStore(),
        job_transport=transport,
        event_sink=Sink(noted),
        scheduler=MemoryScheduler(clock, transport),
        clock=clock,
        registry=Registry([definition]),
    )
    kernel.dispatch(CreateRun(workflow_id="noted", input={}))
    ServerlessHost(kernel, transport, "worker").process_available_jobs()
    return noted


def between(calls: Sequence[str], first: str | None, last: str) -> Sequence[str]:
    start = 0 if first is None else calls.index(first) + 1
    return calls[start : calls.index(last, start)]


def test_from_a_start_to_its_first_stage_are_three_calls(calls: list[str]) -> None:
    assert between(calls, None, "first") == ["head", "send", "head"]


def test_from_a_chained_stage_to_the_next_is_one_call(calls: list[str]) -> None:
    assert between(calls, "first", "last") == ["head"]


def test_from_the_last_stage_to_its_event_are_two_calls(calls: list[str]) -> None:
    assert [*between(calls, "last", "publish"), "publish"] == ["head", "publish"]


def test_nothing_follows_the_event_but_its_removal(calls: list[str]) -> None:
    assert calls[calls.index("publish") :] == ["publish", "head"]
