"""The bundle as `sam build` makes it (`make bundle`): complete, small, and for the right processor.

`sam build` exits 0 where it found no requirements, and every handler then dies on AWS: so each is imported here
from the built folder alone, by an interpreter that sees nothing else.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.bundle.test_template import deployments
from tests.docs.test_deploying_commands import SAM_OPTIONS

pytestmark = [pytest.mark.bundle, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
# The Makefile names it from the root, and a project of an adopter's lies elsewhere.
_SAM = os.environ.get("SAM", ".cache/sam/bin/sam")
SAM = str(ROOT / _SAM) if "/" in _SAM else _SAM
RUNTIME = "3.13"
# What this machine is called by Lambda.
NATIVE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
# ELF specification, e_machine.
ELF_MACHINES = {"x86_64": 62, "arm64": 183}
# Lambda quotas: 250 MB unzipped. Far below it, since a cold start reads what it imports.
MOST_BYTES = 100_000_000
HANDLERS = ["workflow_engine.entrypoints.job_handler", "workflow_engine.entrypoints.maintenance_tick"]


def run(command: list[str], *, environment: Mapping[str, str] | None = None, folder: Path = ROOT) -> str:
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def _interpreter() -> str | None:
    """The path of the runtime's interpreter, if this machine has one."""
    command = [str(ROOT / "scripts" / "find_python.sh"), RUNTIME]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


PYTHON = _interpreter()
# pip alone, in the place of sam, installs for the machine that it runs on.
BUILT = sorted(ELF_MACHINES) if PYTHON else [NATIVE]


def sam(*arguments: str, folder: Path = ROOT, **variables: str) -> None:
    """Run the SAM CLI with the runtime's interpreter on PATH, where there is one, and without credentials."""
    path = [os.environ["PATH"]]
    if PYTHON:
        path.insert(0, str(Path(PYTHON).parent))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    # It needs a region for the pseudo parameters, and asks AWS for nothing.
    environment |= {"PATH": os.pathsep.join(path), "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    run([SAM, *arguments], environment=environment | variables, folder=folder)


def build(target: Path, architecture: str) -> Path:
    """The folder that Lambda would unpack."""
    bundle = target / "JobFunction"
    if PYTHON:
        sam("build", "--build-dir", str(target), "--no-cached", "--parameter-overrides", f"Architecture={architecture}")
        return bundle
    shutil.copytree(ROOT / "src", bundle)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--target", str(bundle)]
    run([*install, "--requirement", str(ROOT / "src" / "requirements.txt")])
    return bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The bundle for each processor."""
    return {architecture: build(tmp_path_factory.mktemp(architecture), architecture) for architecture in BUILT}


@pytest.fixture
def bundle(bundles: dict[str, Path]) -> Path:
    """The bundle that this machine can import."""
    return bundles[NATIVE]


def test_sam_accepts_the_template() -> None:
    sam("validate", "--lint")


def test_cfn_lint_finds_nothing_in_any_region() -> None:
    cfn_lint = str(Path(sys.executable).parent / "cfn-lint")

    run([cfn_lint, "--regions", "ALL_REGIONS", "--template", str(ROOT / "template.yaml")])


@pytest.mark.parametrize("command", SAM_OPTIONS)
def test_sam_has_the_options_that_the_pages_show(command: str) -> None:
    environment = {**os.environ, "COLUMNS": "200", "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    said = run([SAM, *command.split(), "--help"], environment=environment)

    assert {option for option in SAM_OPTIONS[command] if option not in said} == set()


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_sam_reads_the_same_parameters_for_each_of_its_commands(environment: str) -> None:
    program = f"""
import json
from samcli.cli.types import CfnParameterOverridesType
from samcli.lib.config.samconfig import SamConfig
configuration = SamConfig({str(ROOT)!r})
for command in ("build", "deploy", "validate"):
    found = configuration.get_all([command], "parameters", env={environment!r})
    print(json.dumps(CfnParameterOverridesType().convert(found["parameter_overrides"], None, None), sort_keys=True))
"""
    said = run([str(Path(SAM).parent / "python"), "-c", program]).splitlines()

    assert len(said) == 3
    assert set(said) == {json.dumps(deployments()[environment], sort_keys=True)}


LAYER = "arn:aws:lambda:us-east-1:123456789012:layer:watcher:7"


@pytest.mark.parametrize(("given", "found"), [("", []), (f"{LAYER},{LAYER}", [LAYER, LAYER])])
def test_sam_invokes_the_job_function_with_the_layers_that_were_given_and_no_other(
    given: str, found: list[str]
) -> None:
    """What it cannot work out it takes for the name of a layer, and then asks AWS for it."""
    program = f"""
import json
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
stacks, _ = SamLocalStackProvider.get_stacks("template.yaml", parameter_overrides={{"Layers": {given!r}}})
functions = SamFunctionProvider(stacks).get_all()
print(json.dumps({{function.name: [layer.arn for layer in function.layers] for function in functions}}))
"""
    environment = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"}
    said = run([str(Path(SAM).parent / "python"), "-c", program], environment=environment)

    assert json.loads(said.splitlines()[-1]) == {"JobFunction": found, "TickFunction": []}


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_handler_imports_from_the_bundle_alone(bundle: Path, handler: str) -> None:
    code = f"""
import importlib, json, sys
sys.path.insert(0, {str(bundle)!r})
module = importlib.import_module({handler!r})
assert callable(module.handler)
print(json.dumps([module.__file__, sorted(sys.modules)]))
"""
    # -I and -S: no environment variable, no user's and no site packages.
    file, modules = json.loads(run([PYTHON or sys.executable, "-I", "-S", "-c", code]).splitlines()[-1])

    assert Path(file).is_relative_to(bundle)
    assert {"moto", "rich", "typer", "workflow_engine.cli", "workflow_engine.testing"}.isdisjoint(modules)


def test_the_bundle_has_the_workflows_and_stays_small(bundle: Path) -> None:
    sizes = [path.stat().st_size for path in bundle.rglob("*") if path.is_file()]

    assert (bundle / "workflows" / "__init__.py").exists()
    assert sum(sizes) < MOST_BYTES


@pytest.mark.parametrize("architecture", BUILT)
def test_the_bundle_is_for_the_processor_that_was_asked_for(bundles: dict[str, Path], architecture: str) -> None:
    """Wheels of the machine that builds would import nowhere else."""
    libraries = list(bundles[architecture].rglob("*.so"))

    assert libraries
    assert {machine_of(library) for library in libraries} == {ELF_MACHINES[architecture]}


def machine_of(library: Path) -> int:
    with library.open("rb") as file:
        return int.from_bytes(file.read(20)[18:20], "little")
