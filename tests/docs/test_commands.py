"""The commands that the documentation names exist, and the command line is documented."""

import inspect
import re
import shlex
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest
import typer.main

from tests.docs.pages import ROOT, Page, command_lines, mentions, page, pages
from workflow_engine.cli.app import app
from workflow_engine.cli.entry import DISTRIBUTION

# Programs of other people, which a reader has or is told how to get.
OTHERS = {"aws", "cd", "docker", "export", "git", "pip", "pytest", "python", "sam", "source", "unset"}
PAGES = [page for page in pages() if command_lines(page) or mentions(page)]


@cache
def _make_targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z0-9][a-z0-9.%-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _commands() -> dict[str, Any]:
    """The commands of the command line by name, those of groups as ``group command``."""
    found: dict[str, Any] = {}

    def collect(prefix: str, command: Any) -> None:
        children = getattr(command, "commands", None)
        if prefix and (not children or getattr(command, "invoke_without_command", False)):
            found[prefix] = command
        for name, child in (children or {}).items():
            collect(f"{prefix} {name}".strip(), child)

    collect("", typer.main.get_command(app))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_targets_that_make_has(page: Page) -> None:
    shown = (*command_lines(page), *mentions(page))
    named = {word for words in shown if words[0] == "make" for word in words[1:] if "=" not in word}
    patterns = [target.replace("%", "*") for target in _make_targets()]

    assert {name for name in named if not any(fnmatchcase(name, pattern) for pattern in patterns)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_command_line_takes_what_a_page_shows(page: Page) -> None:
    shown = [words for words in command_lines(page) if words[0] == "workflow-engine"]

    assert [problem for words in shown if (problem := _problem(words[1:]))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_command_line_has_what_a_page_speaks_of(page: Page) -> None:
    spoken_of = [words for words in mentions(page) if words[0] == "workflow-engine"]
    problems = [problem for words in spoken_of if (problem := _problem(words[1:]))]

    # The text names a command, or an option of one, without what it is used with.
    assert [one for one in problems if "Missing " not in one and "requires an argument" not in one] == []


def _problem(words: list[str]) -> str | None:
    """Why the command line would refuse *words*; nothing is run."""
    if words[0].startswith("--"):
        return None
    commands = _commands()
    for length in (2, 1):
        command = commands.get(" ".join(words[:length]))
        if command is not None and len(words) >= length:
            try:
                command.make_context(" ".join(words[:length]), words[length:])
            except Exception as error:  # whatever click has to object, with its own message
                return f"{shlex.join(words)}: {error}"
            return None
    return f"{shlex.join(words)}: no such command"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_asks_for_no_program_that_nobody_has(page: Page) -> None:
    used = {words[0] for words in command_lines(page)}

    assert used - OTHERS - {"make", "workflow-engine"} == set()


@pytest.mark.parametrize("name", sorted(_commands()))
def test_every_command_has_help_with_an_example_and_a_place_in_the_guide(name: str) -> None:
    command = _commands()[name]
    # A group may have a word for the list of commands, and its own docstring for what it does alone.
    described = f"{command.help} {inspect.getdoc(command.callback)}"

    assert f"workflow-engine {name}" in described
    assert f"workflow-engine {name}" in page("docs/guides/operating.md").text


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_that_says_pip_install_means_this_distribution(page: Page) -> None:
    # `workflow-engine` is somebody else's package.
    named = re.findall(r"pip install [^\n`]*?(workflow[-_]engine[-_a-z]*)", page.text)

    assert set(named) <= {DISTRIBUTION}
