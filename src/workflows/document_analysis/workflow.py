"""The order of the stages."""

from workflow_engine import Workflow
from workflows.document_analysis.models import Document
from workflows.document_analysis.stages import keywords, language, readability, report, split

document_analysis = (
    Workflow("document-analysis", input=Document)
    .pipe(split)
    .parallel(keywords, readability, language)
    .pipe(report)
    .build()
)
