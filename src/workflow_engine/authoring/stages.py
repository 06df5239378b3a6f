"""``@stage``: turns a plain function into a stage of a workflow.

The function stays callable as it is, for unit tests.
"""

import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Generic, TypeVar, overload

from pydantic import BaseModel
from typing_extensions import ParamSpec, override
from typing_extensions import TypeVar as DefaultTypeVar

from workflow_engine.authoring.choices import problems_of_predicate
from workflow_engine.authoring.outcomes import StageResult, Suspended, WaitForSignal, is_signal_name
from workflow_engine.authoring.retry import RetryPolicy
from workflow_engine.authoring.signatures import definition_error, read_function
from workflow_engine.authoring.stage_definition import (
    CheckDefinition,
    FunctionFacts,
    ReturnT_co,
    SignalDefinition,
    StageDefinition,
    StageReference,
    functions_of,
    functions_with_undo,
)
from workflow_engine.authoring.undoing import UNDO_RETRY, UNDO_TIMEOUT, UndoDefinition

ParamsT = ParamSpec("ParamsT", default=...)
# What a stage may return, so that a type checker objects to anything else where it is decorated.
StageReturnT = DefaultTypeVar(
    "StageReturnT",
    bound=BaseModel | Suspended[Any] | WaitForSignal[Any] | StageResult[Any] | Awaitable[Any] | None,
)
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class Stage(StageReference[ReturnT_co], Generic[ParamsT, ReturnT_co]):
    """A function with an id and its policies. Made by ``stage``; ``build()`` checks it."""

    def __init__(self, definition: StageDefinition) -> None:
        self._definition = definition
        self.__name__ = getattr(definition.function, "__name__", definition.id)
        self.__doc__ = definition.function.__doc__
        self.__wrapped__ = definition.function

    def __call__(self, *args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ReturnT_co:
        """Call the function itself: no retries, no timeout, no checks."""
        returned: ReturnT_co = self._definition.function(*args, **kwargs)
        return returned

    @override
    def __repr__(self) -> str:
        return f"<stage {self.id!r}>"

    @property
    @override
    def id(self) -> str:
        """The stage's id, unique in its workflow."""
        return self._definition.id

    @property
    def definition(self) -> StageDefinition:
        """What the engine knows of the stage."""
        return self._definition

    def check_completion(self, function: FunctionT) -> FunctionT:
        """Mark *function* ``(state, ctx)`` as the one that asks whether the suspended stage is done.

        It answers the output, ``NotReady``, or raises; a failed check follows the stage's retry
        policy. Of the state given, its annotation is the model.

        Raises:
            WorkflowDefinitionError: the stage has a check already, or a name in the function's
                annotations is unknown.
        """
        if self._definition.check is not None:
            raise definition_error(f"stage {self.id!r} has a check_completion already")
        facts = _read(function, f"check_completion of stage {self.id!r}")
        check = CheckDefinition(function=function, facts=facts)
        self._definition = merged(replace(self._definition, check=check))
        return function

    @overload
    def on_signal(self, function: FunctionT) -> FunctionT: ...
    @overload
    def on_signal(self, *, names: Sequence[str]) -> Callable[[FunctionT], FunctionT]: ...
    def on_signal(
        self, function: FunctionT | None = None, *, names: Sequence[str] = ()
    ) -> FunctionT | Callable[[FunctionT], FunctionT]:
        """Mark *function* ``(payload, ctx)`` as the one that the awaited signal's payload goes to.

        It answers the output, or waits again: ``Suspended`` or another ``WaitForSignal``. With
        ``@that_stage.on_signal(names=["approval"])`` the stage waits for signals of these names
        alone, and a run whose stages all say so refuses any other.

        Raises:
            WorkflowDefinitionError: the stage has such a function already, a name in the function's
                annotations is unknown, or one of *names* is no signal name.
        """

        def mark(marked: FunctionT) -> FunctionT:
            return self._takes_signals(marked, _read(marked, self._signal_role), names)

        return mark if function is None else self._takes_signals(function, _read(function, self._signal_role), names)

    @overload
    def undo(self, function: FunctionT) -> FunctionT: ...
    @overload
    def undo(
        self, *, retry: RetryPolicy = UNDO_RETRY, timeout: timedelta = UNDO_TIMEOUT
    ) -> Callable[[FunctionT], FunctionT]: ...
    def undo(
        self,
        function: FunctionT | None = None,
        *,
        retry: RetryPolicy = UNDO_RETRY,
        timeout: timedelta = UNDO_TIMEOUT,
    ) -> FunctionT | Callable[[FunctionT], FunctionT]:
        """Mark *function* ``(done, ctx)`` as the one that takes back what the stage did, and answers ``None``.

        It is called for each stage that has begun when the run has failed for good, has expired or is cancelled,
        the last group first: with the stage's output, or with ``None`` where the stage never finished (so its first
        parameter is annotated ``Output | None``). ``ctx.undoes`` has more: the keys under which the stage did what
        it did, its steps, its state, its error. It is a stage of its own: tried, timed and recorded like one. It may
        have to be called more than once, so what it does must bear that. By default it is tried until the run's
        closing phase is given up (after 7 days, or the retention where that is less), with pauses of up to an hour;
        after a ``PermanentError``, or the last attempt of *retry*, the stage counts as not undone, and the others
        are undone all the same.

        Raises:
            TypeError: *retry* is no RetryPolicy, or *timeout* no timedelta.
            WorkflowDefinitionError: the stage has an undo already, or a name in the function's annotations is unknown.
        """
        _check_types(self.id, retry, timeout)

        def mark(marked: FunctionT) -> FunctionT:
            return self._is_undone_by(marked, _read(marked, self._undo_role, may_be_none=True), retry, timeout)

        if function is None:
            return mark
        return self._is_undone_by(function, _read(function, self._undo_role, may_be_none=True), retry, timeout)

    def _is_undone_by(
        self, function: FunctionT, facts: FunctionFacts, retry: RetryPolicy, timeout: timedelta
    ) -> FunctionT:
        if self._definition.undo is not None:
            raise definition_error(f"stage {self.id!r} has an undo already")
        undo = UndoDefinition(function=function, facts=facts, retry=retry, timeout=timeout)
        self._definition = merged(replace(self._definition, undo=undo))
        return function

    @property
    def _undo_role(self) -> str:
        return f"undo of stage {self.id!r}"

    def when(self, predicate: Callable[[Any], bool]) -> "Stage[ParamsT, ReturnT_co]":
        """This stage, to be skipped unless *predicate* answers True to the value that the stage would get; the stage
        itself stays as it is: ``parallel(a, gift.when(lambda done: done.total > 100))``.

        It is asked once, in the worker that comes to the stage, within 10 s together with the others of its group; a
        rerun from there asks again. One that raises, or answers no bool, fails the run with ``ChoiceError``. A skipped
        stage has the status SKIPPED, and its output is ``None`` for what follows.
        """
        definition = self._definition
        twice = (f"stage {self.id!r} has a when already",) if definition.when is not None else ()
        problems = (*definition.problems, *twice, *problems_of_predicate(predicate, f"when of stage {self.id!r}"))
        return Stage(replace(definition, when=predicate, problems=problems))

    @property
    def _signal_role(self) -> str:
        return f"on_signal of stage {self.id!r}"

    def _takes_signals(self, function: FunctionT, facts: FunctionFacts, names: Sequence[str]) -> FunctionT:
        if self._definition.signal is not None:
            raise definition_error(f"stage {self.id!r} has an on_signal already")
        unfit = [name for name in ((names,) if isinstance(names, str) else names) if not is_signal_name(name)]
        if unfit or isinstance(names, str):
            raise definition_error(f"{self._signal_role}: names takes several signal names, not {(unfit or names)!r}")
        signal = SignalDefinition(function=function, facts=facts, names=tuple(names))
        self._definition = merged(replace(self._definition, signal=signal))
        return function


@dataclass(frozen=True, slots=True)
class StageDecorator:
    """What ``stage(…)`` answers: apply it to a function."""

    id: str
    retry: RetryPolicy
    timeout: timedelta
    requires: tuple[str, ...]

    def __call__(self, function: Callable[ParamsT, StageReturnT], /) -> Stage[ParamsT, StageReturnT]:
        """The stage made of *function*, as callable as that."""
        facts = _read(function, f"stage {self.id!r}", may_be_union=True)
        definition = StageDefinition(
            id=self.id,
            function=function,
            facts=facts,
            input_model=facts.value_model,
            retry=self.retry,
            timeout=self.timeout,
            requires=self.requires,
        )
        return Stage(merged(definition))


def stage(
    id: str,
    *,
    retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - immutable
    timeout: timedelta = timedelta(minutes=5),
    requires: Sequence[StageReference[Any] | str] = (),
) -> StageDecorator:
    """Make a function a stage: ``@stage("count-words")``.

    Its first parameter is the input and its return annotation the output, pydantic models or
    ``None``; ``ctx: StageContext[Config]`` may follow. *timeout* is for one attempt, up to 900 s
    (the most a Lambda function runs). *requires* names stages that must come before it, whose
    outputs it takes from ``ctx.require``. Models must be defined above the stage.

    Raises:
        TypeError: an argument is of the wrong type (``@stage`` without an id, for example).
        WorkflowDefinitionError: by the decorator, where a name in the function's annotations is
            unknown, or where it decorates no plain function.
    """
    _check_types(id, retry, timeout)
    return StageDecorator(id, retry, timeout, _ids_of(id, requires))


def merged(definition: StageDefinition) -> StageDefinition:
    """*definition* with the output and config that its functions name first, and the problems of all."""
    parts = [facts for _, facts in functions_with_undo(definition)]
    outputs = [facts.returned.output for _, facts in functions_of(definition) if facts.returned.has_output]
    configs = [facts.config_model for facts in parts if facts.config_model is not None]
    return replace(
        definition,
        output_model=outputs[0] if outputs else None,
        config_model=configs[0] if configs else None,
        problems=tuple(problem for facts in parts for problem in facts.problems),
    )


def _check_types(stage_id: object, retry: object, timeout: object) -> None:
    if not isinstance(stage_id, str):
        raise TypeError('@stage takes the id of the stage: @stage("count-words")')
    if not isinstance(retry, RetryPolicy) or not isinstance(timeout, timedelta):
        raise TypeError(f"stage {stage_id!r}: retry must be a RetryPolicy, timeout a timedelta")


def _read(
    function: Callable[..., Any], role: str, *, may_be_none: bool = False, may_be_union: bool = False
) -> FunctionFacts:
    # Two frames up: the one that decorates, whose local names the annotations may use.
    around = _names_around(depth=3)
    return read_function(function, role=role, localns=around, may_be_none=may_be_none, may_be_union=may_be_union)


def _names_around(*, depth: int) -> Mapping[str, Any]:
    return sys._getframe(depth).f_locals


def _ids_of(stage_id: str, requires: object) -> tuple[str, ...]:
    if isinstance(requires, str | StageReference) or not isinstance(requires, Iterable):
        raise TypeError(f"stage {stage_id!r}: requires takes several stages: requires=[{requires!r}]")
    unfit = [other for other in requires if not isinstance(other, str | StageReference)]
    if unfit:
        raise TypeError(f"stage {stage_id!r}: requires takes stages or their ids, not {unfit[0]!r}")
    return tuple(other if isinstance(other, str) else other.id for other in requires)
