"""Renders what ``init`` writes from package data: the template with the user's parts in it, and the rest of a project."""

from collections.abc import Mapping
from importlib.resources import files

from workflow_engine.scaffold.marks import Header, Marked, digest_of, take_apart
from workflow_engine.scaffold.names import application_of

TEMPLATE = "template.yaml"
REQUIREMENTS = "src/requirements.txt"
# Where each file of a project goes, by what it is called among the package's data.
_PROJECT: Mapping[str, str] = {
    "README.md": "README.md.in",
    "pyproject.toml": "pyproject.toml.in",
    "samconfig.toml": "samconfig.toml.in",
    ".gitignore": "gitignore.in",
    REQUIREMENTS: "requirements.txt.in",
    "src/@@package@@/__init__.py": "package.py.in",
    "src/@@package@@/greeting.py": "greeting.py.in",
    "tests/test_greeting.py": "test_greeting.py.in",
    "events/run-create.json": "run-create.json.in",
    "events/maintenance-tick.json": "maintenance-tick.json.in",
}
# What stands in the package's data for the first line's digest, which is not known before.
_NO_DIGEST = "0" * 64


def template(*, version: str, workflows: str, mine: Marked | None = None) -> Marked:
    """The template of this engine for the registry *workflows*, with the parts of *mine* and its ends of lines."""
    header = Header(version=version, workflows=workflows, digest=_NO_DIGEST)
    text = f"{header.line()}\n{_data('template.yaml.in')}".replace("@@workflows@@", workflows)
    plain = take_apart(text, TEMPLATE)
    return Marked(
        header=Header(version=version, workflows=workflows, digest=digest_of(plain.rest)),
        parts={**plain.parts, **(mine.parts if mine else {})},
        rest=plain.rest,
        newline=mine.newline if mine else "\n",
        bom=mine.bom if mine else False,
    )


def project(*, version: str, package: str) -> dict[str, str]:
    """Every file of a new project by its path in it."""
    values = {"@@package@@": package, "@@application@@": application_of(package), "@@version@@": version}
    found = {_filled(path, values): _filled(_data(name), values) for path, name in _PROJECT.items()}
    return {**found, TEMPLATE: template(version=version, workflows=f"{package}:registry").text()}


def _data(name: str) -> str:
    return (files("workflow_engine.scaffold") / "files" / name).read_text(encoding="utf-8")


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(name, value)
    return text
