"""What ``build()`` says of choices and of stages that may be skipped, and what of them is part of a workflow."""

from enum import Enum, IntEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from workflow_engine import Stage, Workflow, WorkflowDefinition, WorkflowDefinitionError, sleep, stage
from workflow_engine.authoring.compatibility import compare, compare_ahead
from workflow_engine.authoring.unions import load, members_of, one_of
from workflow_engine.model.values import UnfitValueError


class Base(BaseModel):
    n: int = 0


class A(Base):
    a: int = 0


class B(Base):
    b: int = 0


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    n: int = 0


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Number(IntEnum):
    ONE = 1
    TWO = 2


def taking(name: str, annotation: Any, output: Any = Base) -> Stage[..., Any]:
    """A stage whose parameter is so annotated."""

    def function(value: Any) -> Any: ...

    function.__annotations__.update(value=annotation, **{"return": output})
    return stage(name)(function)


first, to_a, to_b = taking("first", Base), taking("to-a", Base, A), taking("to-b", Base, B)


def problems(workflow: Workflow) -> str:
    with pytest.raises(WorkflowDefinitionError) as caught:
        workflow.build()
    return "\n".join(caught.value.problems)


def chosen(by: Any = lambda base: "a", **arms: Any) -> Workflow:
    return Workflow("w", input=Base).pipe(first).choose(by, **(arms or {"a": to_a, "b": to_b}))


def skipping(*behind: Stage[..., Any], when: Any = lambda base: True) -> Workflow:
    workflow = Workflow("w", input=Base).pipe(first).pipe(to_a, when=when)
    for one in behind:
        workflow.pipe(one)
    return workflow


# What follows


@pytest.mark.parametrize("annotation", [A | None, Base | None, A | B | None])
def test_behind_a_stage_that_may_be_skipped_comes_what_takes_none(annotation: Any) -> None:
    skipping(taking("next", annotation)).build()


@pytest.mark.parametrize("annotation", [A, Base, A | B])
def test_what_does_not_is_told_so(annotation: Any) -> None:
    assert "stage 'to-a' before it may be skipped, which gives None" in problems(skipping(taking("next", annotation)))


def test_what_takes_another_model_is_told_so() -> None:
    assert "takes B | None, but stage 'to-a' before it gives A" in problems(skipping(taking("next", B | None)))


@pytest.mark.parametrize("annotation", [Base, A | B, B | A, Base | None, A | B | None, A | Base])
def test_behind_a_choice_comes_what_takes_each_of_its_arms(annotation: Any) -> None:
    chosen().pipe(taking("next", annotation)).build()


@pytest.mark.parametrize(("annotation", "lacking"), [(A, "B"), (B, "A"), (A | None, "B")])
def test_what_takes_not_all_of_them_is_told_which(annotation: Any, lacking: str) -> None:
    said = problems(chosen().pipe(taking("next", annotation)))
    assert f"but the choice of 'to-a', 'to-b' before it gives {lacking}" in said


def test_arms_of_one_output_are_followed_as_by_one_stage() -> None:
    chosen(a=to_a, b=taking("also-a", Base, A)).pipe(taking("next", A)).build()


def test_an_arm_without_output_is_none_for_what_follows() -> None:
    silent = taking("silent", Base, None)
    chosen(a=to_a, b=silent).pipe(taking("next", A | None)).build()
    assert "gives None" in problems(chosen(a=to_a, b=silent).pipe(taking("next", A)))


def test_a_field_behind_a_group_takes_none_where_its_stage_may_be_skipped() -> None:
    class Joined(BaseModel):
        first: Base
        to_a: A | None

    class Hard(BaseModel):
        first: Base
        to_a: A = A()

    group = (first, to_a.when(lambda base: True))
    Workflow("w", input=Base).parallel(*group).pipe(taking("next", Joined)).build()
    said = problems(Workflow("w", input=Base).parallel(*group).pipe(taking("next", Hard)))
    assert "whose field 'to_a' does not take None, which it is where stage 'to-a' is skipped" in said


