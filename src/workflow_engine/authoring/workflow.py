"""``Workflow``: chains stages, and checks the chain.

All that can be known before a run is checked in ``build()``, and all of it is reported at once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from workflow_engine.authoring.choices import Choice, named, problems_of_cases
from workflow_engine.authoring.neighbours import (
    Shape,
    Unreadable,
    field_name,
    is_field,
    problems_between,
    resolve_passthrough,
    shape_after,
    taken_fields,
)
from workflow_engine.authoring.outcomes import is_model
from workflow_engine.authoring.stage_checks import is_complete, is_object, name_of, problems_of_stage
from workflow_engine.authoring.stage_definition import StageDefinition
from workflow_engine.authoring.stages import Stage
from workflow_engine.authoring.undo_checks import ends_of, problems_of_ends, problems_of_last
from workflow_engine.authoring.workflow_definition import WorkflowDefinition
from workflow_engine.errors import WorkflowDefinitionError
from workflow_engine.model.ids import is_name
from workflow_engine.model.limits import MAX_GROUP_STAGES, MAX_INLINE_STAGES, MAX_RUN_DURATION

__all__ = ["Workflow", "WorkflowDefinition"]


class Workflow:
    """Builds a workflow: ``Workflow("id", input=Model).pipe(a).parallel(b, c).build()``.

    Each call adds to this workflow and answers it. A run that is not finished *max_duration* after
    its creation fails. Raise *version* to keep an older definition registered beside this one, for
    the runs that it started. *undo_on* are the ends of a run, ``"failed"`` (an expired one is one, too) and
    ``"cancelled"``, before which the stages that have an undo are undone.
    """

    def __init__(
        self,
        id: str,
        *,
        input: type[BaseModel],
        max_duration: timedelta = timedelta(days=30),
        version: int = 1,
        undo_on: Sequence[str] = ("failed", "cancelled"),
    ) -> None:
        self._id, self._input = id, input
        self._undo_on, self._failure_on = undo_on, ()  # type: tuple[Sequence[str], Sequence[str]]
        self._on_failure: StageDefinition | None = None
        self._max_duration, self._version = max_duration, version
        self._groups: list[tuple[StageDefinition, ...]] = []
        self._inline: set[int] = set()
        self._choices: dict[int, Choice] = {}
        self._problems: list[str] = []

    @property
    def id(self) -> str:
        """The workflow's id."""
        return self._id

    def pipe(self, stage: Stage[..., Any], *, when: Callable[[Any], bool] | None = None) -> "Workflow":
        """Add a stage, which gets the output of what comes before it. *when* says whether it runs, as ``Stage.when``
        does; what comes after it gets ``None`` where it does not, and must take that."""
        conditional = stage.when(when) if when is not None and isinstance(stage, Stage) else stage
        return self._add("pipe", (conditional,))

    def choose(
        self,
        by: Callable[[Any], Any],
        arms: Mapping[Any, Stage[..., Any]] | None = None,
        /,
        *,
        otherwise: Stage[..., Any] | None = None,
        **cases: Stage[..., Any],
    ) -> "Workflow":
        """Add several stages of which one runs: that of the case that *by* answers, else *otherwise*.

        *by* takes what comes before. It answers text, a whole number, a bool, or an Enum with such a value. Cases are
        named (``small=by_mail``), or given as a mapping (``{"by-mail": by_mail}``); one stage may be that of several. It
        is asked once, in the worker that comes to the stages, within 10 s; a rerun from there asks again. One that raises,
        or answers what there is no stage for, fails the run with ``ChoiceError``.

        What comes after it takes what the one stage answers: a model that covers each of their outputs, or a union.
        """
        given = [*named(arms or {}), *cases.items()]
        stages = [stage for _, stage in given] + ([] if otherwise is None else [otherwise])
        # In an order of their own: which case a stage is of may change while runs stand among them.
        distinct = sorted({id(stage): stage for stage in stages}.values(), key=_order)
        before = len(self._groups)
        self._add("choose", distinct)
        fitting = {case: stage.id for case, stage in given if case is not None and isinstance(stage, Stage)}
        self._problems += [*self._problems_of_arms(given, distinct, what=f"choose() in group {before + 1}")]
        what = f"choose() of {', '.join(repr(stage.id) for stage in distinct if isinstance(stage, Stage))}"
        self._problems += problems_of_cases(by, fitting, has_otherwise=otherwise is not None, what=what)
        if len(self._groups) > before:
            last = otherwise.id if isinstance(otherwise, Stage) else None
            self._choices[before] = Choice(by, fitting, last)
        return self

    def _problems_of_arms(
        self, given: Sequence[tuple[str | None, object]], stages: Sequence[object], *, what: str
    ) -> Iterator[str]:
        names = [case for case, _ in given]
        if None in names:
            yield f"{what}: a case is text, a whole number, a bool, or an Enum with such a value"
        yield from (f"{what}: case {case!r} is there twice" for case in dict.fromkeys(names) if names.count(case) > 1)
        for stage in stages:
            if isinstance(stage, Stage) and stage.definition.when is not None:
                yield f"{what}: stage {stage.id!r} has a when, and it is the choice that says whether it runs"

    def parallel(self, *stages: Stage[..., Any], inline: bool = False) -> "Workflow":
        """Add stages that run at the same time, each with the output of what comes before them.

        The input of the stage after them has a field for each output that it wants, named after
        the stage, hyphens turned into underscores. At most 100; one alone is as with ``pipe``.

        Each is a message of its own, and may run on a machine of its own. Stages that wait for others more
        than they compute are cheaper *inline* (at most 16): the invocation that enters the group runs all of
        them, ``def`` stages in threads of their own and ``async def`` ones in event loops, if the longest of
        their timeouts fits into what is left of it; else they are messages as well. What has come in is
        stored within 2 s. A ``def`` stage in a thread cannot be interrupted: beyond its timeout its code
        goes on and its result is not seen; on Lambda the process then ends.
        """
        before = len(self._groups)
        self._add("parallel", stages)
        if inline and len(self._groups) > before:
            self._inline.add(before)
        return self

    def on_failure(self, stage: Stage[..., Any], *, on: Sequence[str] = ("failed",)) -> "Workflow":
        """Run *stage* last when a run has failed for good (or has expired), after all that is undone. It takes
        ``Failure``: what failed, and what was undone. With ``on=("failed", "cancelled")`` also when it is cancelled.

        It is tried and recorded like any stage, and can take steps, but cannot wait. The run fails whatever comes of it.
        """
        if not isinstance(stage, Stage):
            self._problems.append(f"on_failure() takes a stage; {stage!r} is none: mark it with @stage")
        elif self._on_failure is not None:
            self._problems.append("on_failure() was called twice")
        else:
            self._on_failure, self._failure_on = stage.definition, on
        return self

    def build(self) -> WorkflowDefinition:
        """The workflow, checked.

        Raises:
            WorkflowDefinitionError: with all problems: types that do not fit between neighbours,
                cases of a choice that nothing answers, or is there for, ids that are malformed or there twice, dependencies that do not come before, a
                stage that waits without the function to go on with, an empty workflow, a group of
                more than 100 (inline: 16), a timeout above 900 s, more sleep than a run lives.
        """
        problems = [*self._own_problems(), *self._problems, *_problems_of_ids(self._groups)]
        groups: list[tuple[StageDefinition, ...]] = []
        joins: dict[str, tuple[tuple[str, str], ...]] = {}
        before: Shape = self._input if is_model(self._input) and self._input is not BaseModel else Unreadable
        source = "the workflow's input"
        for number, group in enumerate(self._groups):
            resolved = tuple(resolve_passthrough(stage, before) for stage in group)
            for stage in resolved:
                problems += [*problems_of_stage(stage), *problems_between(stage, before, source=source)]
                joins[stage.id] = taken_fields(stage, before)
            groups.append(resolved)
            before = shape_after(resolved, is_choice=number in self._choices)
            source = f"stage {resolved[0].id!r} before it"
            if number in self._choices:
                source = f"the choice of {', '.join(repr(stage.id) for stage in resolved)} before it"
        if problems:
            raise WorkflowDefinitionError(workflow_id=str(self._id), problems=list(dict.fromkeys(problems)))
        return WorkflowDefinition(
            id=self._id,
            version=self._version,
            input_model=self._input,
            max_duration=self._max_duration,
            groups=tuple(groups),
            joins={stage_id: fields for stage_id, fields in joins.items() if fields},
            inline=frozenset(group for group in self._inline if len(groups[group]) > 1),
            choices=dict(self._choices),
            undo_on=ends_of(self._undo_on),
            on_failure=self._on_failure,
            failure_on=ends_of(self._failure_on),
        )

    def _add(self, method: str, stages: Sequence[object]) -> "Workflow":
        unfit = [stage for stage in stages if not isinstance(stage, Stage)]
        self._problems += [f"{method}() takes stages; {stage!r} is none: mark it with @stage" for stage in unfit]
        if not stages:
            self._problems.append(f"{method}() was given no stage")
        group = tuple(stage.definition for stage in stages if isinstance(stage, Stage))
        if group:
            self._groups.append(group)
        return self

    def _own_problems(self) -> Iterator[str]:
        if not is_name(str(self._id)):
            yield f"workflow id {self._id!r}: must be a letter, then up to 63 of A-Za-z0-9_-"
        yield from _problems_of_input(self._input)
        if not timedelta(0) < self._max_duration <= MAX_RUN_DURATION:
            yield f"max_duration must be above 0 and at most {MAX_RUN_DURATION.days} days"
        elif (slept := _slept(self._groups)) >= self._max_duration:
            yield f"its stages sleep for {slept}, and a run fails after max_duration, {self._max_duration}"
        for group in self._inline:
            yield from _problems_of_inline(self._groups[group])
        yield from problems_of_ends("undo_on", self._undo_on)
        if self._on_failure is not None:
            yield from problems_of_ends("on_failure(on=…)", self._failure_on)
            yield from problems_of_last(self._on_failure, [stage.id for group in self._groups for stage in group])
        if self._version < 1:
            yield f"version must be at least 1, not {self._version}"
        if not self._groups and not self._problems:
            yield "the workflow has no stages"


