"""The workflows that a deployment knows, in one or several versions each."""

from collections.abc import Iterable, Iterator, Mapping

from workflow_engine.authoring.plugins import Plugin
from workflow_engine.authoring.workflow_definition import WorkflowDefinition
from workflow_engine.errors import WorkflowDefinitionError, WorkflowNotFoundError


class Registry:
    """Finds workflows by id. ``Registry([analysis, billing], plugins=[audit])``.

    Raises:
        WorkflowDefinitionError: an entry is no built workflow, or an id is there twice in the same
            version.
    """

    def __init__(self, definitions: Iterable[WorkflowDefinition], *, plugins: Iterable[Plugin] = ()) -> None:
        self.plugins = tuple(plugins)
        versions: dict[str, dict[int, WorkflowDefinition]] = {}
        for definition in definitions:
            _check_built(definition)
            of_id = versions.setdefault(definition.id, {})
            if definition.version in of_id:
                raise WorkflowDefinitionError(
                    workflow_id=definition.id,
                    problems=[f"version {definition.version} is registered twice; give one a version of its own"],
                )
            of_id[definition.version] = definition
        # Newest first: new runs and almost all runs in flight are of that version.
        self._versions: Mapping[str, tuple[WorkflowDefinition, ...]] = {
            workflow_id: tuple(of_id[version] for version in sorted(of_id, reverse=True))
            for workflow_id, of_id in versions.items()
        }

    def get(self, workflow_id: str) -> WorkflowDefinition:
        """The newest version of that id.

        Raises:
            WorkflowNotFoundError: there is none.
        """
        return self.versions(workflow_id)[0]

    def resolve(self, workflow_id: str, fingerprint: str) -> WorkflowDefinition:
        """The version that *fingerprint* was taken of, or the newest one where none was.

        Raises:
            WorkflowNotFoundError: there is none of that id.
        """
        versions = self.versions(workflow_id)
        return next((known for known in versions if known.fingerprint == fingerprint), versions[0])

    def versions(self, workflow_id: str) -> tuple[WorkflowDefinition, ...]:
        """All versions of that id, the newest first.

        Raises:
            WorkflowNotFoundError: there is none.
        """
        try:
            return self._versions[workflow_id]
        except KeyError:
            raise WorkflowNotFoundError(workflow_id=workflow_id, known=list(self._versions)) from None

    def __iter__(self) -> Iterator[WorkflowDefinition]:
        return (definition for versions in self._versions.values() for definition in versions)

    def __contains__(self, workflow_id: object) -> bool:
        return workflow_id in self._versions

    def __len__(self) -> int:
        return sum(len(versions) for versions in self._versions.values())


def _check_built(definition: object) -> None:
    if not isinstance(definition, WorkflowDefinition):
        raise WorkflowDefinitionError(
            workflow_id=str(getattr(definition, "id", definition)),
            problems=["is not built: a registry takes what Workflow(…).build() answers"],
        )
