"""What a stage gets to know and may do while it runs.

The kernel builds one context for each attempt, so building it does no work: the journal and the
storage come into being when a stage first asks for them. No I/O of its own: outputs and storage
are read through what the kernel injects.
"""

import copy
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, overload

from pydantic import BaseModel
from typing_extensions import TypeVar as DefaultTypeVar
from typing_extensions import override

from workflow_engine.authoring.durable import BodySuspended, DurableContext
from workflow_engine.authoring.engine import DurableSteps, Engine, OutputReader
from workflow_engine.authoring.journal import Journal
from workflow_engine.authoring.outcomes import StageResult, Suspended, WaitForSignal
from workflow_engine.authoring.stage_definition import StageDefinition, StageReference
from workflow_engine.authoring.undoing import Undoes
from workflow_engine.errors import StageNotFoundError
from workflow_engine.model import plans

# Covariant with the default ``object``: a function that takes a bare ``StageContext`` takes any.
ConfigT_co = DefaultTypeVar("ConfigT_co", covariant=True, default=object)
OutputT = TypeVar("OutputT", bound=BaseModel | None)

# What a stage may return, its output type to be inferred; and what has no output type of its own.
Outcome: TypeAlias = OutputT | Suspended[Any] | WaitForSignal[Any] | StageResult[OutputT]
Pause: TypeAlias = Suspended[Any] | WaitForSignal[Any]


class StageStorage(Protocol):
    """Keeps what a stage makes beside its output; a check finds what the stage stored before it.

    Keys are the stage's own: no key reaches another stage's or another run's things. All methods raise ``TransientError`` where the store did not answer.
    """

    def save(self, key: str, data: bytes | str | BaseModel) -> None:
        """Store *data* (text as UTF-8, a model as JSON) under *key*, replacing what was there.

        Raises:
            InvalidInputError: *key* is empty or too long.
            UnstorableValueError: *data* is a model that would not come back from JSON as it is.
            PayloadTooLargeError: *data* is larger than the blob store takes.
        """
        ...

    def load(self, key: str) -> bytes:
        """What is stored under *key*.

        Raises:
            BlobNotFoundError: nothing is.
        """
        ...

    def exists(self, key: str) -> bool:
        """Whether anything is stored under *key*."""
        ...

    def delete(self, key: str) -> None:
        """Remove what is under *key*; nothing there is no error."""
        ...


class StageLookup(Protocol):
    """The stages of the run's workflow. ``WorkflowDefinition`` is one."""

    @property
    def id(self) -> str:
        """The workflow's id."""
        ...

    def stage(self, stage_id: str) -> StageDefinition:
        """The stage of that id.

        Raises:
            StageNotFoundError: there is none.
        """
        ...

    def position(self, stage_id: str) -> tuple[int, int]:
        """Its group and its place in it, from 0.

        Raises:
            StageNotFoundError: there is none.
        """
        ...


