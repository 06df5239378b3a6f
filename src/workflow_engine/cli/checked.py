"""Commands that look at what they were given before they do anything."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup
from typing_extensions import override

from workflow_engine.local.errors import InvalidOptionError


class Command(TyperCommand):
    """A command whose texts are texts.

    Raises:
        InvalidOptionError: one is empty, is not UTF-8, or has a NUL in it.
    """

    @override
    def invoke(self, ctx: Any) -> Any:
        check_texts(ctx)
        return super().invoke(ctx)


class Group(TyperGroup):
    """A group of commands that is one itself, and is checked like one."""

    @override
    def invoke(self, ctx: Any) -> Any:
        check_texts(ctx)
        return super().invoke(ctx)


def check_texts(ctx: Any) -> None:
    """Refuse what no option can mean.

    Raises:
        InvalidOptionError: a text is empty, is not UTF-8, or has a NUL in it.
    """
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name)
        for text in value if isinstance(value, list | tuple) else [value]:
            if (problem := next(_problems(text), None)) is not None:
                raise InvalidOptionError(option=_name_of(parameter), problem=problem)


def _problems(value: Any) -> Iterator[str]:
    if not isinstance(value, str | Path):
        return
    text = str(value)
    if not text:
        yield "is empty; leave it out, or give it a value"
    if "\0" in text:
        yield "has a NUL character in it"
    # A path may have any bytes in it; Python has those that are not UTF-8 as lone surrogates.
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in text):
        yield "is not UTF-8 text"


def _name_of(parameter: Any) -> str:
    longest: str = max(parameter.opts, key=len)
    return longest if longest.startswith("-") else (parameter.metavar or longest.upper()).strip("[]")
