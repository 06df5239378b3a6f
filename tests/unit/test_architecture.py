"""The rules that `make lint` enforces do turn red: each is broken once, in a copy of the sources."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources and of the rules, to be spoilt."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    # PYTHONPATH comes before the editable install, so that the copy is what is read.
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    command = [str(BIN / "lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


def test_the_sources_keep_the_layers(tree: Path) -> None:
    result = lint_imports(tree)

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("package", "statement", "contract"),
    [
        pytest.param("kernel", "import boto3", "the inside knows no AWS", id="boto3-in-kernel"),
        pytest.param("testing", "import pynamodb", "the inside knows no AWS", id="pynamodb-in-testing"),
        pytest.param("adapters/aws", "import workflow_engine.kernel", "layers point inwards", id="kernel-in-adapter"),
        pytest.param("kernel", "import workflow_engine.testing", "layers point inwards", id="testing-at-run-time"),
        pytest.param("model", "import workflow_engine.ports", "layers point inwards", id="ports-in-model"),
        pytest.param(
            "adapters/memory",
            "import workflow_engine.adapters.aws",
            "adapters are strangers to each other",
            id="adapter-in-adapter",
        ),
        pytest.param(
            "entrypoints",
            "import moto",
            "only the command line knows the embedded AWS",
            id="moto-in-bundle",
        ),
    ],
)
def test_an_import_against_the_layers_is_refused(tree: Path, package: str, statement: str, contract: str) -> None:
    (tree / "src" / "workflow_engine" / package / "planted.py").write_text(f"{statement}  # noqa: F401\n")

    result = lint_imports(tree)

    assert result.returncode == 1, result.stdout
    assert f"{contract} BROKEN" in result.stdout


def test_a_module_outside_the_layers_is_refused(tree: Path) -> None:
    (tree / "src" / "workflow_engine" / "utils.py").touch()

    result = lint_imports(tree)

    assert result.returncode == 1, result.stdout
    assert "utils" in result.stdout


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import datetime\n\nNOW = datetime.datetime.now(datetime.UTC)\n", id="clock"),
        pytest.param("import time\n\nNOW = time.time()\n", id="epoch-seconds"),
        pytest.param("import uuid\n\nID = uuid.uuid4()\n", id="random-id"),
        pytest.param("import random\n\nX = random.random()\n", id="chance"),
        pytest.param("from unittest.mock import Mock\n\nX = Mock()\n", id="mock"),
        pytest.param("import pickle\n\nX = pickle.dumps(1)\n", id="pickle"),
    ],
)
def test_time_and_chance_outside_their_ports_are_refused(code: str) -> None:
    assert banned(code, filename="src/workflow_engine/kernel/planted.py")


def test_the_system_adapter_may_read_the_clock() -> None:
    code = "import datetime\n\nNOW = datetime.datetime.now(datetime.UTC)\n"

    assert not banned(code, filename="src/workflow_engine/adapters/system.py")


def banned(code: str, *, filename: str) -> bool:
    command = [
        str(BIN / "ruff"),
        "check",
        "--select",
        "TID251",
        "--output-format",
        "json",
        "--stdin-filename",
        filename,
        "-",
    ]
    result = subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True, check=False)
    assert result.returncode in (0, 1), result.stderr
    return "TID251" in result.stdout


def test_the_command_line_and_the_hosts_touch_no_port_of_a_kernel() -> None:
    """They dispatch, and ask ``queries`` and ``schedules``. A stack says once which queue its jobs are in."""
    touching = {
        str(path.relative_to(ROOT / "src" / "workflow_engine"))
        for room in ("cli", "hosts")
        for path in (ROOT / "src" / "workflow_engine" / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "parts"
    }

    assert touching == {"cli/stacks.py"}
