"""Readability, against values that others have published."""

import pytest

from workflows.document_analysis.models import Readability
from workflows.document_analysis.readability import measure_readability, reading_level
from workflows.document_analysis.words import word_counts

# The three examples, with their scores, are those of Wikipedia's "Flesch-Kincaid readability tests".
PUBLISHED = [
    ("The cat sat on the mat.", 116.1),
    ("This sentence, taken as a reading passage unto itself, is being used to prove a point.", 69.0),
    ("The Australian platypus is seemingly a hybrid of a mammal and reptilian creature.", 37.5),
]


def measured(text: str, sentences: int = 1) -> Readability:
    return measure_readability(word_counts([text]), sentences=sentences)


@pytest.mark.parametrize(("text", "ease"), PUBLISHED)
def test_flesch_reading_ease_is_as_published(text: str, ease: float) -> None:
    assert measured(text).flesch_reading_ease == ease


def test_flesch_kincaid_grade_is_as_published() -> None:
    assert measured(PUBLISHED[2][0]).flesch_kincaid_grade == 11.3


def test_lix_adds_sentence_length_and_the_percentage_of_long_words() -> None:
    # 8 words in 2 sentences, 2 of them over six letters: 4 + 25.
    assert measured("Der Regen beginnt. Wir warten noch darunter ein.", sentences=2).lix == 4 + 25


def test_a_text_without_words_has_no_measures_and_no_level() -> None:
    nothing = measured("123 !!!", sentences=1)
    assert (nothing.words, nothing.flesch_reading_ease, nothing.lix) == (0, None, None)
    assert reading_level(nothing, "en") is None


@pytest.mark.parametrize(
    ("ease", "level"),
    [
        (116.1, "very easy"),
        (90, "very easy"),
        (69, "plain"),
        (60, "plain"),
        (59.9, "fairly difficult"),
        (-20, "very difficult"),
    ],
)
def test_english_is_rated_by_flesch(ease: float, level: str) -> None:
    readability = Readability(sentences=1, words=1, syllables=1, flesch_reading_ease=ease, lix=1)
    rated = reading_level(readability, "en")
    assert rated is not None
    assert (rated.measure, rated.score, rated.level) == ("Flesch reading ease", ease, level)


@pytest.mark.parametrize(
    ("lix", "level"), [(20, "very easy"), (45, "medium"), (50, "difficult"), (75, "very difficult")]
)
def test_other_known_languages_are_rated_by_lix(lix: float, level: str) -> None:
    readability = Readability(sentences=1, words=1, syllables=1, flesch_reading_ease=1, lix=lix)
    rated = reading_level(readability, "de")
    assert rated is not None
    assert (rated.measure, rated.score, rated.level) == ("LIX", lix, level)


def test_an_unknown_language_is_not_rated() -> None:
    assert reading_level(measured(PUBLISHED[0][0]), "und") is None
