"""What every persistence must do with what belongs to a run beside its head."""
# ruff: noqa: D102 - a test's name is its docstring

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from workflow_engine.errors import PayloadTooLargeError
from workflow_engine.model.commands import CancelRun, CreateRun
from workflow_engine.model.deliveries import Recurrence
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.json_values import JsonObject
from workflow_engine.model.limits import MAX_ITEM_BYTES
from workflow_engine.model.payloads import ErrorInfo, Payload
from workflow_engine.model.runs import (
    Annotation,
    DeadLetter,
    EventKey,
    LogLine,
    PendingEvent,
    RunInput,
    StageKey,
    StageRecord,
    Winners,
)
from workflow_engine.model.status import Status
from workflow_engine.ports.persistence import Persistence
from workflow_engine.testing.builders import LIFE, WORKFLOW, new_event, new_head, new_record
from workflow_engine.testing.clock import START

RUN = RunId("run")
OTHERS = (RunId("run-2"), RunId("ru"), RunId("RUN"))
SECOND = timedelta(seconds=1)
TOO_LARGE = Payload.of(b"x" * (MAX_ITEM_BYTES + 1))


def record(*, group: int = 0, stage_id: str = "count", epoch: int = 0, **changes: Any) -> StageRecord:
    """A record of the run."""
    return new_record(new_head(START), group=group, stage_id=stage_id, epoch=epoch, **changes)


def log_line(index: int, *, run_id: RunId = RUN, epoch: int = 0, **changes: Any) -> LogLine:
    """A line of a stage's attempt."""
    key = StageKey(0, StageId("count"), epoch)
    line = LogLine(run_id, key, index, START + index * SECOND, "INFO", f"line {index}", {"n": index}, 1, START + LIFE)
    return replace(line, **changes)


def recurrence(name: str, *, input: JsonObject | None = None, **changes: Any) -> Recurrence:
    """A recurring start."""
    command = CreateRun(workflow_id=WORKFLOW, input=input or {"n": [1, 0.5, None, "ü"]}, idempotency_key="k:{time}")
    return replace(Recurrence(name, "cron(0 3 * * ? *)", command), **changes)


def annotation(id_: str, *, run_id: RunId = RUN, **changes: Any) -> Annotation:
    """A note about the run."""
    note = Annotation(run_id, id_, START, "seen by", {"who": ["я", 1.5, None]}, "user", None, None, START + LIFE)
    return replace(note, **changes)


def dead_letter(sequence: int, *, run_id: RunId = RUN, **changes: Any) -> DeadLetter:
    """An event that could not be delivered."""
    event = new_event(START, "workflow:failed", error="ValueError")
    letter = DeadLetter(run_id, WORKFLOW, sequence, event, "too large", START + SECOND, START + LIFE)
    return replace(letter, **changes)


