"""The stages of publishing: waiting, asking and acting, with a clock that the test moves."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from workflow_engine import NotReady, PermanentError, StageContext, Suspended, WaitForSignal
from workflow_engine.testing.clock import FakeClock
from workflows.document_analysis.models import Document
from workflows.publish_report import stages
from workflows.publish_report.models import Approval, ApprovalConfig, Article, Page, RenderConfig, RenderJob

MakeContext = Callable[..., StageContext[Any]]

ARTICLE = Article(title="Tea", language="en", summary="Short.", paragraphs=["Brew it.", "Drink it."])
PAGE = Page(title="Tea", html="<h1>Tea</h1>")
QUEUE = timedelta(seconds=3)


@pytest.fixture
def render_context(make_context: MakeContext) -> StageContext[Any]:
    return make_context("publish-report", "render", config=RenderConfig(queue=QUEUE))


def submitted(ctx: StageContext[Any]) -> Suspended[RenderJob]:
    suspended = stages.render(ARTICLE, ctx)
    assert isinstance(suspended, Suspended)
    return suspended


def test_analyse_takes_title_language_and_paragraphs_from_the_document() -> None:
    text = "# Tea\n\nThis is the way to brew it.\n\nIt is also the way to drink it."
    article = stages.analyse(Document(name="tea.md", text=text))
    assert (article.title, article.language) == ("Tea", "en")
    assert article.paragraphs == ["Tea", "This is the way to brew it.", "It is also the way to drink it."]
    assert article.summary == "“Tea” has 16 words in English, about 1 minute of reading."


def test_a_page_is_not_ready_before_its_time(render_context: StageContext[Any], clock: FakeClock) -> None:
    job = submitted(render_context).state
    clock.advance(timedelta(seconds=1))
    assert stages.fetch_page(job, render_context) == NotReady(next_check_in=timedelta(seconds=2))


def test_a_page_is_ready_when_its_time_has_come(render_context: StageContext[Any], clock: FakeClock) -> None:
    job = submitted(render_context).state
    clock.advance(QUEUE)
    page = stages.fetch_page(job, render_context)
    assert isinstance(page, Page)
    assert page.title == "Tea"
    assert "<p>Drink it.</p>" in page.html


def test_a_second_attempt_takes_the_place_of_the_first_one_s_job(make_context: MakeContext) -> None:
    contexts = [make_context("publish-report", "render", config=RenderConfig(), attempt=attempt) for attempt in (1, 2)]
    first, second = (submitted(ctx).state for ctx in contexts)
    assert first.job_id == second.job_id
    assert contexts[0].storage.exists(first.job_id)


def test_approval_is_awaited_as_long_as_configured(make_context: MakeContext) -> None:
    patience = timedelta(days=2)
    ctx = make_context("publish-report", "approval", config=ApprovalConfig(patience=patience))
    assert stages.ask_for_approval(PAGE, ctx) == WaitForSignal("approval", Approval, timeout=patience)


def test_an_approval_is_handed_on_and_noted(make_context: MakeContext) -> None:
    ctx = make_context("publish-report", "approval", config=ApprovalConfig())
    answer = Approval(approved=True, by="the editor")
    assert stages.take_answer(answer, ctx) == answer
    assert [(note.key, note.value["by"]) for note in ctx.journal.notes] == [("approval", "the editor")]


def test_a_refusal_is_final_and_says_why(make_context: MakeContext) -> None:
    ctx = make_context("publish-report", "approval", config=ApprovalConfig())
    with pytest.raises(PermanentError, match="the editor refused the page: too short"):
        stages.take_answer(Approval(approved=False, by="the editor", comment="too short"), ctx)


def test_an_answer_of_nobody_is_no_answer() -> None:
    with pytest.raises(ValidationError):
        Approval(approved=True, by="")


def test_publishing_twice_leaves_one_page(make_context: MakeContext, clock: FakeClock) -> None:
    published = []
    for attempt in (1, 2):
        ctx = make_context("publish-report", "publish", outputs={"render": PAGE}, attempt=attempt)
        published.append(stages.publish(Approval(approved=True, by="the editor"), ctx))
    assert published[0] == published[1]
    publication = published[0].output
    assert (publication.approved_by, publication.published_at) == ("the editor", clock.now())
    assert ctx.storage.load(publication.storage_key).decode() == PAGE.html
    assert publication.size_bytes == len(PAGE.html)
