"""Tells the language of a text by its function words.

The "small words" technique: Ingle, "A language identification table" (The Incorporated Linguist,
1976); compared with letter trigrams by Grefenstette, "Comparing two language identification
schemes" (JADT 1995), who finds both good on all but short sentences. A fifth to a half of the
running words of a text are function words of its language, and hardly any are those of another; so
a text that its best language fits badly is in none that is known here.
"""

from collections.abc import Mapping

from workflows.document_analysis.function_words import FUNCTION_WORDS
from workflows.document_analysis.models import Language

NAMES = {
    "da": "Danish",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "nl": "Dutch",
    "no": "Norwegian",
    "pt": "Portuguese",
    "sv": "Swedish",
}

# ISO 639-2 has a code for this, too.
UNKNOWN = Language(code="und", name="unknown", share=0.0, confidence=0.0)

# On the Universal Declaration of Human Rights in the ten languages, one paragraph of five words or
# more at a time, these bounds give no wrong answer. They leave 7 % open, nearly all of it Danish and
# Norwegian, which share most of their function words.
_SMALLEST_SHARE = 0.15
_SMALLEST_LEAD = 0.03
_FEWEST_WORDS = 2  # "ja" alone is German, and Dutch, and Finnish

# The Latin blocks of Unicode end here (Basic Latin to Latin Extended-B).
_LAST_LATIN = "\u024f"


def identify_language(word_counts: Mapping[str, int]) -> Language:
    """Return the language that the words are in, ``UNKNOWN`` where that cannot be told."""
    latin = {word: count for word, count in word_counts.items() if max(word) <= _LAST_LATIN}
    if _letters(latin) * 2 <= _letters(word_counts):
        return UNKNOWN
    shares = {code: _share(latin, known) for code, known in FUNCTION_WORDS.items()}
    second, best = sorted(shares, key=shares.__getitem__)[-2:]
    lead = shares[best] - shares[second]
    known_words = len(FUNCTION_WORDS[best] & latin.keys())
    if shares[best] < _SMALLEST_SHARE or lead < _SMALLEST_LEAD or known_words < _FEWEST_WORDS:
        return UNKNOWN
    return Language(
        code=best,
        name=NAMES[best],
        share=round(shares[best], 3),
        confidence=round(lead / shares[best], 3),
    )


def _letters(word_counts: Mapping[str, int]) -> int:
    return sum(len(word) * count for word, count in word_counts.items())


def _share(word_counts: Mapping[str, int], function_words: frozenset[str]) -> float:
    """Return which part of the running words are *function_words*.

    One-letter words are left out: half the world's languages have an "a" and an "o".
    """
    matching = sum(word_counts.get(word, 0) for word in function_words if len(word) > 1)
    return matching / max(1, sum(word_counts.values()))
