"""What ``init`` and ``upgrade`` refuse. Wherever one of these is raised, nothing has been written."""

from collections.abc import Sequence

from workflow_engine.errors import WorkflowEngineError

# What a message lists of the names in a folder.
MAX_LISTED = 10


class FolderNotEmptyError(WorkflowEngineError):
    """There is something in the folder that a project would be written into."""

    def __init__(self, *, folder: str, found: Sequence[str]) -> None:
        shown = ", ".join(repr(name) for name in found[:MAX_LISTED])
        more = f" and {len(found) - MAX_LISTED} more" if len(found) > MAX_LISTED else ""
        super().__init__(f"{folder} is not empty: it has {shown}{more}; name a folder that is, or a new one")
        self.folder, self.found = folder, tuple(found)


class PackageNameError(WorkflowEngineError):
    """A project cannot have a package of that name; *proposed* is one that it can have."""

    def __init__(self, *, name: str, problem: str, proposed: str) -> None:
        shown = repr(name) if len(name) <= 100 else f"{name[:100]!r}…"
        super().__init__(f"{shown} {problem}; --name {proposed} would do")
        self.name, self.problem, self.proposed = name, problem, proposed


class ProjectFileError(WorkflowEngineError):
    """A file cannot be read or written."""

    def __init__(self, *, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem


class NotRenderedError(WorkflowEngineError):
    """A file is no template of this engine's, or its marks are not as they were."""

    def __init__(self, *, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem


class NewerTemplateError(WorkflowEngineError):
    """A template was rendered by a newer version than the one that is installed."""

    def __init__(self, *, path: str, rendered_by: str, installed: str) -> None:
        super().__init__(
            f"{path} was rendered by version {rendered_by}, and {installed} is installed; "
            'pip install --upgrade "workflow-engine-aws[local]" first'
        )
        self.path, self.rendered_by, self.installed = path, rendered_by, installed


class TemplateEditedError(WorkflowEngineError):
    """A template was changed outside its marked parts. *difference* is a unified diff from what would be rendered to what
    is there."""

    def __init__(self, *, path: str, difference: str, exact: bool) -> None:
        shown = "what was changed" if exact else "what was changed, and what is new,"
        super().__init__(
            f"{path} was changed outside the parts that are yours; {shown} is shown above: move it between "
            "`>>> yours` and `<<< yours`, or let go of it with --discard-edits"
        )
        self.path, self.difference, self.exact = path, difference, exact
