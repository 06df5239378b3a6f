"""What the engine knows of a stage: read once from its function, then only looked up.

No signature reading here (``signatures``) and no checking of a chain (``neighbours``).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias

from pydantic import BaseModel
from typing_extensions import TypeVar

from workflow_engine.authoring import unions
from workflow_engine.authoring.retry import RetryPolicy
from workflow_engine.errors import InvalidInputError, InvalidOutputError
from workflow_engine.model import values

if TYPE_CHECKING:
    from workflow_engine.authoring.undoing import UndoDefinition

Model: TypeAlias = type[BaseModel]
Kind: TypeAlias = Literal["plain", "poll", "signal", "poll+signal"]

ReturnT_co = TypeVar("ReturnT_co", covariant=True, default=Any)


class StageReference(Generic[ReturnT_co]):
    """Names a stage; carries what its function returns, for type checkers. ``Stage`` is the only kind."""

    @property
    def id(self) -> str:
        """The stage's id, unique in its workflow."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CallShape:
    """How a stage author's function wants its arguments."""

    wants_value: bool
    wants_context: bool
    context_first: bool = False
    context_keyword: str | None = None

    def call(self, function: Callable[..., Any], value: Any, ctx: Any) -> Any:
        """Call *function* with those of *value* and *ctx* that it wants."""
        if not self.wants_context:
            return function(value) if self.wants_value else function()
        if self.context_keyword is not None:
            named = {self.context_keyword: ctx}
            return function(value, **named) if self.wants_value else function(**named)
        if not self.wants_value:
            return function(ctx)
        return function(ctx, value) if self.context_first else function(value, ctx)


@dataclass(frozen=True, slots=True)
class Returned:
    """What a return annotation says.

    *output* counts only where *has_output*: a function that only suspends has none of its own, one
    that is annotated ``None`` has the output ``None``.
    """

    has_output: bool = False
    output: Model | None = None
    suspends: bool = False
    state: Model | None = None
    waits: bool = False
    payload: Model | None = None


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """What the signature of a stage author's function says. *problems* are told by ``build()``. *may_be_none* says
    that the value may also be ``None``, which only an undo is given."""

    value_model: Model | None
    config_model: Model | None
    shape: CallShape
    returned: Returned
    is_async: bool
    problems: tuple[str, ...] = ()
    may_be_none: bool = False


@dataclass(frozen=True, slots=True)
class WakeFunction:
    """A function of a stage that is called once what the stage waits for may be there."""

    function: Callable[..., Any]
    facts: FunctionFacts = field(repr=False)

    @property
    def wants_context(self) -> bool:
        """Whether it takes the context."""
        return self.facts.shape.wants_context

    @property
    def is_async(self) -> bool:
        """Whether what it returns must be awaited."""
        return self.facts.is_async

    def call(self, value: BaseModel | None, ctx: Any) -> Any:
        """Call the function as its signature wants: *value* is the kept state, or the signal's payload."""
        return self.facts.shape.call(self.function, value, ctx)


@dataclass(frozen=True, slots=True)
class CheckDefinition(WakeFunction):
    """The function that asks whether a suspended stage is done."""

    @property
    def state_model(self) -> Model | None:
        """The model of the state kept by ``Suspended``."""
        return self.facts.value_model

    @property
    def output_model(self) -> Model | None:
        """The output it answers, ``None`` for a stage without output."""
        return self.facts.returned.output


