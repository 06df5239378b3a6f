"""The commands, and how a message becomes one. The wire type is the discriminator.

The TypeScript original's camelCase names are accepted: ``run.claimPending``, ``workflowRunId``.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeAlias, get_args

from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import from_json

from workflow_engine.errors import InvalidCommandError
from workflow_engine.model import results
from workflow_engine.model.ids import KeyText, Name, RunIdText, SignalName
from workflow_engine.model.json_values import AnyJson, JsonObject
from workflow_engine.model.limits import MAX_STEP_NAME_BYTES, MAX_STEPS
from workflow_engine.model.problems import plain, problems_of


def _either(*names: str) -> Any:
    choices = [choice for name in names for choice in (name, to_camel(name))]
    return AliasChoices(*dict.fromkeys(choices))


def _run_id() -> Any:
    return Field(validation_alias=_either("run_id", "workflow_run_id"))


def _field(name: str, **kwargs: Any) -> Any:
    return Field(validation_alias=_either(name), **kwargs)


Positive = Annotated[timedelta, Field(ge=timedelta(0))]
Count = Annotated[int, Field(ge=1, le=100_000)]
StepName = Annotated[str, Field(min_length=1, max_length=MAX_STEP_NAME_BYTES)]


class Answered(Generic[results.ResultT]):
    """A command that is answered with a ``ResultT``: what the type checker knows ``dispatch`` by."""


class CommandModel(BaseModel):
    """What all commands share: frozen, and no field that nobody knows."""

    # A validator is built with the first command of its kind: a process sees few of them.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, defer_build=True)


class CreateRun(CommandModel, Answered[results.RunCreated]):
    """Start a run of *workflow_id*. With the same key and content: the run that it started before.

    *priority* 0 to 10 orders what ``run.claim_pending`` starts, higher first; the queue knows no
    order. *start_at* defers the first stage. *attributes* (up to 16 KB of JSON) go with the run and
    can be filtered by. *config* maps stage ids to their config.
    """

    type: Literal["run.create"] = "run.create"
    workflow_id: Name = _field("workflow_id")
    input: JsonObject
    config: JsonObject = Field(default_factory=dict)
    priority: int = Field(default=5, ge=0, le=10)
    idempotency_key: KeyText | None = _field("idempotency_key", default=None)
    start_at: AwareDatetime | None = _field("start_at", default=None)
    attributes: JsonObject = Field(default_factory=dict, validation_alias=AliasChoices("attributes", "metadata"))


class ClaimPendingRuns(CommandModel, Answered[results.PendingRunsClaimed]):
    """Start runs that are PENDING and may start now, by priority, then age."""

    type: Literal["run.claim_pending"] = "run.claim_pending"
    worker_id: KeyText = _field("worker_id")
    max_claims: Count = _field("max_claims", default=10)


class TransitionRun(CommandModel, Answered[results.RunTransitioned]):
    """Look at a run and do what is due: tell, send, join, complete, expire."""

    type: Literal["run.transition"] = "run.transition"
    run_id: RunIdText = _run_id()


class CancelRun(CommandModel, Answered[results.RunCancelled]):
    """End a run. A stage in flight finishes as a ghost: its outcome is not seen. Where stages have an undo, what they did
    is taken back before the run ends; without *undo* it ends at once, also one that is at that."""

    type: Literal["run.cancel"] = "run.cancel"
    run_id: RunIdText = _run_id()
    reason: Annotated[str, Field(max_length=1000)] | None = None
    idempotency_key: KeyText | None = _field("idempotency_key", default=None)
    undo: bool = True


class UndoRun(CommandModel, Answered[results.RunUndone]):
    """Undo what a FAILED or CANCELLED run did: what could not be undone when it ended, or all of it where nothing was
    tried then. It ends as it had ended."""

    type: Literal["run.undo"] = "run.undo"
    run_id: RunIdText = _run_id()
    idempotency_key: KeyText | None = _field("idempotency_key", default=None)


class RerunFrom(CommandModel, Answered[results.RunRerun]):
    """Run a finished run again from *from_stage_id*, optionally with another input.

    Its steps are taken anew. With *keep_steps* the outcomes of that stage's steps and waits, and of those beside it,
    stay, failures that its body caught and waits that expired among them; but for those of that stage that *discard_steps* names.
    """

    type: Literal["run.rerun_from"] = "run.rerun_from"
    run_id: RunIdText = _run_id()
    from_stage_id: Name = _field("from_stage_id")
    idempotency_key: KeyText | None = _field("idempotency_key", default=None)
    input: JsonObject | None = None
    keep_steps: bool = _field("keep_steps", default=False)
    discard_steps: tuple[StepName, ...] = _field("discard_steps", default=(), max_length=MAX_STEPS)

    @model_validator(mode="after")
    def _discards_what_is_kept(self) -> Self:
        if self.discard_steps and not self.keep_steps:
            raise ValueError("discard_steps is for keep_steps: without it, no step is kept")
        return self


class SignalRun(CommandModel, Answered[results.RunSignalled]):
    """Send a run what one of its stages waits for, or will wait for."""

    type: Literal["run.signal"] = "run.signal"
    run_id: RunIdText = _run_id()
    name: SignalName
    payload: AnyJson = None
    idempotency_key: KeyText | None = _field("idempotency_key", default=None)


class AnnotateRun(CommandModel, Answered[results.RunAnnotated]):
    """Note a fact about a run from outside: *key* up to 256 characters, *value* up to 16 KB of
    JSON, *actor* whoever says so."""

    type: Literal["run.annotate"] = "run.annotate"
    run_id: RunIdText = _run_id()
    key: Annotated[str, Field(min_length=1, max_length=256)]
    value: AnyJson = None
    actor: Annotated[str, Field(max_length=256)] = ""
    idempotency_key: KeyText | None = _field("idempotency_key", default=None)


class ReapStuckRuns(CommandModel, Answered[results.StuckRunsReaped]):
    """Send again what runs without progress for *threshold* wait for; fail what cannot go on."""

    type: Literal["run.reap_stuck"] = "run.reap_stuck"
    threshold: Positive = timedelta(0)


class ExecuteJob(CommandModel, Answered[results.JobExecuted]):
    """Advance a run: execute one stage, and those that follow it while time allows.

    *ordinal* and *epoch* say which lease the message is meant for, *claim* how to take it, *signal*
    what ended the wait and of how many *siblings* one is to have it; without them the head is read
    first. *starts* says that an attempt begins with the lease, *told_through* proves that all events
    up to that sequence were accepted before the message was sent.
    """

    # A deploy may add a field while messages of the newer version are under way.
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, defer_build=True)

    type: Literal["job.execute"] = "job.execute"
    run_id: RunIdText = _run_id()
    workflow_id: Name = _field("workflow_id")
    stage_id: Name = _field("stage_id")
    attempt: int = Field(default=1, ge=1)
    idempotency_key: KeyText | None = _field("idempotency_key", default=None)
    group: int | None = Field(default=None, ge=0)
    ordinal: int | None = Field(default=None, ge=0)
    epoch: int | None = Field(default=None, ge=0)
    claim: Literal["first", "due", "expired"] | None = None
    signal: str | None = None
    siblings: int | None = Field(default=None, ge=1)
    starts: bool = False
    told_through: int = _field("told_through", default=0, ge=0)


class PollSuspendedStages(CommandModel, Answered[results.SuspendedStagesPolled]):
    """Check suspended stages whose next check is due, oldest first."""

    type: Literal["stage.poll_suspended"] = "stage.poll_suspended"
    max_checks: Count = _field("max_checks", default=50)


class ReapStaleLeases(CommandModel, Answered[results.StaleLeasesReaped]):
    """Send again the jobs of leases that ended more than *threshold* ago."""

    type: Literal["lease.reap_stale"] = "lease.reap_stale"
    threshold: Positive = timedelta(0)


class FlushOutbox(CommandModel, Answered[results.OutboxFlushed]):
    """Tell events that are committed and not told, oldest runs first."""

    type: Literal["outbox.flush"] = "outbox.flush"
    max_events: Count = _field("max_events", default=100)


class ReplayDeadLetters(CommandModel, Answered[results.DeadLettersReplayed]):
    """Publish dead letters again, in order per run."""

    type: Literal["plugin.replay_dlq"] = "plugin.replay_dlq"
    max_events: Count = _field("max_events", default=100)


Command: TypeAlias = (
    CreateRun
    | ClaimPendingRuns
    | TransitionRun
    | CancelRun
    | UndoRun
    | RerunFrom
    | SignalRun
    | AnnotateRun
    | ReapStuckRuns
    | ExecuteJob
    | PollSuspendedStages
    | ReapStaleLeases
    | FlushOutbox
    | ReplayDeadLetters
)
# By wire type. Not one union for pydantic, which would build the validators of all of them at once.
COMMANDS: Mapping[str, type[Command]] = {model.model_fields["type"].default: model for model in get_args(Command)}


class WireNames:
    """The original's wire types, by ours."""

    _CAPITAL: ClassVar[re.Pattern[str]] = re.compile(r"(?<=[a-z])([A-Z])")

    @classmethod
    def normalise(cls, wire_type: str) -> str:
        """``run.claimPending`` becomes ``run.claim_pending``; our own names stay as they are."""
        if wire_type == "plugin.replayDLQ":
            return "plugin.replay_dlq"
        return cls._CAPITAL.sub(lambda match: "_" + match[1].lower(), wire_type)


