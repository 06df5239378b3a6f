"""Every error that crosses a layer. One root; ``retryable`` is data on the class.

A handler that must decide between "send it again" and "give it up" asks only ``error.retryable``.
What belongs elsewhere: an expected outcome (a lost claim, an empty queue, a refused commit) is a
return value, never an exception.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta


class WorkflowEngineError(Exception):
    """The root of everything the engine raises on purpose."""

    retryable: bool = False

    @property
    def code(self) -> str:
        """The class name: what records, events and ``--json`` output carry."""
        return type(self).__name__


class WorkflowDefinitionError(WorkflowEngineError):
    """A workflow cannot be built: types, ids or dependencies do not fit."""

    def __init__(self, *, workflow_id: str, problems: Sequence[str]) -> None:
        super().__init__(f"workflow {workflow_id!r}: " + "; ".join(problems))
        self.workflow_id, self.problems = workflow_id, tuple(problems)


class WorkflowNotFoundError(WorkflowEngineError):
    """No workflow of that id is registered."""

    def __init__(self, *, workflow_id: str, known: Sequence[str] = ()) -> None:
        choices = ", ".join(sorted(known)) or "none"
        super().__init__(f"no workflow {workflow_id!r}; registered: {choices}")
        self.workflow_id, self.known = workflow_id, tuple(known)


class RunNotFoundError(WorkflowEngineError):
    """No run of that id exists."""

    def __init__(self, *, run_id: str) -> None:
        super().__init__(f"no run {run_id!r}")
        self.run_id = run_id


class StageNotFoundError(WorkflowEngineError):
    """The workflow has no such stage, or the stage has no output yet."""

    def __init__(self, *, workflow_id: str, stage_id: str, detail: str = "no such stage") -> None:
        super().__init__(f"stage {stage_id!r} of workflow {workflow_id!r}: {detail}")
        self.workflow_id, self.stage_id, self.detail = workflow_id, stage_id, detail


class StageSkippedError(StageNotFoundError):
    """The stage was skipped in this run: it has no output, and never will have one."""

    def __init__(self, *, workflow_id: str, stage_id: str) -> None:
        super().__init__(workflow_id=workflow_id, stage_id=stage_id, detail="was skipped in this run")


class ChoiceError(WorkflowEngineError):
    """It could not be decided whether a stage runs, or which one: what was asked raised, took too long, or answered what
    is no answer. The run has everything before the stage behind it: a rerun from there asks again."""

    def __init__(self, *, stage_id: str, problem: str) -> None:
        super().__init__(f"whether stage {stage_id!r} runs: {problem}")
        self.stage_id, self.problem = stage_id, problem


class InvalidInputError(WorkflowEngineError):
    """A run's input, a stage's input or a signal's payload does not validate."""

    def __init__(self, *, what: str, problems: Sequence[str]) -> None:
        super().__init__(f"{what}: " + "; ".join(problems))
        self.what, self.problems = what, tuple(problems)


class InvalidConfigError(WorkflowEngineError):
    """A run's config does not validate against the config model of a stage."""

    def __init__(self, *, stage_id: str, problems: Sequence[str]) -> None:
        super().__init__(f"config of stage {stage_id!r}: " + "; ".join(problems))
        self.stage_id, self.problems = stage_id, tuple(problems)


class InvalidOutputError(WorkflowEngineError):
    """What a stage returned is not of its declared type, or would not come back from JSON as it is."""

    def __init__(self, *, stage_id: str, problems: Sequence[str]) -> None:
        super().__init__(f"output of stage {stage_id!r}: " + "; ".join(problems))
        self.stage_id, self.problems = stage_id, tuple(problems)


class UnstorableValueError(WorkflowEngineError):
    """A model that was given to a command or to ``ctx.storage`` would not come back from JSON as it is."""

    def __init__(self, *, what: str, problems: Sequence[str]) -> None:
        super().__init__(f"{what} cannot be stored: " + "; ".join(problems))
        self.what, self.problems = what, tuple(problems)


class InvalidCommandError(WorkflowEngineError):
    """A message or a call is no command of the contract."""

    def __init__(self, *, problems: Sequence[str]) -> None:
        super().__init__("not a valid command: " + "; ".join(problems))
        self.problems = tuple(problems)


