"""The summary, in words for people."""

from workflows.document_analysis.models import Keyword, ReadingLevel
from workflows.document_analysis.summary import reading_minutes, summarize

KEYWORDS = [Keyword(phrase=phrase, score=4, count=2) for phrase in ("covered work", "object code", "license", "terms")]
PLAIN = ReadingLevel(measure="Flesch reading ease", score=65, level="plain")


def test_it_says_what_the_text_is_how_hard_and_what_about() -> None:
    assert summarize(title="GPL-3", language="English", words=5584, level=PLAIN, keywords=KEYWORDS) == (
        "“GPL-3” has 5,584 words in English, about 23 minutes of reading. It is plain to read"
        " (Flesch reading ease 65). It speaks mostly of “covered work”, “object code” and “license”."
    )


def test_it_claims_nothing_that_is_not_known() -> None:
    assert summarize(title="x", language="unknown", words=1, level=None, keywords=[]) == (
        "“x” has 1 word in an unknown language, about 1 minute of reading."
    )


def test_it_says_when_a_text_is_too_short_to_measure_well() -> None:
    summary = summarize(title="x", language="English", words=50, level=PLAIN, keywords=KEYWORDS[:1])
    assert "(Flesch reading ease 65, a rough guess for so short a text)" in summary
    assert summary.endswith("It speaks mostly of “covered work”.")


def test_a_document_without_words_has_no_prose() -> None:
    assert summarize(title="numbers", language="unknown", words=0, level=None, keywords=[]) == (
        "“numbers” has no prose in it."
    )


def test_reading_takes_a_minute_at_least() -> None:
    assert [reading_minutes(words) for words in (1, 238, 2380)] == [1, 1, 10]
