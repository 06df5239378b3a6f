"""A checked workflow: what the kernel works from. ``Workflow.build`` makes it.

Immutable but for what is computed once on demand (schemas take milliseconds).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json, to_jsonable_python

from workflow_engine.authoring.choices import Choice
from workflow_engine.authoring.known_names import suggestion, unknown_fields
from workflow_engine.authoring.neighbours import Joined, field_name, shape_after
from workflow_engine.authoring.stage_definition import Model, StageDefinition
from workflow_engine.authoring.steady import is_steady
from workflow_engine.authoring.structure import fingerprint_of, structure_of
from workflow_engine.authoring.unions import ANY_MEMBER, one_of
from workflow_engine.errors import InvalidConfigError, InvalidInputError, StageNotFoundError
from workflow_engine.model import plans, values
from workflow_engine.model.json_values import sent
from workflow_engine.model.plans import Plan
from workflow_engine.model.status import Status


@dataclass(frozen=True, eq=False, kw_only=True)
class WorkflowDefinition:
    """A workflow's groups of stages, in order. The stages of a group run at the same time.

    *joins* says for a stage after a group of several which field of its input is which output, *inline* has
    the numbers of the groups that one invocation runs. Neither is part of what a run in flight is held to.
    *choices* are the groups of which one stage runs, and by what. Before an end that is in *undo_on* the stages that have an undo are undone; before one in *failure_on* the stage
    *on_failure* is run last.
    """

    id: str
    version: int
    input_model: Model
    max_duration: timedelta
    groups: tuple[tuple[StageDefinition, ...], ...]
    joins: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict, repr=False)
    inline: frozenset[int] = frozenset()
    choices: Mapping[int, Choice] = field(default_factory=dict)
    undo_on: frozenset[Status] = frozenset()
    on_failure: StageDefinition | None = None
    failure_on: frozenset[Status] = frozenset()

    @cached_property
    def plan(self) -> Plan:
        """The ids of the stages, by group, and which of them can be undone."""
        undos = {
            group: frozenset(ordinal for ordinal, stage in enumerate(stages) if stage.undo is not None)
            for group, stages in enumerate(self.groups)
            if any(stage.undo is not None for stage in stages)
        }
        return Plan(
            (tuple(stage.id for stage in group) for group in self.groups),
            conditional=frozenset(
                number
                for number, group in enumerate(self.groups)
                if number in self.choices or any(stage.when is not None for stage in group)
            ),
            single=frozenset(n for n, group in enumerate(self.groups) if len(group) == 1 or n in self.choices),
            undos=undos,
            undo_on=self.undo_on,
            on_failure=None if self.on_failure is None else self.on_failure.id,
            failure_on=self.failure_on,
        )

    def at(self, group: int, ordinal: int) -> StageDefinition:
        """The stage at that place; of a group of the closing phase what undoes it, or the one that is run last.

        Raises:
            LookupError: it has none, or there is no such place.
        """
        if group == plans.ON_FAILURE:
            found = self.on_failure
        elif plans.is_closing(group):
            found = self._undoing.get((plans.place_of(group), ordinal))
        else:
            found = self.groups[group][ordinal]
        if found is None:
            raise LookupError(f"workflow {self.id!r} has nothing to do there")
        return found

    @cached_property
    def _undoing(self) -> Mapping[tuple[int, int], StageDefinition]:
        return {
            (group, ordinal): stage.undoing
            for group, stages in enumerate(self.groups)
            for ordinal, stage in enumerate(stages)
            if stage.undoing is not None
        }

    @cached_property
    def fingerprint(self) -> str:
        """12 characters of ``a-z2-7`` that change when ids, kinds or schemas do.

        Not when retries, timeouts or code do: what a run in flight can follow anyway.
        """
        return fingerprint_of(
            workflow_id=self.id,
            version=self.version,
            input_model=self.input_model,
            groups=self.groups,
            plan=self.plan,
            choices=self.choices,
        )

    def structure(self) -> Mapping[str, Any]:
        """What the fingerprint stands for, as JSON-compatible values."""
        return self._structure

    def stage(self, stage_id: str) -> StageDefinition:
        """The stage of that id.

        Raises:
            StageNotFoundError: there is none.
        """
        group, ordinal = self.position(stage_id)
        return self.groups[group][ordinal]

    def position(self, stage_id: str) -> tuple[int, int]:
        """The group of a stage and its ordinal in it, from 0.

        Raises:
            StageNotFoundError: there is none of that id.
        """
        try:
            return self._positions[stage_id]
        except KeyError:
            raise StageNotFoundError(workflow_id=self.id, stage_id=stage_id) from None

    def outputs_model_for(self, group: int) -> Model | None:
        """The model of what ``join_outputs`` makes of *group*.

        The output of its one stage, or a model with a field for each; of a choice what stands for one of several.
        """
        if group not in self._left:
            left = shape_after(self.groups[group], is_choice=group in self.choices)
            model = left.as_model() if isinstance(left, Joined) else left
            self._left[group] = one_of([model, None]) if isinstance(left, Joined) and left.all_may else model
        return self._left[group]

    def given_by(self, group: int, outputs: Mapping[str, bytes]) -> Any:
        """The model of which what *group* leaves was written, where it is that of one stage, the one that ran of those
        in *outputs*: a stage that takes one of several is to get an instance of the one that is meant."""
        if group not in self.plan.single:
            return ANY_MEMBER
        return self.stage(next(iter(outputs))).output_model if outputs else None

    def join_outputs(self, group: int, outputs: Mapping[str, bytes]) -> bytes:
        """The JSON of what *group* leaves, of the JSON of its *outputs* by stage id.

        The output itself where one stage of it runs at the most, otherwise an object with a field for each. Of skipped
        stages there is none: where all are, it is null.
        """
        if not outputs:
            return values.NOTHING
        ids = self.plan.stages(group)
        if group in self.plan.single:
            return next(outputs[stage_id] for stage_id in ids if stage_id in outputs)
        return _object([(field_name(stage_id), stage_id) for stage_id in ids], outputs)

    def compose_input(self, stage_id: str, outputs: Mapping[str, bytes]) -> bytes:
        """The JSON of the input of a stage, of the JSON *outputs* of the group before it by stage id: without those of
        stages that were skipped, and null where all were.

        Not for the first group: its input is the run's.

        Raises:
            StageNotFoundError: there is no such stage.
        """
        group, ordinal = self.position(stage_id)
        if self.groups[group][ordinal].input_model is None:
            return values.NOTHING
        before = plans.before(group)
        if before is not None and (not outputs or before in self.plan.single):
            return self.join_outputs(before, outputs)
        # A model all of whose fields have defaults may take none of the outputs.
        return _object(self.joins.get(stage_id, ()), outputs)

    def validate_input(self, data: Mapping[str, Any] | BaseModel) -> BaseModel:
        """The run's input that JSON-compatible *data* (or a model) stands for.

        Raises:
            InvalidInputError: it does not validate.
        """
        return self.fixed_input(data)[1]

    def fixed_input(self, data: Mapping[str, Any] | BaseModel) -> tuple[bytes, BaseModel]:
        """What is stored of *data* as a run's input: its JSON with the defaults of this moment, so
        that each attempt gets the same; and the input.

        Raises:
            InvalidInputError: it does not validate, or would not come back from JSON as it is.
        """
        try:
            return values.fixed(self.input_model, sent(data))
        except values.UnfitValueError as error:
            raise InvalidInputError(what=f"input of workflow {self.id!r}", problems=error.problems) from error

    def default_config(self) -> dict[str, dict[str, Any]]:
        """The defaults of all config models by stage id, JSON-compatible; fields without are absent."""
        return {
            stage.id: _defaults(stage.config_model)
            for group in self.groups
            for stage in group
            if stage.config_model is not None
        }

    def validate_config(self, config: Mapping[str, Any]) -> dict[str, BaseModel]:
        """The config of each stage that takes one: what *config* gives by stage id, and defaults.

        Raises:
            InvalidConfigError: it names a stage that does not exist or takes no config, or a
                stage's part does not validate.
        """
        self._check_names(config)
        loaded = {stage_id: self.config_for(stage_id, config) for stage_id in self._positions}
        return {stage_id: model for stage_id, model in loaded.items() if model is not None}

    def fixed_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What is stored of *config*: for each stage that was given some, the value that it stands
        for now, defaults included; so too where a default is another one each time.

        Raises:
            InvalidConfigError: as ``validate_config`` says, or a stage's part would not come back
                from JSON as it is.
        """
        self._check_names(config)
        found: dict[str, Any] = {}
        for stage_id in self._positions:
            model, given = self.stage(stage_id).config_model, self._given(stage_id, config)
            if model is None:
                continue
            try:
                data, _ = values.fixed(model, sent(given))
            except values.UnfitValueError as error:
                raise InvalidConfigError(stage_id=stage_id, problems=error.problems) from error
            if given or not is_steady(model):
                found[stage_id] = from_json(data)
        return found

    def config_for(self, stage_id: str, config: Mapping[str, Any]) -> BaseModel | None:
        """The config of one stage, out of the run's *config* by stage id; ``None`` if it takes none.

        Raises:
            InvalidConfigError: the stage's part does not validate.
            StageNotFoundError: there is no such stage.
        """
        model = self.stage(stage_id).config_model
        if model is None:
            return None
        given = self._given(stage_id, config)
        try:
            # The usual case, for every attempt of every stage: nothing was given.
            return values.load(model, sent(given) if given else b"{}")
        except values.UnfitValueError as error:
            raise InvalidConfigError(stage_id=stage_id, problems=error.problems) from error

    def _given(self, stage_id: str, config: Mapping[str, Any]) -> Mapping[str, Any] | BaseModel:
        given = config.get(stage_id, {})
        if not isinstance(given, Mapping | BaseModel):
            raise InvalidConfigError(stage_id=stage_id, problems=["must be an object"])
        return given

    def _check_names(self, config: Mapping[str, Any]) -> None:
        """Refuse what is misspelled: taken without a word, it would have no effect."""
        for stage_id, given in config.items():
            if stage_id not in self._positions:
                known = ", ".join(self._positions)
                hint = suggestion(stage_id, self._positions)
                raise InvalidConfigError(
                    stage_id=stage_id, problems=[f"the workflow has no such stage{hint}; it has {known}"]
                )
            model = self.stage(stage_id).config_model
            if model is None:
                raise InvalidConfigError(stage_id=stage_id, problems=["the stage takes no config"])
            unknown = unknown_fields(model, given)
            if unknown:
                raise InvalidConfigError(stage_id=stage_id, problems=unknown)

    @cached_property
    def _left(self) -> dict[int, Model | None]:
        return {}

    @cached_property
    def _structure(self) -> Mapping[str, Any]:
        return structure_of(
            workflow_id=self.id,
            version=self.version,
            input_model=self.input_model,
            groups=self.groups,
            plan=self.plan,
            choices=self.choices,
        )

    @cached_property
    def _positions(self) -> Mapping[str, tuple[int, int]]:
        return {
            stage.id: (group, ordinal)
            for group, stages in enumerate(self.groups)
            for ordinal, stage in enumerate(stages)
        }


def _object(fields: Sequence[tuple[str, str]], outputs: Mapping[str, bytes]) -> bytes:
    # Field names are stage ids with underscores, so that they need no escaping.
    parts = [b'"%s":%s' % (name.encode(), outputs.get(stage_id, values.NOTHING)) for name, stage_id in fields]
    return b"{" + b",".join(parts) + b"}"


def _defaults(model: Model) -> dict[str, Any]:
    return {
        name: to_jsonable_python(info.get_default(call_default_factory=True, validated_data={}), fallback=repr)
        for name, info in model.model_fields.items()
        if not info.is_required()
    }
