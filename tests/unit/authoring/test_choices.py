"""What ``build()`` says of choices and of stages that may be skipped, and what of them is part of a workflow."""

from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from workflow_engine.authoring import Stage, StageContext, Workflow, WorkflowDefinition, sleep, stage
from workflow_engine.authoring.compatibility import compare, compare_ahead
from workflow_engine.authoring.unions import load, members_of, one_of
from workflow_engine.errors import WorkflowDefinitionError
from workflow_engine.model.values import UnfitValueError
from tests.unit.authoring.conftest import *  # noqa: F403
