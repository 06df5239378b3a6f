"""What the command line says of whatever was raised, and the exit code that it ends with.

1 means that a run failed, so nothing else may end with it.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from workflow_engine.cli.entry import missing_extra
from workflow_engine.cli.errors import BAD_USAGE, INTERRUPTED, exit_code_of
from workflow_engine.cli.interrupts import Interrupted
from workflow_engine.errors import InvalidCommandError, WorkflowEngineError, facts_of
from workflow_engine.local.errors import one_line
from workflow_engine.model.problems import problems_of

# With this variable in the environment, the traceback of an error is shown as well.
TRACEBACK = "WORKFLOW_ENGINE_TRACEBACK"


@dataclass(frozen=True, slots=True)
class Failure:
    """How a command ends: *text* is for people, *facts* for programs; without them there is nothing to say."""

    exit_code: int
    text: str = ""
    facts: Mapping[str, Any] | None = None


def failure_of(error: BaseException) -> Failure:
    """What there is to say of *error*."""
    if isinstance(error, KeyboardInterrupt):
        return _interrupted(error)
    if isinstance(error, ValidationError):
        error = InvalidCommandError(problems=problems_of(error))
    if isinstance(error, WorkflowEngineError):
        text = f"{error.code}: {one_line(str(error))}"
        return Failure(exit_code_of(error), text, facts_of(error))
    if (translated := _of_aws(error)) is not None:
        return failure_of(translated)
    if (usage := _of_usage(error)) is not None:
        return usage
    if (advice := missing_extra(error)) is not None:
        return _failure("MissingExtraError", advice)
    problem = one_line(str(error))
    if isinstance(error, OSError):
        return _failure("OSError", problem)
    return _failure(type(error).__name__, f"{problem} (a defect of this command; {TRACEBACK}=1 shows where it is)")


def _failure(code: str, message: str) -> Failure:
    return Failure(BAD_USAGE, f"{code}: {message}", {"error": code, "message": message, "retryable": False})


def _interrupted(error: KeyboardInterrupt) -> Failure:
    told = error if isinstance(error, Interrupted) else Interrupted()
    facts = {"error": "Interrupted", "message": one_line(told.advice), "retryable": False, "run_ids": told.run_ids}
    return Failure(INTERRUPTED, "\n".join(filter(None, [told.advice, "interrupted"])), facts)


def _of_usage(error: BaseException) -> Failure | None:
    """What typer says of options that it cannot read. Its classes have moved between its versions."""
    said = getattr(error, "format_message", None)
    if said is None:
        return None
    if type(error).__name__ == "NoArgsIsHelpError":
        return Failure(BAD_USAGE)
    command = getattr(getattr(error, "ctx", None), "command_path", "workflow-engine")
    return _failure("UsageError", f"{one_line(said())} ({command} --help)")


def _of_aws(error: BaseException) -> WorkflowEngineError | None:
    """An error of the SDK that no adapter has translated, since it came before any request."""
    if "botocore" not in sys.modules:
        return None
    from botocore.exceptions import BotoCoreError, ClientError

    from workflow_engine.adapters.aws.errors import translated

    if not isinstance(error, BotoCoreError | ClientError):
        return None
    return translated(error, service="AWS", operation=getattr(error, "operation_name", "request"))
