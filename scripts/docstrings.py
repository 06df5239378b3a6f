"""Turns what the source says of a name (signature, docstring) into Markdown.

Signatures are taken from the source, not from the objects: the text is the author's, and the same under every
interpreter.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

_RAISED = re.compile(r"^([A-Z]\w*(?:, [A-Z]\w*)*): ")
_WIDTH = 100


def markdown_of(docstring: str | None) -> str:
    """*docstring* as Markdown: double backticks become single ones, ``Raises:`` a list."""
    text = re.sub(r"``(.+?)``", r"`\1`", inspect.cleandoc(docstring or ""), flags=re.DOTALL)
    text = re.sub(r"^::\n\n((?:    .*\n?|\n)+)", _as_code, text, flags=re.MULTILINE)
    before, marker, after = text.partition("Raises:\n")
    if not marker:
        return before.strip()
    return f"{before.strip()}\n\nRaises:\n\n{_raised(after)}".strip()


def first_line(docstring: str | None) -> str:
    """The first paragraph, on one line."""
    return " ".join(markdown_of(docstring).split("\n\n")[0].split())


def described(obj: Any, name: str, *, level: int = 2) -> str:
    """The section of a class or function: its signature, its docstring, and those of its public members."""
    node = _node_of(obj)
    title = f"{'#' * level} {name}"
    if isinstance(node, ast.ClassDef):
        parts = [title, _code(_constructor(node, name)), markdown_of(ast.get_docstring(node))]
        parts += [_member(member, name, level + 1) for member in _members(node)]
    else:
        parts = [title, _code(_signature(node, name)), markdown_of(ast.get_docstring(node))]
    return "\n\n".join(part for part in parts if part)


def _as_code(found: re.Match[str]) -> str:
    return f"```text\n{textwrap.dedent(found[1]).strip()}\n```\n"


def _raised(text: str) -> str:
    """Errors and their reasons, an item each."""
    items: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if match := _RAISED.match(stripped):
            names = ", ".join(f"`{name}`" for name in match[1].split(", "))
            items.append(f"- {names}: {stripped[match.end() :]}")
        elif stripped and items:
            items[-1] += f" {stripped}"
    return "\n".join(items)


def _node_of(obj: Any) -> ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef:
    node = ast.parse(textwrap.dedent(inspect.getsource(obj))).body[0]
    assert isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    return node


def _members(node: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """The public methods and properties that have something to say; of overloads the last one."""
    for member in node.body:
        if not isinstance(member, ast.FunctionDef) or member.name.startswith("_"):
            continue
        if "overload" not in _decorators(member) and ast.get_docstring(member):
            yield member


def _member(node: ast.FunctionDef, owner: str, level: int) -> str:
    name = f"{owner}.{node.name}"
    shown = name if "property" in _decorators(node) else _signature(node, name)
    if "property" in _decorators(node) and node.returns is not None:
        shown += f": {ast.unparse(node.returns)}"
    return "\n\n".join([f"{'#' * level} {name}", _code(shown), markdown_of(ast.get_docstring(node))])


def _constructor(node: ast.ClassDef, name: str) -> str:
    """How an instance is made; nothing for a Protocol, which nobody makes."""
    bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
    if "Protocol" in bases or "StrEnum" in bases:
        return ""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return _signature(member, name)
    dataclass = next((d for d in node.decorator_list if ast.unparse(d).startswith("dataclass")), None)
    if dataclass is None:
        return ""
    keyword_only = "kw_only=True" in ast.unparse(dataclass)
    return _call(name, [*(["*"] if keyword_only else []), *_fields(node)])


def _fields(node: ast.ClassDef) -> Iterator[str]:
    for member in node.body:
        if isinstance(member, ast.AnnAssign) and not ast.unparse(member.target).startswith("_"):
            yield f"{ast.unparse(member.target)}: {ast.unparse(member.annotation)}{_default(member.value)}"


def _default(value: ast.expr | None) -> str:
    """A default as a caller would write it: what is in ``field(…)``, if there is anything."""
    if value is None:
        return ""
    if not (isinstance(value, ast.Call) and ast.unparse(value.func) == "field"):
        return f" = {ast.unparse(value)}"
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in value.keywords}
    if "default_factory" in given:
        return f" = {given['default_factory']}()"
    return f" = {given['default']}" if "default" in given else ""


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> str:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    parts = [_argument(one, value) for one, value in zip(positional, [*missing, *arguments.defaults], strict=True)]
    parts = [part for part in parts if part not in ("self", "cls")]
    if arguments.vararg is not None:
        parts.append("*" + _argument(arguments.vararg, None))
    elif arguments.kwonlyargs:
        parts.append("*")
    parts += [_argument(one, value) for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    if arguments.kwarg is not None:
        parts.append("**" + _argument(arguments.kwarg, None))
    returns = "" if node.returns is None or node.name == "__init__" else f" -> {ast.unparse(node.returns)}"
    return _call(name, parts) + returns


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    text = argument.arg + (f": {ast.unparse(argument.annotation)}" if argument.annotation else "")
    return text if default is None else f"{text} = {ast.unparse(default)}"


def _call(name: str, parts: list[str]) -> str:
    line = f"{name}({', '.join(parts)})"
    if len(line) <= _WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + ")"


def _decorators(node: ast.FunctionDef) -> set[str]:
    return {ast.unparse(decorator) for decorator in node.decorator_list}


def _code(text: str) -> str:
    # No language: a signature is not Python that runs.
    return f"```text\n{text}\n```" if text else ""
