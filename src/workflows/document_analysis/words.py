"""What counts as a word. Every other module here asks this one, so that all counts agree.

A word is a run of letters; apostrophes and hyphens inside it belong to it (``don't``,
``well-known``), digits and underscores do not. Scripts that put no space between words
(Chinese, Japanese, Thai) yield one "word" for each stretch between punctuation marks.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

_LETTER = r"[^\W\d_]"

# Python's \w leaves out combining marks, without which Hebrew, Arabic or Hindi words fall apart.
_MARK = r"[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0903\u093a-\u0963\u0981-\u0dff\u0e31-\u0e4e]"
_LETTERS = rf"{_LETTER}(?:{_LETTER}|{_MARK})*+"

# French and Italian shorten a word before a vowel: l'homme and dell'acqua are two words each.
_ELIDED = (
    r"(?<!\w)(?:[cdjlmnstv]|qu|jusqu|lorsqu|puisqu|quelqu|un|all|dall|dell|nell|sull|quell|quest)"
    rf"['\u2019](?={_LETTER})"
)

WORD = re.compile(rf"{_ELIDED}|{_LETTERS}(?:['\u2019\u2010\u2011-]{_LETTERS})*+", re.IGNORECASE)


def normalized(word: str) -> str:
    """Lower case, with a straight apostrophe: the form in which words are counted and compared."""
    return word.lower().replace("\u2019", "'")


def words(text: str) -> Iterator[str]:
    """Yield the words of *text* in their order, normalized."""
    return map(normalized, WORD.findall(text))


def word_counts(texts: Iterable[str]) -> Counter[str]:
    """Count the distinct words of all *texts* together."""
    return Counter(word for text in texts for word in words(text))
