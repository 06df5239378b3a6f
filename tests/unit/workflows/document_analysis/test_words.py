"""Words, the unit that every measure counts in."""

import pytest

from workflows.document_analysis.words import word_counts, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't panic, said the well-known guide.", ["don't", "panic", "said", "the", "well-known", "guide"]),
        ("It\u2019s 42 snake_case names", ["it's", "snake", "case", "names"]),
        ("L\u2019homme qu'il était", ["l'", "homme", "qu'", "il", "était"]),
        ("dell'acqua all'alba", ["dell'", "acqua", "all'", "alba"]),
        ("Привет, мир", ["привет", "мир"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("שָׁלוֹם עולם", ["שָׁלוֹם", "עולם"]),
        ("12 + 30 = 42!", []),
    ],
)
def test_words_are_runs_of_letters_in_any_script(text: str, expected: list[str]) -> None:
    assert list(words(text)) == expected


def test_word_counts_add_up_over_texts_and_letter_cases() -> None:
    assert word_counts(["The cat.", "the dog"]) == {"the": 2, "cat": 1, "dog": 1}
