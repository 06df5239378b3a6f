"""The Python code of the documentation runs: the blocks of a page one after another, in one module."""

import ast
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import ROOT, Page, pages
from tests.docs.pages import page as page_of

# Code of other products, beside which ours is shown: it must be Python, and cannot run here.
PEER = "peer"
PAGES = [page for page in pages() if page.in_language("python")]


def _tests_of(page: Page) -> Iterator[str]:
    for block in page.in_language("python"):
        if PEER not in block.words:
            tree = ast.parse(block.code)
            yield from (node.name for node in tree.body if isinstance(node, ast.FunctionDef))


TESTS = [(page, name) for page in PAGES for name in _tests_of(page) if name.startswith("test_")]


def _execute(page: Page, monkeypatch: pytest.MonkeyPatch, *, up_to: str | None = None) -> ModuleType:
    """The module that the blocks of *page* make, up to the one that defines *up_to*."""
    module = ModuleType("example")
    # Where annotations are looked up, and where an application's registry is.
    monkeypatch.setitem(sys.modules, "example", module)
    for block in page.in_language("python"):
        # Line numbers in a traceback are those of the page.
        code = compile("\n" * (block.line - 1) + block.code, page.name, "exec")
        if PEER not in block.words:
            exec(code, module.__dict__)
        if up_to in vars(module):
            break
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    _execute(page, monkeypatch)


@pytest.mark.parametrize(("page", "name"), TESTS, ids=lambda value: getattr(value, "name", value))
def test_the_tests_that_a_page_shows_pass(
    page: Page, name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    # As a reader has it who has come this far.
    function = vars(_execute(page, monkeypatch, up_to=name))[name]
    wanted = inspect.signature(function).parameters
    function(**{fixture: request.getfixturevalue(fixture) for fixture in wanted})


@pytest.mark.parametrize("name", [name for page, name in TESTS if page.name == "docs/tutorial.md"])
def test_the_tests_of_the_tutorial_still_pass_at_its_end(
    name: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    function = vars(_execute(page_of("docs/tutorial.md"), monkeypatch))[name]

    function(**{fixture: request.getfixturevalue(fixture) for fixture in inspect.signature(function).parameters})


def test_each_page_is_a_test_file_that_passes(tmp_path: Path) -> None:
    """As a reader has it who puts all that a page shows into one file."""
    for page in PAGES:
        name = page.name.removesuffix(".md").replace("/", "_").replace("-", "_")
        blocks = [block.code for block in page.in_language("python") if PEER not in block.words]
        (tmp_path / f"test_{name}.py").write_text("\n\n".join(blocks))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    # Not at random: a test that leaves something behind is to be followed by the next one of its page.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    finished = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stdout


def test_code_of_other_products_is_only_where_we_compare() -> None:
    shown = {page.name for page in PAGES if any(PEER in block.words for block in page.blocks)}

    assert all(name.startswith("docs/coming-from/") for name in shown)
