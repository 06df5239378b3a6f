"""What a stage may return is checked where the stage's author sees it: when it is made."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from workflow_engine import NotReady, PayloadTooLargeError, StageResult, Suspended, WaitForSignal
from workflow_engine.model.limits import MAX_METRICS_AND_ARTIFACTS_BYTES


class State(BaseModel):
    batch: str = "b"


DAY = timedelta(days=1)


def test_a_suspension_keeps_what_it_was_given() -> None:
    suspended = Suspended(State(), poll_every=DAY)
    assert (suspended.state, suspended.poll_every, suspended.give_up_after) == (State(), DAY, None)


@pytest.mark.parametrize("duration", [timedelta(0), -DAY])
def test_durations_must_be_positive(duration: timedelta) -> None:
    with pytest.raises(ValueError, match="poll_every must be positive"):
        Suspended(State(), poll_every=duration)
    with pytest.raises(ValueError, match="give_up_after must be positive"):
        Suspended(State(), poll_every=DAY, give_up_after=duration)
    with pytest.raises(ValueError, match="next_check_in must be positive"):
        NotReady(next_check_in=duration)
    with pytest.raises(ValueError, match="timeout must be positive"):
        WaitForSignal("approval", State, duration)


def test_a_number_is_no_duration() -> None:
    seconds: Any = 60
    with pytest.raises(TypeError, match="poll_every must be a timedelta, not int"):
        Suspended(State(), poll_every=seconds)


def test_a_state_must_be_a_model() -> None:
    state: Any = {"batch": "b"}
    with pytest.raises(TypeError, match="pydantic model, not dict"):
        Suspended(state, poll_every=DAY)


@pytest.mark.parametrize("name", ["", "a#b", "a/b", "-a", "a\n", "a" * 65, "ä"])
def test_a_signal_name_that_could_reach_into_a_key_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="signal name"):
        WaitForSignal(name, State)


@pytest.mark.parametrize("name", ["approval", "order:42.paid", "7", "a" * 64])
def test_usual_signal_names_are_taken(name: str) -> None:
    assert WaitForSignal(name, State).name == name


def test_a_signal_may_come_without_a_payload() -> None:
    wait: WaitForSignal[None] = WaitForSignal("go", None)
    assert wait.schema is None


def test_a_schema_must_be_a_model_class() -> None:
    schema: Any = dict
    with pytest.raises(TypeError, match="pydantic model class or None"):
        WaitForSignal("approval", schema)


def test_a_result_keeps_what_was_measured_and_made() -> None:
    result = StageResult(State(), metrics={"words": 3, "seconds": 0.5}, artifacts={"page": "s3://bucket/page"})
    assert (result.output, result.metrics["words"], result.artifacts["page"]) == (State(), 3, "s3://bucket/page")


@pytest.mark.parametrize("metrics", [{"n": "3"}, {"n": True}, {"n": None}, {3: 4}])
def test_a_metric_must_be_a_named_number(metrics: Any) -> None:
    with pytest.raises(TypeError, match="metric"):
        StageResult(State(), metrics=metrics)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_must_be_finite(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        StageResult(State(), metrics={"n": value})


def test_an_artifact_maps_a_text_to_a_text() -> None:
    artifacts: Any = {"report": b"bytes"}
    with pytest.raises(TypeError, match="artifact 'report'"):
        StageResult(State(), artifacts=artifacts)


@pytest.mark.parametrize(("name", "value"), [("n", 10**400), ("n", -(10**400)), ("caf\udce9", 1.0)])
def test_a_metric_that_no_store_keeps_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match="metric '"):
        StageResult(State(), metrics={name: value})


@pytest.mark.parametrize(("name", "place"), [("page", "caf\udce9.txt"), ("caf\udce9", "page.txt")])
def test_an_artifact_is_not_written_in_another_way_but_refused_by_name(name: str, place: str) -> None:
    with pytest.raises(ValueError, match=r"artifact '(page|caf\\udce9)' holds a lone surrogate"):
        StageResult(State(), artifacts={name: place})


@pytest.mark.parametrize(
    "facts",
    [
        {"artifacts": {f"a{n}": "s3://bucket/" + "x" * 80 for n in range(5000)}},
        {"metrics": {f"m{n}": n / 7 for n in range(20_000)}},
    ],
    ids=["artifacts", "metrics"],
)
def test_more_metrics_and_artifacts_than_a_record_holds_are_refused(facts: Any) -> None:
    with pytest.raises(PayloadTooLargeError) as refused:
        StageResult(State(), **facts)
    assert refused.value.limit_bytes == MAX_METRICS_AND_ARTIFACTS_BYTES < refused.value.size_bytes


def test_a_result_is_what_it_was_when_it_was_checked() -> None:
    metrics = {"words": 3.0}
    result = StageResult(State(), metrics=metrics)
    metrics["words"] = float("nan")
    assert result.metrics == {"words": 3.0}


def test_a_suspension_says_how_often_to_check() -> None:
    never: Any = None
    with pytest.raises(TypeError, match="poll_every must be a timedelta, not None"):
        Suspended(State(), poll_every=never)
