"""The workflows of this application. Add yours to the registry: Lambda and the command line find it here."""

from workflow_engine import Registry
from workflows.document_analysis.workflow import document_analysis
from workflows.order_process.workflow import order_process
from workflows.publish_report.workflow import publish_report

registry = Registry([document_analysis, order_process, publish_report])

__all__ = ["registry"]