class StageContext(DurableContext, Generic[ConfigT_co]):
    """A stage's view of its run.

    *stage_number* is the position of the stage's group in the workflow, from 1. *attempt* counts
    from 1. *input* and *config* are validated (``None`` where the stage has none). *attributes* are
    the run's. *effect_key* is the same on every attempt: give it to whatever the stage calls
    outside, as the idempotency key of that effect. What undoes a stage has its *input*, and ``undoes``.
    """

    __slots__ = (
        "_attributes",
        "_config",
        "_copied",
        "_deadline",
        "_group",
        "_input",
        "_journal",
        "_load_input",
        "_make_storage",
        "_now",
        "_outputs",
        "_run_input",
        "_seen",
        "_storage",
        "_undoes",
        "_workflow",
        "attempt",
        "effect_key",
        "run_id",
        "stage_id",
    )

    _undoes: Undoes | None
    _load_input: Callable[[], BaseModel | None] | None

    def __init__(
        self,
        *,
        run_id: str,
        workflow: StageLookup,
        stage_id: str,
        group: int,
        attempt: int,
        input: BaseModel | None,
        config: ConfigT_co,
        attributes: Mapping[str, Any],
        effect_key: str,
        deadline: datetime,
        now: Callable[[], datetime],
        outputs: OutputReader,
        make_storage: Callable[[], StageStorage],
        engine: Engine | None = None,
    ) -> None:
        self.run_id = run_id
        self.stage_id = stage_id
        self.attempt = attempt
        self._input = input
        self._attributes = attributes
        self._copied = False
        self.effect_key = effect_key
        self._config = config
        self._workflow = workflow
        self._group = group
        self._deadline = deadline
        self._now = now
        self._outputs = outputs
        self._make_storage = make_storage
        self._engine = engine
        self._run_input: BaseModel | None = None
        self._undoes = self._load_input = None
        self._storage: StageStorage | None = None
        self._journal: Journal | None = None
        self._seen: dict[str, BaseModel | None] | None = None
        self._durable: DurableSteps | None = None
        self._prefix = ""

    @property
    def workflow_id(self) -> str:
        """The id of the run's workflow."""
        return self._workflow.id

    @property
    def stage_number(self) -> int:
        """The position of the stage's group in the workflow, from 1."""
        return plans.number(self._group)

    def undo(self, undoes: Undoes, load_input: Callable[[], BaseModel | None]) -> None:
        """It is the context of what *undoes* says; the input is loaded where it is asked for. For the kernel."""
        self._undoes, self._load_input = undoes, load_input

    @property
    def input(self) -> BaseModel | None:
        """The stage's input."""
        if self._load_input is not None:
            self._input, self._load_input = self._load_input(), None
        return self._input

    @property
    def undoes(self) -> Undoes:
        """What is to be taken back, in a function marked with ``@that_stage.undo``: the stage's ``effect_key``, its
        ``key(step)``, its ``steps``, ``state`` and ``error``.

        Raises:
            StageNotFoundError: the function undoes nothing.
        """
        if self._undoes is None:
            raise self._not_found(self.stage_id, "undoes nothing: ctx.undoes is for what @that_stage.undo marks")
        return self._undoes

    @property
    def run_input(self) -> Any:
        """What the run was started with, as the workflow's input model: the same object each time.

        Raises:
            InvalidInputError: the stored input no longer fits the model.
        """
        if self._run_input is None:
            self._run_input = self._asked.run_input()
        return self._run_input

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The run's, in a copy: what a stage changes in it is seen by no other."""
        if not self._copied:
            self._attributes = copy.deepcopy(self._attributes)
            self._copied = True
        return self._attributes

    @property
    def cancelled(self) -> bool:
        """Whether nobody looks at what the stage does any more: its run is over, or its lease another's. A worker hears
        of it at its heartbeat; a function reads the head when asked, once a minute at the most."""
        return self._engine is not None and self._engine.is_over()

    @property
    def config(self) -> ConfigT_co:
        """The stage's config: what the run gave, the model's defaults for the rest."""
        return self._config

    @property
    def storage(self) -> StageStorage:
        """What the stage keeps between attempts."""
        if self._storage is None:
            self._storage = self._make_storage()
        return self._storage

    # The output type is what remains of the return type without what is no output.
    @overload
    def require(self, stage: StageReference[Pause]) -> Any: ...
    @overload
    def require(self, stage: StageReference[Coroutine[Any, Any, Pause]]) -> Any: ...
    @overload
    def require(self, stage: StageReference[Coroutine[Any, Any, Outcome[OutputT]]]) -> OutputT: ...
    @overload
    def require(self, stage: StageReference[Outcome[OutputT]]) -> OutputT: ...
    @overload
    def require(self, stage: str) -> Any: ...
    def require(self, stage: StageReference[Any] | str) -> Any:
        """The output of a *stage* of an earlier group.

        Raises:
            StageNotFoundError: the workflow has no such stage, it is in no earlier group, or it
                has no output.
            StageSkippedError: it was skipped in this run; one of the above.
            InvalidOutputError: the stored output no longer fits the stage's model.
        """
        stage_id = _id_of(stage)
        group, _ = self._workflow.position(stage_id)
        if group >= self._group:
            raise self._not_found(stage_id, "is in no earlier group")
        found, output = self._output(stage_id)
        if not found:
            raise self._not_found(stage_id, "has no output")
        return output

    @overload
    def optional(self, stage: StageReference[Pause]) -> Any: ...
    @overload
    def optional(self, stage: StageReference[Coroutine[Any, Any, Pause]]) -> Any: ...
    @overload
    def optional(self, stage: StageReference[Coroutine[Any, Any, Outcome[OutputT]]]) -> OutputT | None: ...
    @overload
    def optional(self, stage: StageReference[Outcome[OutputT]]) -> OutputT | None: ...
    @overload
    def optional(self, stage: str) -> Any: ...
    def optional(self, stage: StageReference[Any] | str) -> Any:
        """Like ``require``, but ``None`` where there is no such output.

        For a stage that is used in several workflows, or behind one that may be skipped.

        Raises:
            InvalidOutputError: the stored output no longer fits the stage's model.
        """
        try:
            return self.require(stage)
        except StageNotFoundError:
            return None

    @overload
    def log(self, level: str, message: str, /, **fields: Any) -> None: ...
    @overload
    def log(self, /, *, level: str, message: str, **fields: Any) -> None: ...
    def log(self, /, *said: Any, **fields: Any) -> None:
        """Note a line: ``ctx.log("info", "charged", cents=990)``.

        Never fails the stage (but ends it, once it is ``cancelled``): what is too long is cut, what is not JSON is
        written as its ``repr``, and a field may have any name. An attempt keeps 1,000 lines of 8 KB, and counts the rest.
        """
        if self._engine is not None and self._engine.is_known_over():
            raise BodySuspended("the run is over, or goes on elsewhere")
        level, message = _level_and_message(said, fields)
        self.journal.log(level, message, fields)

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell how far the stage is, from 0 to 1.

        The last one said is kept, and told as `stage:progress` with the attempt's outcome: a stage
        writes nothing while it runs.

        Raises:
            ValueError: *fraction* is no finite number.
        """
        self.journal.report(fraction, message)

    def annotate(self, key: str, value: Any) -> None:
        """Note a fact about how the result came about: a model or a JSON-compatible *value*.

        Raises:
            InvalidInputError: *key* is empty or above 256 characters, *value* is not JSON or would not
                come back from it, or the attempt has 1,000 annotations already.
            PayloadTooLargeError: the JSON of *value* is above 16 KB.
        """
        self.journal.annotate(key, value)

    def signal(self, run_id: str, name: str, payload: Any = None, key: str | None = None) -> bool:
        """Send the run *run_id* (its own is one, too) the signal *name*, with a model or JSON-compatible
        *payload* of up to 32 KB; answers whether it could take it: ``False`` where it is over.

        It is kept at once, and once, also where the stage is tried again: its *key* is by default made of this
        stage's ``effect_key``, the run and the name. So give a key of your own to each of several signals of
        one name for one run; after a rerun of this stage the default is another one.

        Raises:
            RunNotFoundError: there is no such run.
            InvalidInputError: none of the run's stages could take it.
            PayloadTooLargeError: *payload* is too large.
            TooManySignalsError: the run keeps as many as it can.
            IdempotencyConflictError: the key was used with another payload.
        """
        return self._asked.signal(run_id, name, payload, key or f"{self.effect_key}:{run_id}:{name}")

    def now(self) -> datetime:
        """The time, in UTC. Stages that use it can be tested with a clock that stands still."""
        return self._now()

    def remaining(self) -> timedelta:
        """How long the stage may still run before its timeout; never below zero."""
        return max(self._deadline - self._now(), timedelta(0))

    @property
    def journal(self) -> Journal:
        """What the stage has noted so far."""
        if self._journal is None:
            self._journal = Journal(self._now)
        return self._journal

    @property
    def noted(self) -> Journal | None:
        """The journal, if the stage noted anything."""
        return self._journal

    @override
    def _share(self) -> None:
        super()._share()
        self._journal = self.journal
        self._seen = {} if self._seen is None else self._seen

    def _output(self, stage_id: str) -> tuple[bool, BaseModel | None]:
        """Whether there is an output, and the output: the same object each time it is asked for."""
        seen = self._seen = {} if self._seen is None else self._seen
        if stage_id in seen:
            return True, seen[stage_id]
        definition = self._workflow.stage(stage_id)
        data = self._outputs.read(stage_id)
        if data is None:
            return False, None
        output = seen[stage_id] = definition.load_output(data)
        return True, output

    def _not_found(self, stage_id: str, detail: str) -> StageNotFoundError:
        return StageNotFoundError(workflow_id=self._workflow.id, stage_id=stage_id, detail=detail)


def _id_of(stage: StageReference[Any] | str) -> str:
    return stage if isinstance(stage, str) else stage.id


def _level_and_message(said: tuple[Any, ...], fields: dict[str, Any]) -> tuple[Any, Any]:
    """What was given by place, else by name; only then is it no field."""
    level = said[0] if said else fields.pop("level", "info")
    if len(said) > 1:
        return level, said[1] if len(said) == 2 else said[1:]
    return level, fields.pop("message", "")
