"""Language identification, on genuine sentences."""

import pytest

from workflows.document_analysis.function_words import FUNCTION_WORDS
from workflows.document_analysis.language import NAMES, UNKNOWN, identify_language
from workflows.document_analysis.models import Language
from workflows.document_analysis.words import word_counts

# The openings of well-known books.
GENUINE = [
    (
        "en",
        "It is a truth universally acknowledged, that a single man in possession of a good fortune must be in want of a wife.",
    ),  # Austen
    ("en", "Redistribution and use in source and binary forms are permitted."),
    (
        "de",
        "Als Gregor Samsa eines Morgens aus unruhigen Träumen erwachte, fand er sich in seinem Bett zu einem ungeheueren Ungeziefer verwandelt.",
    ),  # Kafka
    ("fr", "Longtemps, je me suis couché de bonne heure."),  # Proust
    ("fr", "L'homme est né libre, et partout il est dans les fers."),  # Rousseau
    (
        "es",
        "En un lugar de la Mancha, de cuyo nombre no quiero acordarme, no ha mucho tiempo que vivía un hidalgo.",
    ),  # Cervantes
    (
        "it",
        "Nel mezzo del cammin di nostra vita mi ritrovai per una selva oscura, ché la diritta via era smarrita.",
    ),  # Dante
    ("nl", "Ik ben makelaar in koffie, en woon op de Lauriergracht."),  # Multatuli
    ("pt", "Algum tempo hesitei se devia abrir estas memórias pelo princípio ou pelo fim."),  # Machado de Assis
    ("sv", "Det var en gång en pojke. Han var så där en fjorton år gammal, lång och ranglig och linhårig."),  # Lagerlöf
    (
        "da",
        "Der kom en soldat marcherende hen ad landevejen, for han havde været i krigen, og nu skulle han hjem.",
    ),  # Andersen
    (
        "no",
        "Det var i den tid jeg gikk omkring og sultet i Kristiania, denne forunderlige by som ingen forlater før han har fått merker av den.",
    ),  # Hamsun
]

UNKNOWABLE = [
    "Человек рождён свободным, и повсюду он в оковах.",
    "有朋自遠方來,不亦樂乎。",
    "Ἐν ἀρχῇ ἦν ὁ λόγος",
    "كان يا ما كان في قديم الزمان",
    "これは API の説明で、the と a を含みます。長い文章がここに続きます。",
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore.",
    "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.",
    "import sys; print(sys.argv)",
    "Die",
    "42",
    "",
]


def language_of(text: str) -> Language:
    return identify_language(word_counts([text]))


@pytest.mark.parametrize(("code", "text"), GENUINE)
def test_a_sentence_tells_its_language(code: str, text: str) -> None:
    language = language_of(text)
    assert (language.code, language.name) == (code, NAMES[code])
    assert 0 < language.confidence <= 1


@pytest.mark.parametrize("text", UNKNOWABLE)
def test_what_cannot_be_told_is_unknown_rather_than_wrong(text: str) -> None:
    assert language_of(text) == UNKNOWN


def test_more_text_in_a_language_than_quotes_in_others_decides() -> None:
    assert language_of(GENUINE[0][1] + " Он сказал: да.").code == "en"


def test_every_language_has_a_name_and_words_as_they_are_counted() -> None:
    assert FUNCTION_WORDS.keys() == NAMES.keys()
    for words in FUNCTION_WORDS.values():
        counted = word_counts(word + "x" if word.endswith("'") else word for word in words)
        assert words <= counted.keys()
