"""``plugin.replay_dlq``: what is refused for ever keeps nothing behind it."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from typing_extensions import override

from workflow_engine.model.commands import ReplayDeadLetters
from workflow_engine.model.events import RunEvent
from workflow_engine.model.ids import RunId, WorkflowId
from workflow_engine.model.runs import DeadLetter, PendingEvent
from workflow_engine.ports.events import EventSink, Refusal
from workflow_engine.testing.clock import START
from workflow_engine.testing.engine import VirtualEngine


class Choosy(EventSink):
    """Refuses the events of runs whose id begins with ``bad``, for their own sake."""

    def __init__(self) -> None:
        self.offered = 0
        self.accepted: list[tuple[str, int]] = []

    @override
    def emit(self, events: Sequence[RunEvent]) -> Sequence[Refusal | None]:
        self.offered += len(events)
        answers = [Refusal("too large", counts=True) if event.run_id.startswith("bad") else None for event in events]
        told = [event for event, answer in zip(events, answers, strict=True) if answer is None]
        self.accepted += [(event.run_id, event.sequence) for event in told]
        return answers


def engine_with(letters: Sequence[tuple[str, int]]) -> tuple[VirtualEngine, Choosy]:
    sink = Choosy()
    engine = VirtualEngine(event_sink=sink)
    for run_id, sequence in letters:
        event = PendingEvent("workflow:completed", START)
        engine.persistence.put_dead_letter(
            DeadLetter(RunId(run_id), WorkflowId("w"), sequence, event, "refused", START, START + timedelta(days=30))
        )
    return engine, sink


@pytest.mark.parametrize("max_events", [1, 10, 100, 1000])
def test_letters_that_are_refused_for_ever_keep_none_behind_them(max_events: int) -> None:
    bad = [(f"bad-{number:03d}", sequence) for number in range(150) for sequence in (1, 2)]
    good = [(f"good-{number:02d}", 1) for number in range(50)]
    engine, sink = engine_with(bad + good)

    replayed = 0
    while told := engine.kernel.dispatch(ReplayDeadLetters(max_events=max_events)).replayed:
        assert told <= max_events
        replayed += told

    assert replayed == 50
    assert sorted(sink.accepted) == good
    left = engine.persistence.list_dead_letters(limit=1000)
    assert [(letter.run_id, letter.sequence) for letter in left] == bad


def test_a_refused_event_holds_back_the_later_ones_of_its_run_on_the_pages_that_follow() -> None:
    engine, sink = engine_with([("bad", number) for number in range(1, 251)])

    assert engine.kernel.dispatch(ReplayDeadLetters(max_events=1000)).replayed == 0
    assert sink.offered == 100


def test_nothing_is_replayed_where_there_are_no_letters() -> None:
    engine, sink = engine_with([])
    assert engine.kernel.dispatch(ReplayDeadLetters()).replayed == 0
    assert sink.offered == 0
