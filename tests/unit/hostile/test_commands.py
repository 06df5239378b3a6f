"""Whatever a message says, it is a command or it is refused as one; nothing else happens."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.unit.hostile.strategies import CRAFTED_IDS, DEEP, NEARLY_COMMANDS, TEXTS, VALUES, nested
from workflow_engine import Registry, RetryPolicy, Workflow, stage
from workflow_engine.errors import InvalidCommandError, WorkflowEngineError
from workflow_engine.hosts import JobResult
from workflow_engine.model.commands import CreateRun, SignalRun, parse_command
from workflow_engine.model.deliveries import Delivery, body_of
from workflow_engine.model.json_values import MAX_DEPTH
from workflow_engine.testing.clock import FakeClock
from workflow_engine.testing.engine import VirtualEngine
from workflow_engine.wiring.memory import MemoryEngine, memory_engine


class Number(BaseModel):
    value: int


@stage("only")
def only(number: Number) -> Number:
    return number


def engine() -> MemoryEngine:
    return memory_engine(Registry([Workflow("chain", input=Number).pipe(only).build()]), clock=FakeClock())


def is_refused(message: Any) -> bool:
    """Whether it is refused as a command; any other exception is a failure of the test."""
    try:
        command = parse_command(message)
    except InvalidCommandError:
        return True
    # What was accepted can be sent on as it is, and says the same again.
    assert parse_command(body_of(command)) == command
    return False


@given(VALUES)
def test_no_value_is_taken_for_a_command_that_it_is_not(value: Any) -> None:
    assert is_refused(value if isinstance(value, dict) else json.dumps(value))


@given(NEARLY_COMMANDS)
def test_what_is_nearly_a_command_is_one_or_is_refused(message: dict[str, Any]) -> None:
    is_refused(message)


@given(st.text() | st.binary() | DEEP | TEXTS)
def test_no_text_breaks_the_parser(text: str | bytes) -> None:
    assert is_refused(text)


@given(NEARLY_COMMANDS | st.dictionaries(TEXTS, VALUES, max_size=3))
def test_no_message_breaks_the_host(message: dict[str, Any]) -> None:
    """The host answers; it raises nothing, whatever the body says: a batch has neighbours."""
    body = json.dumps(message)

    result = engine().host.handle_job(Delivery(message_id="m", body=body, receipt="r"))

    assert isinstance(result, JobResult)


@given(NEARLY_COMMANDS)
def test_the_kernel_raises_nothing_but_its_own_errors(message: dict[str, Any]) -> None:
    with contextlib.suppress(WorkflowEngineError):
        engine().kernel.dispatch(message)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_json_does_not_have_is_refused(number: str) -> None:
    body = '{"type": "run.create", "workflow_id": "chain", "input": {"value": %s}}'

    assert is_refused(body % number)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"\udfff": 1}, {1: 2}, {"a": object()}])
def test_what_is_no_json_is_refused_from_python_too(value: Any) -> None:
    assert is_refused({"type": "run.signal", "run_id": "run-1", "name": "go", "payload": value, "idempotency_key": "k"})


def test_a_document_may_be_as_deep_as_the_limit_and_no_deeper() -> None:
    SignalRun(run_id="run-1", name="go", payload=nested(MAX_DEPTH), idempotency_key="k")

    assert is_refused({"type": "run.signal", "run_id": "r", "name": "go", "payload": nested(MAX_DEPTH + 1)})
    assert is_refused('{"type": "run.create", "workflow_id": "w", "input": %s}' % ('{"a":' * 5000 + "1" + "}" * 5000))


@given(CRAFTED_IDS)
def test_an_id_is_plain_or_the_command_is_refused(crafted: str) -> None:
    fields = [
        ("run.transition", "run_id"),
        ("run.create", "workflow_id"),
        ("run.rerun_from", "from_stage_id"),
        ("run.signal", "name"),
        ("job.execute", "stage_id"),
    ]
    whole = {"run_id": "r", "workflow_id": "w", "from_stage_id": "s", "name": "n", "stage_id": "s", "input": {}}
    needed = {
        "run.transition": ["run_id"],
        "run.create": ["workflow_id", "input"],
        "run.rerun_from": ["run_id", "from_stage_id"],
        "run.signal": ["run_id", "name"],
        "job.execute": ["run_id", "workflow_id", "stage_id"],
    }
    for kind, field in fields:
        message = {"type": kind, **{name: whole[name] for name in needed[kind]}, field: crafted}
        if not is_refused(message):
            assert crafted.isascii()
            assert 1 <= len(crafted) <= 64
            assert not set(crafted) & set("#/\\%\n\r\x00 \"'{}")
            assert crafted not in {".", ".."}


def test_what_is_refused_is_not_repeated() -> None:
    """The problems reach logs; the values do not."""
    with pytest.raises(InvalidCommandError) as caught:
        parse_command({"type": "run.create", "workflow_id": "SECRET #", "input": "SECRET", "priority": "SECRET"})

    assert "SECRET" not in str(caught.value)


def test_a_wire_type_that_nobody_knows_is_not_repeated_at_length() -> None:
    with pytest.raises(InvalidCommandError) as caught:
        parse_command({"type": "SECRET" * 10_000})

    assert len(str(caught.value)) < 1000
    assert "SECRET" * 11 not in str(caught.value)


def test_a_huge_document_is_refused_by_its_size() -> None:
    with pytest.raises(WorkflowEngineError, match="the limit is"):
        engine().kernel.dispatch(
            CreateRun(workflow_id="chain", input={"value": 1}, attributes={"more": "x" * (17 * 1024 * 1024)})
        )


def test_a_field_of_a_very_long_name_makes_no_very_long_problem() -> None:
    with pytest.raises(InvalidCommandError) as caught:
        parse_command(
            {"type": "run.transition", "run_id": "r", **{f"{number}" + "x" * 100_000: 1 for number in range(20)}}
        )

    assert len(str(caught.value)) < 5000


def test_what_a_stage_could_not_validate_is_not_quoted_in_the_error_that_is_published() -> None:
    """The error of a failed stage goes into events; pydantic's own text would carry the values it found."""

    @stage("validating", retry=RetryPolicy(max_attempts=1))
    def validating(number: Number) -> Number:
        return Number.model_validate({"value": f"SECRET-{number.value}"})

    virtual = VirtualEngine()
    run = virtual.run(Workflow("w", input=Number).pipe(validating).build(), Number(value=1))

    assert run.error is not None
    assert run.error.type == "ValidationError"
    assert "value: Input should be a valid integer" in run.error.message
    assert not [event for event in virtual.events if "SECRET" in event.model_dump_json()]
