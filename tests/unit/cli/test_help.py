"""What every command promises."""

import os
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
    "graph", "check", "worker", "cost", "waiting",
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


# Each of them takes longer to load than the command line takes to say what it can do.
DEAR = ("boto3", "botocore", "pynamodb", "moto", "werkzeug", "yaml", "rich", "pygments", "pydantic")
LOADED = """
import sys
sys.argv = ["workflow-engine", *sys.argv[1:]]
from workflow_engine.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def loaded_by(*arguments: str) -> set[str]:
    """The modules that a process of the command line has at its end."""
    command = [sys.executable, "-c", LOADED, *arguments]
    nobody_there = {**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=nobody_there)
    return set(ended.stderr.split())


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["list", "--help"], ["dead-letters", "--help"]])
def test_what_only_says_something_of_itself_loads_nothing_dear(arguments: list[str]) -> None:
    loaded = loaded_by(*arguments)
    assert "workflow_engine.cli.app" in loaded
    # Typer itself asks pydantic how the options of a command are read.
    assert not loaded & ({*DEAR} if arguments[0].startswith("--") else {*DEAR} - {"pydantic"})
    parts = {name.split(".")[1] for name in loaded if name.startswith("workflow_engine.")}
    # Of the engine only the errors.
    assert parts <= {"cli", "errors", "local"}


def test_a_query_loads_no_aws_of_its_own_and_no_function() -> None:
    loaded = loaded_by("list", "--stack", "no-such-stack", "--region", "eu-central-1")
    assert {"workflow_engine.cli.stacks", "botocore"} <= loaded
    assert not loaded & {"boto3", "moto", "werkzeug", "pygments", "workflow_engine.local.embedded_aws"}
    assert not loaded & {"workflow_engine.local.functions", "workflow_engine.local.driver"}


def test_help_lists_the_commands_by_what_they_are_for() -> None:
    command = [sys.executable, "-m", "workflow_engine.cli", "--help"]
    said = subprocess.run(
        command, capture_output=True, encoding="cp1252", check=True, env={**os.environ, "COLUMNS": "60"}
    ).stdout
    headings = [line for line in said.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Options:", "Begin:", "Start runs:", "Look at runs:", "Put right:", "Develop and operate:"]
    assert max(map(len, said.splitlines())) <= 60
    # Whatever a stream's encoding is.
    assert said.isascii()


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.count(".") == 2


def test_an_unknown_command_is_bad_usage() -> None:
    assert CliRunner().invoke(app, ["no-such-command"]).exit_code == 2


def test_exit_codes_tell_trouble_with_aws_from_bad_input() -> None:
    assert exit_code_of(TransientError(service="SQS", operation="SendMessage", code="503")) == 3
    assert exit_code_of(RunNotFoundError(run_id="x")) == 2
