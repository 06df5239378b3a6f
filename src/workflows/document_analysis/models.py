"""What goes into the workflow, between its stages, and out of it."""

from pydantic import BaseModel, Field, field_validator


class Document(BaseModel):
    """A text to analyse: plain or Markdown, in any language."""

    name: str = Field(default="untitled", min_length=1, description="a file name, for instance")
    text: str

    @field_validator("text")
    @classmethod
    def _is_not_blank(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("the document has no text in it")
        return text


class SplitText(BaseModel):
    """A document taken apart. The sentences are its prose; code and addresses are left out."""

    title: str
    paragraphs: list[list[str]] = Field(description="the sentences of each paragraph")
    vocabulary: dict[str, int] = Field(description="how often each distinct word occurs")

    @property
    def sentences(self) -> list[str]:
        """The sentences of all paragraphs."""
        return [sentence for paragraph in self.paragraphs for sentence in paragraph]


class Keyword(BaseModel):
    """A phrase that says what the text is about."""

    phrase: str
    score: float = Field(description="RAKE's: the higher, the more its words keep together")
    count: int


class Keywords(BaseModel):
    """The keywords of a text, best first."""

    ranked: list[Keyword]


class KeywordConfig(BaseModel):
    """How many keywords to keep."""

    limit: int = Field(default=10, ge=1, le=100)


class Readability(BaseModel):
    """Counts and measures. A text without words has no measures."""

    sentences: int
    words: int
    syllables: int = Field(description="as in English")
    flesch_reading_ease: float | None = Field(default=None, description="means something in English")
    flesch_kincaid_grade: float | None = Field(default=None, description="likewise")
    lix: float | None = None


class ReadingLevel(BaseModel):
    """A readability score in words."""

    measure: str
    score: float
    level: str


class Language(BaseModel):
    """The language of a text."""

    code: str = Field(description="ISO 639: two letters, or und for unknown")
    name: str
    share: float = Field(description="the part of its words that are this language's function words")
    confidence: float = Field(description="0: another language fits as well, 1: no other fits at all")


class Findings(BaseModel):
    """What the parallel stages found: one field per stage."""

    keywords: Keywords
    readability: Readability
    language: Language


class Report(BaseModel):
    """What the workflow has to say about the document."""

    title: str
    language: Language
    paragraphs: int
    readability: Readability
    reading_level: ReadingLevel | None
    reading_minutes: int
    keywords: list[Keyword]
    summary: str
