"""What the kernel works from: fingerprints, inputs, configs and what is handed on."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field

from workflow_engine import (
    InvalidConfigError,
    InvalidInputError,
    NotReady,
    RetryPolicy,
    Stage,
    StageContext,
    StageNotFoundError,
    Suspended,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.authoring.structure import shape_digest


class Document(BaseModel):
    text: str = Field(min_length=1)


class Words(BaseModel):
    count: int = 0


class State(BaseModel):
    batch: str = ""


class CountConfig(BaseModel):
    minimum_length: int = 1
    pause: timedelta = timedelta(seconds=1)


class ModelConfig(BaseModel):
    model: str
    temperature: float = 0.5


@stage("count-words")
def count_words(document: Document, ctx: StageContext[CountConfig]) -> Words:
    return Words()


@stage("embed")
def embed(document: Document, ctx: StageContext[ModelConfig]) -> Words:
    return Words()


@stage("plain")
def plain(document: Document) -> Words:
    return Words()


def built(*stages: Stage[..., Any], **options: Any) -> WorkflowDefinition:
    return Workflow("w", input=Document, **options).parallel(*stages).build()


def fingerprint(*stages: Stage[..., Any], **options: Any) -> str:
    return built(*stages, **options).fingerprint


def test_a_fingerprint_is_the_same_in_every_process_and_release() -> None:
    # Where this turns red, all runs in flight would be compared stage by stage after a deploy.
    assert fingerprint(plain) == "arllhqaxco2n"


def test_a_structure_is_json_and_made_once() -> None:
    workflow = built(count_words, plain)
    assert json.loads(json.dumps(workflow.structure())) == workflow.structure()
    assert workflow.structure() is workflow.structure()


def same_stage(**policies: Any) -> Stage[..., Any]:
    return stage("plain", **policies)(plain.definition.function)


def test_retries_timeouts_and_durations_are_no_part_of_it() -> None:
    patient = same_stage(retry=RetryPolicy(max_attempts=9), timeout=timedelta(seconds=9))
    assert fingerprint(patient, max_duration=timedelta(days=1)) == fingerprint(plain)


def test_prose_and_defaults_of_a_model_are_no_part_of_it() -> None:
    def first() -> type[BaseModel]:
        class Words(BaseModel):
            count: int = 0
            title: str = "a"

        return Words

    def second() -> type[BaseModel]:
        class Words(BaseModel):
            """Documented."""

            count: int = Field(default=1, description="how many", examples=[3])
            title: str = "b"

        return Words

    def third() -> type[BaseModel]:
        class Words(BaseModel):
            count: int = 0

        return Words

    assert shape_digest(first()) == shape_digest(second())
    assert shape_digest(first()) != shape_digest(third())


def returning(annotation: Any) -> Stage[..., Any]:
    def function(document: Document) -> Any: ...

    function.__annotations__ = {"document": Document, "return": annotation}
    return stage("plain")(function)


def polling(state: type[BaseModel]) -> Stage[..., Any]:
    made = returning(Words | Suspended[state])  # type: ignore[valid-type]

    def check(state: Any) -> Any: ...

    check.__annotations__ = {"state": state, "return": Words | NotReady}
    made.check_completion(check)
    return made


def signalled(payload: type[BaseModel]) -> Stage[..., Any]:
    made = returning(Words | WaitForSignal[payload])  # type: ignore[valid-type]

    def handle(payload: Any) -> Any: ...

    handle.__annotations__ = {"payload": payload, "return": Words}
    made.on_signal(handle)
    return made


def configured() -> Stage[..., Any]:
    return stage("plain")(count_words.definition.function)


@pytest.mark.parametrize(
    "changed",
    [
        lambda: fingerprint(stage("other")(plain.definition.function)),
        lambda: fingerprint(plain, count_words),
        lambda: fingerprint(plain, version=2),
        lambda: fingerprint(returning(State)),
        lambda: fingerprint(returning(None)),
        lambda: fingerprint(polling(State)),
        lambda: fingerprint(polling(Words)),
        lambda: fingerprint(signalled(State)),
        lambda: fingerprint(signalled(Words)),
        lambda: fingerprint(configured()),
    ],
    ids=["id", "more stages", "version", "output", "no output", "check", "state", "signal", "payload", "config"],
)
def test_ids_kinds_models_and_the_version_are(changed: Callable[[], str]) -> None:
    assert changed() != fingerprint(plain)


def test_each_of_them_makes_a_fingerprint_of_its_own() -> None:
    all_of_them = [fingerprint(made) for made in (polling(State), polling(Words), signalled(State), signalled(Words))]
    assert len(set(all_of_them)) == 4


def test_the_order_of_a_group_is_part_of_it() -> None:
    assert fingerprint(plain, count_words) != fingerprint(count_words, plain)


class Opaque:
    """A type that has no JSON schema."""


def test_a_model_without_a_json_schema_has_a_digest_all_the_same() -> None:
    class First(BaseModel, arbitrary_types_allowed=True):
        thing: Opaque

    class Second(BaseModel, arbitrary_types_allowed=True):
        other: Opaque

    assert len({shape_digest(First), shape_digest(Second), shape_digest(None)}) == 3


def test_a_stage_that_is_not_there_is_told_so() -> None:
    with pytest.raises(StageNotFoundError) as refused:
        built(plain).stage("missing")
    assert (refused.value.workflow_id, refused.value.stage_id) == ("w", "missing")


def test_an_input_is_validated_and_its_values_are_not_told() -> None:
    workflow = built(plain)
    assert workflow.validate_input({"text": "a"}) == Document(text="a")
    assert workflow.validate_input(Document(text="a")) == Document(text="a")
    with pytest.raises(InvalidInputError) as refused:
        workflow.validate_input({"text": ["secret"]})
    assert refused.value.what == "input of workflow 'w'"
    assert refused.value.problems == ("text: Input should be a valid string",)


def test_defaults_of_all_configs_are_json() -> None:
    assert built(count_words, embed, plain).default_config() == {
        "count-words": {"minimum_length": 1, "pause": "PT1S"},
        "embed": {"temperature": 0.5},
    }


def test_what_a_run_gives_is_merged_with_the_defaults() -> None:
    config = built(count_words, embed, plain).validate_config({"embed": {"model": "m"}})
    assert config == {"count-words": CountConfig(), "embed": ModelConfig(model="m", temperature=0.5)}


def test_config_that_is_json_of_a_duration_is_read_as_one() -> None:
    workflow = built(count_words)
    config = workflow.config_for("count-words", {"count-words": {"pause": "PT3S"}})
    assert config == CountConfig(pause=timedelta(seconds=3))


def test_a_stage_without_config_has_none() -> None:
    assert built(plain).config_for("plain", {}) is None
    assert built(plain).validate_config({}) == {}


@pytest.mark.parametrize(
    ("config", "stage_id", "problem"),
    [
        ({}, "embed", "model: Field required"),
        ({"embed": {"model": "m", "temperature": "hot"}}, "embed", "temperature: Input should be a valid number"),
        ({"embed": "m"}, "embed", "must be an object"),
        ({"embed": None}, "embed", "must be an object"),
        ({"embed": {"model": "m"}, "missing": {}}, "missing", "the workflow has no such stage; it has embed, plain"),
        ({"embed": {"model": "m"}, "plain": {}}, "plain", "the stage takes no config"),
    ],
)
def test_config_that_does_not_fit_is_refused(config: dict[str, Any], stage_id: str, problem: str) -> None:
    with pytest.raises(InvalidConfigError) as refused:
        built(embed, plain).validate_config(config)
    assert refused.value.stage_id == stage_id
    assert refused.value.problems[0].startswith(problem)


def test_the_output_of_a_group_is_its_one_output_or_an_object_of_all() -> None:
    one, two = built(plain), built(plain, count_words)
    assert one.join_outputs(0, {"plain": b'{"count":1}'}) == b'{"count":1}'
    assert one.outputs_model_for(0) is Words
    joined = two.join_outputs(0, {"plain": b'{"count":1}', "count-words": b'{"count":2}'})
    model = two.outputs_model_for(0)
    assert model is not None
    assert model.model_validate_json(joined).model_dump() == {"plain": {"count": 1}, "count_words": {"count": 2}}