def parse_command(message: str | bytes | Mapping[str, Any]) -> Command:
    """The command that *message* (JSON text, or the object it stands for) says.

    Raises:
        InvalidCommandError: it is not JSON, no object, of an unknown type, or a field is wrong.
    """
    try:
        fields = message if isinstance(message, Mapping) else _from_json(message)
        if not isinstance(fields, Mapping):
            raise InvalidCommandError(problems=["the message is no JSON object"])
        wire_type, model = _model_of(fields.get("type"))
        return model.model_validate({**fields, "type": wire_type})
    except ValidationError as error:
        raise InvalidCommandError(problems=problems_of(error)) from error
    except (ValueError, TypeError, RecursionError) as error:
        # TypeError is what a lone surrogate in the text itself makes of the parser.
        raise InvalidCommandError(problems=[f"not JSON: {plain(str(error))}"]) from error


def _from_json(message: str | bytes) -> Any:
    # Only names are worth remembering: ids are never seen twice, and would fill the parser's cache.
    return from_json(message, allow_inf_nan=False, cache_strings="keys")


def _model_of(given: object) -> tuple[str, type[Command]]:
    wire_type = WireNames.normalise(given) if isinstance(given, str) else ""
    model = COMMANDS.get(wire_type)
    if model is None:
        said = repr(given[:64]) if isinstance(given, str) else "missing"
        raise InvalidCommandError(problems=[f"type: is {said}, not one of {', '.join(sorted(COMMANDS))}"])
    return wire_type, model