@dataclass(frozen=True, slots=True)
class SignalDefinition(WakeFunction):
    """The function that a signal's payload is given to. *names* are those of the signals that the stage
    may wait for; empty where it did not say."""

    names: tuple[str, ...] = ()

    @property
    def payload_model(self) -> Model | None:
        """The model of the payload, ``None`` for a signal without one."""
        return self.facts.value_model

    def load_payload(self, data: bytes) -> BaseModel | None:
        """The payload that JSON *data* stands for.

        Raises:
            InvalidInputError: it does not validate.
        """
        try:
            return values.load(self.payload_model, data)
        except values.UnfitValueError as error:
            raise InvalidInputError(what="payload of the signal", problems=error.problems) from error

    def fixed_payload(self, data: bytes) -> bytes:
        """What is stored of a payload that was sent: with the defaults of this moment.

        Raises:
            InvalidInputError: it does not validate, or would not come back from JSON as it is.
        """
        if self.payload_model is None:
            return data
        try:
            return values.fixed(self.payload_model, data)[0]
        except values.UnfitValueError as error:
            raise InvalidInputError(what="payload of the signal", problems=error.problems) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDefinition:
    """A stage as the kernel sees it.

    *output_model* is ``None`` for a stage without output; of a stage that only ever suspends or
    waits, it is what its check or signal function answers. A *passthrough* stage answers its
    input; ``build()`` gives it the models of what comes before it. *sleeps* is how long it takes at least.
    One that *undoes* another takes back what that did, and is called like it. With *when* it runs if that answers
    True to what the stage would get, and is skipped if not.
    """

    id: str
    function: Callable[..., Any]
    facts: FunctionFacts = field(repr=False)
    input_model: Model | None = None
    output_model: Model | None = None
    config_model: Model | None = None
    retry: RetryPolicy
    timeout: timedelta
    requires: tuple[str, ...] = ()
    check: CheckDefinition | None = None
    signal: SignalDefinition | None = None
    undo: "UndoDefinition | None" = None
    passthrough: bool = False
    sleeps: timedelta = timedelta(0)
    undoes: "StageDefinition | None" = None
    when: Callable[[Any], Any] | None = field(default=None, repr=False)
    problems: tuple[str, ...] = field(default=(), repr=False)

    @property
    def wants_input(self) -> bool:
        """Whether the function takes an input (which may be annotated ``None``)."""
        return self.facts.shape.wants_value

    @property
    def wants_context(self) -> bool:
        """Whether the function takes the context."""
        return self.facts.shape.wants_context

    @property
    def is_async(self) -> bool:
        """Whether what the function returns must be awaited."""
        return self.facts.is_async

    @property
    def state_model(self) -> Model | None:
        """The model of the state that a suspended stage keeps, where it can suspend."""
        return self.check.state_model if self.check is not None else None

    @property
    def has_output(self) -> bool:
        """Whether ``output_model`` says what comes out, a ``None`` for "nothing" included."""
        readable = any(facts.returned.has_output for _, facts in functions_of(self))
        return self.passthrough or (readable and not self.problems)

    @property
    def undoing(self) -> "StageDefinition | None":
        """What takes the stage back, as a stage; ``None`` where nothing does."""
        undo = self.undo
        if undo is None:
            return None
        return StageDefinition(
            id=self.id,
            function=undo.function,
            facts=undo.facts,
            config_model=self.config_model,
            retry=undo.retry,
            timeout=undo.timeout,
            undoes=self,
        )

    @property
    def kind(self) -> Kind:
        """What the stage may wait for."""
        if self.check is not None:
            return "poll+signal" if self.signal is not None else "poll"
        return "signal" if self.signal is not None else "plain"

    def call(self, value: BaseModel | None, ctx: Any) -> Any:
        """Call the stage's function as its signature wants; awaiting is up to the caller."""
        return self.facts.shape.call(self.function, value, ctx)

    def load_input(self, data: bytes, given: Any = unions.ANY_MEMBER) -> BaseModel | None:
        """The input that JSON *data* stands for; ``None`` for a stage without one. *given* is the model that it was
        written of, where the stage takes one of several.

        Raises:
            InvalidInputError: it does not validate.
        """
        try:
            return unions.load(self.input_model, data, given)
        except values.UnfitValueError as error:
            raise InvalidInputError(what=f"input of stage {self.id!r}", problems=error.problems) from error

    def dump_output(self, output: object) -> tuple[bytes, BaseModel | None]:
        """The JSON of *output*, and the output as whoever reads that JSON gets it.

        Raises:
            InvalidOutputError: it is no instance of the output model or does not survive JSON.
        """
        return self._dumped(self.output_model, output)

    def load_output(self, data: bytes) -> BaseModel | None:
        """The output that JSON *data* stands for.

        Raises:
            InvalidOutputError: it does not validate (it was written by another version).
        """
        return self._loaded(self.output_model, data)

    def dump_state(self, state: object) -> bytes:
        """The JSON of the *state* that the stage suspended with.

        Raises:
            InvalidOutputError: it is no instance of the state model or does not survive JSON.
        """
        return self._dumped(self.state_model, state)[0]

    def load_state(self, data: bytes) -> BaseModel:
        """The kept state that JSON *data* stands for.

        Raises:
            InvalidOutputError: it does not validate, or the stage has no check any more.
        """
        state = self._loaded(self.state_model, data)
        if state is None:
            raise InvalidOutputError(stage_id=self.id, problems=["the stage has no check_completion"])
        return state

    def _dumped(self, model: Model | None, value: object) -> tuple[bytes, BaseModel | None]:
        try:
            return unions.dump(model, value)
        except values.UnfitValueError as error:
            raise InvalidOutputError(stage_id=self.id, problems=error.problems) from error

    def _loaded(self, model: Model | None, data: bytes) -> BaseModel | None:
        try:
            return unions.load(model, data)
        except values.UnfitValueError as error:
            raise InvalidOutputError(stage_id=self.id, problems=error.problems) from error


def functions_of(definition: StageDefinition) -> list[tuple[str, FunctionFacts]]:
    """The functions of a stage, each with what it is called in problems; the stage's own first."""
    functions = [(f"stage {definition.id!r}", definition.facts)]
    if definition.check is not None:
        functions.append((f"check_completion of stage {definition.id!r}", definition.check.facts))
    if definition.signal is not None:
        functions.append((f"on_signal of stage {definition.id!r}", definition.signal.facts))
    return functions


def functions_with_undo(definition: StageDefinition) -> list[tuple[str, FunctionFacts]]:
    """The same, and what undoes it, which has no part in what the stage answers."""
    undo = definition.undo
    return functions_of(definition) + ([(f"undo of stage {definition.id!r}", undo.facts)] if undo is not None else [])