def _order(stage: object) -> str:
    return stage.id if isinstance(stage, Stage) else ""


def _problems_of_input(model: Any) -> Iterator[str]:
    if not is_model(model) or model is BaseModel:
        yield f"input must be a pydantic model class, not {model!r}"
    elif not is_complete(model):
        yield f"input: model {name_of(model)} has fields of types that are not defined"
    elif not is_object(model):
        yield f"input: a run is started with an object, and {name_of(model)} is none: put it into a field"


def _problems_of_inline(stages: Sequence[StageDefinition]) -> Iterator[str]:
    if len(stages) > MAX_INLINE_STAGES:
        yield f"an inline group of {len(stages)} stages: at most {MAX_INLINE_STAGES} run in one invocation"


def _slept(groups: Sequence[Sequence[StageDefinition]]) -> timedelta:
    """What a run sleeps at least, whatever its stages do: groups come one after another."""
    total = timedelta(0)
    for group in groups:
        longest = max((stage.sleeps for stage in group), default=timedelta(0))
        # Dates and durations stay within what Python holds.
        total = min(total, MAX_RUN_DURATION) + min(longest, MAX_RUN_DURATION)
    return total


def _problems_of_ids(groups: Sequence[Sequence[StageDefinition]]) -> Iterator[str]:
    earlier: set[str] = set()
    seen: set[str] = set()
    for group in groups:
        if len(group) > MAX_GROUP_STAGES:
            yield f"a group of {len(group)} stages: at most {MAX_GROUP_STAGES} run at the same time"
        yield from _problems_of_fields(group)
        for stage in group:
            if stage.id in seen:
                yield f"stage id {stage.id!r} is there twice"
            seen.add(stage.id)
            for needed in stage.requires:
                if needed not in earlier:
                    yield f"stage {stage.id!r} requires {needed!r}, which is no stage of an earlier group"
        earlier |= seen


def _problems_of_fields(group: Sequence[StageDefinition]) -> Iterator[str]:
    """Of several stages each is a field of what follows."""
    fields: dict[str, str] = {}
    for stage in group:
        if len(group) > 1 and not is_field(field_name(stage.id)):
            yield (
                f"stage {stage.id!r} of a group would be field {field_name(stage.id)!r} of what follows, which "
                f"pydantic needs itself"
            )
        other = fields.setdefault(field_name(stage.id), stage.id)
        if other != stage.id:
            yield f"stages {other!r} and {stage.id!r} of one group would both be field {field_name(stage.id)!r}"
