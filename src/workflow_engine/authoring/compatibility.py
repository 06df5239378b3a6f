"""Whether a run in flight can go on after a deploy that changed its workflow.

What a run has behind it must still be readable, and what it is in the middle of must still be there;
what lies before it may change freely, but for config that the run was never given.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workflow_engine.authoring.structure import MODELS, STRUCTURE_FORMAT
from workflow_engine.authoring.workflow_definition import WorkflowDefinition

StageFacts = Mapping[str, Any]


def differences(old_structure: Mapping[str, Any], new: WorkflowDefinition, group: int) -> list[str]:
    """Why a run of the workflow with *old_structure*, now in *group* (from 0), cannot follow *new*.

    Empty where it can:

    - earlier groups have the same stages in the same places, with the same output schemas, since
      their outputs may still be read;
    - the current group has the same stages in the same order; those that may wait can still be
      woken and read the state they kept; of several, the outputs are the same, since some may be
      there already; in the first group, the workflow's input is the same;
    - from the current group on, no config field is required that was not before.

    A structure of a format that this version does not know is a difference.
    """
    if old_structure.get("format") != STRUCTURE_FORMAT:
        return [f"its structure has format {old_structure.get('format')!r}; this version reads {STRUCTURE_FORMAT}"]
    old_groups: Sequence[Sequence[StageFacts]] = old_structure["groups"]
    new_structure = new.structure()
    new_groups: Sequence[Sequence[StageFacts]] = new_structure["groups"]
    found = list(_moved_stages(old_groups, new_groups, group))
    if not found:
        pairs = [list(zip(*both, strict=True)) for both in zip(old_groups, new_groups[: group + 1], strict=False)]
        found += [line for stages in pairs[:group] for old, now in stages for line in _changed_output(old, now)]
        found += [line for stages in pairs[group:] for old, now in stages for line in _changed_wait(old, now)]
        found += [
            line
            for stages in pairs[group:]
            if len(stages) > 1
            for old, now in stages
            for line in _changed_output(old, now)
        ]
    if group == 0 and not _same_input(old_structure, new_structure):
        found.append("the workflow's input has changed")
    return [*found, *_new_config(old_groups, new_groups[group:])]


def _moved_stages(
    old_groups: Sequence[Sequence[StageFacts]], new_groups: Sequence[Sequence[StageFacts]], group: int
) -> Iterator[str]:
    for index, old in enumerate(old_groups[: group + 1]):
        before = [stage["id"] for stage in old]
        now = [stage["id"] for stage in new_groups[index]] if index < len(new_groups) else []
        if before != now:
            place = "the group the run is in" if index == group else f"group {index + 1}, which it has behind it,"
            yield f"{place} was {_listed(before)} and is {_listed(now)}"


def _same(old: StageFacts, now: StageFacts, model: str) -> bool:
    """Whether a stage's *model* is what it was. What a version before stored has no shapes."""
    if "shapes" not in old:
        return bool(old[model] == now[model])
    index = MODELS.index(model)
    return bool(old["shapes"][index] == now["shapes"][index])


def _same_input(old: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    name = "shape" if "shape" in old else "input"
    return bool(old[name] == now[name])


def _changed_output(old: StageFacts, now: StageFacts) -> Iterator[str]:
    if not _same(old, now, "output"):
        yield f"the output of stage {old['id']!r} has changed, and outputs of before may still be read"


def _changed_wait(old: StageFacts, now: StageFacts) -> Iterator[str]:
    if "poll" in old["kind"] and "poll" not in now["kind"]:
        yield f"stage {old['id']!r} may be suspended and has no check_completion any more"
    elif "poll" in old["kind"] and not _same(old, now, "state"):
        yield f"the state that stage {old['id']!r} keeps has changed"
    if "signal" in old["kind"] and "signal" not in now["kind"]:
        yield f"stage {old['id']!r} may wait for a signal and has no on_signal any more"


def _new_config(old_groups: Sequence[Sequence[StageFacts]], ahead: Sequence[Sequence[StageFacts]]) -> Iterator[str]:
    required = {stage["id"]: set(stage["config_required"]) for group in old_groups for stage in group}
    for stage in (stage for group in ahead for stage in group):
        missing = sorted(set(stage["config_required"]) - required.get(stage["id"], set()))
        if missing:
            yield f"stage {stage['id']!r} requires config that the run was not given: {', '.join(missing)}"


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(repr(stage_id) for stage_id in ids) or "nothing"
