"""Asks what a run has stored whether it can be read under another definition."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from workflow_engine.authoring.compatibility import Question
from workflow_engine.authoring.stage_definition import StageDefinition
from workflow_engine.authoring.workflow_definition import WorkflowDefinition
from workflow_engine.errors import (
    AwsRequestError,
    BlobNotFoundError,
    CorruptItemError,
    InvalidConfigError,
    InvalidInputError,
    InvalidOutputError,
)
from workflow_engine.kernel import payloads, records
from workflow_engine.kernel.execution.ending import kept_state
from workflow_engine.kernel.execution.run_data import RunData
from workflow_engine.model.ids import StageId
from workflow_engine.model.runs import SKIPPED_EPOCH, Entry, EntryState, Head, StageKey, WaitKind
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.persistence import Persistence

_UNFIT = (InvalidConfigError, InvalidInputError, InvalidOutputError)
# Not there any more; or not to be read here: a maintenance function has no access to payloads.
_ELSEWHERE = (AwsRequestError, BlobNotFoundError, CorruptItemError)
_OVER = (EntryState.DONE, EntryState.SKIPPED)
_CHANGED: Mapping[str, str] = {
    "input": "the input of stage {} has changed, and the stored one cannot be read any more",
    "output": "the output of stage {} has changed, and the stored one cannot be read any more",
    "state": "the state that stage {} keeps has changed, and the stored one cannot be read any more",
    "config": "stage {} requires config that the run was not given",
}


def lost_waits(head: Head, questions: Iterable[Question]) -> Iterator[str]:
    """What the run waits for that nobody would wake any more, as its head shows it."""
    for question in questions:
        entry = _entry(head, question)
        if entry is None or entry.state in _OVER:
            continue
        if question.about == "check" and entry.suspended_epoch is not None:
            yield f"stage {question.stage_id!r} is suspended and has no check_completion any more"
        if question.about == "handler" and entry.wait is WaitKind.SIGNAL and entry.step is None:
            yield f"stage {question.stage_id!r} waits for a signal and has no on_signal any more"


def unreadable(
    head: Head,
    definition: WorkflowDefinition,
    questions: Iterable[Question],
    *,
    persistence: Persistence,
    blobs: BlobStore,
) -> Iterator[str]:
    """What the run has stored that the models of *definition* do not read: one line each.

    What is not there any more, or may not be read here, is left to whoever needs it.

    Raises:
        TransientError: a store did not answer.
    """
    asking = _Asking(RunData(head=head, definition=definition, persistence=persistence, blobs=blobs))
    for question in questions:
        try:
            asking.ask(question)
        except _ELSEWHERE:
            continue
        except _UNFIT as error:
            what = _CHANGED[question.about].format(repr(question.stage_id))
            yield f"{what}: {'; '.join(error.problems)}"


def _entry(head: Head, question: Question) -> Entry | None:
    if question.group != head.group or question.ordinal >= len(head.active):
        return None
    return head.active[question.ordinal]


@dataclass(frozen=True, slots=True)
class _Asking:
    data: RunData

    def ask(self, question: Question) -> None:
        stage = self.data.definition.groups[question.group][question.ordinal]
        entry = _entry(self.data.head, question)
        is_done = entry is not None and entry.state in _OVER
        if question.about == "config" and not is_done:
            self.data.config_for(stage)
        elif question.about == "input" and not is_done:
            self.data.input_for(stage)
        elif question.about == "output" and (entry is None or is_done):
            key = StageKey(question.group, StageId(stage.id), entry.epoch) if entry is not None else None
            key = key or self.data.key(question.group, question.ordinal)
            stored = None if key.epoch == SKIPPED_EPOCH else self._stored(key)
            if stored is not None:
                stage.load_output(stored)
        elif question.about == "state" and not is_done:
            self._ask_state(stage, entry, question.group)

    def _ask_state(self, stage: StageDefinition, entry: Entry | None, group: int) -> None:
        if entry is not None and entry.suspended_epoch is not None and stage.check is not None:
            stored = self._stored(StageKey(group, StageId(stage.id), entry.suspended_epoch))
            if stored is not None:
                stage.load_state(kept_state(stored).state)

    def _stored(self, key: StageKey) -> bytes | None:
        """One at a time, and not remembered: together they may be more than a function has memory for."""
        data = self.data
        record = records.loaded(data.head, [key], data.persistence).get(key)
        return None if record is None or record.output is None else payloads.fetch(record.output, data.blobs)
