"""What somebody has who installs the wheel into an empty environment and begins a project in an empty folder (`make bundle`).

Each command runs as it is typed, with nothing in its environment but where programs and packages come from.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bundle.test_build import HANDLERS, NATIVE, PYTHON, run, sam
from tests.unit.test_wheel import built_wheel

pytestmark = [pytest.mark.bundle, pytest.mark.timeout(600)]

# How pip reaches the packages, on machines behind a proxy or with a mirror.
REACHES_PACKAGES = ("PIP_", "SSL_", "REQUESTS_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy")
# Far below Lambda's 250 MB; most of it is botocore's descriptions of all services.
MOST_BYTES = 50_000_000
# What the wheel has and no function imports: it stays in the bundle, since `sam build` installs wheels whole.
NEVER_IMPORTED = ("cli", "costing", "local", "scaffold", "testing")
MOST_BYTES_NEVER_IMPORTED = 1_000_000
MINE = """  Orders:
    Type: AWS::SQS::Queue
"""


@dataclass(frozen=True)
class Adopter:
    """A project in *folder*, and the environment of whoever types there."""

    folder: Path
    environment: Mapping[str, str]

    def types(self, command: str) -> str:
        """What *command* of the environment says."""
        name, *arguments = command.split()
        program = str(self.folder / ".venv" / "bin" / name)
        return run([program, *arguments], environment=self.environment, folder=self.folder)


@pytest.fixture(scope="module")
def adopter(tmp_path_factory: pytest.TempPathFactory) -> Adopter:
    """Who has installed the wheel and begun a project."""
    wheel = built_wheel(tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("dist"))
    folder = tmp_path_factory.mktemp("empty") / "my-orders"
    folder.mkdir()
    reached = {name: value for name, value in os.environ.items() if name.startswith(REACHES_PACKAGES)}
    links = " ".join(filter(None, [str(wheel.parent), os.environ.get("PIP_FIND_LINKS")]))
    environment = {**reached, "PIP_FIND_LINKS": links, "HOME": str(folder.parent), "PATH": "/usr/bin:/bin"}
    run([sys.executable, "-m", "venv", ".venv"], environment=environment, folder=folder)
    adopter = Adopter(folder, environment)
    adopter.types("pip install --quiet workflow-engine-aws[local] pytest")
    adopter.types("workflow-engine init --yes")
    return adopter


@pytest.fixture(scope="module")
def bundle(adopter: Adopter) -> Path:
    """The folder that Lambda would unpack, for this machine's processor."""
    target = adopter.folder / ".aws-sam" / "build"
    if PYTHON:
        links = adopter.environment["PIP_FIND_LINKS"]
        overrides = ["--parameter-overrides", f"Architecture={NATIVE}"]
        sam("build", "--no-cached", *overrides, folder=adopter.folder, PIP_FIND_LINKS=links)
        return target / "JobFunction"
    shutil.copytree(adopter.folder / "src", target / "JobFunction")
    adopter.types(f"pip install --quiet --target {target / 'JobFunction'} --requirement src/requirements.txt")
    return target / "JobFunction"


def test_the_workflow_runs_at_once(adopter: Adopter) -> None:
    (document,) = json.loads(adopter.types("workflow-engine run --json"))["runs"]

    assert (document["status"], document["output"]["text"]) == ("COMPLETED", "Hello, world!")


def test_its_tests_pass(adopter: Adopter) -> None:
    assert "2 passed" in adopter.types("pytest -q")


def test_the_project_can_be_installed_with_all_that_it_needs(adopter: Adopter) -> None:
    """What the functions import is written down once."""
    adopter.types("pip install --quiet --editable .[dev]")

    said = adopter.types("pip show my-orders")
    assert "Requires: workflow-engine-aws" in said


def test_sam_accepts_the_template(adopter: Adopter) -> None:
    sam("validate", "--lint", folder=adopter.folder)


def test_an_upgrade_keeps_what_is_the_users_and_then_changes_nothing(adopter: Adopter) -> None:
    template = adopter.folder / "template.yaml"
    rendered = template.read_text()
    mine = rendered.replace("  # <<< yours: resources\n", f"{MINE}  # <<< yours: resources\n")
    template.write_text(mine.replace("# workflow-engine 0.1.0 ", "# workflow-engine 0.0.1 "))
    try:
        assert "-# workflow-engine 0.0.1" in adopter.types("workflow-engine upgrade")
        assert template.read_text() == mine
        assert "is as version" in adopter.types("workflow-engine upgrade")
        assert json.loads(adopter.types("workflow-engine upgrade --json"))["files"] == []
        sam("validate", "--lint", folder=adopter.folder)
    finally:
        template.write_text(rendered)


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_handler_and_the_workflows_import_from_the_bundle_alone(bundle: Path, handler: str) -> None:
    code = f"""
import importlib, json, sys
sys.path.insert(0, {str(bundle)!r})
module = importlib.import_module({handler!r})
assert callable(module.handler)
from my_orders import registry
print(json.dumps([module.__file__, sorted(sys.modules), [one.id for one in registry]]))
"""
    said = run([PYTHON or sys.executable, "-I", "-S", "-c", code])
    file, modules, workflows = json.loads(said.splitlines()[-1])

    assert Path(file).is_relative_to(bundle)
    assert workflows == ["greeting"]
    assert {f"workflow_engine.{room}" for room in NEVER_IMPORTED}.isdisjoint(modules)


def size(*folders: Path) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def test_the_bundle_has_what_the_functions_need_and_stays_small(bundle: Path) -> None:
    """No samples, no emulator, no tools; boto3 comes along, since the runtime's own may be older."""
    names = {path.name for path in bundle.iterdir()}

    assert {"workflow_engine", "my_orders", "botocore", "pydantic"} <= names
    assert {"workflows", "tests", "moto", "typer", "rich", "yaml", "pytest"}.isdisjoint(names)
    assert size(bundle) < MOST_BYTES
    assert size(*(bundle / "workflow_engine" / room for room in NEVER_IMPORTED)) < MOST_BYTES_NEVER_IMPORTED
