"""What every command promises."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from workflow_engine.cli.app import app
from workflow_engine.cli.errors import exit_code_of
from workflow_engine.errors import RunNotFoundError, TransientError

# What the contract names, and what came to it.
CONTRACT = {
    "run", "list", "show", "watch", "cancel", "rerun", "signal", "events", "logs", "dead-letters", "schedules",
    "graph", "check", "worker", "cost",
}  # fmt: skip
# One prints what a shell or another tool takes as it is, the other JSON lines anyway.
NO_JSON = {"dev env", "export"}


def commands() -> Iterator[tuple[str, Any]]:
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        yield name, command
        for inner, nested in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", nested


NAMES = [name for name, _ in commands()]


def test_all_commands_of_the_contract_are_there() -> None:
    assert set(NAMES) >= CONTRACT


@pytest.mark.parametrize("name", NAMES)
def test_a_command_has_help_with_an_example_and_speaks_json(name: str) -> None:
    result = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "200"})

    assert result.exit_code == 0
    assert "Example: workflow-engine" in result.stdout.replace('eval "$(', "")
    assert ("--json" in result.stdout) == (name not in NO_JSON)


def test_every_option_says_what_it_does() -> None:
    silent = [
        f"{name} {parameter.name}"
        for name, command in commands()
        for parameter in command.params
        if not getattr(parameter, "help", "")
    ]
    assert silent == []


def test_help_loads_neither_aws_nor_moto() -> None:
    script = (
        "import sys; import workflow_engine.cli;"
        "print([name for name in ('boto3', 'botocore', 'moto', 'pynamodb', 'werkzeug') if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert loaded.stdout == "[]\n"


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.count(".") == 2


def test_an_unknown_command_is_bad_usage() -> None:
    assert CliRunner().invoke(app, ["no-such-command"]).exit_code == 2


def test_exit_codes_tell_trouble_with_aws_from_bad_input() -> None:
    assert exit_code_of(TransientError(service="SQS", operation="SendMessage", code="503")) == 3
    assert exit_code_of(RunNotFoundError(run_id="x")) == 2
