"""Keywords, on the example of RAKE's authors and on their edges."""

from hypothesis import given
from hypothesis import strategies as st

from workflows.document_analysis.function_words import FUNCTION_WORDS
from workflows.document_analysis.keywords import rank_keywords
from workflows.document_analysis.models import Keyword
from workflows.document_analysis.sentences import sentences

# Rose et al. 2010, figure 1.1.
ABSTRACT = (
    "Compatibility of systems of linear constraints over the set of natural numbers. "
    "Criteria of compatibility of a system of linear Diophantine equations, strict inequations, "
    "and nonstrict inequations are considered. Upper bounds for components of a minimal set of "
    "solutions and algorithms of construction of minimal generating sets of solutions for all "
    "types of systems are given. These criteria and the corresponding algorithms for constructing "
    "a minimal supporting set of solutions can be used in solving all the considered types of "
    "systems and systems of mixed types."
)


def keywords_of(text: str, limit: int = 10, language: str = "en") -> list[Keyword]:
    return rank_keywords(sentences(text), FUNCTION_WORDS.get(language, frozenset()), limit=limit)


def test_the_abstract_of_the_paper_gives_the_scores_of_the_paper() -> None:
    scores = {keyword.phrase: round(keyword.score, 1) for keyword in keywords_of(ABSTRACT, limit=100)}
    published = {
        "minimal generating sets": 8.7,
        "linear diophantine equations": 8.5,
        "minimal supporting set": 7.7,
        "minimal set": 4.7,
        "linear constraints": 4.5,
        "natural numbers": 4.0,
        "strict inequations": 4.0,
        "nonstrict inequations": 4.0,
        "upper bounds": 4.0,
        "corresponding algorithms": 3.5,
        "set": 2.0,
        "algorithms": 1.5,
        "compatibility": 1.0,
    }
    assert {phrase: scores[phrase] for phrase in published} == published


def test_the_abstract_of_the_paper_gives_the_order_of_the_paper() -> None:
    assert [keyword.phrase for keyword in keywords_of(ABSTRACT, limit=3)] == [
        "minimal generating sets",
        "linear diophantine equations",
        "minimal supporting set",
    ]


def test_punctuation_and_function_words_end_a_phrase() -> None:
    phrases = [keyword.phrase for keyword in keywords_of("red cars, blue cars and green boats")]
    assert phrases == ["blue cars", "green boats", "red cars"]


def test_in_a_long_text_what_occurs_once_comes_last() -> None:
    text = "a river flows. " * 100 + "the most intricate bureaucratic procedure. " + "a bridge. " * 100
    assert [keyword.phrase for keyword in keywords_of(text)] == [
        "river flows",
        "bridge",
        "intricate bureaucratic procedure",
    ]


def test_without_function_words_each_word_stands_alone() -> None:
    best = keywords_of("собака видит кошку. собака лает", language="und", limit=1)
    assert best == [Keyword(phrase="собака", score=1.0, count=2)]


def test_the_function_words_are_those_of_the_language() -> None:
    assert [keyword.phrase for keyword in keywords_of("die Katze und der Hund", language="de")] == ["hund", "katze"]


def test_noise_is_no_keyword() -> None:
    assert keywords_of("x y z " + "q" * 41) == []


@given(st.text(), st.integers(min_value=1, max_value=5))
def test_keywords_are_distinct_words_of_the_text_whatever_it_is(text: str, limit: int) -> None:
    found = keywords_of(text, limit=limit)
    assert len({keyword.phrase for keyword in found}) == len(found) <= limit
    assert all(keyword.score >= 1 and keyword.count >= 1 for keyword in found)