def test_behind_a_group_that_may_be_skipped_as_a_whole_comes_what_takes_none() -> None:
    class Joined(BaseModel):
        first: Base | None = None
        to_a: A | None = None

    group = [one.when(lambda base: True) for one in (first, to_a)]
    Workflow("w", input=Base).parallel(*group).pipe(taking("next", Joined | None)).build()
    Workflow("w", input=Base).parallel(*group).pipe(sleep("nap", _second())).pipe(taking("next", Joined | None)).build()
    said = problems(Workflow("w", input=Base).parallel(*group).pipe(taking("next", Joined)))
    assert "all stages of the group before it may be skipped" in said


def _second() -> Any:
    from datetime import timedelta

    return timedelta(seconds=1)


def test_a_sleep_hands_on_a_union() -> None:
    chosen().pipe(sleep("nap", _second())).pipe(taking("next", A | B)).build()
    assert "gives B" in problems(chosen().pipe(sleep("nap", _second())).pipe(taking("next", A)))


def test_a_member_that_forbids_what_a_subclass_adds_is_told_so() -> None:
    class MoreStrict(Strict):
        more: int = 0

    said = problems(chosen(a=taking("strict", Base, MoreStrict), b=to_b).pipe(taking("next", Strict | B)))
    assert "which forbids the fields that MoreStrict adds to it: more" in said


def test_a_union_of_what_is_no_model_is_a_problem() -> None:
    assert "a union, must be a pydantic model or None, not int" in problems(
        Workflow("w", input=Base).pipe(taking("next", Base | int))
    )


# What a choice is made of


@pytest.mark.parametrize("answer", [Literal["a", "b"], Size, Number, bool, Literal[Size.SMALL]], ids=str)
def test_there_is_a_stage_for_each_answer_that_is_declared(answer: Any) -> None:
    def by(base: Base) -> Any: ...

    by.__annotations__["return"] = answer
    assert "may answer" in problems(chosen(by, z=to_a))
    assert "never answers 'z'" in problems(chosen(by, z=to_a, otherwise=to_b))


def test_an_otherwise_is_for_all_answers_that_are_left() -> None:
    def by(base: Base) -> Literal["a", "b", "c"]: ...  # type: ignore[empty-body]

    chosen(by, a=to_a, otherwise=to_b).build()
    chosen(by, a=to_a, b=to_b, c=to_a).build()


def test_cases_are_given_by_enum_by_number_and_by_bool() -> None:
    def by(base: Base) -> Size: ...  # type: ignore[empty-body]

    workflow = Workflow("w", input=Base).choose(by, {Size.SMALL: to_a, Size.LARGE: to_b}).build()
    assert dict(workflow.choices[0].cases) == {"small": "to-a", "large": "to-b"}
    numbers = Workflow("w", input=Base).choose(lambda _: 1, {1: to_a, False: to_b}).build()
    assert dict(numbers.choices[0].cases) == {"1": "to-a", "false": "to-b"}


BAD: dict[str, tuple[Any, str]] = {
    "no stage": (lambda: Workflow("w", input=Base).choose(lambda _: "a"), "choose() was given no stage"),
    "no stages": (lambda: chosen(a=to_a, b="x"), "choose() takes stages; 'x' is none"),
    "no function": (lambda: chosen("a"), "takes a function that answers the case, not 'a'"),
    "no case": (lambda: Workflow("w", input=Base).choose(len, {1.5: to_a}), "a case is text, a whole number"),
    "a case twice": (lambda: Workflow("w", input=Base).choose(len, {"a": to_a}, a=to_b), "case 'a' is there twice"),
    "an arm with a when": (lambda: chosen(a=to_a.when(lambda _: True), b=to_b), "stage 'to-a' has a when"),
    "an id twice": (lambda: chosen(a=to_a, b=taking("to-a", Base)), "stage id 'to-a' is there twice"),
    "no predicate": (lambda: skipping(when="yes"), "takes a function that answers whether the stage runs, not 'yes'"),
    "two predicates": (
        lambda: Workflow("w", input=Base).pipe(to_a.when(lambda _: True), when=lambda _: True),
        "stage 'to-a' has a when already",
    ),
}


@pytest.mark.parametrize(("make", "said"), BAD.values(), ids=BAD)
def test_what_is_no_choice_is_told_so(make: Any, said: str) -> None:
    assert said in problems(make())


