"""The page, as a browser reads it."""

from html.parser import HTMLParser

from typing_extensions import override

from workflows.publish_report.models import Article
from workflows.publish_report.page import render_page

ARTICLE = Article(
    title="Tea & <b>biscuits</b>", language="en", summary='"Short"', paragraphs=["One.", "<script>alert(1)</script>"]
)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    @override
    def handle_data(self, data: str) -> None:
        self.text += [data.strip()] if data.strip() else []


def test_a_page_shows_the_article_and_runs_none_of_it() -> None:
    reader = _Reader()
    reader.feed(render_page(ARTICLE))
    assert reader.tags == ["html", "meta", "title", "h1", "p", "em", "p", "p"]
    assert reader.text == [
        ARTICLE.title,
        ARTICLE.title,
        ARTICLE.summary,
        *ARTICLE.paragraphs,
    ]
