"""The stages of publishing: one that starts something outside, one that asks a human, one that acts.

What is outside here is a renderer with a queue, and a timer plays the queue: a job is taken from it
when its time has come. A real one would be asked through its API, in the same two functions.
"""

from datetime import timedelta

from workflow_engine import (
    NotReady,
    PermanentError,
    RetryPolicy,
    StageContext,
    StageResult,
    Suspended,
    WaitForSignal,
    sleep,
    stage,
)
from workflows.document_analysis import prose, summary
from workflows.document_analysis.language import identify_language
from workflows.document_analysis.models import Document
from workflows.document_analysis.words import word_counts
from workflows.publish_report.models import (
    Approval,
    ApprovalConfig,
    Article,
    Page,
    Publication,
    RenderConfig,
    RenderJob,
)
from workflows.publish_report.page import render_page

APPROVAL = "approval"


@stage("analyse", timeout=timedelta(minutes=1))
def analyse(document: Document) -> Article:
    """Find the document's title, language and paragraphs."""
    text = prose.readable_text(document.text)
    paragraphs = prose.paragraphs(text)
    title = prose.title(text) or document.name
    words = word_counts(paragraphs)
    language = identify_language(words)
    in_short = summary.summarize(title=title, language=language.name, words=words.total(), level=None, keywords=[])
    return Article(title=title, language=language.code, summary=in_short, paragraphs=paragraphs)


@stage("render", retry=RetryPolicy(max_attempts=5, first_delay=timedelta(seconds=1)), timeout=timedelta(minutes=1))
def render(article: Article, ctx: StageContext[RenderConfig]) -> Suspended[RenderJob]:
    """Put the article into the renderer's queue."""
    # The effect key names the job: a second attempt replaces the first one's job, it adds none.
    job = RenderJob(job_id=ctx.effect_key, ready_at=ctx.now() + ctx.config.queue)
    ctx.storage.save(job.job_id, article)
    return Suspended(job, poll_every=ctx.config.queue, give_up_after=timedelta(hours=2))


@render.check_completion
def fetch_page(job: RenderJob, ctx: StageContext[RenderConfig]) -> Page | NotReady:
    """Fetch the page, once the queue has come to it."""
    left = job.ready_at - ctx.now()
    if left > timedelta(0):
        return NotReady(next_check_in=left)
    article = Article.model_validate_json(ctx.storage.load(job.job_id))
    return Page(title=article.title, html=render_page(article))


@stage("approval")
def ask_for_approval(page: Page, ctx: StageContext[ApprovalConfig]) -> WaitForSignal[Approval]:
    """Wait until somebody has looked at the page."""
    ctx.log("info", "waiting for approval", title=page.title, signal=APPROVAL)
    return WaitForSignal(APPROVAL, Approval, timeout=ctx.config.patience)


@ask_for_approval.on_signal
def take_answer(answer: Approval, ctx: StageContext[ApprovalConfig]) -> Approval:
    """Go on with an approved page, and end the run of a refused one."""
    ctx.annotate("approval", answer)
    if not answer.approved:
        raise PermanentError(f"{answer.by} refused the page: {answer.comment or 'no reason given'}")
    return answer


# Time to call it back: `workflow-engine cancel RUN`.
cool_down = sleep("cool-down", timedelta(seconds=2))


@stage("publish", timeout=timedelta(minutes=1), requires=[render])
def publish(approval: Approval, ctx: StageContext) -> StageResult[Publication]:
    """Put the page where readers find it, once however often it is tried."""
    page = ctx.require(render)
    content = page.html.encode()
    key = f"{ctx.effect_key}.html"
    ctx.storage.save(key, content)
    publication = Publication(
        title=page.title,
        approved_by=approval.by,
        published_at=ctx.now(),
        storage_key=key,
        size_bytes=len(content),
    )
    return StageResult(output=publication, metrics={"bytes": len(content)}, artifacts={"page": key})
