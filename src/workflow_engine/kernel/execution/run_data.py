"""What the stages of one run read, within one invocation: input, config, earlier outputs.

Read when it is asked for and kept for the stages that are chained after it, so that a chained
stage reads nothing from the store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from workflow_engine.authoring.stage_definition import StageDefinition
from workflow_engine.authoring.workflow import WorkflowDefinition
from workflow_engine.errors import CorruptItemError, StageSkippedError
from workflow_engine.kernel import payloads, records, winners
from workflow_engine.model import plans
from workflow_engine.model.ids import StageId
from workflow_engine.model.json_values import written_again
from workflow_engine.model.limits import MAX_INLINE_BYTES
from workflow_engine.model.runs import SKIPPED_EPOCH, EntryState, Head, KeptSignal, StageKey, StageRecord, forward
from workflow_engine.model.status import Status
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.persistence import Persistence


@dataclass(slots=True, kw_only=True)
class RunData:
    """Reads for one run. *head* is replaced as the run moves on; what is read stays."""

    head: Head
    definition: WorkflowDefinition
    persistence: Persistence
    blobs: BlobStore
    _started_with: dict[str, Any] | None = None
    _outputs: dict[StageKey, bytes] = field(default_factory=dict)
    _large: list[StageKey] = field(default_factory=list)
    _whole: Head | None = None

    def started_with(self) -> dict[str, Any]:
        """The run's ``input``, ``config`` and ``attributes``."""
        if self._started_with is None:
            self._started_with = payloads.load_input(self.head, persistence=self.persistence, blobs=self.blobs)
        return self._started_with

    def key(self, group: int, ordinal: int) -> StageKey:
        """Where the winning output of a stage of an earlier group lies."""
        stage_id = StageId(self.definition.groups[group][ordinal].id)
        head = forward(self.head)
        if group < head.winners_from:
            if self._whole is None or self._whole.group <= group:
                self._whole = winners.completed(head, self.persistence)
            head = self._whole
        return StageKey(group, stage_id, head.winner(group, ordinal))

    def remember(self, key: StageKey, output: bytes) -> None:
        """Keep an output for the stages that are chained after it. Of large ones only the newest
        group's: a long chain of them is more than a function has memory for, and who asks for an
        older one reads it again."""
        self._outputs[key] = output
        if len(output) > MAX_INLINE_BYTES:
            for older in [large for large in self._large if large.group < key.group]:
                self._large.remove(older)
                self._outputs.pop(older, None)
            self._large.append(key)

    def outputs(self, keys: Sequence[StageKey]) -> list[bytes]:
        """The outputs under *keys*, read in one go where they are not at hand.

        Raises:
            CorruptItemError: one of them is not there any more.
        """
        missing = [key for key in keys if key not in self._outputs]
        if missing:
            found = records.loaded(forward(self.head), missing, self.persistence)
            for key in missing:
                self._outputs[key] = self._output(key, found.get(key))
            self._keep_small(found)
        return [self._outputs[key] for key in keys]

    def _keep_small(self, found: Mapping[StageKey, StageRecord]) -> None:
        """What lay beside what was asked for, and needs no other request."""
        for key, record in found.items():
            if record.status is Status.COMPLETED and record.output is not None and record.output.inline is not None:
                self._outputs.setdefault(key, record.output.inline)

    def _output(self, key: StageKey, record: StageRecord | None) -> bytes:
        if record is None or record.output is None:
            what = f"output of stage {key.stage_id} of run {self.head.run_id}"
            raise CorruptItemError(what=what, problem="it is gone")
        return payloads.fetch(record.output, self.blobs)

    def read(self, stage_id: str) -> bytes | None:
        """The output of a stage of an earlier group, for ``ctx.require``; else ``None``.

        Raises:
            StageSkippedError: it was skipped.
        """
        group, ordinal = self.definition.position(stage_id)
        head = forward(self.head)
        if group < head.group:
            return self._unless_skipped(self.key(group, ordinal))
        entry = head.active[ordinal] if head is not self.head and group == head.group else None
        if entry is None or entry.state not in (EntryState.DONE, EntryState.SKIPPED):
            return None
        return self._unless_skipped(StageKey(group, StageId(stage_id), entry.epoch))

    def _unless_skipped(self, key: StageKey) -> bytes:
        if key.epoch == SKIPPED_EPOCH:
            raise StageSkippedError(workflow_id=self.definition.id, stage_id=key.stage_id)
        return self.outputs([key])[0]

    def left_by(self, group: int) -> dict[str, bytes]:
        """The outputs of *group*, an earlier one or the one that is all done, by stage; none of those that were skipped.

        Raises:
            CorruptItemError: one of them is not there any more.
        """
        keys = [key for key in self._keys(group) if key.epoch != SKIPPED_EPOCH]
        return {key.stage_id: data for key, data in zip(keys, self.outputs(keys), strict=True)}

    def _keys(self, group: int) -> list[StageKey]:
        stages, head = self.definition.groups[group], self.head
        if group == head.group and len(head.active) == len(stages):
            found = zip(stages, head.active, strict=True)
            return [StageKey(group, StageId(stage.id), entry.epoch) for stage, entry in found]
        return [self.key(group, ordinal) for ordinal in range(len(stages))]

    def run_input(self) -> BaseModel:
        """The run's input, validated, for ``ctx.run_input``.

        Raises:
            InvalidInputError: it does not fit the workflow's model.
        """
        return self.definition.validate_input(self.started_with()["input"])

    def input_for(self, stage: StageDefinition) -> BaseModel | None:
        """The stage's input, validated.

        Raises:
            InvalidInputError: it does not fit the stage's model.
        """
        return self.input_at(stage, self.head.group)

    def input_at(self, stage: StageDefinition, group: int) -> BaseModel | None:
        """What *stage* of that *group* got, of which the run is not any more.

        Raises:
            InvalidInputError: it does not fit the stage's model.
        """
        if stage.input_model is None:
            return None
        before = plans.before(group)
        if before is None:
            return stage.load_input(written_again(self.started_with()["input"]))
        definition, outputs = self.definition, self.left_by(before)
        return stage.load_input(definition.compose_input(stage.id, outputs), definition.given_by(before, outputs))

    def fetch_ahead(self) -> None:
        """Read what each stage of the group will ask for: once, before they do it side by side."""
        before = plans.before(self.head.group)
        if before is None or any(stage.wants_context for stage in self.definition.groups[self.head.group]):
            self.started_with()
        if before is not None:
            self.left_by(before)

    def apart(self) -> "RunData":
        """What is known of the run, for one of several who read at the same time."""
        return replace(self)

    def config_for(self, stage: StageDefinition) -> BaseModel | None:
        """The stage's config: what the run was given, merged into the model's defaults.

        Raises:
            InvalidConfigError: it does not fit the stage's model.
        """
        if stage.config_model is None:
            return None
        return self.definition.config_for(stage.id, self.started_with()["config"])

    def signal(self, element: str) -> KeptSignal:
        """A kept signal.

        Raises:
            CorruptItemError: it is not there any more.
        """
        kept = self.persistence.load_signal(self.head.run_id, element)
        if kept is None:
            raise CorruptItemError(what=f"signal {element}", problem="it is gone")
        return kept
