"""``build()`` refuses what cannot work, and says all of it at once.

One module: each rule of `build()` has its tests here, and nowhere else.
"""

from datetime import timedelta
from typing import Any, Optional

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel

from workflow_engine import (
    NotReady,
    Stage,
    StageContext,
    StageResult,
    Suspended,
    WaitForSignal,
    Workflow,
    WorkflowDefinitionError,
    sleep,
    stage,
)

DAY = timedelta(days=1)


class Document(BaseModel):
    text: str = ""


class LongDocument(Document):
    pages: int = 1


class StrictDocument(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str = ""


class LongStrictDocument(StrictDocument):
    pages: int = 1


class Words(BaseModel):
    count: int = 0


class State(BaseModel):
    batch: str = ""


class Approval(BaseModel):
    ok: bool = True


@stage("read")
def read(document: Document) -> Document:
    return document


@stage("count-words")
def count_words(document: Document) -> Words:
    return Words()


@stage("detect")
async def detect(document: Document) -> StageResult[Words]:
    return StageResult(Words())


@stage("nothing")
def nothing(document: Document) -> None: ...


@stage("from-nothing")
def from_nothing() -> Words:
    return Words()


def document_workflow() -> Workflow:
    return Workflow("documents", input=Document)


def problems_of(workflow: Workflow) -> tuple[str, ...]:
    with pytest.raises(WorkflowDefinitionError) as refused:
        workflow.build()
    return refused.value.problems


def only_problem_of(workflow: Workflow) -> str:
    (problem,) = problems_of(workflow)
    return problem


def renamed(made: Stage[..., Any], stage_id: str, **policies: Any) -> Stage[..., Any]:
    return stage(stage_id, **policies)(made.definition.function)


def test_the_groups_are_in_the_order_in_which_they_were_added() -> None:
    workflow = document_workflow().pipe(read).parallel(count_words, detect).pipe(from_nothing).build()
    assert workflow.plan == (("read",), ("count-words", "detect"), ("from-nothing",))
    assert workflow.position("detect") == (1, 1)
    assert workflow.stage("detect").is_async
    assert workflow.max_duration == timedelta(days=30)


def test_a_workflow_can_be_built_in_steps() -> None:
    workflow = document_workflow()
    for made in (read, count_words):
        workflow.pipe(made)
    assert workflow.build().plan == (("read",), ("count-words",))


def test_an_empty_workflow_is_refused() -> None:
    assert only_problem_of(document_workflow()) == "the workflow has no stages"


def test_an_empty_group_is_refused() -> None:
    assert only_problem_of(document_workflow().pipe(read).parallel()) == "parallel() was given no stage"


def test_a_group_of_a_hundred_is_taken_and_one_more_is_refused() -> None:
    many = [renamed(read, f"s{number}") for number in range(101)]
    assert len(document_workflow().parallel(*many[:100]).build().groups[0]) == 100
    assert "a group of 101 stages: at most 100" in only_problem_of(document_workflow().parallel(*many))


def test_what_is_no_stage_is_refused() -> None:
    def plain(document: Document) -> Document:
        return document

    unmarked: Any = plain
    assert "mark it with @stage" in only_problem_of(document_workflow().pipe(unmarked))


@pytest.mark.parametrize("workflow_id", ["", "a b", "a#b", "1a", "a" * 65, "ä", "a\n"])
def test_a_malformed_workflow_id_is_refused(workflow_id: str) -> None:
    assert "workflow id" in only_problem_of(Workflow(workflow_id, input=Document).pipe(read))


@pytest.mark.parametrize("stage_id", ["", "a b", "a#b", "1a", "a" * 65, "ä", "a\n"])
def test_a_malformed_stage_id_is_refused(stage_id: str) -> None:
    assert "stage id" in only_problem_of(document_workflow().pipe(renamed(read, stage_id)))


def test_an_id_that_is_there_twice_is_refused_wherever_it_is() -> None:
    assert only_problem_of(document_workflow().pipe(read).pipe(read)) == "stage id 'read' is there twice"
    assert only_problem_of(document_workflow().parallel(read, read)) == "stage id 'read' is there twice"


def test_two_ids_of_a_group_that_would_be_one_field_are_refused() -> None:
    group = (renamed(read, "a-b"), renamed(read, "a_b"))
    assert "'a-b' and 'a_b' of one group would both be field 'a_b'" in only_problem_of(
        document_workflow().parallel(*group)
    )


@pytest.mark.parametrize("timeout", [timedelta(0), -DAY, timedelta(seconds=900.5)])
def test_a_timeout_that_no_lambda_function_has_is_refused(timeout: timedelta) -> None:
    assert "timeout" in only_problem_of(document_workflow().pipe(renamed(read, "read", timeout=timeout)))


def test_a_timeout_of_a_whole_lambda_invocation_is_taken() -> None:
    made = renamed(read, "read", timeout=timedelta(seconds=900))
    assert document_workflow().pipe(made).build().stage("read").timeout == timedelta(seconds=900)


@pytest.mark.parametrize("duration", [timedelta(0), -DAY, timedelta(days=4000)])
def test_a_duration_of_the_run_beyond_reason_is_refused(duration: timedelta) -> None:
    workflow = Workflow("w", input=Document, max_duration=duration).pipe(read)
    assert "max_duration" in only_problem_of(workflow)


def test_a_version_counts_from_one() -> None:
    assert "version" in only_problem_of(Workflow("w", input=Document, version=0).pipe(read))


def test_dependencies_must_be_in_an_earlier_group() -> None:
    needs_count = renamed(read, "after", requires=[count_words])
    for workflow in (
        document_workflow().pipe(needs_count),
        document_workflow().parallel(count_words, needs_count),
        document_workflow().pipe(read).parallel(count_words, needs_count),
        document_workflow().pipe(needs_count).pipe(renamed(read, "count-words")),
    ):
        assert (
            only_problem_of(workflow) == "stage 'after' requires 'count-words', which is no stage of an earlier group"
        )
    built = document_workflow().pipe(count_words).pipe(renamed(from_nothing, "after", requires=[count_words])).build()
    assert built.stage("after").requires == ("count-words",)


def test_the_first_stage_must_take_the_input() -> None:
    workflow = Workflow("w", input=Words).pipe(count_words)
    assert only_problem_of(workflow) == "stage 'count-words' takes Document, but the workflow's input gives Words"


def test_neighbours_must_fit() -> None:
    assert only_problem_of(document_workflow().pipe(count_words).pipe(read)) == (
        "stage 'read' takes Document, but stage 'count-words' before it gives Words"
    )
    assert "stage 'nothing' before it gives None" in only_problem_of(document_workflow().pipe(nothing).pipe(read))


def test_a_subclass_of_what_is_taken_fits_and_a_superclass_does_not() -> None:
    @stage("take-long")
    def take_long(document: LongDocument) -> Document:
        return document

    assert Workflow("w", input=LongDocument).pipe(read).build().plan == (("read",),)
    assert "takes LongDocument, but the workflow's input gives Document" in only_problem_of(
        document_workflow().pipe(take_long)
    )


def test_a_subclass_does_not_fit_a_model_that_forbids_its_fields() -> None:
    @stage("strict")
    def strict(document: StrictDocument) -> None: ...

    assert Workflow("w", input=StrictDocument).pipe(strict).build().plan == (("strict",),)
    assert "forbids the fields that LongStrictDocument adds to it: pages" in only_problem_of(
        Workflow("w", input=LongStrictDocument).pipe(strict)
    )


def test_a_stage_without_input_fits_everywhere() -> None:
    workflow = document_workflow().pipe(nothing).pipe(from_nothing).parallel(read_words("a"), read_words("b"))
    assert workflow.pipe(renamed(from_nothing, "last")).build().compose_input("last", {}) == b"null"


def read_words(stage_id: str) -> Stage[..., Any]:
    @stage(stage_id)
    def made(words: Words) -> Words:
        return words

    return made


def test_after_a_group_each_required_field_must_be_a_stage_of_it() -> None:
    class Report(BaseModel):
        count_words: Words
        sentiment: Words
        language: Words | None = None

    @stage("report")
    def report(parts: Report) -> None: ...

    workflow = document_workflow().parallel(count_words, detect).pipe(report)
    assert only_problem_of(workflow) == (
        "stage 'report' takes Report, whose field 'sentiment' is required, but no stage of the group "
        "before it is called so (there are: count_words, detect)"
    )


def test_after_a_group_each_field_must_take_the_output() -> None:
    class Report(BaseModel):
        count_words: Document
        detect: dict[str, int]
        nothing: Words

    @stage("report")
    def report(parts: Report) -> None: ...

    wrong = problems_of(document_workflow().parallel(count_words, detect, nothing).pipe(report))
    assert len(wrong) == 3
    assert "field 'count_words' does not take Words, the output of stage 'count-words'" in wrong[0]
    assert "field 'detect' does not take Words" in wrong[1]
    assert "field 'nothing' does not take None" in wrong[2]


def test_after_a_group_a_field_does_not_take_a_subclass_whose_fields_it_forbids() -> None:
    class Report(BaseModel):
        strict: StrictDocument

    @stage("strict")
    def strict(document: Document) -> LongStrictDocument:
        return LongStrictDocument()

    @stage("report")
    def report(parts: Report) -> None: ...

    workflow = document_workflow().parallel(strict, count_words).pipe(report)
    assert "field 'strict' does not take LongStrictDocument" in only_problem_of(workflow)


def test_after_a_group_a_field_may_take_more_than_the_output_and_outputs_may_be_left_out() -> None:
    class Report(BaseModel):
        model_config = ConfigDict(extra="forbid")
        count_words: Optional[Words]  # noqa: UP045 - the old spelling is a type of its own
        detect: Document | Words | None = None
        nothing: Any = None
        generated: str = "default"

    @stage("report")
    def report(parts: Report) -> None: ...

    workflow = document_workflow().parallel(count_words, detect, nothing, read).pipe(report).build()
    composed = workflow.compose_input(
        "report", {"count-words": b'{"count":1}', "detect": b'{"count":2}', "nothing": b"null", "read": b'{"text":""}'}
    )
    assert composed == b'{"count_words":{"count":1},"detect":{"count":2},"nothing":null}'
    assert workflow.stage("report").load_input(composed) == Report(count_words=Words(count=1), detect=Words(count=2))


def test_each_stage_of_a_group_after_a_group_takes_its_own_part() -> None:
    class OnlyCount(BaseModel):
        count_words: Words

    class OnlyDetect(BaseModel):
        detect: Words

    @stage("a")
    def a(parts: OnlyCount) -> None: ...

    @stage("b")
    def b(parts: OnlyDetect) -> None: ...

    workflow = document_workflow().parallel(count_words, detect).parallel(a, b).build()
    outputs = {"count-words": b'{"count":1}', "detect": b'{"count":2}'}
    assert workflow.compose_input("a", outputs) == b'{"count_words":{"count":1}}'
    assert workflow.compose_input("b", outputs) == b'{"detect":{"count":2}}'


def test_a_stage_after_a_group_may_take_none_of_it() -> None:
    class Settings(BaseModel):
        strict: bool = False

    class Nothing(BaseModel):
        pass

    @stage("a")
    def a(settings: Settings) -> None: ...

    @stage("b")
    def b(_: Nothing) -> None: ...

    workflow = document_workflow().parallel(count_words, detect).parallel(a, b).build()
    outputs = {"count-words": b'{"count":1}', "detect": b'{"count":2}'}
    assert [workflow.compose_input(name, outputs) for name in ("a", "b")] == [b"{}", b"{}"]


def test_a_group_of_one_is_followed_as_a_single_stage_is() -> None:
    workflow = document_workflow().parallel(count_words).pipe(read_words("next")).build()
    assert workflow.compose_input("next", {"count-words": b'{"count":1}'}) == b'{"count":1}'


def test_a_stage_that_waits_needs_the_function_to_go_on_with() -> None:
    @stage("poll")
    def poll(document: Document) -> Words | Suspended[State]:
        return Words()

    @stage("approve")
    def approve(words: Words) -> WaitForSignal[Approval] | Words:
        return words

    assert problems_of(document_workflow().pipe(poll).pipe(approve)) == (
        "stage 'poll' may return Suspended, but the stage has no check_completion",
        "stage 'approve' may return WaitForSignal, but the stage has no on_signal",
    )


def test_a_signal_function_that_suspends_needs_a_check() -> None:
    @stage("approve")
    def approve(document: Document) -> WaitForSignal[Approval]:
        return WaitForSignal("approval", Approval)

    @approve.on_signal
    def decide(approval: Approval) -> Words | Suspended[State]:
        return Words()

    assert "on_signal of stage 'approve' may return Suspended, but the stage has no check_completion" in (
        only_problem_of(document_workflow().pipe(approve))
    )


def test_the_functions_of_a_stage_must_agree() -> None:
    class Config(BaseModel): ...

    class OtherConfig(BaseModel): ...

    @stage("s")
    def made(document: Document, ctx: StageContext[Config]) -> Words | Suspended[State] | WaitForSignal[Approval]:
        return Words()

    @made.check_completion
    def check(state: Approval, ctx: StageContext[OtherConfig]) -> Document | NotReady:
        return NotReady()

    @made.on_signal
    def decide(payload: State) -> Document:
        return Document()

    assert problems_of(document_workflow().pipe(made)) == (
        "stage 's' suspends with State, check_completion takes Approval",
        "stage 's' waits for Approval, on_signal takes State",
        "check_completion of stage 's' returns Document, the stage Words",
        "on_signal of stage 's' returns Document, the stage Words",
        "check_completion of stage 's' takes config OtherConfig, the stage Config",
    )


def test_a_check_must_take_the_state() -> None:
    @stage("s")
    def made(document: Document) -> Suspended[State]:
        return Suspended(State(), poll_every=DAY)

    @made.check_completion
    def check(ctx: StageContext) -> Words:
        return Words()

    assert any("must take the state" in problem for problem in problems_of(document_workflow().pipe(made)))


def test_a_stage_that_never_answers_is_refused() -> None:
    @stage("s")
    def made(document: Document) -> Suspended[State]:
        return Suspended(State(), poll_every=DAY)

    @made.check_completion
    def check(state: State) -> NotReady:
        return NotReady()

    assert only_problem_of(document_workflow().pipe(made)) == (
        "stage 's' never has an output: none of its functions returns one"
    )


def test_models_with_undefined_types_are_refused() -> None:
    class Unfinished(BaseModel):
        part: "Missing"  # type: ignore[name-defined]  # noqa: F821

    @stage("s")
    def made(part: Unfinished) -> None: ...

    assert problems_of(Workflow("w", input=Unfinished).pipe(made)) == (
        "input: model Unfinished has fields of types that are not defined",
        "stage 's': model Unfinished has fields of types that are not defined",
    )


def test_an_input_that_is_no_model_is_refused_without_blaming_the_stages() -> None:
    no_model: Any = dict
    assert only_problem_of(Workflow("w", input=no_model).pipe(read)).startswith("input must be a pydantic model class")


def test_an_unreadable_output_is_told_once_and_not_for_those_that_take_it() -> None:
    @stage("unreadable")
    def unreadable(document: Document):  # type: ignore[no-untyped-def]
        return document

    workflow = document_workflow().pipe(unreadable).parallel(unreadable_twin(), read).pipe(read_parts())
    assert problems_of(workflow) == (
        "stage 'unreadable': has no return annotation",
        "stage 'twin': has no return annotation",
    )


def unreadable_twin() -> Stage[..., Any]:
    @stage("twin")
    def twin(document: Document):  # type: ignore[no-untyped-def]
        return document

    return twin


def read_parts() -> Stage[..., Any]:
    class Parts(BaseModel):
        twin: Words
        read: Document

    @stage("parts")
    def parts(parts: Parts) -> None: ...

    return parts


def test_all_problems_are_told_at_once() -> None:
    problems = problems_of(
        Workflow("bad id", input=Document)
        .pipe(count_words)
        .parallel()
        .parallel(renamed(read, "x", timeout=timedelta(0)), renamed(from_nothing, "count-words", requires=["missing"]))
    )
    assert len(problems) == 6
    for part in ("'bad id'", "no stage", "timeout", "twice", "'missing'", "takes Document"):
        assert any(part in problem for problem in problems), part


def test_the_error_names_the_workflow() -> None:
    with pytest.raises(WorkflowDefinitionError, match="workflow 'documents': the workflow has no stages") as refused:
        document_workflow().build()
    assert refused.value.workflow_id == "documents"
    assert not refused.value.retryable


class Numbers(RootModel[list[int]]):
    pass


class ByName(RootModel[dict[str, int] | list[int]]):
    pass


class Aliased(RootModel[Document]):
    pass


def taking(model: type[BaseModel], stage_id: str = "take") -> Stage[..., Any]:
    def take(given: Any) -> Words:
        return Words()

    take.__annotations__["given"] = model
    return stage(stage_id)(take)


def test_an_input_that_is_no_object_is_refused() -> None:
    problem = "input: a run is started with an object, and Numbers is none: put it into a field"
    assert only_problem_of(Workflow("w", input=Numbers).pipe(taking(Numbers))) == problem
    for model in (ByName, Aliased, RootModel[Any]):
        assert Workflow("w", input=model).pipe(taking(model)).build().input_model is model


def test_a_config_that_is_no_object_is_refused() -> None:
    @stage("configured")
    def configured(document: Document, ctx: StageContext[Numbers]) -> Words:
        return Words()

    problem = "stage 'configured': config is an object, and Numbers is none"
    assert only_problem_of(document_workflow().pipe(configured)) == problem


def test_base_model_itself_is_no_model() -> None:
    assert "input must be a pydantic model class" in only_problem_of(Workflow("w", input=BaseModel).pipe(from_nothing))
    problem = "stage 'take': parameter 'given' must be a pydantic model or None, not BaseModel itself"
    assert problem in problems_of(document_workflow().pipe(taking(BaseModel)))


def test_a_run_that_would_sleep_for_longer_than_it_lives_is_refused() -> None:
    alone = document_workflow().pipe(sleep("nap", 40 * DAY))
    assert only_problem_of(alone) == (
        "its stages sleep for 40 days, 0:00:00, and a run fails after max_duration, 30 days, 0:00:00"
    )
    after_another = document_workflow().pipe(sleep("a", 20 * DAY)).pipe(read).pipe(sleep("b", 10 * DAY))
    assert "sleep for 30 days" in only_problem_of(after_another)
    assert "sleep for" in only_problem_of(document_workflow().pipe(sleep("for-ever", timedelta.max)))
    at_once = document_workflow().parallel(sleep("a", 20 * DAY), sleep("b", 20 * DAY))
    assert at_once.build().plan == (("a", "b"),)
    long = Workflow("w", input=Document, max_duration=41 * DAY).pipe(sleep("nap", 40 * DAY))
    assert long.build().plan == (("nap",),)


@pytest.mark.parametrize("stage_id", ["model-dump", "model_config", "model-fields", "model_copy"])
def test_a_stage_of_a_group_that_cannot_be_a_field_is_refused(stage_id: str) -> None:
    field = stage_id.replace("-", "_")
    group = document_workflow().parallel(renamed(count_words, stage_id), detect)
    problem = f"stage {stage_id!r} of a group would be field {field!r} of what follows, which pydantic needs itself"
    assert only_problem_of(group) == problem
    assert only_problem_of(group.pipe(sleep("nap", DAY))) == problem
    assert document_workflow().pipe(renamed(count_words, stage_id)).build().plan == ((stage_id,),)


@pytest.mark.parametrize(
    "stage_id", ["copy", "json", "validate", "schema", "model-x", "model-dump-all", "class", "import"]
)
def test_any_other_id_may_be_that_of_a_stage_in_a_group(stage_id: str) -> None:
    group = document_workflow().parallel(renamed(count_words, stage_id), detect).pipe(sleep("nap", DAY)).build()
    output = group.stage("nap").output_model
    assert output is not None
    made = output.model_validate({stage_id.replace("-", "_"): {"count": 1}, "detect": {"count": 2}})
    assert made.model_dump()[stage_id.replace("-", "_")] == {"count": 1}


def made_now() -> int:
    return 1


class Options(BaseModel):
    n: int = 0


@pytest.mark.parametrize(
    ("factory", "problem"),
    [
        (list, None),
        (Options, None),
        (lambda: {"a": [1]}, None),
        (made_now, None),
        (lambda: made_now(), "another default"),
    ],
    ids=["container", "model", "lambda", "function", "call"],
)
def test_a_field_that_no_stage_supplies_must_have_a_default_that_stays(factory: Any, problem: str | None) -> None:
    class Gathered(BaseModel):
        detect: Words
        made: Any = Field(default_factory=factory)

    workflow = document_workflow().parallel(count_words, detect).pipe(taking(Gathered))
    if problem is None:
        workflow.build()
        return
    assert problem in only_problem_of(workflow)
    after_sleep = document_workflow().parallel(count_words, detect).pipe(sleep("nap", DAY)).pipe(taking(Gathered))
    assert problem in only_problem_of(after_sleep)
