"""Whatever an option is given: one line and an exit code that is not a run's, never a traceback."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from workflow_engine.cli.app import app

ROOT = Path(__file__).parents[3]
WORKFLOWS = """
from pydantic import BaseModel
from workflow_engine import Registry, Workflow, stage

class Number(BaseModel):
    value: int

@stage("double")
def double(number: Number) -> Number:
    return Number(value=2 * number.value)

registry = Registry([Workflow("doubling", input=Number).pipe(double).build()])
"""
INPUT = ["--input", '{"value": 1}']
# What makes each command complete, before it is given something hostile. A deployed stack is named whose endpoint
# is none: what is wrong with an option comes before what is wrong with that.
ENOUGH: dict[str, list[str]] = {
    "run": ["doubling", *INPUT],
    "show": ["run"],
    "watch": ["run"],
    "events": ["run"],
    "logs": ["run"],
    "export": ["run"],
    "cancel": ["run"],
    "signal": ["run", "answer"],
    "rerun": ["run"],
    "graph": ["doubling"],
    "schedules put": ["nightly", "doubling", "rate(1 day)", *INPUT],
    "schedules pause": ["nightly"],
    "schedules resume": ["nightly"],
    "schedules delete": ["nightly"],
    "cost": ["doubling", *INPUT],
}
HOSTILE = {
    "empty": "",
    "blank": " ",
    "long": "x" * 5000,
    "not UTF-8": "a\udcff",
    "NUL": "a\0b",
    "newline": "a\nb",
    "negative": "-1",
    "infinite": "1e400",
    "no number": "nan",
    "huge": "9" * 400,
    "half JSON": "{",
    "deep JSON": "[" * 10_000,
    "infinite JSON": '{"value": 1e400}',
    "no file": "no/such/file",
    "a folder": "/",
    "a device": "/dev/null",
    "long ago": "9" * 30 + "w",
    "before all time": "0001-01-01T00:00:00+14:00",
    "after all time": "9999-12-31T23:59:59-14:00",
    "unknown": "nobody=7",
    "long name": "x" * 5000 + "=1",
    "an option": "--nothing",
    "markup": "[/red]%s{0}",
}


def commands() -> Iterator[tuple[str, Any]]:
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        yield name, command
        for inner, nested in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", nested


# Options that several commands share are read by one and the same code.
SHARED = {"--stack", "--profile", "--region", "--template", "--parameter"}
# These wait for Ctrl-C where all is well, or take their time; what they are given is tried elsewhere.
LONG = {"dev", "worker", "cost"}
PARAMETERS = [
    (name, parameter)
    for name, command in commands()
    for parameter in command.params
    if not getattr(parameter, "is_flag", False)
    and name not in LONG
    and (name == "check" or not SHARED & set(parameter.opts))
]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without a stack, and no AWS to be found."""
    text = (ROOT / "template.yaml").read_text().replace("Default: workflows:registry", "Default: any_flows:registry")
    (tmp_path / "template.yaml").write_text(text)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "any_flows.py").write_text(WORKFLOWS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nowhere:1")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delitem(sys.modules, "any_flows", raising=False)
    return tmp_path


def arguments(name: str, parameter: Any, value: str) -> list[str]:
    """The command with *value* for its *parameter*, and all else that it needs."""
    enough = list(ENOUGH.get(name, []))
    stack = ["--stack", "nowhere"] if has_stack(name) and "--stack" not in parameter.opts else []
    option = next((one for one in parameter.opts if one.startswith("--")), None)
    if option is not None:
        if option == "--input":
            enough = [word for word in enough if word not in INPUT]
        return [*name.split(), *enough, f"{option}={value}", *stack]
    places = [one.name for one in dict(commands())[name].params if not one.opts[0].startswith("-")]
    index = places.index(parameter.name)
    if value.startswith("-") and len(value) > 1:
        return [*name.split(), *stack, *INPUT * ("put" in name or name == "run"), "--", *enough[:index], value]
    return [*name.split(), *stack, *enough[:index], value, *enough[index + 1 :]]


def has_stack(name: str) -> bool:
    return any("--stack" in parameter.opts for parameter in dict(commands())[name].params)


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(
    ("name", "parameter"), PARAMETERS, ids=[f"{name}:{parameter.name}" for name, parameter in PARAMETERS]
)
def test_a_hostile_value_is_one_line_and_no_failed_run(name: str, parameter: Any) -> None:
    wrong = {
        hostile: problem
        for hostile, value in HOSTILE.items()
        if (problem := wrong_with(call(*arguments(name, parameter, value))))
    }

    assert wrong == {}


def wrong_with(result: Result) -> str | None:
    """What a command must not do, if it did."""
    if result.exit_code == 0:
        return None
    told = result.exit_code in (2, 3) and result.stdout == "" and result.stderr.count("\n") == 1
    if told and "defect" not in result.stderr and len(result.stderr) < 3500:
        return None
    return f"{result.exit_code}: {result.output[:300]}"
