"""What ``import workflow_engine`` offers, and what it costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import workflow_engine
from workflow_engine import testing

HEAVY = ("boto3", "botocore", "pynamodb", "aws_lambda_powertools", "moto", "typer", "rich")
PACKAGE = Path(workflow_engine.__file__)


@pytest.mark.parametrize("name", workflow_engine.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(workflow_engine, name).__name__ == name
    assert name in dir(workflow_engine)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Missing'"):
        workflow_engine.Missing  # noqa: B018


def test_what_type_checkers_see_is_what_is_loaded() -> None:
    block = next(node for node in ast.parse(PACKAGE.read_text()).body if isinstance(node, ast.If))
    seen = {
        node.module: tuple(alias.name for alias in node.names)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    assert seen == workflow_engine._LAZY


def test_the_testing_package_offers_what_it_says() -> None:
    block = next(node for node in ast.parse(Path(testing.__file__).read_text()).body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: (node.module or "").rpartition(".")[2] for node in imports for alias in node.names}
    assert seen == testing._LAZY
    assert sorted(seen) == sorted(testing.__all__)
    assert [getattr(testing, name).__name__ for name in testing.__all__] == testing.__all__
    with pytest.raises(AttributeError, match="has no attribute 'Missing'"):
        testing.Missing  # noqa: B018


def test_importing_what_authors_use_loads_no_aws_no_kernel_and_no_command_line() -> None:
    code = "import sys, workflow_engine; workflow_engine.stage; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in loaded if name.split(".")[0] in HEAVY]
    assert not [name for name in loaded if name.startswith(("workflow_engine.kernel", "workflow_engine.adapters"))]


def test_importing_it_loads_nothing_else() -> None:
    code = "import sys, workflow_engine; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.startswith(("workflow_engine.", "pydantic"))] == []
