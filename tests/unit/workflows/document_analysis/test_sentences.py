"""Sentences, as readers see them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.document_analysis.sentences import sentences


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        ("It rains. It pours!", ["It rains.", "It pours!"]),
        ("Really?! Yes... He left.", ["Really?!", "Yes...", "He left."]),
        ('"Stop." She ran.', ['"Stop."', "She ran."]),
        (
            "Dr. A. Smith (b. 1950) paid $3.50 in the U.S. Senate.",
            ["Dr. A. Smith (b. 1950) paid $3.50 in the U.S. Senate."],
        ),
        ("Use tools, e.g. Make. They help.", ["Use tools, e.g. Make.", "They help."]),
        ("Das gilt z. B. für Wien. Und für Graz.", ["Das gilt z. B. für Wien.", "Und für Graz."]),
        ("version 2. 0 and so on. then more", ["version 2.", "0 and so on. then more"]),
        ("今日は。元気ですか。", ["今日は。", "元気ですか。"]),
        ("यह है। वह है।", ["यह है।", "वह है।"]),
        ("no end", ["no end"]),
        ("", []),
    ],
)
def test_a_sentence_ends_at_final_punctuation_only(paragraph: str, expected: list[str]) -> None:
    assert sentences(paragraph) == expected


@given(st.text(alphabet=st.sampled_from("aB .!?\"')1。")))
def test_no_character_is_lost(paragraph: str) -> None:
    assert "".join("".join(sentences(paragraph)).split()) == "".join(paragraph.split())
