"""Measures how hard a text is to read, by the length of its sentences and its words.

Flesch, "A new readability yardstick" (Journal of Applied Psychology, 1948) and Kincaid et al.,
"Derivation of new readability formulas" (US Navy, 1975) count syllables and were made for English.
Björnsson's LIX ("Läsbarhet", 1968) counts long words and is used for many European languages
("Readability of newspapers in 11 languages", Reading Research Quarterly, 1983).
"""

from bisect import bisect_right
from collections.abc import Mapping

from workflows.document_analysis.models import Readability, ReadingLevel
from workflows.document_analysis.syllables import count_syllables

# "More than six letters", says Björnsson.
_LONG_WORD_LETTERS = 7

_FLESCH_LEVELS = (
    "very difficult",
    "difficult",
    "fairly difficult",
    "plain",
    "fairly easy",
    "easy",
    "very easy",
)
_FLESCH_BOUNDS = (30, 50, 60, 70, 80, 90)

_LIX_LEVELS = ("very easy", "easy", "medium", "difficult", "very difficult")
_LIX_BOUNDS = (30, 40, 50, 60)


def measure_readability(word_counts: Mapping[str, int], *, sentences: int) -> Readability:
    """Measure a text by its distinct words with their counts, and its number of sentences."""
    words = sum(word_counts.values())
    if not words:
        return Readability(sentences=0, words=0, syllables=0)
    sentences = max(1, sentences)
    syllables = sum(count_syllables(word) * count for word, count in word_counts.items())
    long_words = sum(c for word, c in word_counts.items() if len(word) >= _LONG_WORD_LETTERS)
    return Readability(
        sentences=sentences,
        words=words,
        syllables=syllables,
        flesch_reading_ease=round(flesch_reading_ease(words, sentences, syllables), 1),
        flesch_kincaid_grade=round(flesch_kincaid_grade(words, sentences, syllables), 1),
        lix=round(words / sentences + 100 * long_words / words, 1),
    )


def flesch_reading_ease(words: int, sentences: int, syllables: int) -> float:
    """Return Flesch's reading ease: usually 0 (hardest) to 100 (easiest), but nothing bounds it."""
    return 206.835 - 1.015 * words / sentences - 84.6 * syllables / words


def flesch_kincaid_grade(words: int, sentences: int, syllables: int) -> float:
    """Return the US school grade that Kincaid's formula asks of a reader."""
    return 0.39 * words / sentences + 11.8 * syllables / words - 15.59


def reading_level(readability: Readability, language_code: str) -> ReadingLevel | None:
    """Put the measure that fits the language into words, ``None`` where none fits."""
    ease, lix = readability.flesch_reading_ease, readability.lix
    if language_code == "en" and ease is not None:
        level = _FLESCH_LEVELS[bisect_right(_FLESCH_BOUNDS, ease)]
        return ReadingLevel(measure="Flesch reading ease", score=ease, level=level)
    if language_code != "und" and lix is not None:
        level = _LIX_LEVELS[bisect_right(_LIX_BOUNDS, lix)]
        return ReadingLevel(measure="LIX", score=lix, level=level)
    return None
