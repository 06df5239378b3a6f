"""Which definition a run goes on with, after deploys that may have changed it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workflow_engine.authoring.compatibility import differences
from workflow_engine.authoring.registry import Registry
from workflow_engine.authoring.structure import MODELS
from workflow_engine.authoring.workflow import WorkflowDefinition
from workflow_engine.errors import DefinitionChangedError
from workflow_engine.model.commits import Exclusive
from workflow_engine.model.runs import Head
from workflow_engine.ports.persistence import Persistence


@dataclass(frozen=True, slots=True)
class Definitions:
    """Finds the definition of a run, and keeps the structure of those that runs are started with.

    Answers are remembered for the life of the process: a structure never changes under its
    fingerprint.
    """

    registry: Registry
    persistence: Persistence
    _stored: set[tuple[str, str]] = field(default_factory=set)
    _structures: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    _verdicts: dict[tuple[str, str, str, int], tuple[str, ...]] = field(default_factory=dict)

    def keep(self, definition: WorkflowDefinition) -> None:
        """Store the definition's structure, once a process, so that a later deploy can name the
        difference."""
        name = (definition.id, definition.fingerprint)
        if name not in self._stored:
            self.persistence.put_definition(*name, definition.structure())
            self._stored.add(name)

    def for_run(self, head: Head) -> WorkflowDefinition:
        """The definition to go on with.

        Raises:
            WorkflowNotFoundError: the workflow is not registered any more.
            DefinitionChangedError: it was changed in a way that this run cannot follow.
        """
        definition = self.closest(head)
        if definition.fingerprint == head.fingerprint or head.status.is_terminal:
            return definition
        found = self.differences(head, definition)
        if found:
            raise DefinitionChangedError(run_id=head.run_id, workflow_id=head.workflow_id, differences=found)
        return definition

    def adopted(self, commit: Exclusive, definition: WorkflowDefinition) -> Exclusive:
        """*commit*, for a run that enters its next group under a compatible *definition*, and goes on
        as a run of that: compared with the old one, the group it has just entered might not be there."""
        entered = commit.before is not None and commit.after.group > commit.before.group
        if not entered or commit.after.fingerprint == definition.fingerprint:
            return commit
        self.keep(definition)
        return replace(commit, after=replace(commit.after, fingerprint=definition.fingerprint))

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

    def differences(self, head: Head, definition: WorkflowDefinition) -> tuple[str, ...]:
        """What stands between a run and *definition*; empty where it can go on with it."""
        key = (head.workflow_id, head.fingerprint, definition.fingerprint, head.group)
        if key not in self._verdicts:
            old = self._structure(head)
            self._verdicts[key] = (
                (f"its definition {head.fingerprint} is not known",)
                if old is None
                else tuple(differences(old, definition, head.group))
            )
        return self._verdicts[key]

    def kept_differences(self, head: Head, definition: WorkflowDefinition, group: int) -> tuple[str, ...]:
        """Why the outputs of the groups before *group* do not fit *definition*; empty if they do."""
        old = self._structure(head)
        if old is None:
            return (f"its definition {head.fingerprint} is not known",)
        shapes = "shape" in old
        before = [_outputs(stages, shapes=shapes) for stages in old["groups"][:group]]
        now = [_outputs(stages, shapes=shapes) for stages in definition.structure()["groups"][:group]]
        return tuple(
            f"group {index + 1} had the outputs of {sorted(was)}, which its stages do not have now"
            for index, (was, is_now) in enumerate(zip(before, now, strict=False))
            if was != is_now
        )


def _outputs(stages: Sequence[Mapping[str, Any]], *, shapes: bool) -> dict[str, Any]:
    index = MODELS.index("output")
    return {stage["id"]: stage["shapes"][index] if shapes else stage["output"] for stage in stages}
