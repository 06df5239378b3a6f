"""Prose, as it is found in plain text and in Markdown."""

import pytest

from workflows.document_analysis.prose import paragraphs, readable_text, title

README = """\
# **Tea** for two
![build](https://example.org/badge.svg) <br/>

Brew it [slowly](https://example.org/how "why not"), or write to
tea@example.org. See https://example.org/tea/.

```sh
brew --tea
```
<!-- nobody reads
this -->
- green
- black
  and strong
1. one cup

| Leaf | Minutes |
|------|---------|
| Oolong | 4 |

Last words
----------
Bye.
"""


def test_markdown_gives_its_prose_in_blocks() -> None:
    assert paragraphs(readable_text(README)) == [
        "**Tea** for two",
        "build",
        "Brew it slowly, or write to . See .",
        "green",
        "black and strong",
        "one cup",
        "Leaf | Minutes |",
        "Oolong | 4 |",
        "Last words",
        "Bye.",
    ]


def test_windows_and_old_mac_line_ends_split_like_unix_ones() -> None:
    text = "One\nblock.\n\nTwo.\n"
    assert paragraphs(readable_text(text)) == ["One block.", "Two."]
    assert paragraphs(readable_text(text.replace("\n", "\r\n"))) == ["One block.", "Two."]
    assert paragraphs(readable_text(text.replace("\n", "\r"))) == ["One block.", "Two."]


def test_an_unclosed_code_fence_runs_to_the_end() -> None:
    assert paragraphs(readable_text("Before.\n~~~\ncode\n\nmore code")) == ["Before."]


def test_a_byte_order_mark_is_not_text() -> None:
    assert title(readable_text("\ufeff# Heading")) == "Heading"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("intro\n\n## The *second* level ##\n", "The *second* level"),
        ("Underlined\n==========\n", "Underlined"),
        ("No heading here.", None),
        ("# **\n", None),
        ("# " + "long " * 100, ("long " * 100)[:200]),
    ],
)
def test_the_title_is_the_first_heading(text: str, expected: str | None) -> None:
    assert title(text) == expected


@pytest.mark.parametrize(
    "unit", ["[", "<a ", "<!--", "[x](", "# #", "|", " ", "\n ", "a@", "http://.", "```\n", "=== "]
)
def test_no_text_stalls_the_search_for_prose(unit: str) -> None:
    """A megabyte takes a fraction of a second; in quadratic time it would run into the test's timeout."""
    readable = readable_text("x\n# " + unit * (1_000_000 // len(unit)) + "x")
    title(readable)
    assert paragraphs(readable)[0].startswith("x")
