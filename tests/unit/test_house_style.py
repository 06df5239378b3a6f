"""The house's own numbers: no circle between modules, functions of 40 lines, modules of 400."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"
PACKAGE = SOURCES / "workflow_engine"
MAX_FUNCTION, MAX_MODULE = 40, 400
# From the inside outwards: whoever stands behind may import what stands before it, never the other way round.
LAYERS = (
    ("errors",),
    ("model",),
    ("ports",),
    ("authoring",),
    ("adapters", "kernel"),
    ("hosts",),
    ("wiring",),
    ("local", "scaffold"),
    ("costing",),
    ("cli", "entrypoints", "testing"),
)
# Options are declared as parameters: a command line of nineteen options has nineteen of them.
DECLARATIONS = PACKAGE / "cli" / "commands"


def modules() -> Mapping[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(SOURCES).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports_of(tree: ast.Module) -> Iterator[str]:
    """The modules of the package that are imported when this one is: not those within a function, nor for types alone."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]


def graph() -> dict[str, set[str]]:
    """Who imports whom, within the package."""
    return {
        name: {one for one in imports_of(ast.parse(path.read_text())) if one in MODULES and one != name}
        for name, path in MODULES.items()
    }


def layer_of(module: str) -> int | None:
    room = module.split(".")[1] if "." in module else ""
    return next((height for height, rooms in enumerate(LAYERS) if room in rooms), None)


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        list(TopologicalSorter(graph()).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_every_room_has_its_place_among_the_layers() -> None:
    placed = {room for rooms in LAYERS for room in rooms}

    assert {name.split(".")[1] for name in MODULES if "." in name} == placed


def test_no_arrow_points_back() -> None:
    back = {
        f"{name} → {other}"
        for name, others in graph().items()
        for other in others
        if (own := layer_of(name)) is not None and (height := layer_of(other)) is not None and height > own
    }

    assert back == set()


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            end = node.end_lineno
            assert end is not None
            yield node.name, end - node.lineno + 1


def test_a_function_is_read_at_one_glance() -> None:
    long = {
        f"{path.relative_to(SOURCES)}: {name} has {lines} lines"
        for path in SOURCES.rglob("*.py")
        if path.parent != DECLARATIONS
        for name, lines in functions(path)
        if lines > MAX_FUNCTION
    }

    assert long == set()


def test_a_module_is_short_or_its_header_says_why_it_is_not() -> None:
    long = {
        f"{path.relative_to(SOURCES)} has {lines} lines"
        for path in SOURCES.rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > MAX_MODULE
        and "long as it is" not in " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").lower().split())
    }

    assert long == set()


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("import workflow_engine.errors", {"workflow_engine.errors"}),
        ("from workflow_engine.kernel import advance", {"workflow_engine.kernel.advance"}),
        ("from workflow_engine.kernel import Kernel", {"workflow_engine.kernel"}),
        ("if True:\n    from workflow_engine import errors", {"workflow_engine.errors"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from workflow_engine import errors", set()),
        ("def late():\n    from workflow_engine import errors", set()),
    ],
)
def test_the_graph_sees_what_is_imported_at_once(source: str, seen: set[str]) -> None:
    assert {one for one in imports_of(ast.parse(source)) if one in MODULES} == seen