class InvalidStateError(WorkflowEngineError):
    """The run is in a status in which the command makes no sense."""

    def __init__(self, *, run_id: str, status: str, command: str, detail: str = "") -> None:
        why = f": {detail}" if detail else ""
        super().__init__(f"{command} cannot be applied to run {run_id!r}, which is {status}{why}")
        self.run_id, self.status, self.command, self.detail = run_id, status, command, detail


class IdempotencyConflictError(WorkflowEngineError):
    """The idempotency key was used before, for the same command with other content."""

    def __init__(self, *, key: str, command_type: str) -> None:
        super().__init__(f"key {key!r} was used for another {command_type}")
        self.key, self.command_type = key, command_type


class IdempotencyInProgressError(WorkflowEngineError):
    """Another caller holds the key. Kept for adapters that record a key before its effect."""

    retryable = True

    def __init__(self, *, key: str, command_type: str) -> None:
        super().__init__(f"{command_type} with key {key!r} is in progress")
        self.key, self.command_type = key, command_type


class StaleRunError(WorkflowEngineError):
    """The run changed under the caller more often than it was willing to look again."""

    retryable = True

    def __init__(self, *, run_id: str, tries: int) -> None:
        super().__init__(f"run {run_id!r} changed during each of {tries} tries")
        self.run_id, self.tries = run_id, tries


class SubmissionError(WorkflowEngineError):
    """The queue did not answer to a command that was submitted: whether it has it is not known."""

    retryable = True

    def __init__(self, *, run_id: str, idempotency_key: str, reason: str) -> None:
        super().__init__(
            f"run {run_id!r} may or may not start: {reason}; submitted again with the idempotency key "
            f"{idempotency_key!r}, it starts once"
        )
        self.run_id, self.idempotency_key, self.reason = run_id, idempotency_key, reason


class PayloadTooLargeError(WorkflowEngineError):
    """A value is larger than AWS (or the engine) takes, and retrying will not shrink it."""

    def __init__(self, *, what: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"{what} is {size_bytes} bytes; the limit is {limit_bytes}")
        self.what, self.size_bytes, self.limit_bytes = what, size_bytes, limit_bytes


class TooManySignalsError(PayloadTooLargeError):
    """A run keeps all the signals that it can, and none of its stages waits for this one now.

    Nothing was kept. There is room again once stages have used up some of the others.
    """

    retryable = True

    def __init__(self, *, run_id: str, name: str, kept: int, limit: int) -> None:
        super().__init__(what="kept signals", size_bytes=kept, limit_bytes=limit)
        self.args = (f"run {run_id!r} keeps {kept} signals (at most {limit}), and no stage waits for {name!r} now",)
        self.run_id, self.name, self.kept, self.limit = run_id, name, kept, limit


class DefinitionChangedError(WorkflowEngineError):
    """A deploy changed the workflow in a way that a run in flight cannot follow."""

    def __init__(self, *, run_id: str, workflow_id: str, differences: Sequence[str]) -> None:
        super().__init__(f"run {run_id!r} of {workflow_id!r} cannot go on: " + "; ".join(differences))
        self.run_id, self.workflow_id = run_id, workflow_id
        self.differences = tuple(differences)


class NewerDefinitionError(WorkflowEngineError):
    """Code that this process does not have started runs of that definition within the last hour.

    One of the two is being deployed or rolled back, so the run is left to the other.
    """

    retryable = True

    def __init__(self, *, workflow_id: str, fingerprint: str, detail: str) -> None:
        super().__init__(f"left to the code that started runs of {workflow_id!r} within the last hour: {detail}")
        self.workflow_id, self.fingerprint, self.detail = workflow_id, fingerprint, detail


class UnsupportedFormatError(WorkflowEngineError):
    """An item was written by a newer version of the engine; it is left as it is."""

    def __init__(self, *, what: str, found: int, supported: int) -> None:
        super().__init__(f"{what} has format {found}; this version reads up to {supported}")
        self.what, self.found, self.supported = what, found, supported


class CorruptItemError(WorkflowEngineError):
    """A stored item cannot be read: fields are missing or of the wrong type."""

    def __init__(self, *, what: str, problem: str) -> None:
        super().__init__(f"{what} cannot be read: {problem}")
        self.what, self.problem = what, problem


class BlobNotFoundError(WorkflowEngineError):
    """No blob is stored under that key."""

    def __init__(self, *, key: str) -> None:
        super().__init__(f"no blob {key!r}")
        self.key = key


