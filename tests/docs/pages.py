"""The documentation as the tests read it: pages, their code blocks, headings and links."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent.parent

# What stands for a command in the text: a program and at least a word for it.
_PROGRAM = re.compile(r"(workflow-engine|make|sam|aws) [a-z-]")
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its *language*, the other words of its fence, and the line of its first line."""

    language: str
    words: tuple[str, ...]
    code: str
    line: int


@dataclass(frozen=True, slots=True)
class Page:
    """A Markdown file, by its *name* below the project's root."""

    name: str
    blocks: tuple[Block, ...]
    anchors: frozenset[str]
    links: tuple[str, ...]
    spans: tuple[str, ...]
    text: str

    @property
    def path(self) -> Path:
        """Where the file is."""
        return ROOT / self.name

    def in_language(self, *languages: str) -> tuple[Block, ...]:
        """The blocks in one of *languages*."""
        return tuple(block for block in self.blocks if block.language in languages)


@cache
def pages() -> tuple[Page, ...]:
    """Every page for readers: those at the root, and those of ``docs/``."""
    paths = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
    return tuple(_read(path) for path in paths)


def command_lines(page: Page) -> tuple[list[str], ...]:
    """The commands that *page* shows, word by word: in blocks for a shell, and at the prompt of a console."""
    lines = [line for block in page.in_language("sh") for line in block.code.replace("\\\n", " ").splitlines()]
    prompts = [line for block in page.in_language("console") for line in block.code.splitlines()]
    lines += [line.removeprefix("$ ") for line in prompts if line.startswith("$ ")]
    return tuple(words for line in lines if (words := _words(line)))


def mentions(page: Page) -> tuple[list[str], ...]:
    """The commands that *page* speaks of in its text, word by word: what they need may be left out."""
    return tuple(_words(span) for span in page.spans if _PROGRAM.match(span) and "…" not in span)


def _words(line: str) -> list[str]:
    """The words of the first program of *line*, without variables set for it and without where its output goes."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    ends = [words.index(sign) for sign in ("|", ">") if sign in words]
    return words[: min(ends, default=None)]


def page(name: str) -> Page:
    """The page of that name."""
    return next(one for one in pages() if one.name == name)


def _read(path: Path) -> Page:
    text = path.read_text()
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return Page(
        name=path.relative_to(ROOT).as_posix(),
        blocks=tuple(_blocks(tokens)),
        anchors=frozenset(_anchors(tokens)),
        links=tuple(_links(tokens)),
        spans=tuple(_spans(tokens)),
        text=text,
    )


def _blocks(tokens: Sequence[Token]) -> Iterator[Block]:
    for token in tokens:
        if token.type == "fence" and token.map is not None:
            language, *words = token.info.split() or [""]
            yield Block(language, tuple(words), token.content, token.map[0] + 2)


def _spans(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        yield from (child.content for child in token.children or () if child.type == "code_inline")


def _anchors(tokens: Sequence[Token]) -> Iterator[str]:
    """The anchors that GitHub makes of headings; one that is there already gets a number."""
    seen: Counter[str] = Counter()
    for token, following in pairwise(tokens):
        if token.type != "heading_open":
            continue
        said = "".join(child.content for child in following.children or ())
        anchor = _NOT_IN_ANCHORS.sub("", said.lower()).replace(" ", "-")
        yield anchor if not seen[anchor] else f"{anchor}-{seen[anchor]}"
        seen[anchor] += 1


def _links(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open":
                yield str(child.attrGet("href"))
            elif child.type == "image":
                yield str(child.attrGet("src"))
