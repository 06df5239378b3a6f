"""The order of the stages."""

from workflow_engine import Workflow
from workflows.document_analysis.models import Document
from workflows.publish_report.stages import analyse, ask_for_approval, cool_down, publish, render

publish_report = (
    Workflow("publish-report", input=Document)
    .pipe(analyse)
    .pipe(render)
    .pipe(ask_for_approval)
    .pipe(cool_down)
    .pipe(publish)
    .build()
)
