"""Puts the findings into sentences for people."""

from workflows.document_analysis.models import Keyword, ReadingLevel

# Silent reading of English non-fiction (Brysbaert, "How many words do we read per minute?", 2019).
_WORDS_PER_MINUTE = 238

# Flesch took samples of a hundred words; measures of less are a rough guess.
_ENOUGH_WORDS = 100


def reading_minutes(words: int) -> int:
    """Return how long an adult reads *words* words; at least a minute."""
    return max(1, round(words / _WORDS_PER_MINUTE))


def summarize(
    *,
    title: str,
    language: str,
    words: int,
    level: ReadingLevel | None,
    keywords: list[Keyword],
) -> str:
    """Return two or three sentences about the document."""
    if not words:
        return f"“{title}” has no prose in it."
    parts = [_what_it_is(title, language, words), _how_hard(words, level), _about(keywords)]
    return " ".join(part for part in parts if part)


def _what_it_is(title: str, language: str, words: int) -> str:
    tongue = "an unknown language" if language == "unknown" else language
    plural = "" if words == 1 else "s"
    minutes = reading_minutes(words)
    return (
        f"“{title}” has {words:,} word{plural} in {tongue},"
        f" about {minutes} minute{'' if minutes == 1 else 's'} of reading."
    )


def _how_hard(words: int, level: ReadingLevel | None) -> str:
    if level is None:
        return ""
    guess = ", a rough guess for so short a text" if words < _ENOUGH_WORDS else ""
    return f"It is {level.level} to read ({level.measure} {level.score:g}{guess})."


def _about(keywords: list[Keyword]) -> str:
    if not keywords:
        return ""
    *others, last = (f"“{keyword.phrase}”" for keyword in keywords[:3])
    listed = f"{', '.join(others)} and {last}" if others else last
    return f"It speaks mostly of {listed}."