def test_a_predicate_that_is_annotated_with_no_bool_is_a_problem() -> None:
    def when(base: Base) -> str: ...  # type: ignore[empty-body]

    assert "when() must answer a bool, and is annotated with str" in problems(skipping(when=when))


def test_all_of_it_is_said_at_once() -> None:
    def by(base: Base) -> Literal["a", "c"]: ...  # type: ignore[empty-body]

    said = problems(chosen(by, a=to_a, b=to_b).pipe(taking("next", A)))
    assert all(part in said for part in ("may answer 'c'", "never answers 'b'", "gives B"))


def test_a_stage_with_a_condition_leaves_the_stage_as_it_was() -> None:
    conditional = to_a.when(lambda base: True)
    assert (conditional.id, to_a.definition.when, to_a.definition.problems) == ("to-a", None, ())


# What is part of a workflow


def built(*arms: tuple[str, Stage[..., Any]], otherwise: Any = None, by: Any = lambda base: "a") -> WorkflowDefinition:
    workflow = Workflow("w", input=Base).pipe(first).choose(by, dict(arms), otherwise=otherwise)
    return workflow.pipe(taking("next", Base)).build()


ONE = built(("a", to_a), ("b", to_b))


def test_a_choice_is_part_of_the_structure_and_what_it_asks_is_not() -> None:
    assert ONE.structure()["choices"] == {"1": {"cases": {"a": "to-a", "b": "to-b"}}}
    assert built(("a", to_a), otherwise=to_b).structure()["choices"]["1"]["otherwise"] == "to-b"
    assert built(("b", to_b), ("a", to_a), by=lambda base: "b").fingerprint == ONE.fingerprint
    assert built(("a", to_b), ("b", to_a)).fingerprint != ONE.fingerprint


def test_that_a_stage_may_be_skipped_is_part_of_the_structure() -> None:
    behind = taking("next", A | None)
    plain, skipped = Workflow("w", input=Base).pipe(first).pipe(to_a).pipe(behind).build(), skipping(behind).build()
    assert skipped.structure()["groups"][1][0]["when"] is True
    assert "when" not in plain.structure()["groups"][1][0]
    assert "choices" not in plain.structure()
    assert skipped.fingerprint != plain.fingerprint
    assert (set(skipped.plan.conditional), set(plain.plan.conditional)) == ({1}, set())


def test_arms_have_an_order_of_their_own() -> None:
    assert built(("a", to_b), ("b", to_a)).plan == ONE.plan == (("first",), ("to-a", "to-b"), ("next",))


@pytest.mark.parametrize("group", [0, 1, 2])
def test_a_run_can_follow_a_choice_that_is_turned_around(group: int) -> None:
    assert compare(ONE.structure(), built(("a", to_b), ("b", to_a)), group).differences == ()


def test_a_run_that_stands_before_a_group_may_find_other_stages_there() -> None:
    new = Workflow("w", input=Base).pipe(first).pipe(to_b).build()
    assert compare_ahead(ONE.structure(), new, 1).differences == ()
    assert compare(ONE.structure(), new, 1).differences != ()
    assert compare_ahead(ONE.structure(), new, 2).differences != ()


# Values of unions


def test_of_several_models_the_nearest_to_what_was_written_is_loaded() -> None:
    union = one_of([A, B, Base])
    for given, wanted in ((A, A), (B, B), (Base, Base), (type("Other", (A,), {}), A)):
        assert type(load(union, b'{"n": 1}', given)) is wanted


def test_null_is_none_and_what_none_takes_is_refused() -> None:
    union = one_of([A, None])
    assert load(union, b"null") is None
    assert load(union, b'{"a": 2}') == A(a=2)
    with pytest.raises(UnfitValueError):
        load(union, b"3")
    with pytest.raises(UnfitValueError):
        load(one_of([A, B]), b"null")


def test_one_member_is_itself_and_the_same_members_are_one_model() -> None:
    assert one_of([A, A]) is A
    assert one_of([None]) is None
    assert one_of([A, None, B]) is one_of([A, B, None])
    assert members_of(one_of([one_of([A, None]), B])) == (A, B, None)
