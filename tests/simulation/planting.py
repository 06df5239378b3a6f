"""Plants a bug: another text for a line of the engine, for as long as a block runs.

The code of a function is replaced in place, so that whoever has imported it has the bug, too.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import CodeType, FunctionType
from typing import Any

PACKAGE = "workflow_engine."


@dataclass(frozen=True, slots=True)
class Edit:
    """*old* is *new* in the function *name* of *module* (``Class.method``, or a function)."""

    module: str
    name: str
    old: str
    new: str

    def code(self) -> CodeType:
        """What the function is with the bug.

        Raises:
            LookupError: *old* is not there once.
        """
        function = self.function
        source = textwrap.dedent(inspect.getsource(function))
        if source.count(self.old) != 1:
            raise LookupError(f"{self.old!r} is {source.count(self.old)} times in {self.module}.{self.name}")
        tree = ast.parse(source.replace(self.old, self.new))
        (definition,) = tree.body
        assert isinstance(definition, ast.FunctionDef)
        definition.decorator_list = []
        names: dict[str, Any] = dict(function.__globals__)
        exec(compile(tree, inspect.getfile(function), "exec"), names)
        code: CodeType = names[definition.name].__code__
        return code

    @property
    def function(self) -> Any:
        """The function as it is."""
        found: Any = import_module(PACKAGE + self.module)
        *owners, last = self.name.split(".")
        for owner in owners:
            found = getattr(found, owner)
        found = vars(found)[last]
        found = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
        unwrapped: Any = inspect.unwrap(found)
        assert isinstance(unwrapped, FunctionType)
        return unwrapped


@contextmanager
def planted(edits: Sequence[Edit]) -> Iterator[None]:
    """Have the bug for as long as the block runs."""
    with ExitStack() as stack:
        for edit in edits:
            function = edit.function
            original = function.__code__
            stack.callback(setattr, function, "__code__", original)
            function.__code__ = edit.code()
        yield