class RecordContract:
    """Attempts, inputs, and events outside the head."""

    def test_a_record_is_kept_as_it_was_put_first(self, persistence: Persistence) -> None:
        first = record()
        persistence.put_record(first)
        persistence.put_record(replace(first, status=Status.FAILED, output=None))
        assert persistence.load_records(RUN, [first.key]) == {first.key: first}

    def test_a_record_that_is_removed_is_gone_and_no_other_is(self, persistence: Persistence) -> None:
        first = record()
        other = replace(first, key=replace(first.key, epoch=first.key.epoch + 1))
        persistence.put_record(first)
        persistence.put_record(other)
        for _ in range(2):
            persistence.delete_record(RUN, first.key)
        assert persistence.list_records(RUN) == [other]

    def test_a_record_is_corrected_by_its_own_lease_alone(self, persistence: Persistence) -> None:
        first = record()
        own = replace(first, status=Status.FAILED, output=None, error=ErrorInfo("OSError", "no"))
        persistence.put_record(first)
        persistence.correct_record(replace(own, by="another.1"))
        assert persistence.load_records(RUN, [first.key]) == {first.key: first}
        persistence.correct_record(own)
        assert persistence.load_records(RUN, [first.key]) == {first.key: own}

    def test_a_record_that_is_not_there_may_be_corrected(self, persistence: Persistence) -> None:
        persistence.correct_record(record())
        assert persistence.list_records(RUN) == [record()]

    def test_every_field_of_a_record_is_kept(self, persistence: Persistence) -> None:
        full = record(
            group=12,
            stage_id="A_b-9",
            epoch=345,
            status=Status.FAILED,
            attempt=4,
            output=Payload(size_bytes=70_000, blob_key="run/12/A_b-9/345"),
            error=ErrorInfo("ValueError", "нет", retryable=True, trace="line 1\nline 2"),
            metrics={"rows": 1e300, "share": 0.1},
            artifacts={"report": "run/report.html"},
        )
        empty = record(output=Payload.of(b""), epoch=1)
        absent = record(output=None, epoch=2)
        for item in (full, empty, absent):
            persistence.put_record(item)
        found = persistence.load_records(RUN, [full.key, empty.key, absent.key])
        assert found == {full.key: full, empty.key: empty, absent.key: absent}

    def test_a_part_of_a_stage_has_a_record_and_lines_of_its_own(self, persistence: Persistence) -> None:
        whole = record(group=1, epoch=7)
        parts = [replace(whole, key=replace(whole.key, part=part)) for part in ("item.000017", "undo")]
        for item in (whole, *parts):
            persistence.put_record(item)
        lines = [log_line(0), log_line(1), replace(log_line(0), key=replace(log_line(0).key, part="undo"))]
        persistence.put_logs(lines)
        assert persistence.list_records(RUN) == [whole, *parts]
        assert persistence.load_records(RUN, [parts[1].key]) == {parts[1].key: parts[1]}
        persistence.delete_record(RUN, parts[0].key)
        assert persistence.list_records(RUN) == [whole, parts[1]]
        found = {(line.key, line.index): line for line in persistence.list_logs(RUN)}
        assert found == {(line.key, line.index): line for line in lines}

    def test_records_are_read_many_at_once(self, persistence: Persistence) -> None:
        records = {item.key: item for item in (record(group=group) for group in range(120))}
        for item in records.values():
            persistence.put_record(item)
        absent = StageKey(0, StageId("count"), 99)
        assert persistence.load_records(RUN, [*records, absent, *records]) == records
        assert persistence.load_records(RUN, []) == {}

    def test_all_records_of_a_run_are_listed_in_order(self, persistence: Persistence) -> None:
        keys = [(0, "count", 0), (0, "count", 2), (0, "count-2", 0), (0, "count-2", 10), (2, "a", 0), (10, "a", 0)]
        records = [record(group=group, stage_id=stage_id, epoch=epoch) for group, stage_id, epoch in keys]
        for item in reversed(records):
            persistence.put_record(item)
        for other in OTHERS:
            persistence.put_record(replace(records[0], run_id=other))
        assert list(persistence.list_records(RUN)) == records
        assert list(persistence.list_records(RunId("nobody"))) == []

    def test_a_record_above_the_limit_is_refused_with_its_size(self, persistence: Persistence) -> None:
        large = record(output=TOO_LARGE)
        with pytest.raises(PayloadTooLargeError) as caught:
            persistence.put_record(large)
        assert caught.value.size_bytes > caught.value.limit_bytes == MAX_ITEM_BYTES
        assert persistence.load_records(RUN, [large.key]) == {}

    def test_an_input_is_found_by_its_hash(self, persistence: Persistence) -> None:
        inline = RunInput(RUN, "h1", Payload.of(b'{"text":"\xd0\xb4\xd0\xb0"}'), START + LIFE)
        in_blob = RunInput(RUN, "h2", Payload(size_bytes=10**6, blob_key="run/input/h2"), START + LIFE)
        for item in (inline, in_blob, inline):
            persistence.put_input(item)
        assert persistence.load_input(RUN, "h1") == inline
        assert persistence.load_input(RUN, "h2") == in_blob
        assert persistence.load_input(RUN, "h3") is None
        assert persistence.load_input(OTHERS[0], "h1") is None
        with pytest.raises(PayloadTooLargeError):
            persistence.put_input(replace(inline, hash="h3", payload=TOO_LARGE))

    def test_an_input_that_is_put_again_lives_as_long_as_the_later_put_says(self, persistence: Persistence) -> None:
        first = RunInput(RUN, "h1", Payload.of(b"{}"), START + LIFE)
        later = replace(first, expires_at=START + 2 * LIFE)
        for item in (first, later, first):
            persistence.put_input(item)
        assert persistence.load_input(RUN, "h1") == later

    def test_winners_outside_the_head_are_put_once(self, persistence: Persistence) -> None:
        first = Winners(
            RUN, 0, 25, {(group, 0): epoch for group, epoch in zip(range(26), range(1, 27), strict=True)}, START + LIFE
        )
        second = Winners(RUN, 0, 51, {(51, 7): 60}, START + LIFE)
        after_rerun = Winners(RUN, 31, 51, {(51, 7): 99}, START + LIFE)
        for page in (first, second, after_rerun, replace(first, epochs={(0, 0): 9})):
            persistence.put_winners(page)
        found = {(page.base, page.through): page for page in persistence.load_winners(RUN)}
        assert found == {(0, 25): first, (0, 51): second, (31, 51): after_rerun}
        assert list(persistence.load_winners(RunId("nobody"))) == []
        persistence.extend_expiry(RUN, START + 2 * LIFE)
        assert {page.expires_at for page in persistence.load_winners(RUN)} == {START + 2 * LIFE}

    def test_events_outside_the_head_come_and_go_by_sequence_or_name(self, persistence: Persistence) -> None:
        head = new_head(START)
        events: dict[EventKey, PendingEvent] = {
            sequence: new_event(START + sequence * SECOND, n=sequence) for sequence in range(1, 31)
        }
        persistence.put_spilled(head, events)
        persistence.put_spilled(head, {1: events[1]})
        persistence.put_spilled(head, {})
        assert persistence.load_spilled(RUN, [*events, 99]) == events
        persistence.delete_spilled(RUN, [*range(1, 28), 99])
        assert persistence.load_spilled(RUN, list(events)) == {n: events[n] for n in (28, 29, 30)}
        persistence.delete_spilled(RunId("nobody"), [1])
        assert persistence.load_spilled(RunId("nobody"), [28]) == {}
        named: dict[EventKey, PendingEvent] = {f"0.1.2.{n}": new_event(START, text="x" * 16_000) for n in range(30)}
        persistence.put_spilled(head, named)
        assert persistence.load_spilled(RUN, [*named, 28, "0.1.2.99"]) == {**named, 28: events[28]}
        persistence.delete_spilled(RUN, ["0.1.2.0", 28])
        assert persistence.load_spilled(RUN, ["0.1.2.0", "0.1.2.1", 28]) == {"0.1.2.1": named["0.1.2.1"]}

    def test_a_structure_is_found_by_its_fingerprint(self, persistence: Persistence) -> None:
        structure = {"groups": [["split"], ["count", "kürzen"]], "depth": 2, "share": 0.5, "none": None}
        persistence.put_definition(WORKFLOW, "f1", structure)
        persistence.put_definition(WORKFLOW, "f1", structure)
        assert persistence.load_definition(WORKFLOW, "f1") == structure
        assert persistence.load_definition(WORKFLOW, "f2") is None
        assert persistence.load_definition("other", "f1") is None

    def test_recurrences_are_kept_by_name_until_they_are_deleted(self, persistence: Persistence) -> None:
        nightly, hourly = (
            recurrence("nightly"),
            recurrence("hourly.2", expression="rate(1 hour)", timezone="Asia/Tokyo"),
        )
        assert list(persistence.list_recurrences()) == []
        persistence.put_recurrence(nightly)
        persistence.put_recurrence(hourly)
        assert list(persistence.list_recurrences()) == [hourly, nightly]
        changed = replace(nightly, paused=True, command=CancelRun(run_id=RUN, reason="\uffff <aws. {time}"))
        persistence.put_recurrence(changed)
        assert list(persistence.list_recurrences()) == [hourly, changed]
        assert persistence.delete_recurrence("hourly.2")
        assert not persistence.delete_recurrence("hourly.2")
        assert not persistence.delete_recurrence("nobody")
        assert list(persistence.list_recurrences()) == [changed]

    def test_a_recurrence_that_is_too_large_changes_nothing(self, persistence: Persistence) -> None:
        persistence.put_recurrence(recurrence("nightly"))
        with pytest.raises(PayloadTooLargeError):
            persistence.put_recurrence(recurrence("nightly", input={"text": "x" * MAX_ITEM_BYTES}))
        assert list(persistence.list_recurrences()) == [recurrence("nightly")]

    def test_a_definition_was_kept_when_it_was_put_last(self, persistence: Persistence) -> None:
        assert persistence.definition_kept_at(WORKFLOW, "f1") is None
        persistence.put_definition(WORKFLOW, "f1", {"a": 1})
        assert persistence.definition_kept_at(WORKFLOW, "f1") is None
        for at in (START, START + LIFE):
            persistence.put_definition(WORKFLOW, "f1", {"a": 1}, kept_at=at)
            assert persistence.definition_kept_at(WORKFLOW, "f1") == at
        assert persistence.load_definition(WORKFLOW, "f1") == {"a": 1}
        assert persistence.definition_kept_at(WORKFLOW, "f2") is None


