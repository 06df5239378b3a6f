"""What somebody gets who installs the wheel: one package, its data, and a command that says what it lacks."""

import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from workflow_engine.cli.entry import DISTRIBUTION, MODULES_OF_LOCAL

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# A line of a .pth file: what the dependencies without the extra bring is lent, and what the extra brings is hidden.
LENT = f"{sysconfig.get_path('purelib')}\nimport sys; sys.modules.update(dict.fromkeys({sorted(MODULES_OF_LOCAL)}))\n"
BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the pinned backend in a copy of the sources: nothing is downloaded."""
    return built_wheel(tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("dist"))


def built_wheel(project: Path, target: Path) -> Path:
    """The wheel, built in *target* from a copy of the sources in *project*."""
    shutil.copytree(ROOT / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    command = [sys.executable, "-c", BUILD, str(target)]
    subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    return next(target.glob("*.whl"))


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``workflow-engine`` of an environment in which the wheel is, with its dependencies and without extras."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(wheel)]
    subprocess.run([*pip, *install], capture_output=True, text=True, check=True)
    site = next((environment / "lib").glob("python3*/site-packages"))
    (site / "lent.pth").write_text(LENT)
    return environment / "bin" / "workflow-engine"


def names_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_one_package_and_none_of_the_samples(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in names_in(wheel)}

    assert tops == {"workflow_engine", f"workflow_engine_aws-{PYPROJECT['project']['version']}.dist-info"}


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    package = ROOT / "src" / "workflow_engine"
    files = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)

    assert {path.relative_to(package.parent).as_posix() for path in files} <= set(names_in(wheel))


def test_the_wheel_has_the_name_that_is_installed_and_the_command_that_is_typed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        told = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = Parser().parsestr(archive.read(told).decode())
        scripts = archive.read(told.replace("METADATA", "entry_points.txt")).decode()

    assert metadata["Name"] == DISTRIBUTION == "workflow-engine-aws"
    assert metadata.get_all("Provides-Extra") == ["local"]
    assert "# workflow-engine" in metadata.get_payload()
    assert "workflow-engine = workflow_engine.cli:main" in scripts


def test_without_the_extra_the_installed_package_is_there_and_the_samples_are_not(command: Path) -> None:
    code = "import importlib.util as u, workflow_engine as w; print(w.__file__, u.find_spec('workflows'))"
    python = [str(command.with_name("python")), "-c", code]
    found, samples = subprocess.run(python, capture_output=True, text=True, check=True).stdout.split()

    assert Path(found).is_relative_to(command.parent.parent)
    assert samples == "None"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--version"], ["run", "x", "--json"]])
def test_without_the_extra_the_command_names_it_in_one_line(command: Path, arguments: list[str]) -> None:
    result = subprocess.run([str(command), *arguments], capture_output=True, text=True, check=False)

    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        'workflow-engine: the command line needs the extra "local" (typer is missing): '
        'pip install "workflow-engine-aws[local]"'
    ]


@pytest.mark.parametrize("missing", ["typer", "rich", "yaml"])
def test_a_part_of_the_extra_that_is_missing_is_named_in_one_line(missing: str) -> None:
    # Somebody may have one of them for reasons of their own.
    code = f"import sys; sys.modules['{missing}'] = None; from workflow_engine.cli import main; main()"
    command = [sys.executable, "-c", code, "graph", "document-analysis"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert f'needs the extra "local" ({missing} is missing)' in result.stderr


def test_a_module_of_somebody_elses_that_is_missing_is_no_matter_of_the_extra() -> None:
    code = "import sys; sys.modules['workflow_engine.cli.app'] = None; from workflow_engine.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "ModuleNotFoundError" in result.stderr
    assert "extra" not in result.stderr


def test_the_command_knows_all_that_the_bundle_does_not_carry() -> None:
    contracts = {contract["name"]: contract for contract in PYPROJECT["tool"]["importlinter"]["contracts"]}

    assert set(contracts["only the command line knows the embedded AWS"]["forbidden_modules"]) == MODULES_OF_LOCAL
