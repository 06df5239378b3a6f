"""What goes into the workflow, between its stages, and out of it. Its input is a ``Document``."""

from datetime import timedelta

from pydantic import AwareDatetime, BaseModel, Field

DEFAULT_PATIENCE = timedelta(days=7)


class Article(BaseModel):
    """A document, ready to be laid out."""

    title: str
    language: str = Field(description="ISO 639; und for unknown")
    summary: str
    paragraphs: list[str]


class RenderConfig(BaseModel):
    """How long the queue of the renderer is."""

    queue: timedelta = Field(default=timedelta(seconds=3), gt=timedelta(0), le=timedelta(hours=1))


class RenderJob(BaseModel):
    """What is known of a page in the renderer's queue."""

    job_id: str
    ready_at: AwareDatetime


class Page(BaseModel):
    """An article as HTML."""

    title: str
    html: str


class ApprovalConfig(BaseModel):
    """How long to wait for an answer."""

    patience: timedelta = Field(default=DEFAULT_PATIENCE, gt=timedelta(0))


class Approval(BaseModel):
    """The payload of the signal ``approval``: somebody's answer."""

    approved: bool
    by: str = Field(min_length=1)
    comment: str = ""


class Publication(BaseModel):
    """A page that is out."""

    title: str
    approved_by: str
    published_at: AwareDatetime
    storage_key: str = Field(description="where the page lies in the storage of the stage publish")
    size_bytes: int
