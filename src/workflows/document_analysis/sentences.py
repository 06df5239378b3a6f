"""Splits a paragraph into sentences: at final punctuation, unless it ends an abbreviation.

The rules that settle nearly all cases in Grefenstette and Tapanainen, "What is a word, what is a
sentence?" (1994): a full stop ends a sentence unless a small letter follows, or it belongs to an
initial or to a known abbreviation.
"""

import re

# Latin script puts a space after the full stop; Chinese and Japanese do not.
_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”\u2019»)\]*_]*+(?=\s)|[。\uff01\uff1f]++|[।؟](?=\s)")
_LAST_WORD = re.compile(r"[\w.]*$")

# A single letter is an initial, or half of "z. B.".
_ABBREVIATION = re.compile(
    r"""[^\W\d_] | d\.h | e\.g | i\.e | u\.a | u\.[ks] | z\.b
      | al | approx | bzw | ca | cf | co | corp | dept | dr | eds? | ff | figs? | hr | inc | jr | ltd
      | messrs | mme | mrs? | ms | nos | nr | núm | pp | prof | rev | resp | sec | sra? | st | usw
      | vols? | vs
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LONGEST_ABBREVIATION = 6  # letters


def sentences(paragraph: str) -> list[str]:
    """Return the sentences of *paragraph* in their order."""
    found, start = [], 0
    for end in _END.finditer(paragraph):
        if _ends_sentence(paragraph, end):
            found.append(paragraph[start : end.end()])
            start = end.end()
    found.append(paragraph[start:])
    return [sentence.strip() for sentence in found if sentence.strip()]


def _ends_sentence(paragraph: str, end: re.Match[str]) -> bool:
    """Tell whether the punctuation at *end* closes a sentence."""
    following = paragraph[end.end() : end.end() + 2].strip()
    if following.islower():
        return False
    return end[0] != "." or not _ABBREVIATION.fullmatch(_word_before(paragraph, end.start()))


def _word_before(paragraph: str, position: int) -> str:
    """Return the end of the word before *position*, long enough to know an abbreviation by it."""
    start = max(0, position - _LONGEST_ABBREVIATION - 1)
    match = _LAST_WORD.search(paragraph, start, position)
    return match[0] if match else ""
