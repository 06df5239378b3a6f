"""Where the project is whose workflows are run: its template, its code, its folder for local state."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from workflow_engine.authoring import Registry
from workflow_engine.errors import SettingsError, WorkflowEngineError
from workflow_engine.local.environment import code_on_path
from workflow_engine.local.errors import TemplateError, reason_of, shortened
from workflow_engine.local.place import Place
from workflow_engine.local.template import Template
from workflow_engine.wiring.workflows import load_registry

TEMPLATE_NAME = "template.yaml"
STATE_FOLDER = ".workflow-engine"
DEFAULT_WORKFLOWS = "workflows:registry"


@dataclass(frozen=True, slots=True)
class Project:
    """A project, by its template; *overrides* are template parameters by name."""

    template_path: Path
    overrides: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def find(cls, template: Path | None, overrides: Mapping[str, str] | None = None) -> "Project":
        """The project of *template*, or the one that this folder is in.

        Raises:
            TemplateError: there is none.
        """
        if template is not None:
            return cls(_resolved(template), overrides or {})
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / TEMPLATE_NAME).is_file():
                return cls(folder / TEMPLATE_NAME, overrides or {})
        raise TemplateError(
            where=TEMPLATE_NAME, problem=f"is neither in {here} nor above; go to the project, or give --template"
        )

    @property
    def state_folder(self) -> Path:
        """Where local state is kept: beside the template, ignored by git."""
        return self.template_path.parent / STATE_FOLDER

    def template(self) -> Template:
        """The template, in no particular place."""
        return Template.read(self.template_path, Place(endpoint="http://127.0.0.1"), self.overrides)

    @contextmanager
    def registry(self) -> Iterator[Registry]:
        """The workflows of the project, while their code can be imported.

        Raises:
            SettingsError: the code has no such registry.
        """
        template = self.template()
        with code_on_path(template.code_folder()):
            yield workflows_at(template.variables().get("WORKFLOWS", DEFAULT_WORKFLOWS))


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise TemplateError(where=shortened(str(path)), problem=f"cannot be read: {reason_of(error)}") from error


def workflows_at(name: str) -> Registry:
    """The registry at *name*, ``module:attribute``.

    Raises:
        SettingsError: there is none, or its code cannot be imported.
        WorkflowDefinitionError: a workflow in it cannot be built.
    """
    try:
        return load_registry(name)
    except WorkflowEngineError:
        raise
    except Exception as error:  # it is the user's code, and what is wrong with it is for one line
        raise SettingsError(variable="WORKFLOWS", problem=f"{name!r}: {type(error).__name__}: {error}") from error
