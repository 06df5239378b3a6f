"""A finished run as JSON lines, and back. Pure: what is written, not when or where to.

The first line is the run, then comes one line an attempt, then annotations, then log lines and steps where
there are any. Each line says what it is (``kind``), so that a table over many archives can filter.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic_core import from_json

from workflow_engine.authoring.workflow_definition import WorkflowDefinition
from workflow_engine.errors import CorruptItemError, UnsupportedFormatError
from workflow_engine.kernel.queries.views import RunView, view_of
from workflow_engine.model.json_values import to_json
from workflow_engine.model.payloads import Payload
from workflow_engine.model.runs import Annotation, Head, LogLine, StageRecord
from workflow_engine.model.steps import StepRecord

FORMAT = 1
PREFIX = "archive/"
# Of the head's fields these serve a run that is alive, or are written in another form.
_NOT_ARCHIVED = {
    "due_at",
    "due_shard",
    "enters_at",
    "events",
    "input_hash",
    "input_inline",
    "refusals",
    "spilled",
    "winners",
    "winners_from",
}
_STARTED_WITH = ("input", "config", "attributes")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedRun:
    """A run that is over, with all that belongs to it. *started_with* has ``input``, ``config`` and
    ``attributes``; empty where that is gone. Outputs are inline in *records*, but for those that an
    archive has no room for, or that were gone: they are blobs still."""

    head: Head
    records: Sequence[StageRecord]
    started_with: Mapping[str, Any]
    annotations: Sequence[Annotation] = ()
    logs: Sequence[LogLine] = ()
    steps: Sequence[StepRecord] = ()

    def view(self, definition: WorkflowDefinition | None) -> RunView:
        """The run as ``queries.run`` shows one; *definition* is that of its workflow, if known."""
        return view_of(self.head, self.records, definition, self.steps)


def key_of(head: Head) -> str:
    """Where the archive of a run lies: by the day (UTC) on which it ended, then by workflow.

    Raises:
        ValueError: the run is not over.
    """
    if head.ended_at is None:
        raise ValueError(f"run {head.run_id} is not over")
    return f"{PREFIX}{head.ended_at:%Y-%m-%d}/{head.workflow_id}/{head.run_id}.jsonl"


def find_key(keys: Iterable[str], run_id: str) -> str | None:
    """The newest of *keys* that is an archive of a run; ``None`` where none is. A run that ended
    again after a rerun has one for each day on which it ended."""
    return max((key for key in keys if key.endswith(f"/{run_id}.jsonl")), default=None)


def write(run: ArchivedRun, definition: WorkflowDefinition | None = None) -> bytes:
    """The lines of a run, each ended by a line feed."""
    return b"".join(line + b"\n" for line in _lines(run, definition))


def _lines(run: ArchivedRun, definition: WorkflowDefinition | None) -> Iterator[bytes]:
    head = run.head
    facts = _adapter(Head).dump_python(head, mode="json", exclude=_NOT_ARCHIVED)
    winners = [[group, ordinal, epoch] for (group, ordinal), epoch in sorted(head.winners.items())]
    started = {name: to_json(run.started_with[name]) for name in _STARTED_WITH if name in run.started_with}
    yield _line("run", {"format": FORMAT, **facts, "winners": winners}, started)
    stages = run.view(definition).stages
    counted = {stage.counted.key for stage in stages if stage.counted is not None}
    # Of what was undone, the attempt that did it.
    counted |= {one.key for stage in stages if stage.undo for one in stage.undo.attempts if one.error is None}
    for record in run.records:
        yield _attempt(record, counts=record.key in counted)
    for note in run.annotations:
        note_facts = _adapter(Annotation).dump_python(note, mode="json", exclude={"value"})
        yield _line("annotation", note_facts, {"value": to_json(note.value)})
    for line in run.logs:
        line_facts = _adapter(LogLine).dump_python(line, mode="json", exclude={"fields"})
        yield _line("log", line_facts, {"fields": to_json(dict(line.fields))})
    for step in run.steps:
        step_facts = _adapter(StepRecord).dump_python(step, mode="json", exclude={"output", "kind"})
        yield _with_output("step", {"step_kind": step.kind.value, **step_facts}, step.output)


def _attempt(record: StageRecord, *, counts: bool) -> bytes:
    facts = _adapter(StageRecord).dump_python(record, mode="json", exclude={"output"})
    return _with_output("attempt", {**facts, "counts": counts}, record.output)


def _with_output(kind: str, facts: Mapping[str, Any], output: Payload | None) -> bytes:
    if output is None:
        return _line(kind, facts, {})
    facts = {**facts, "output_bytes": output.size_bytes}
    if output.inline is None:
        return _line(kind, {**facts, "output_key": output.blob_key}, {})
    return _line(kind, facts, {"output": output.inline})


def _line(kind: str, facts: Mapping[str, Any], values: Mapping[str, bytes]) -> bytes:
    """A line of *facts*, and of *values* that are JSON already: to parse and dump 16 MiB again would
    take ten times their size."""
    parts = [to_json({"kind": kind, **facts})[:-1]]
    for name, value in values.items():
        parts += [b',"' + name.encode() + b'":', value]
    return b"".join([*parts, b"}"])


def read(data: bytes) -> ArchivedRun:
    """The run that ``write`` made these lines of.

    Raises:
        CorruptItemError: they are none of ours.
        UnsupportedFormatError: they were written by a newer version.
    """
    try:
        lines = [from_json(line) for line in data.split(b"\n") if line]
        if not lines or lines[0]["kind"] != "run":
            raise ValueError("the first line is no run")
        if lines[0]["format"] > FORMAT:
            raise UnsupportedFormatError(what="archive", found=lines[0]["format"], supported=FORMAT)
        return _run(lines)
    except (ValueError, TypeError, KeyError) as error:
        # pydantic's ValidationError is a ValueError.
        raise CorruptItemError(what="archive", problem=str(error)) from error


def _run(lines: Sequence[Mapping[str, Any]]) -> ArchivedRun:
    first, rest = lines[0], lines[1:]
    winners = {(group, ordinal): epoch for group, ordinal, epoch in first["winners"]}
    return ArchivedRun(
        head=_adapter(Head).validate_python({**first, "winners": winners}),
        records=[_record(one) for one in rest if one["kind"] == "attempt"],
        started_with={name: first[name] for name in _STARTED_WITH if name in first},
        annotations=[_adapter(Annotation).validate_python(one) for one in rest if one["kind"] == "annotation"],
        logs=[_adapter(LogLine).validate_python(one) for one in rest if one["kind"] == "log"],
        steps=[_read_step(one) for one in rest if one["kind"] == "step"],
    )


def _record(facts: Mapping[str, Any]) -> StageRecord:
    record: StageRecord = _adapter(StageRecord).validate_python({**facts, "output": None})
    return replace(record, output=_output(facts))


def _read_step(facts: Mapping[str, Any]) -> StepRecord:
    step: StepRecord = _adapter(StepRecord).validate_python({**facts, "kind": facts["step_kind"], "output": None})
    return replace(step, output=_output(facts))


def _output(facts: Mapping[str, Any]) -> Payload | None:
    if "output" in facts:
        return Payload.of(to_json(facts["output"]))
    if "output_key" in facts:
        return Payload(size_bytes=facts["output_bytes"], blob_key=facts["output_key"])
    return None


@cache
def _adapter(type_: type[_T]) -> TypeAdapter[_T]:
    """Reads and writes values of *type_*. Made when the first run is archived: it takes a while."""
    return TypeAdapter(type_)
