"""Decides what of the groups runs that a run comes to: asks the predicates, once, for what the stages would get.

Only a worker does, never a client or a tick: it is the user's code. What it came to is data (``Decision``), which the
commit stores that enters the group, or goes past it; nobody asks again, until a rerun starts there.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from workflow_engine.authoring import unions
from workflow_engine.authoring.choices import Choice
from workflow_engine.authoring.stage_definition import StageDefinition
from workflow_engine.errors import ChoiceError, StageTimeoutError, TransientError, WorkflowEngineError
from workflow_engine.kernel import transitions
from workflow_engine.kernel.execution import failures
from workflow_engine.kernel.execution.run_data import RunData
from workflow_engine.kernel.invocation import COMMIT_MARGIN, Invocation
from workflow_engine.kernel.transitions import Decision
from workflow_engine.model import plans
from workflow_engine.model.ids import StageId
from workflow_engine.model.json_values import written_again
from workflow_engine.model.limits import MAX_CHOICE_TIME
from workflow_engine.model.texts import name_of
from workflow_engine.model.values import UnfitValueError

# What a predicate is called where stages are called by their ids.
ROLE = "choice of "


def has_time(invocation: Invocation) -> bool:
    """Whether a decision may take as long as it may, while a lease is held."""
    return invocation.remaining() >= MAX_CHOICE_TIME + COMMIT_MARGIN


def decided(data: RunData, group: int, outputs: Mapping[str, bytes], invocation: Invocation) -> Decision:
    """What runs of *group*, and of those after it while nothing does. *outputs* are the JSON of what the group before
    it left, by stage; those of the first group are not asked for.

    Raises:
        TransientError: the run's input was not read.
    """
    plan, skipped = data.definition.plan, dict[int, frozenset[int]]()
    limit = min(MAX_CHOICE_TIME, max(invocation.remaining() - COMMIT_MARGIN, timedelta(milliseconds=100)))
    choosing = _Choosing(data=data, invocation=invocation, until=invocation.clock.now() + limit)
    while group in plan.conditional:
        try:
            skipped[group] = choosing.skipped(group, outputs)
        except ChoiceError as error:
            info = failures.error_info(error, retryable=False)
            return Decision(skipped=skipped, failure=transitions.failure_of(StageId(error.stage_id), info))
        if len(skipped[group]) < len(plan.stages(group)):
            break
        group, outputs = plans.after(group), {}
    return Decision(skipped=skipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choosing:
    data: RunData
    invocation: Invocation
    until: datetime
    _input: list[bytes] = field(default_factory=list)

    def skipped(self, group: int, outputs: Mapping[str, bytes]) -> frozenset[int]:
        """The ordinals of the stages of *group* that do not run."""
        stages, choice = self.data.definition.groups[group], self.data.definition.choices.get(group)
        if choice is not None:
            chosen = self._chosen(choice, group, outputs)
            return frozenset(ordinal for ordinal, stage in enumerate(stages) if stage.id != chosen)
        return frozenset(
            ordinal
            for ordinal, stage in enumerate(stages)
            if stage.when is not None and not self._runs(stage, stage.when, group, outputs)
        )

    def _runs(
        self, stage: StageDefinition, when: Callable[[Any], Any], group: int, outputs: Mapping[str, bytes]
    ) -> bool:
        taker = stage if stage.input_model is not None else None
        answer = self._asked(when, stage.id, lambda: self._value(taker, group, outputs))
        if not isinstance(answer, bool):
            raise ChoiceError(stage_id=stage.id, problem=f"the predicate answered {_shown(answer)}, which is no bool")
        return answer

    def _chosen(self, choice: Choice, group: int, outputs: Mapping[str, bytes]) -> str:
        stages = self.data.definition.groups[group]
        models = {stage.input_model for stage in stages}
        # What each of them gets; where they take different things, what they are made of.
        taker = stages[0] if len(models) == 1 and None not in models else None
        answer = self._asked(choice.by, stages[0].id, lambda: self._value(taker, group, outputs))
        chosen = choice.chosen(answer)
        if chosen is None:
            known = ", ".join(map(repr, choice.cases))
            problem = f"the choice answered {_shown(answer)}, for which there is no stage and no otherwise; its cases are {known}"
            raise ChoiceError(stage_id=stages[0].id, problem=problem)
        return chosen

    def _value(self, taker: StageDefinition | None, group: int, outputs: Mapping[str, bytes]) -> BaseModel | None:
        """What *taker* gets, read anew for each who asks; without one, what the group before left as it was written."""
        definition, before = self.data.definition, plans.before(group)
        if before is None:
            data = self._run_input()
            return unions.load(definition.input_model, data) if taker is None else taker.load_input(data)
        given = definition.given_by(before, outputs)
        if taker is not None:
            return taker.load_input(definition.compose_input(taker.id, outputs), given)
        return unions.load(definition.outputs_model_for(before), definition.join_outputs(before, outputs), given)

    def _run_input(self) -> bytes:
        if not self._input:
            self._input.append(written_again(self.data.started_with()["input"]))
        return self._input[0]

    def _asked(self, function: Callable[[Any], Any], stage_id: str, value: Callable[[], BaseModel | None]) -> Any:
        """What *function* answers to *value*.

        Raises:
            ChoiceError: it raised, or took too long, or there is no such value.
            TransientError: the value could not be read just now.
        """
        try:
            taken = value()
        except TransientError:
            raise
        except (WorkflowEngineError, UnfitValueError) as error:
            problem = f"what it takes cannot be read: {failures.message_of(error)}"
            raise ChoiceError(stage_id=stage_id, problem=problem) from error
        return self._called(function, stage_id, taken)

    def _called(self, function: Callable[[Any], Any], stage_id: str, value: BaseModel | None) -> Any:
        left = max(self.until - self.invocation.clock.now(), timedelta(milliseconds=1))
        is_async, run = inspect.iscoroutinefunction(function), self.invocation.settings.run_stage
        role = f"{ROLE}{stage_id} of run {self.data.head.run_id}"
        try:
            return run(lambda: function(value), stage_id=role, timeout=left, is_async=is_async)
        except KeyboardInterrupt:
            raise
        except StageTimeoutError as error:
            seconds = f"{MAX_CHOICE_TIME.total_seconds():g}"
            problem = f"what decides on its group took longer than {seconds} s"
            raise ChoiceError(stage_id=stage_id, problem=problem) from error
        except BaseException as error:
            problem = f"what decides it raised {name_of(type(error))}: {failures.message_of(error)}"
            raise ChoiceError(stage_id=stage_id, problem=problem) from error


def _shown(answer: object) -> str:
    """What an answer is called in a problem: its value may be private, and its class is not."""
    if answer is None:
        return "None"
    return repr(answer)[:100] if isinstance(answer, str | int) else f"a {name_of(type(answer))}"
