"""A rendered template as text: its first line, the parts that are the user's, and the rest. Pure.

The first line says who rendered the file and what the rest of it was then: ``# workflow-engine 0.1.0
workflows=my_app:registry sha256=…``. A part begins and ends with a line of its own, ``# >>> yours: resources`` and
``# <<< yours: resources``, and what is between them is never looked at.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from workflow_engine.scaffold.errors import NotRenderedError

_HEADER = re.compile(
    r"# workflow-engine (?P<version>\d\S*) workflows=(?P<workflows>\S+) sha256=(?P<digest>[0-9a-f]{64})"
)
# The pattern of the parameter Workflows.
_WORKFLOWS = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*")
_MARK = re.compile(r"[ \t]*# (?P<side>>>>|<<<) yours: (?P<part>\S+)[ \t]*")
_BOM = "\ufeff"
_RELEASE = re.compile(r"(\d+(?:\.\d+)*)(.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line: *workflows* is ``module:attribute`` of the registry, *digest* that of the rest."""

    version: str
    workflows: str
    digest: str

    def line(self) -> str:
        """It, without an end of line."""
        return f"# workflow-engine {self.version} workflows={self.workflows} sha256={self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A template taken apart. *parts* are the user's, by name, as they are; *rest* is all else, marks included and the
    first line left out, with a line feed alone at the ends of lines."""

    header: Header
    parts: Mapping[str, str]
    rest: str
    newline: str = "\n"
    bom: bool = False

    @property
    def digest(self) -> str:
        """That of the rest as it is."""
        return digest_of(self.rest)

    def text(self) -> str:
        """The file."""
        lines = [self.header.line() + self.newline]
        for line in _lines(self.rest):
            lines.append(line.replace("\n", self.newline))
            mark = _MARK.fullmatch(line.rstrip("\n"))
            if mark is not None and mark["side"] == ">>>":
                lines.append(self.parts[mark["part"]])
        return (_BOM if self.bom else "") + "".join(lines)


def digest_of(rest: str) -> str:
    """What the first line says of *rest*; an end of line at the end of the file is no matter."""
    return hashlib.sha256((rest.rstrip("\n") + "\n").encode()).hexdigest()


def take_apart(text: str, path: str) -> Marked:
    """The template that *text* is; *path* is for messages.

    Raises:
        NotRenderedError: its first line is not one of ours, or a mark is missing, or there twice.
    """
    bom = text.startswith(_BOM)
    first, end, body = text.removeprefix(_BOM).partition("\n")
    header = _header(first.removesuffix("\r"), path)
    parts: dict[str, str] = {}
    rest: list[str] = []
    for kind, lines in _pieces(_lines(body), path):
        if kind is None:
            rest.append(lines.replace("\r\n", "\n"))
        else:
            parts[kind] = lines
    newline = "\r\n" if first.endswith("\r") else end or "\n"
    return Marked(header=header, parts=parts, rest="".join(rest), newline=newline, bom=bom)


def _header(line: str, path: str) -> Header:
    found = _HEADER.fullmatch(line)
    if found is None:
        problem = (
            "its first line is not the one that `workflow-engine init` writes, so what is yours in it is not known"
        )
        raise NotRenderedError(path=path, problem=problem)
    if not _WORKFLOWS.fullmatch(found["workflows"]):
        problem = f"workflows={found['workflows']} in its first line must be module:attribute"
        raise NotRenderedError(path=path, problem=problem)
    return Header(version=found["version"], workflows=found["workflows"], digest=found["digest"])


def _lines(text: str) -> list[str]:
    # Not `splitlines`, which takes form feeds and other characters of a user's text for ends of lines.
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _pieces(lines: list[str], path: str) -> Iterator[tuple[str | None, str]]:
    """The text in pieces: the user's with the name of their part, all else with ``None``."""
    inside: str | None = None
    seen: set[str] = set()
    mine: list[str] = []
    for line in lines:
        mark = _MARK.fullmatch(line.rstrip("\r\n"))
        if mark is None:
            if inside is None:
                yield None, line
            else:
                mine.append(line)
        elif mark["side"] == ">>>":
            if inside is not None or mark["part"] in seen:
                raise NotRenderedError(path=path, problem=_misplaced(mark["part"], inside))
            inside = mark["part"]
            seen.add(inside)
            yield None, line
        else:
            if inside != mark["part"]:
                raise NotRenderedError(path=path, problem=f"`<<< yours: {mark['part']}` ends what does not begin")
            yield inside, "".join(mine)
            inside, mine = None, []
            yield None, line
    if inside is not None:
        raise NotRenderedError(path=path, problem=f"the line `# <<< yours: {inside}` is missing")


def _misplaced(part: str, inside: str | None) -> str:
    if inside is None:
        return f"`>>> yours: {part}` is there twice"
    return f"`>>> yours: {part}` stands within `yours: {inside}`: the line `# <<< yours: {inside}` is missing before it"


def is_newer(version: str, than: str) -> bool:
    """Whether *version* came after *than*: by its numbers, and of equal ones the release comes after what led to it."""
    return _order(version) > _order(than)


def _order(version: str) -> tuple[tuple[int, ...], bool, str]:
    found = _RELEASE.match(version)
    numbers, rest = (found[1], found[2]) if found else ("0", version)
    release = [int(number) for number in numbers.split(".")]
    while release and not release[-1]:
        release.pop()
    # `.post1` and a local part (`+…`) come after the release, `rc1`, `a1` and `.dev1` before it.
    return tuple(release), not rest or rest.startswith((".post", "+")), rest
