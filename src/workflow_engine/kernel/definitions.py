"""Which definition a run goes on with, after deploys that may have changed it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from workflow_engine.authoring.compatibility import (
    Comparison,
    Question,
    compare,
    compare_ahead,
    compare_closing,
    compare_kept,
)
from workflow_engine.authoring.registry import Registry
from workflow_engine.authoring.structure import plan_of
from workflow_engine.authoring.workflow import WorkflowDefinition
from workflow_engine.errors import (
    DefinitionChangedError,
    NewerDefinitionError,
    WorkflowEngineError,
    WorkflowNotFoundError,
)
from workflow_engine.kernel import transitions
from workflow_engine.kernel.stored_values import lost_waits, unreadable
from workflow_engine.model import plans
from workflow_engine.model.commits import Exclusive, newest_base
from workflow_engine.model.limits import A_DEPLOY
from workflow_engine.model.plans import Plan
from workflow_engine.model.runs import Head, forward
from workflow_engine.model.status import Status
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.clock import Clock
from workflow_engine.ports.persistence import Persistence

# Runs whose values were asked. After so many, whoever comes again is asked again.
MAX_REMEMBERED = 10_000
# A tick asks once for all the runs of its pages.
A_LOOK = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """Finds the definition of a run, and keeps the structure of those that runs are started with.

    Answers are remembered for the life of the process: a structure never changes under its
    fingerprint.
    """

    registry: Registry
    persistence: Persistence
    blobs: BlobStore
    clock: Clock
    _kept: dict[tuple[str, str], datetime] = field(default_factory=dict)
    _in_use: dict[tuple[str, str], tuple[bool, datetime]] = field(default_factory=dict)
    _structures: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    _comparisons: dict[tuple[str, str, str, int, bool, bool], Comparison] = field(default_factory=dict)
    _asked: set[tuple[str, str, str, int, int, bool]] = field(default_factory=set)

    def keep(self, definition: WorkflowDefinition) -> None:
        """Store the definition's structure, so that a later deploy can name the difference; and every
        half an hour again, since others leave alone what somebody starts runs with."""
        name, now = (definition.id, definition.fingerprint), self.clock.now()
        kept = self._kept.get(name)
        if kept is None or now - kept >= A_DEPLOY / 2:
            self.persistence.put_definition(*name, definition.structure(), kept_at=now)
            self._kept[name] = now

    def for_run(self, head: Head) -> WorkflowDefinition:
        """The definition to go on with. Where a model is another than it was, what the run has stored
        is asked whether it can still be read: once for each group that the run is in.

        Raises:
            WorkflowNotFoundError: the workflow is not registered any more.
            DefinitionChangedError: it was changed in a way that this run cannot follow.
            NewerDefinitionError: either, but code that knows better is at work, too.
            TransientError: a store did not answer.
        """
        try:
            return self._for_run(head)
        except (WorkflowNotFoundError, DefinitionChangedError) as error:
            if not head.status.is_terminal:
                self.leave_to_others(head, error)
            raise

    def leave_to_others(self, head: Head, error: WorkflowEngineError) -> None:
        """Leave a run alone that this process can only fail with *error*, where the code that knows its
        definition started runs within the last hour.

        Raises:
            NewerDefinitionError: it did.
        """
        name = (head.workflow_id, head.fingerprint)
        if not self._has(*name) and self._is_in_use(*name):
            raise NewerDefinitionError(workflow_id=name[0], fingerprint=name[1], detail=str(error)) from error

    def _has(self, workflow_id: str, fingerprint: str) -> bool:
        try:
            versions = self.registry.versions(workflow_id)
        except WorkflowNotFoundError:
            return False
        return any(version.fingerprint == fingerprint for version in versions)

    def _is_in_use(self, workflow_id: str, fingerprint: str) -> bool:
        name, now = (workflow_id, fingerprint), self.clock.now()
        known = self._in_use.get(name)
        if known is None or now - known[1] >= A_LOOK:
            kept_at = self.persistence.definition_kept_at(*name)
            known = (kept_at is not None and now - kept_at < A_DEPLOY, now)
            self._in_use[name] = known
        return known[0]

    def _for_run(self, head: Head) -> WorkflowDefinition:
        definition = self.closest(head)
        if definition.fingerprint == head.fingerprint or head.status.is_terminal:
            return definition
        head = forward(head)
        comparison = self._compared(head, definition)
        _refuse(head, [*comparison.differences, *lost_waits(head, comparison.questions)])
        key = (head.run_id, head.fingerprint, definition.fingerprint, head.group, newest_base(head), head.is_closing)
        if comparison.questions and key not in self._asked:
            _refuse(head, self._unreadable(head, definition, comparison.questions))
            if len(self._asked) >= MAX_REMEMBERED:
                self._asked.clear()
            self._asked.add(key)
        return definition

    def adopted(self, commit: Exclusive, definition: WorkflowDefinition) -> Exclusive:
        """*commit* as ``transitions.adopting`` decides, with *definition* kept where a run becomes one of it."""
        adopted = transitions.adopting(commit, definition.fingerprint, definition.plan.closes_on)
        if adopted is not commit:
            self.keep(definition)
        return adopted

    def closest(self, head: Head) -> WorkflowDefinition:
        """The definition that a run was started with; else the one of the same version, else the
        newest. Whether the run can go on with it is another question.

        Raises:
            WorkflowNotFoundError: the workflow is not registered any more.
        """
        found = self.registry.resolve(head.workflow_id, head.fingerprint)
        versions = self.registry.versions(head.workflow_id)
        if found.fingerprint == head.fingerprint or len(versions) == 1:
            return found
        structure = self._structure(head) or {}
        return next((known for known in versions if known.version == structure.get("version")), found)

    def _structure(self, head: Head) -> Mapping[str, Any] | None:
        """What is stored of the definition that a run was started with."""
        name = (head.workflow_id, head.fingerprint)
        if name not in self._structures:
            found = self.persistence.load_definition(*name)
            if found is None:
                return None
            self._structures[name] = found
        return self._structures[name]

    def longest_timeout(self, workflow_id: str, stage_id: str, group: int | None = None) -> timedelta | None:
        """What the stage may take in any version of the workflow, or what undoes it where *group* is of the closing
        phase; ``None`` where none has it here."""
        try:
            versions = self.registry.versions(workflow_id)
        except WorkflowNotFoundError:
            return None
        if group == plans.ON_FAILURE:
            stages = [version.on_failure for version in versions if version.on_failure is not None]
        else:
            stages = [stage for version in versions for stages in version.groups for stage in stages]
        if group is not None and plans.is_closing(group) and group != plans.ON_FAILURE:
            stages = [stage.undoing for stage in stages if stage.undoing is not None]
        return max((stage.timeout for stage in stages if stage.id == stage_id), default=None)

    def to_undo(self, head: Head) -> WorkflowDefinition:
        """What knows how to undo what a run did that is over.

        Raises:
            WorkflowNotFoundError, DefinitionChangedError: nothing here does.
            NewerDefinitionError: nothing here does, but code that knows better is at work, too.
        """
        try:
            definition = self.closest(head)
            if definition.fingerprint != head.fingerprint:
                old = self._structure(head)
                comparison = self._unknown(head) if old is None else compare_closing(old, definition, reached(head))
                _refuse(head, [*comparison.differences])
                _refuse(head, self._unreadable(head, definition, comparison.questions))
        except (WorkflowNotFoundError, DefinitionChangedError) as error:
            self.leave_to_others(head, error)
            raise
        return definition

    def known_plan(self, head: Head) -> Plan:
        """The plan of what the run was started with, as far as it is known here; else as it was stored."""
        try:
            return self.for_run(head).plan
        except (WorkflowNotFoundError, DefinitionChangedError, NewerDefinitionError):
            return plan_of(self._structure(head) or {})

    def differences(self, head: Head, definition: WorkflowDefinition) -> tuple[str, ...]:
        """What stands between a run and *definition*, in its stored values too; empty where it can
        go on with it."""
        head = forward(head)
        comparison = self._compared(head, definition)
        found = [*comparison.differences, *lost_waits(head, comparison.questions)]
        return tuple(found or self._unreadable(head, definition, comparison.questions))

    def kept_differences(self, head: Head, definition: WorkflowDefinition, group: int) -> tuple[str, ...]:
        """Why what a run keeps that goes again from *group* on does not fit *definition*: its earlier
        groups are others, or their outputs cannot be read any more. Empty if it does."""
        old = self._structure(head)
        comparison = self._unknown(head) if old is None else compare_kept(old, definition, group)
        return comparison.differences or tuple(self._unreadable(head, definition, comparison.questions))

    def _compared(self, head: Head, definition: WorkflowDefinition) -> Comparison:
        key = (
            head.workflow_id,
            head.fingerprint,
            definition.fingerprint,
            reached(head),
            head.is_closing,
            head.is_undecided,
        )
        if key not in self._comparisons:
            old, how = self._structure(head), compare_closing if head.is_closing else compare
            how = compare_ahead if head.is_undecided else how
            self._comparisons[key] = self._unknown(head) if old is None else how(old, definition, reached(head))
        return self._comparisons[key]

    def _unknown(self, head: Head) -> Comparison:
        return Comparison((f"its definition {head.fingerprint} is not known",))

    def _unreadable(self, head: Head, definition: WorkflowDefinition, questions: Sequence[Question]) -> list[str]:
        return list(unreadable(head, definition, questions, persistence=self.persistence, blobs=self.blobs))


def reached(head: Head) -> int:
    """The group that the run has come to. One that has ended before a group has begun nothing of that."""
    has_entered = head.active or head.is_undecided or head.status is Status.COMPLETED
    return head.group if has_entered else head.group - 1


def _refuse(head: Head, differences: Sequence[str]) -> None:
    if differences:
        raise DefinitionChangedError(run_id=head.run_id, workflow_id=head.workflow_id, differences=differences)
