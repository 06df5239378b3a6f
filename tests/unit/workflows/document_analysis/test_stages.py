"""The stages of the document analysis, one after the other, on real texts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from workflow_engine import StageContext
from workflows.document_analysis import stages
from workflows.document_analysis.models import Document, Findings, KeywordConfig, Report

MakeContext = Callable[..., StageContext[Any]]
ROOT = Path(__file__).parents[4]
LICENCE = Document(name="LICENSE", text=(ROOT / "LICENSE").read_text())
FABLE = """\
# Der Fuchs und die Trauben

Ein Fuchs, der auf die Beute ging, fand einen Weinstock, der voll schwerer Trauben hing. Sie waren
aber so hoch, dass er sie nicht erreichen konnte. Da sprach der Fuchs: „Die Trauben sind mir zu
sauer!“ und ging davon.
"""


def analyse(document: Document, make_context: MakeContext, *, limit: int = 10) -> Report:
    """Call the stages as the engine would."""

    def context(stage_id: str, **facts: Any) -> StageContext[Any]:
        return make_context("document-analysis", stage_id, **facts)

    text = stages.split(document, context("split")).output
    findings = Findings(
        keywords=stages.keywords(text, context("keywords", config=KeywordConfig(limit=limit))),
        readability=stages.readability(text),
        language=stages.language(text, context("language")),
    )
    report = stages.report(findings, context("report", outputs={"split": text}))
    assert isinstance(report, Report)
    return report


def test_a_licence_is_english_hard_to_read_and_about_software(make_context: MakeContext) -> None:
    report = analyse(LICENCE, make_context)
    assert (report.title, report.language.name) == ("LICENSE", "English")
    assert report.reading_level is not None
    assert report.reading_level.level == "difficult"
    assert "software" in {keyword.phrase for keyword in report.keywords}
    assert report.summary.startswith("“LICENSE” has 1")


def test_a_fable_is_german_and_rated_by_lix(make_context: MakeContext) -> None:
    report = analyse(Document(name="fuchs.md", text=FABLE), make_context)
    assert (report.title, report.language.code) == ("Der Fuchs und die Trauben", "de")
    assert report.reading_level is not None
    assert report.reading_level.measure == "LIX"
    assert {"fuchs", "trauben"} <= {keyword.phrase for keyword in report.keywords}


def test_line_ends_make_no_difference(make_context: MakeContext) -> None:
    windows = LICENCE.model_copy(update={"text": LICENCE.text.replace("\n", "\r\n")})
    assert analyse(windows, make_context) == analyse(LICENCE, make_context)


def test_other_alphabets_are_counted_and_not_rated(make_context: MakeContext) -> None:
    report = analyse(Document(text="Собака видит кошку. Собака лает."), make_context)
    assert (report.readability.words, report.readability.sentences) == (5, 2)
    assert (report.language.code, report.reading_level) == ("und", None)
    assert report.keywords[0].phrase == "собака"


def test_a_document_of_code_alone_has_no_prose(make_context: MakeContext) -> None:
    report = analyse(Document(name="run.md", text="```sh\nmake run\n```"), make_context)
    assert (report.readability.words, report.keywords, report.paragraphs) == (0, [], 0)
    assert report.summary == "“run.md” has no prose in it."


def test_the_limit_bounds_the_keywords(make_context: MakeContext) -> None:
    assert len(analyse(LICENCE, make_context, limit=3).keywords) == 3


def test_the_language_is_annotated_and_the_counts_are_measured(make_context: MakeContext) -> None:
    result = stages.split(LICENCE, make_context("document-analysis", "split"))
    context = make_context("document-analysis", "language")
    stages.language(result.output, context)
    assert result.metrics["words"] == sum(result.output.vocabulary.values())
    assert [(note.key, note.value["code"]) for note in context.journal.notes] == [("language", "en")]


@pytest.mark.parametrize("text", ["", " \r\n\t ", "\u00a0\u2003"])
def test_a_blank_document_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="no text in it"):
        Document(text=text)


# The fixture may live through all examples: it makes a context of its own for each.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1).filter(lambda text: bool(text.strip())))
def test_no_text_makes_a_stage_raise(make_context: MakeContext, text: str) -> None:
    report = analyse(Document(text=text), make_context)
    assert Report.model_validate_json(report.model_dump_json()) == report
