"""Finds the prose in a document: plain text or Markdown in, paragraphs and a title out.

Not a Markdown renderer. It takes away what nobody reads aloud (code blocks, addresses, tags,
comments) and sees where one block of text ends and the next begins. Every pattern works in time
proportional to the text, whatever the text is: an input must not be able to stall a stage.
"""

import re
import unicodedata

# An unclosed fence or comment runs to the end of the document (CommonMark 0.31, 4.5 and 4.6).
_CODE_BLOCK = re.compile(r"^ {0,3}(`{3,}(?![^\n]*`)|~{3,}).*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG = re.compile(r"""</?[a-zA-Z][\w-]*+(?:\s++[\w:-]++=(?:"[^"<>]*+"|'[^'<>]*+'))*+\s*+/?>""")
_LINK = re.compile(r"!?\[([^\[\]]*+)\]\([^()\s]*+(?:\s[^()]*+)?\)")
_WEB_ADDRESS = re.compile(r"<?\bhttps?://[^\s<>()\[\]]*[\w/]>?")
_MAIL_ADDRESS = re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++")

_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(\S.*)$", re.MULTILINE)
_UNDERLINED_HEADING = re.compile(r"^([^\n]++)\n *(?:={3,}|-{3,}) *$", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*(?:[=*_~-][ \t]*){3,}$|^[ \t]*\|[\s|:-]+\|[ \t]*$", re.MULTILINE)
_BLOCK_START = re.compile(r"^[ \t>]*(?:[-*+•][ \t]+|\d{1,3}[.)][ \t]+|[|>])", re.MULTILINE)
_LONGEST_TITLE = 200  # characters: more is a paragraph that was marked as a heading

_BLANK_LINE = re.compile(r"\n\s*\n")


def readable_text(text: str) -> str:
    """Return *text* with single line feeds for line ends, and without code blocks, tags and addresses."""
    text = unicodedata.normalize("NFC", text.removeprefix("\ufeff"))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _COMMENT.sub(" ", _CODE_BLOCK.sub("\n\n", text))
    text = _TAG.sub(" ", _LINK.sub(r"\1", text))
    return _MAIL_ADDRESS.sub(" ", _WEB_ADDRESS.sub(" ", text))


def paragraphs(text: str) -> list[str]:
    """Return the blocks of the readable *text*, each with single spaces and without blank ones.

    A heading, a list item and a table row are each a block of their own.
    """
    text = _UNDERLINED_HEADING.sub(r"\n\1\n\n", text)
    text = _HEADING.sub(r"\n\1\n\n", _RULE.sub("\n", text))
    text = _BLOCK_START.sub("\n\n", text)
    return [" ".join(block.split()) for block in _BLANK_LINE.split(text) if block.strip()]


def title(text: str) -> str | None:
    """Return the first Markdown heading of the readable *text*, ``None`` where it has none."""
    heading = _HEADING.search(text) or _UNDERLINED_HEADING.search(text)
    return heading[1].strip(" \t#*_`")[:_LONGEST_TITLE] or None if heading else None
