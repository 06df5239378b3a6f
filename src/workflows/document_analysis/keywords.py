"""Ranks the phrases that say what a text is about: RAKE, rapid automatic keyword extraction.

Rose, Engel, Cramer and Cowley, "Automatic keyword extraction from individual documents" (Text
Mining: Applications and Theory, Wiley 2010). A candidate is a run of words with no punctuation
and no function word in between. A word's score is its degree (how many words it stands together
with, itself included) over its frequency; a phrase's score is the sum of its words' scores.

RAKE was made for abstracts. In a long text its best scores go to long phrases that occur once,
by chance; so phrases are ranked by score times occurrences here, as terms are in C-value
(Frantzi, Ananiadou and Mima, 2000), and in long texts those that occur once come last.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from workflows.document_analysis.models import Keyword
from workflows.document_analysis.words import WORD, normalized

Phrase = tuple[str, ...]

_MOST_WORDS = 4
_LONGEST_WORD = 40  # letters; what is longer is no word, but a script without spaces or noise
_LONG_TEXT = 200  # candidates; an abstract has about thirty, a page a hundred


def rank_keywords(sentences: Iterable[str], function_words: frozenset[str], *, limit: int) -> list[Keyword]:
    """Return the best *limit* keywords, best first.

    Without *function_words*, as for a language nobody knows, each word is a candidate of its own.
    """
    occurrences = Counter(
        phrase
        for sentence in sentences
        for run in _runs(sentence, function_words)
        for phrase in ([run] if function_words else ((word,) for word in run))
    )
    scores = _scores(occurrences)
    fewest = 2 if occurrences.total() >= _LONG_TEXT else 1

    def rank(phrase: Phrase) -> tuple[bool, float, Phrase]:
        times = occurrences[phrase]
        return times < fewest, -scores[phrase] * times, phrase

    short = (phrase for phrase in occurrences if len(phrase) <= _MOST_WORDS)
    return [
        Keyword(phrase=" ".join(phrase), score=round(scores[phrase], 2), count=occurrences[phrase])
        for phrase in sorted(short, key=rank)[:limit]
    ]


def _runs(sentence: str, function_words: frozenset[str]) -> Iterator[Phrase]:
    """Yield the runs of content words of *sentence*."""
    run: list[str] = []
    end = 0
    for match in WORD.finditer(sentence):
        word = normalized(match[0])
        is_content = 1 < len(word) <= _LONGEST_WORD and word not in function_words
        punctuated = bool(sentence[end : match.start()].strip())
        if run and (punctuated or not is_content):
            yield tuple(run)
            run = []
        if is_content:
            run.append(word)
        end = match.end()
    if run:
        yield tuple(run)


def _scores(occurrences: Counter[Phrase]) -> dict[Phrase, float]:
    """Score each phrase by the degrees and frequencies of its words."""
    frequency: Counter[str] = Counter()
    degree: Counter[str] = Counter()
    for phrase, times in occurrences.items():
        for word in phrase:
            frequency[word] += times
            degree[word] += times * len(phrase)
    return {phrase: sum(degree[w] / frequency[w] for w in phrase) for phrase in occurrences}
