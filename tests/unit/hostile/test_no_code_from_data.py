"""Nothing that is stored or sent is ever run: no unpickling, no evaluation, no shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[3] / "src"
MODULES = {"pickle", "cPickle", "dill", "marshal", "shelve", "cloudpickle", "jsonpickle", "code", "codeop", "pty"}
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
SHELLS = {"os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv", "subprocess.getoutput"}
# Imports by name: of the package's own table, or of what the deployer named in the template; never of what a message says.
IMPORTERS = {
    "workflow_engine/__init__.py",
    "workflow_engine/testing/__init__.py",
    "workflow_engine/wiring/workflows.py",
    "workflow_engine/local/functions.py",
}


def problems(path: str, source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (f"import {name.name}" for name in node.names if name.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MODULES:
            yield f"from {node.module}"
        elif isinstance(node, ast.Call):
            yield from _calls(path, node)


def _calls(path: str, node: ast.Call) -> Iterator[str]:
    called = ast.unparse(node.func)
    if called in CALLS or called in SHELLS:
        yield called
    if called.endswith("import_module") and path not in IMPORTERS:
        yield called
    if any(word.arg == "shell" and ast.unparse(word.value) != "False" for word in node.keywords):
        yield f"{called} in a shell"
    if called.endswith("yaml.load") and not any("Loader" in ast.unparse(word.value) for word in node.keywords):
        yield "yaml.load without a safe loader"
    if called.endswith(("yaml.unsafe_load", "yaml.full_load")):
        yield called


def test_the_sources_run_nothing_that_they_read() -> None:
    found = {
        str(file.relative_to(SOURCES)): list(problems(str(file.relative_to(SOURCES)), file.read_text()))
        for file in sorted(SOURCES.rglob("*.py"))
    }

    assert len(found) > 100
    assert {path: said for path, said in found.items() if said} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle",
        "from marshal import loads",
        "eval(message)",
        "exec(body)",
        "import os\nos.system(name)",
        "import subprocess\nsubprocess.run(name, shell=True)",
        "import yaml\nyaml.load(text)",
        "import importlib\nimportlib.import_module(name)",
        "__import__(name)",
    ],
)
def test_a_planted_one_is_found(planted: str) -> None:
    assert list(problems("workflow_engine/kernel/planted.py", planted))
