"""The stages of the document analysis. Thin: the work is done by the pure modules beside this one.

``split`` hands on the sentences and the counted words, so that each of the parallel stages finds
what it needs without taking the text apart again. A large document makes a large output; the
engine keeps it in S3 and the stages never notice.
"""

from datetime import timedelta

from workflow_engine import RetryPolicy, StageContext, StageResult, stage
from workflows.document_analysis import prose, summary
from workflows.document_analysis.function_words import FUNCTION_WORDS
from workflows.document_analysis.keywords import rank_keywords
from workflows.document_analysis.language import identify_language
from workflows.document_analysis.models import (
    Document,
    Findings,
    KeywordConfig,
    Keywords,
    Language,
    Readability,
    Report,
    SplitText,
)
from workflows.document_analysis.readability import measure_readability, reading_level
from workflows.document_analysis.sentences import sentences
from workflows.document_analysis.words import word_counts

# Nothing here talks to anybody, so what fails is the machine: try again soon, but not for ever.
RETRY = RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=1))

# 5 MB of text take about 2 s on a whole core, and a small Lambda function has a fraction of one.
TIMEOUT = timedelta(seconds=60)


@stage("split", retry=RETRY, timeout=TIMEOUT)
def split(document: Document, ctx: StageContext) -> StageResult[SplitText]:
    """Find the prose of the document: paragraphs, sentences, words."""
    text = prose.readable_text(document.text)
    paragraphs = [sentences(paragraph) for paragraph in prose.paragraphs(text)]
    vocabulary = word_counts(sentence for paragraph in paragraphs for sentence in paragraph)
    ctx.log("info", "document taken apart", paragraphs=len(paragraphs), words=vocabulary.total())
    return StageResult(
        output=SplitText(title=prose.title(text) or document.name, paragraphs=paragraphs, vocabulary=vocabulary),
        metrics={"characters": len(document.text), "words": vocabulary.total(), "distinct_words": len(vocabulary)},
    )


@stage("keywords", retry=RETRY, timeout=TIMEOUT)
def keywords(text: SplitText, ctx: StageContext[KeywordConfig]) -> Keywords:
    """Rank the phrases that the document is about."""
    # Siblings run at the same time and do not see each other; asking again costs a millisecond.
    code = identify_language(text.vocabulary).code
    function_words = FUNCTION_WORDS.get(code, frozenset())
    return Keywords(ranked=rank_keywords(text.sentences, function_words, limit=ctx.config.limit))


@stage("readability", retry=RETRY, timeout=TIMEOUT)
def readability(text: SplitText) -> Readability:
    """Measure how hard the document is to read."""
    return measure_readability(text.vocabulary, sentences=len(text.sentences))


@stage("language", retry=RETRY, timeout=TIMEOUT)
def language(text: SplitText, ctx: StageContext) -> Language:
    """Tell the document's language."""
    found = identify_language(text.vocabulary)
    ctx.annotate("language", found)
    return found


@stage("report", retry=RETRY, timeout=TIMEOUT, requires=[split])
def report(findings: Findings, ctx: StageContext) -> Report:
    """Put what was found together, with a summary in words."""
    text = ctx.require(split)
    level = reading_level(findings.readability, findings.language.code)
    return Report(
        title=text.title,
        language=findings.language,
        paragraphs=len(text.paragraphs),
        readability=findings.readability,
        reading_level=level,
        reading_minutes=summary.reading_minutes(findings.readability.words),
        keywords=findings.keywords.ranked,
        summary=summary.summarize(
            title=text.title,
            language=findings.language.name,
            words=findings.readability.words,
            level=level,
            keywords=findings.keywords.ranked,
        ),
    )
