"""Whether a run in flight can go on after a deploy that changed its workflow.

What a run has behind it must still be there, and what it is in the middle of; what lies before it
may change freely. Where the models differ, the structures cannot tell: an optional field more is
another model, and reads all that was ever stored. So the answer is a list of what must be asked of
the values that the run has stored.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from workflow_engine.authoring.structure import MODELS, STRUCTURE_FORMAT
from workflow_engine.authoring.workflow_definition import WorkflowDefinition
from workflow_engine.model import plans

StageFacts: TypeAlias = Mapping[str, Any]
Groups: TypeAlias = Sequence[Sequence[StageFacts]]
Asked: TypeAlias = Literal["input", "output", "state", "config", "check", "handler"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be asked of a run: whether what it has stored for a stage can be read by the model
    of the day (input, output, state, config), or whether it waits for a function that the stage
    does not have any more (check, handler)."""

    about: Asked
    group: int
    ordinal: int
    stage_id: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two structures of a workflow: what no run can follow, and what depends on the run."""

    differences: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()


def compare(old_structure: Mapping[str, Any], new: WorkflowDefinition, group: int) -> Comparison:
    """Whether a run of the workflow with *old_structure*, now in *group* (from 0), can follow *new*.

    - Earlier groups and the current one must have the same stages in the same places.
    - Where their output models differ, the stored outputs are asked: they may still be read; in
      the current group those of the siblings that are done.
    - In the current group, inputs are asked where the model differs, or what they are made of; so
      are the states of stages that wait, and whether what waits can still be woken.
    - From the current group on, the run's config is asked where a stage's model differs.
    - Which stages of a group run was decided when the run entered it, and is not asked again: conditions and cases may
      change, in earlier groups and in the current one.

    A structure of a format that this version does not know is a difference.
    """
    new_structure = new.structure()
    found = _differences(old_structure, new_structure, group, within=len(plans.through(group)))
    if found:
        return Comparison(found)
    old_groups, new_groups = old_structure["groups"], new_structure["groups"]
    input_is_same = _is_same_input(old_structure, new_structure)
    questions = [
        *_about_outputs(old_groups, new_groups, group),
        *_about_inputs(old_groups, new_groups, group, input_is_same=input_is_same),
        *_about_waits(old_groups, new_groups, group),
        *_about_config(old_groups, new_groups, group),
    ]
    return Comparison(questions=tuple(questions))


def compare_closing(old_structure: Mapping[str, Any], new: WorkflowDefinition, group: int) -> Comparison:
    """Whether *new* can undo what a run of the workflow with *old_structure* did, which came as far as *group*: the
    stages that it has begun must be in their places, with what undoes them, and their outputs be read."""
    new_structure = new.structure()
    found = _differences(old_structure, new_structure, group, within=len(plans.through(group)))
    if found:
        return Comparison(found)
    old_groups, new_groups = old_structure["groups"], new_structure["groups"]
    pairs = list(_pairs(old_groups, new_groups, plans.through(group)))
    lost = [f"stage {now['id']!r} has no undo any more" for _, _, old, now in pairs if _lost_undo(old, now)]
    if lost:
        return Comparison(tuple(lost))
    undone = [pair for pair in pairs if pair[3].get("undo")]
    return Comparison(
        questions=tuple(
            Question("output", index, ordinal, now["id"])
            for index, ordinal, old, now in undone
            if not _is_same(old, now, "output")
        )
    )


def _lost_undo(old: StageFacts, now: StageFacts) -> bool:
    return bool(old.get("undo")) and not now.get("undo")


def compare_ahead(old_structure: Mapping[str, Any], new: WorkflowDefinition, group: int) -> Comparison:
    """Whether a run of the workflow with *old_structure*, which stands before *group* and has not entered it, can follow
    *new*: what lies before it is compared, as ``compare`` does, and nothing of what lies ahead."""
    kept = compare_kept(old_structure, new, group)
    if kept.differences:
        return kept
    config = _about_config(old_structure["groups"], new.structure()["groups"], group)
    return Comparison(questions=(*kept.questions, *config))


def compare_kept(old_structure: Mapping[str, Any], new: WorkflowDefinition, group: int) -> Comparison:
    """Whether a run that goes again from *group* on can keep on *new* what lies before it."""
    new_structure = new.structure()
    found = _differences(old_structure, new_structure, group, within=group)
    if found:
        return Comparison(found)
    pairs = _pairs(old_structure["groups"], new_structure["groups"], range(group))
    changed = (
        Question("output", index, ordinal, now["id"])
        for index, ordinal, old, now in pairs
        if not _is_same(old, now, "output")
    )
    return Comparison(questions=tuple(changed))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], group: int, *, within: int) -> tuple[str, ...]:
    if old.get("format") != STRUCTURE_FORMAT:
        return (f"its structure has format {old.get('format')!r}; this version reads {STRUCTURE_FORMAT}",)
    return tuple(_moved_stages(old["groups"][:within], new["groups"], group))


def _moved_stages(old_groups: Groups, new_groups: Groups, group: int) -> Iterator[str]:
    for index, old in enumerate(old_groups):
        before = [stage["id"] for stage in old]
        now = [stage["id"] for stage in new_groups[index]] if index < len(new_groups) else []
        if before != now:
            place = (
                "the group the run is in" if index == group else f"group {plans.number(index)}, which it has behind it,"
            )
            yield f"{place} was {_listed(before)} and is {_listed(now)}"


def _about_outputs(old_groups: Groups, new_groups: Groups, group: int) -> Iterator[Question]:
    for index, ordinal, old, now in _pairs(old_groups, new_groups, plans.through(group)):
        if not _is_same(old, now, "output") and (index < group or len(new_groups[group]) > 1):
            yield Question("output", index, ordinal, now["id"])


def _about_inputs(old_groups: Groups, new_groups: Groups, group: int, *, input_is_same: bool) -> Iterator[Question]:
    earlier = plans.before(group)
    source = _pairs(old_groups, new_groups, [] if earlier is None else [earlier])
    source_is_same = all(_is_same(old, now, "output") for _, _, old, now in source)
    source_is_same = source_is_same and (earlier is not None or input_is_same)
    for index, ordinal, old, now in _pairs(old_groups, new_groups, [group]):
        if not (source_is_same and _is_same(old, now, "input")):
            yield Question("input", index, ordinal, now["id"])


def _about_waits(old_groups: Groups, new_groups: Groups, group: int) -> Iterator[Question]:
    for index, ordinal, old, now in _pairs(old_groups, new_groups, [group]):
        if "poll" in old["kind"] and "poll" not in now["kind"]:
            yield Question("check", index, ordinal, now["id"])
        elif not _is_same(old, now, "state"):
            yield Question("state", index, ordinal, now["id"])
        if "signal" in old["kind"] and "signal" not in now["kind"]:
            yield Question("handler", index, ordinal, now["id"])


def _about_config(old_groups: Groups, new_groups: Groups, group: int) -> Iterator[Question]:
    known = {stage["id"]: stage for stages in old_groups for stage in stages}
    for index, stages in enumerate(new_groups[group:], start=group):
        for ordinal, now in enumerate(stages):
            old = known.get(now["id"])
            if now["config"] and (old is None or not _is_same(old, now, "config")):
                yield Question("config", index, ordinal, now["id"])


def _pairs(
    old_groups: Groups, new_groups: Groups, groups: Iterable[int]
) -> Iterator[tuple[int, int, StageFacts, StageFacts]]:
    """The stages of *groups* as they were and are, each with its place; of groups that are there in both."""
    for index in groups:
        if index < min(len(old_groups), len(new_groups)):
            for ordinal, (old, now) in enumerate(zip(old_groups[index], new_groups[index], strict=True)):
                yield index, ordinal, old, now


def _is_same(old: StageFacts, now: StageFacts, model: str) -> bool:
    """Whether a stage's *model* is what it was. What a version before stored has no shapes."""
    if "shapes" not in old:
        return bool(old[model] == now[model])
    index = MODELS.index(model)
    return bool(old["shapes"][index] == now["shapes"][index])


def _is_same_input(old: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    name = "shape" if "shape" in old else "input"
    return bool(old[name] == now[name])


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(repr(stage_id) for stage_id in ids) or "nothing"
