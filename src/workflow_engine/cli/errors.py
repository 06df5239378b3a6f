"""What can go wrong at the command line itself, and which exit code each error gets.

Errors of the engine are in ``workflow_engine.errors``; these are about files, options and stacks.
"""

from workflow_engine.errors import AwsRequestError, TransientError, WorkflowEngineError
from workflow_engine.local.errors import StackNotFoundError

COMPLETED, RUN_FAILED, BAD_USAGE, AWS_NOT_REACHABLE = 0, 1, 2, 3
# 128 + SIGINT, as shells have it.
INTERRUPTED = 130


class UnreadableInputError(WorkflowEngineError):
    """An input cannot be made of what was given; *advice* says what to do about it."""

    def __init__(self, *, source: str, problem: str, advice: str) -> None:
        super().__init__(f"{source}: {problem}; {advice}")
        self.source, self.problem, self.advice = source, problem, advice


NOT_REACHABLE = (TransientError, AwsRequestError, StackNotFoundError)


def exit_code_of(error: WorkflowEngineError) -> int:
    """The exit code that says what kind of trouble *error* is."""
    return AWS_NOT_REACHABLE if isinstance(error, NOT_REACHABLE) else BAD_USAGE