class TransientError(WorkflowEngineError):
    """An AWS service did not answer, or asked to slow down; it may work later.

    ``throttled`` is true where the service asked to slow down.
    """

    retryable = True

    def __init__(self, *, service: str, operation: str, code: str, throttled: bool = False) -> None:
        super().__init__(f"{service} {operation}: {code}")
        self.service, self.operation, self.service_code = service, operation, code
        self.throttled = throttled


class AwsRequestError(WorkflowEngineError):
    """An AWS service refused a request for a reason that sending it again does not change.

    No permission, no such table, a request that is not valid: the stack or the engine is wrong.
    """

    def __init__(self, *, service: str, operation: str, code: str, detail: str) -> None:
        super().__init__(f"{service} {operation}: {code}: {detail}")
        self.service, self.operation, self.service_code = service, operation, code
        self.detail = detail


class PermanentError(WorkflowEngineError):
    """Raised by a stage: do not retry this."""


class StageTimeoutError(WorkflowEngineError):
    """A stage ran longer than its timeout and was stopped; where *still_running*, it could not be,
    and nobody waits for it any more."""

    retryable = True

    def __init__(self, *, stage_id: str, timeout: timedelta, still_running: bool = False) -> None:
        how = "was given up, still running," if still_running else "was stopped"
        super().__init__(f"stage {stage_id!r} {how} after {timeout.total_seconds():g} s")
        self.stage_id, self.timeout, self.still_running = stage_id, timeout, still_running


class StagesLeftRunningError(WorkflowEngineError):
    """A process holds more stages that could not be stopped than it may: it takes no more work."""

    retryable = True

    def __init__(self, *, threads: int) -> None:
        super().__init__(f"{threads} stages that took too long still run, and cannot be stopped: this process ends")
        self.threads = threads


class LeaseLostError(WorkflowEngineError):
    """The processes that ran a stage died, more often than the budget allows."""

    def __init__(self, *, stage_id: str, lost: int) -> None:
        super().__init__(f"stage {stage_id!r} lost its worker {lost} times")
        self.stage_id, self.lost = stage_id, lost


class InvocationOverError(WorkflowEngineError):
    """The invocation's time was up before the stage could begin; it is begun by the next one."""

    retryable = True

    def __init__(self, *, stage_id: str) -> None:
        super().__init__(f"stage {stage_id!r} was not begun: the time of its invocation is over")
        self.stage_id = stage_id


class WaitExpiredError(WorkflowEngineError):
    """What a stage waited for did not come in time."""

    def __init__(self, *, stage_id: str, waited_for: str, until: datetime) -> None:
        super().__init__(f"stage {stage_id!r}: {waited_for} did not come by {until.isoformat()}")
        self.stage_id, self.waited_for, self.until = stage_id, waited_for, until


class StepNameError(WorkflowEngineError):
    """A step or a wait of a stage's body cannot be taken: its name is none, or used twice, or it is not for
    where it is asked for."""

    def __init__(self, *, stage_id: str, name: str, problem: str) -> None:
        super().__init__(f"step {name!r} of stage {stage_id!r}: {problem}")
        self.stage_id, self.name, self.problem = stage_id, name, problem


class StepFailedError(WorkflowEngineError):
    """A step of a stage's body failed with an error of *error_type*, which is its ``__cause__`` where the step
    has failed just now. Not caught, it is retried as that error would be."""

    def __init__(self, *, name: str, error_type: str, message: str) -> None:
        super().__init__(f"step {name!r} failed: {error_type}: {message}")
        self.name, self.error_type, self.message = name, error_type, message


class RunExpiredError(WorkflowEngineError):
    """A run was still going at the end of its workflow's ``max_duration``."""

    def __init__(self, *, run_id: str, deadline: datetime) -> None:
        super().__init__(f"run {run_id!r} was not finished by {deadline.isoformat()}")
        self.run_id, self.deadline = run_id, deadline


class SettingsError(WorkflowEngineError):
    """The environment of a function does not say what it must."""

    def __init__(self, *, variable: str, problem: str) -> None:
        super().__init__(f"{variable} {problem}")
        self.variable, self.problem = variable, problem


def facts_of(error: WorkflowEngineError) -> Mapping[str, object]:
    """The facts an error carries, for ``--json`` output and structured logs."""
    return {"error": error.code, "message": str(error), "retryable": error.retryable}
