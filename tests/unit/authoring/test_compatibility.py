"""A run in flight goes on after a deploy if it can, and is told why not if it cannot."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from workflow_engine import (
    NotReady,
    RetryPolicy,
    Stage,
    StageContext,
    Suspended,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.authoring.compatibility import Comparison, compare, compare_kept


class Data(BaseModel):
    n: int = 0


class MoreData(Data):
    more: str


class OtherState(BaseModel):
    job: str = ""


class Config(BaseModel):
    model: str
    size: int = 1


def made(stage_id: str, output: type[BaseModel] = Data, **policies: Any) -> Stage[..., Any]:
    def function(data: Data) -> Any: ...

    function.__annotations__["return"] = output
    return stage(stage_id, **policies)(function)


def polling(stage_id: str, state: type[BaseModel] = Data) -> Stage[..., Any]:
    polled = made(stage_id, Data | Suspended[state])  # type: ignore[valid-type, arg-type]

    def check(state: Any) -> Data | NotReady:
        return NotReady()

    check.__annotations__["state"] = state
    polled.check_completion(check)
    return polled


def signalled(stage_id: str, payload: type[BaseModel] = Data) -> Stage[..., Any]:
    waiting = made(stage_id, Data | WaitForSignal[payload])  # type: ignore[valid-type, arg-type]

    def handle(payload: Any) -> Data:
        return Data()

    handle.__annotations__["payload"] = payload
    waiting.on_signal(handle)
    return waiting


def configured(stage_id: str) -> Stage[..., Any]:
    @stage(stage_id)
    def function(data: Data, ctx: StageContext[Config]) -> Data:
        return data

    return function


def workflow(*groups: Sequence[Stage[..., Any]], data: type[BaseModel] = Data) -> WorkflowDefinition:
    chain = Workflow("w", input=data, version=2)
    for group in groups:
        chain.parallel(*group)
    return chain.build()


A, B, C = made("a"), made("b"), made("c")


def stored(definition: WorkflowDefinition) -> Mapping[str, Any]:
    """The structure as it comes back from where it was kept."""
    structure: Mapping[str, Any] = json.loads(json.dumps(definition.structure()))
    return structure


def told(old: WorkflowDefinition, new: WorkflowDefinition, group: int) -> str:
    """What no run can follow; nothing where it depends on the run."""
    comparison = compare(stored(old), new, group)
    assert not (comparison.differences and comparison.questions)
    return "\n".join(comparison.differences)


def asked(old: WorkflowDefinition, new: WorkflowDefinition, group: int) -> list[str]:
    """What must be asked of a run: "output a" for the output that it has stored of stage a."""
    comparison = compare(stored(old), new, group)
    assert comparison.differences == ()
    return [f"{question.about} {question.stage_id}" for question in comparison.questions]


OLD = workflow([A], [B], [C])


@pytest.mark.parametrize("group", [0, 1, 2, 3])
def test_the_same_workflow_has_no_differences(group: int) -> None:
    assert compare(stored(OLD), workflow([A], [B], [C]), group) == Comparison()


def test_policies_and_the_version_may_change() -> None:
    patient = made("b", retry=RetryPolicy(max_attempts=9), timeout=timedelta(seconds=9))
    new = Workflow("w", input=Data, version=7).pipe(A).pipe(patient).pipe(C).build()
    assert asked(OLD, new, 1) == []


def test_what_lies_ahead_may_change_freely() -> None:
    new = workflow([A], [B], [polling("x")], [made("c", MoreData), made("y")])
    assert told(OLD, new, 1) == ""
    assert told(OLD, workflow([A], [B]), 1) == ""


def test_a_stage_behind_the_run_must_be_where_it_was() -> None:
    assert told(OLD, workflow([made("z")], [B], [C]), 1) == "group 1, which it has behind it, was 'a' and is 'z'"
    assert "was 'a' and is 'b'" in told(OLD, workflow([B], [A], [C]), 2)


def test_the_stages_the_run_is_in_must_be_the_same_in_the_same_order() -> None:
    old = workflow([A, B], [made_joined()])
    assert told(old, workflow([B, A], [made_joined()]), 0) == "the group the run is in was 'a', 'b' and is 'b', 'a'"
    assert "is nothing" in told(OLD, workflow([A]), 1)


def made_joined() -> Stage[..., Any]:
    @stage("joined")
    def function() -> Data:
        return Data()

    return function


def test_an_output_behind_the_run_is_asked_where_its_model_differs_and_so_is_the_input_made_of_it() -> None:
    new = workflow([made("a", MoreData)], [B], [C])
    assert asked(OLD, new, 1) == ["output a", "input b"]
    assert asked(OLD, new, 2) == ["output a"]
    assert asked(OLD, new, 0) == []


def test_outputs_of_siblings_may_be_there_already() -> None:
    old, new = workflow([A, B]), workflow([A, made("b", MoreData)])
    assert asked(old, new, 0) == ["output b"]


def test_a_stage_that_may_be_suspended_is_asked_whether_it_is() -> None:
    old = workflow([polling("a")], [B])
    assert asked(old, workflow([A], [B]), 0) == ["check a"]
    assert asked(old, workflow([polling("a", OtherState)], [B]), 0) == ["state a"]
    assert asked(old, workflow([polling("a")], [B]), 0) == []


def test_once_it_is_behind_the_run_a_stage_need_not_wait_any_more() -> None:
    assert asked(workflow([polling("a")], [B]), workflow([A], [B]), 1) == []
    assert asked(workflow([signalled("a")], [B]), workflow([A], [B]), 1) == []


def test_a_stage_that_may_await_a_signal_is_asked_whether_it_does() -> None:
    old = workflow([signalled("a")], [B])
    assert asked(old, workflow([A], [B]), 0) == ["handler a"]
    # The payload is validated when it comes, against what is deployed then.
    assert asked(old, workflow([signalled("a", OtherState)], [B]), 0) == []


def test_a_stage_may_learn_to_wait() -> None:
    new = workflow([polling("a")], [signalled("b")], [C])
    assert told(OLD, new, 0) == ""
    assert asked(OLD, new, 1) == []


def test_the_input_is_asked_while_the_first_group_runs() -> None:
    new = workflow([A], [B], [C], data=MoreData)
    assert asked(OLD, new, 0) == ["input a"]
    assert asked(OLD, new, 1) == []


def test_config_is_asked_from_here_on_where_its_model_differs() -> None:
    new = workflow([A], [configured("b")], [configured("d")])
    assert asked(OLD, new, 1) == ["config b", "config d"]
    assert asked(OLD, new, 0) == ["config b", "config d"]
    assert asked(workflow([A], [configured("b")], [C]), new, 1) == ["config d"]
    assert asked(workflow([configured("a")], [B]), workflow([configured("a")], [B]), 0) == []


def test_what_a_rerun_keeps_is_asked_and_nothing_else() -> None:
    new = workflow([made("a", MoreData)], [made("b", MoreData)], [polling("x")], data=MoreData)
    kept = compare_kept(stored(OLD), new, 1)
    assert [(question.about, question.stage_id) for question in kept.questions] == [("output", "a")]
    assert compare_kept(stored(OLD), new, 0) == Comparison()
    moved = compare_kept(stored(OLD), workflow([B], [A]), 1)
    assert moved.differences == ("group 1, which it has behind it, was 'a' and is 'b'",)


def test_a_structure_of_another_format_is_a_difference_and_no_crash() -> None:
    assert "format 99" in compare({"format": 99}, OLD, 0).differences[0]
    assert "format None" in compare_kept({}, OLD, 0).differences[0]


class Document(BaseModel):
    text: str = Field(min_length=1)
    language: Literal["de", "en"] = "en"


class Words(BaseModel):
    count: int = 0
    share: float = 1.5


class Batch(BaseModel):
    id: str


def documents() -> WorkflowDefinition:
    """The workflow that ``STORED_BEFORE`` was stored of."""

    @stage("count")
    def count(document: Document, ctx: StageContext[Config]) -> Words:
        return Words()

    @stage("embed")
    def embed(words: Words) -> Words | Suspended[Batch]:
        return words

    @embed.check_completion
    def poll(batch: Batch) -> Words | NotReady:
        return NotReady()

    return Workflow("documents", input=Document).pipe(count).pipe(embed).build()


# As it was stored before models were described by their shapes: digests of JSON schemas alone.
STORED_BEFORE: Mapping[str, Any] = json.loads("""
{"format": 1, "workflow": "documents", "version": 1, "input": "3tkeblqhqeej", "groups": [
 [{"id": "count", "kind": "plain", "input": "3tkeblqhqeej", "output": "glckbvru5dx4", "config": "ksgmi3bsqty7", "config_required": ["model"], "state": "", "payload": ""}],
 [{"id": "embed", "kind": "poll", "input": "glckbvru5dx4", "output": "glckbvru5dx4", "config": "", "config_required": [], "state": "bmns7i5aez3x", "payload": ""}]
]}
""")


@pytest.mark.parametrize("group", [0, 1])
def test_a_structure_that_a_version_before_stored_is_still_compared(group: int) -> None:
    assert compare(STORED_BEFORE, documents(), group) == Comparison()


def test_what_a_version_before_compares_is_still_stored() -> None:
    now = stored(documents())
    assert {name: now[name] for name in STORED_BEFORE if name != "groups"} == {
        name: STORED_BEFORE[name] for name in STORED_BEFORE if name != "groups"
    }
    for old_group, new_group in zip(STORED_BEFORE["groups"], now["groups"], strict=True):
        for old, new in zip(old_group, new_group, strict=True):
            assert {name: new[name] for name in old} == old
