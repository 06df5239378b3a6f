"""Lays an article out as a web page."""

from html import escape

from workflows.publish_report.models import Article

_TEMPLATE = """\
<!doctype html>
<html lang="{language}">
<meta charset="utf-8">
<title>{title}</title>
<h1>{title}</h1>
<p><em>{summary}</em></p>
{paragraphs}
</html>
"""


def render_page(article: Article) -> str:
    """Return *article* as an HTML page. Whatever its text is, it stays text."""
    return _TEMPLATE.format(
        language=escape(article.language),
        title=escape(article.title),
        summary=escape(article.summary),
        paragraphs="\n".join(f"<p>{escape(paragraph)}</p>" for paragraph in article.paragraphs),
    )
