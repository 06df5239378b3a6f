"""``workflow-engine init`` and ``upgrade`` as they are typed."""

import json
import os
import pty
import select
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from workflow_engine.cli.app import app
from workflow_engine.cli.entry import DISTRIBUTION

INSTALLED = version(DISTRIBUTION)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that somebody is in, whose name is no package's."""
    folder = tmp_path / "2nd-try"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def workflow_engine(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def in_json(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(workflow_engine(*arguments, "--json").stdout)
    return found


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_project_begins_where_somebody_is_and_is_called_after_the_folder(here: Path) -> None:
    result = workflow_engine("init", "--yes")

    assert result.exit_code == 0
    assert "✓ app-2nd-try, its package app_2nd_try: 11 files in ." in result.stdout
    assert result.stdout.endswith("next: workflow-engine run\n")
    assert (here / "src" / "app_2nd_try" / "__init__.py").is_file()


def test_a_project_begins_in_a_new_folder(here: Path) -> None:
    result = workflow_engine("init", "my-orders", "--yes")

    assert result.exit_code == 0
    assert result.stdout.endswith("next: cd my-orders && workflow-engine run\n")
    assert (here / "my-orders" / "src" / "my_orders" / "__init__.py").is_file()


def test_without_a_terminal_nobody_is_asked(here: Path) -> None:
    assert workflow_engine("init", "orders").exit_code == 0
    assert (here / "orders" / "template.yaml").is_file()


def test_a_program_hears_what_was_written(here: Path) -> None:
    told = in_json("init", "orders", "--name", "shop")

    assert (told["folder"], told["package"], told["application"]) == (str(here / "orders"), "shop", "shop")
    assert [name for name in told["files"] if not (here / "orders" / name).is_file()] == []


@pytest.mark.parametrize(
    ("arguments", "proposed"),
    [
        (["class"], "class_app"),
        (["2fast"], "app_2fast"),
        (["json"], "json_app"),
        (["注文"], "app"),
        (["orders", "--name", "my-app"], "my_app"),
        (["orders", "--name", "None"], "none"),
        (["orders", "--name", "a b\nc"], "a_b_c"),
    ],
)
def test_a_name_that_is_no_package_is_refused_with_one_that_is(here: Path, arguments: list[str], proposed: str) -> None:
    result = workflow_engine("init", *arguments, "--yes")

    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.endswith(f"--name {proposed} would do\n")
    assert names_in(here) == []


@pytest.mark.parametrize("folder", ["", "a\0b", "x" * 5000])
def test_what_is_no_folder_is_refused_in_a_line(here: Path, folder: str) -> None:
    result = workflow_engine("init", folder, "--yes", "--name", "orders")

    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert names_in(here) == []


def test_a_folder_with_something_in_it_is_refused_and_says_what(here: Path) -> None:
    (here / "notes.txt").touch()
    refused = in_json("init", "--yes")

    assert refused["error"] == "FolderNotEmptyError"
    assert "'notes.txt'" in refused["message"]
    assert names_in(here) == ["notes.txt"]


def at_a_terminal(*arguments: str, answer: bytes) -> tuple[int, str]:
    """The command on a terminal, whose user types *answer* once something was asked."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "workflow_engine.cli", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        said, answered = b"", False
        while select.select([ours], [], [], 60)[0]:
            try:
                said += os.read(ours, 4096)
            except OSError:  # the other side is closed
                break
            if b"]: " in said and not answered:
                os.write(ours, answer)
                answered = True
        code = process.wait(timeout=60)
    os.close(ours)
    return code, said.decode()


@pytest.mark.parametrize(("answer", "package"), [(b"shop\n", "shop"), (b"\n", "orders"), (b"\x04", "orders")])
def test_at_a_terminal_the_name_is_asked_for(here: Path, answer: bytes, package: str) -> None:
    code, said = at_a_terminal("init", "orders", answer=answer)

    assert code == 0, said
    assert "What the package is called [orders]: " in said
    assert (here / "orders" / "src" / package / "__init__.py").is_file()


def test_an_answer_that_is_no_name_is_refused(here: Path) -> None:
    code, said = at_a_terminal("init", "orders", answer=b"my shop\n")

    assert code == 2
    assert "--name my_shop would do" in said
    assert names_in(here) == []


# ---------------------------------------------------------------- upgrade


@pytest.fixture
def template(here: Path) -> Path:
    """The template of a project that an older version began."""
    workflow_engine("init", "--yes")
    path = here / "template.yaml"
    path.write_text(path.read_text().replace(f"# workflow-engine {INSTALLED} ", "# workflow-engine 0.0.1 "))
    return path


def test_an_upgrade_shows_what_it_changes_and_then_there_is_nothing_more(template: Path) -> None:
    result = workflow_engine("upgrade")

    assert result.exit_code == 0
    assert "-# workflow-engine 0.0.1 " in result.stdout
    assert f"+# workflow-engine {INSTALLED} " in result.stdout
    assert result.stdout.endswith(f"✓ template.yaml changed, from 0.0.1 to {INSTALLED}\n")
    assert workflow_engine("upgrade").stdout == f"✓ template.yaml is as version {INSTALLED} renders it\n"


def test_it_can_be_looked_at_first(template: Path) -> None:
    before = template.read_text()
    result = workflow_engine("upgrade", "--dry-run")

    assert result.exit_code == 0
    assert f"template.yaml would change, from 0.0.1 to {INSTALLED}\n" in result.stdout
    assert template.read_text() == before
    assert in_json("upgrade", "--dry-run")["changed"] is False


def test_it_is_found_from_a_folder_below(template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(template.parent / "tests")

    told = in_json("upgrade")
    assert (told["changed"], told["rendered_by"], told["installed"]) == (True, "0.0.1", INSTALLED)
    assert told["files"] == [str(template)]
    assert told["difference"]


def test_what_was_changed_outside_is_shown_to_people_and_programs(template: Path) -> None:
    template.write_text(template.read_text().replace("Runtime: python3.13", "Runtime: python3.11"))
    before = template.read_text()

    result, told = workflow_engine("upgrade"), in_json("upgrade")

    assert result.exit_code == 2
    assert "+    Runtime: python3.11" in result.stdout
    assert result.stderr.startswith("TemplateEditedError: ")
    assert told["error"] == "TemplateEditedError"
    assert "+    Runtime: python3.11" in told["difference"]
    assert template.read_text() == before
    assert workflow_engine("upgrade", "--discard-edits").exit_code == 0
    assert "Runtime: python3.13" in template.read_text()


def test_a_template_of_a_fork_is_told_apart(template: Path) -> None:
    template.write_text(template.read_text().partition("\n")[2])
    result = workflow_engine("upgrade")

    assert result.exit_code == 2
    assert result.stderr.startswith("NotRenderedError: ")
    assert len(result.stderr.splitlines()) == 1


def test_requirements_without_the_version_are_spoken_of(template: Path) -> None:
    (template.parent / "src" / "requirements.txt").write_text("httpx==0.28.1\n")
    result = workflow_engine("upgrade")

    assert result.exit_code == 0
    assert f"has no line workflow-engine-aws=={INSTALLED} yet" in result.stderr


def test_where_no_project_is_there_is_nothing_to_upgrade(here: Path) -> None:
    result = workflow_engine("upgrade")

    assert result.exit_code == 2
    assert result.stderr.startswith("TemplateError: template.yaml: is neither in")