class NoteContract:
    """Logs, annotations and dead letters."""

    def test_log_lines_are_listed_by_attempt_and_index(self, persistence: Persistence) -> None:
        lines = [log_line(index, epoch=epoch) for epoch in (0, 3) for index in range(30)]
        persistence.put_logs(lines[30:])
        persistence.put_logs(lines[:30])
        persistence.put_logs([])
        persistence.put_logs([log_line(0, run_id=other) for other in OTHERS])
        assert list(persistence.list_logs(RUN)) == lines

    def test_a_log_line_keeps_any_text(self, persistence: Persistence) -> None:
        line = log_line(0, message="", level="WARNING", fields={}, attempt=7)
        other = log_line(1, message="\x00 漢字\n", fields={"": {"deep": [1, 2.5, None, True]}})
        persistence.put_logs([line, other])
        assert list(persistence.list_logs(RUN)) == [line, other]

    def test_annotations_are_listed_oldest_first(self, persistence: Persistence) -> None:
        stage = StageKey(3, StageId("count"), 2)
        old = annotation("b", at=START, stage=stage, attempt=2, value=None)
        new = annotation("a", at=START + SECOND, name="", value="", actor="")
        persistence.put_annotations([new, old])
        persistence.put_annotations([annotation("a", run_id=other) for other in OTHERS])
        assert list(persistence.list_annotations(RUN)) == [old, new]

    def test_an_annotation_of_the_same_id_replaces(self, persistence: Persistence) -> None:
        persistence.put_annotations([annotation("a", value=1), annotation("a", value=2)])
        assert [note.value for note in persistence.list_annotations(RUN)] == [2]
        persistence.put_annotations([annotation("a", value=3)])
        assert [note.value for note in persistence.list_annotations(RUN)] == [3]
        with pytest.raises(PayloadTooLargeError):
            persistence.put_annotations([annotation("a", value="x" * MAX_ITEM_BYTES)])
        assert [note.value for note in persistence.list_annotations(RUN)] == [3]

    def test_an_annotation_may_be_kept_once(self, persistence: Persistence) -> None:
        assert persistence.put_annotation(annotation("a", value=1)) is None
        assert persistence.put_annotation(annotation("a", value=2)) == annotation("a", value=1)
        assert persistence.put_annotation(annotation("a", run_id=OTHERS[0], value=3)) is None
        assert [note.value for note in persistence.list_annotations(RUN)] == [1]
        with pytest.raises(PayloadTooLargeError):
            persistence.put_annotation(annotation("b", value="x" * MAX_ITEM_BYTES))

    def test_what_one_attempt_noted_in_one_instant_is_listed_by_number(self, persistence: Persistence) -> None:
        stage = StageKey(3, StageId("count"), 2)
        notes = [annotation(f"3.count.2.{number}", stage=stage, attempt=1) for number in range(12)]
        outside = annotation("outside.k")
        persistence.put_annotations([outside, *reversed(notes)])
        assert list(persistence.list_annotations(RUN)) == [*notes, outside]

    def test_dead_letters_are_listed_by_run_and_sequence(self, persistence: Persistence) -> None:
        letters = [dead_letter(sequence, run_id=RunId(f"run-{run}")) for run in range(4) for sequence in (2, 10)]
        for letter in reversed(letters):
            persistence.put_dead_letter(letter)
        persistence.put_dead_letter(replace(letters[0], reason="again"))
        assert list(persistence.list_dead_letters(limit=100)) == letters
        assert list(persistence.list_dead_letters(limit=3)) == letters[:3]
        for place, letter in enumerate(letters):
            behind = persistence.list_dead_letters(limit=100, after=(letter.run_id, letter.sequence))
            assert list(behind) == letters[place + 1 :]
        persistence.delete_dead_letter(letters[0].run_id, letters[0].sequence)
        persistence.delete_dead_letter(RunId("nobody"), 1)
        assert list(persistence.list_dead_letters(limit=100)) == letters[1:]

    def test_everything_but_the_head_lives_longer_when_told(self, persistence: Persistence) -> None:
        self._put_one_of_each(persistence)
        longer = START + 2 * LIFE
        persistence.extend_expiry(RUN, longer)
        persistence.extend_expiry(RUN, START)
        persistence.extend_expiry(RunId("nobody"), longer)
        found_input = persistence.load_input(RUN, "h1")
        assert found_input is not None
        for items in (
            persistence.list_records(RUN),
            [found_input],
            persistence.list_logs(RUN),
            persistence.list_annotations(RUN),
            persistence.list_dead_letters(limit=10),
        ):
            assert [item.expires_at for item in items] == [longer]
        assert persistence.load_records(OTHERS[0], [record().key])[record().key].expires_at == START + LIFE

    def _put_one_of_each(self, persistence: Persistence) -> None:
        persistence.put_record(record())
        persistence.put_record(replace(record(), run_id=OTHERS[0]))
        persistence.put_input(RunInput(RUN, "h1", Payload.of(b"{}"), START + LIFE))
        persistence.put_logs([log_line(0)])
        persistence.put_annotations([annotation("a")])
        persistence.put_dead_letter(dead_letter(1))
