"""All that a stage author imports."""

from workflow_engine.authoring.context import StageContext, StageStorage
from workflow_engine.authoring.engine import OutputReader
from workflow_engine.authoring.journal import Journal, Line, Note, Progress
from workflow_engine.authoring.outcomes import NotReady, StageResult, Suspended, WaitForSignal
from workflow_engine.authoring.plugins import Plugin
from workflow_engine.authoring.registry import Registry
from workflow_engine.authoring.retry import RetryPolicy
from workflow_engine.authoring.sleeping import SleepState, sleep
from workflow_engine.authoring.stage_definition import CheckDefinition, SignalDefinition, StageDefinition
from workflow_engine.authoring.stages import Stage, stage
from workflow_engine.authoring.undoing import Failure, RunError, UndoDefinition, Undoes
from workflow_engine.authoring.workflow import Workflow
from workflow_engine.authoring.workflow_definition import WorkflowDefinition

__all__ = [
    "CheckDefinition",
    "Failure",
    "Journal",
    "Line",
    "NotReady",
    "Note",
    "OutputReader",
    "Plugin",
    "Progress",
    "Registry",
    "RetryPolicy",
    "RunError",
    "SignalDefinition",
    "SleepState",
    "Stage",
    "StageContext",
    "StageDefinition",
    "StageResult",
    "StageStorage",
    "Suspended",
    "UndoDefinition",
    "Undoes",
    "WaitForSignal",
    "Workflow",
    "WorkflowDefinition",
    "sleep",
    "stage",
]
