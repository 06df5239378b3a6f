"""Syllables, against the entries of dictionaries."""

import pytest

from workflows.document_analysis.syllables import count_syllables

DICTIONARY = {
    1: "the cat make makes used strength you whole queue",
    2: "table unique being wanted science business quiet couldn't statement hundred poem creature sometimes",
    3: "beautiful passages idea animal easier media period reptilian seemingly",
    4: "mechanism influential january reliable society initiate",
    5: "university vocabulary individual automatically continuously",
}


@pytest.mark.parametrize(
    ("word", "syllables"), [(word, count) for count, line in DICTIONARY.items() for word in line.split()]
)
def test_words_have_the_syllables_of_the_dictionary(word: str, syllables: int) -> None:
    assert count_syllables(word) == syllables


@pytest.mark.parametrize("word", ["tsk", "hmm", "", "漢字", "рок"])
def test_every_word_has_a_syllable(word: str) -> None:
    assert count_syllables(word) >= 1
