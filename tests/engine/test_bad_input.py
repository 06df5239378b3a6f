"""What is wrong from outside is said with a typed error, and takes nothing else along."""

import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from workflow_engine import (
    CreateRun,
    InvalidCommandError,
    PayloadTooLargeError,
    RunNotFoundError,
    Stage,
    Status,
    Workflow,
    WorkflowNotFoundError,
    stage,
)
from workflow_engine.model.commands import Command, ExecuteJob
from workflow_engine.model.deliveries import Delivery
from workflow_engine.model.limits import A_DEPLOY, MAX_INLINE_BYTES, MAX_PAYLOAD_BYTES
from workflow_engine.testing.engine import VirtualEngine


class Text(BaseModel):
    text: str


@stage("copy")
def copy(text: Text) -> Text:
    return text


copying = Workflow("copying", input=Text).pipe(copy).build()
UNKNOWN_RUN = ExecuteJob(run_id="nobody", workflow_id="copying", stage_id="copy")


def long_text(size_bytes: int) -> "Stage[..., Text]":
    @stage("long")
    def long(text: Text) -> Text:
        return Text(text="x" * size_bytes)

    return long


def delivered(body: str, *, receive_count: int = 1) -> Delivery:
    return Delivery(message_id="m-1", body=body, receipt="r-1", receive_count=receive_count)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[]",
        "null",
        '{"type": "run.create"}',
        '{"type": "run.eat", "run_id": "r"}',
        '{"run_id": "r"}',
        '{"type": "run.cancel", "run_id": "../r"}',
        '{"type": "run.cancel", "run_id": "r", "colour": "red"}',
        '{"type": "run.create", "workflow_id": "copying", "input": {"text": NaN}}',
        "[" * 100_000,
    ],
)
def test_a_message_that_is_no_command_is_refused_for_good(engine: VirtualEngine, body: str) -> None:
    with pytest.raises(InvalidCommandError) as caught:
        engine.kernel.dispatch(body)
    assert caught.value.problems
    result = engine.host.handle_job(delivered(body))
    assert (result.outcome, result.acknowledge, result.retryable) == ("failed", False, False)
    assert (result.error or "").startswith("InvalidCommandError: ")


def test_a_bad_message_ends_in_the_dead_letter_queue_and_its_neighbours_go_on(engine: VirtualEngine) -> None:
    class Broken(BaseModel):
        """A command that no version of the engine knows."""

        type: str = "run.eat"

    broken: Any = Broken()
    engine.job_transport.enqueue(broken)
    run = engine.start(copying, Text(text="a"))
    engine.work()
    assert run.status is Status.COMPLETED
    while engine.job_transport.pending():
        next_at = engine.job_transport.next_visible_at()
        assert next_at is not None
        engine.clock.set(next_at)
        engine.work()
    assert [json.loads(dead.body) for dead in engine.job_transport.list_dead()] == [{"type": "run.eat"}]


def test_a_message_for_a_workflow_that_nobody_registered_starts_nothing(engine: VirtualEngine) -> None:
    command = CreateRun(workflow_id="unknown", input={"text": ""})
    with pytest.raises(WorkflowNotFoundError):
        engine.kernel.dispatch(command)
    result = engine.host.handle_job(delivered(command.model_dump_json()))
    assert (result.acknowledge, result.retryable) == (False, False)


def test_a_run_whose_workflow_is_gone_fails_with_the_reason(engine: VirtualEngine) -> None:
    run = engine.start(copying, Text(text=""))
    engine.deploy()
    engine.clock.advance(A_DEPLOY)
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    result = engine.host.process(delivery)
    assert (result.acknowledge, (result.error or "").partition(":")[0]) == (False, "WorkflowNotFoundError")
    assert run.head.failure is not None
    assert (run.status, run.head.failure.error.type) == (Status.FAILED, "WorkflowNotFoundError")


def test_its_message_reaches_the_dead_letter_queue(engine: VirtualEngine) -> None:
    run = engine.start(copying, Text(text=""))
    other = engine.start(copying, Text(text=""))
    engine.deploy()
    engine.advance(timedelta(hours=2))
    assert {json.loads(dead.body)["run_id"] for dead in engine.job_transport.list_dead()} == {run.id, other.id}
    assert engine.job_transport.pending() == 0


@pytest.mark.parametrize(
    "command",
    [
        {"type": "run.cancel", "run_id": "nobody"},
        {"type": "run.transition", "run_id": "nobody"},
        {"type": "run.signal", "run_id": "nobody", "name": "go"},
        {"type": "run.rerun_from", "run_id": "nobody", "from_stage_id": "copy"},
        UNKNOWN_RUN.model_dump(),
        UNKNOWN_RUN.model_copy(update={"group": 0, "ordinal": 0, "epoch": 0, "claim": "first"}).model_dump(),
    ],
    ids=["cancel", "transition", "signal", "rerun", "job from outside", "job of ours"],
)
def test_a_message_for_a_run_that_does_not_exist_is_refused(engine: VirtualEngine, command: dict[str, Any]) -> None:
    engine.deploy(copying)
    with pytest.raises(RunNotFoundError) as caught:
        engine.kernel.dispatch(command)
    assert (caught.value.run_id, caught.value.retryable) == ("nobody", False)
    assert engine.job_transport.pending() == 0


def test_a_create_that_is_delivered_twice_starts_one_run(engine: VirtualEngine) -> None:
    engine.deploy(copying)
    command: Command = CreateRun(workflow_id="copying", input={"text": "a"})
    first = engine.host.handle_job(delivered(command.model_dump_json()))
    second = engine.host.handle_job(delivered(command.model_dump_json(), receive_count=2))
    assert first.result == second.result
    assert len(engine.persistence.list_runs("copying").run_ids) == 1


def test_output_above_the_inline_limit_goes_to_the_blob_store(engine: VirtualEngine) -> None:
    run = engine.run(Workflow("w", input=Text).pipe(long_text(MAX_INLINE_BYTES)).pipe(copy).build(), Text(text=""))
    assert run.output == {"text": "x" * MAX_INLINE_BYTES}
    payloads = [record.output for record in run.records]
    assert all(payload is not None and payload.inline is None for payload in payloads)
    assert [payload.blob_key for payload in payloads if payload] == list(engine.blob_store.list(f"runs/{run.id}/"))


def test_output_above_the_absolute_limit_fails_the_run_and_is_not_retried(engine: VirtualEngine) -> None:
    run = engine.run(Workflow("w", input=Text).pipe(long_text(MAX_PAYLOAD_BYTES)).build(), Text(text=""))
    size = MAX_PAYLOAD_BYTES + len('{"text":""}')
    assert run.error is not None
    assert (run.status, run.error.type, run.error.retryable) == (Status.FAILED, "PayloadTooLargeError", False)
    assert run.error.message == f"output of stage 'long' is {size} bytes; the limit is {MAX_PAYLOAD_BYTES}"
    assert [record.attempt for record in run.records] == [1]
    assert not list(engine.blob_store.list(f"runs/{run.id}/"))


def test_input_above_the_absolute_limit_starts_nothing(engine: VirtualEngine) -> None:
    with pytest.raises(PayloadTooLargeError) as caught:
        engine.start(copying, Text(text="x" * 50_000_000))
    assert (caught.value.what, caught.value.retryable) == ("input", False)
    assert caught.value.size_bytes > 50_000_000 > caught.value.limit_bytes
    assert not engine.persistence.list_runs("copying").run_ids
    assert not list(engine.blob_store.list(""))


def test_input_above_the_inline_limit_reaches_the_stage(engine: VirtualEngine) -> None:
    run = engine.run(copying, Text(text="é" * MAX_INLINE_BYTES))
    assert run.output == {"text": "é" * MAX_INLINE_BYTES}


def test_a_stage_whose_input_no_longer_validates_fails_and_is_not_retried(engine: VirtualEngine) -> None:
    class Filled(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def _check(cls, text: str) -> str:
            if not text:
                raise ValueError("is empty")
            return text

    Filled.__name__ = Text.__name__

    @stage("copy")
    def copy_filled(text: Filled) -> Filled:
        return text

    engine.deploy(copying)
    run = engine.start(copying, Text(text=""))
    engine.deploy(Workflow("copying", input=Filled).pipe(copy_filled).build())
    engine.drive(run)
    assert run.error is not None
    assert (run.status, run.error.type) == (Status.FAILED, "InvalidInputError")
    assert "is empty" in run.error.message
    assert [record.attempt for record in run.records if record.error] == [1]


def test_a_job_for_a_stage_that_the_workflow_does_not_have_is_refused(engine: VirtualEngine) -> None:
    run = engine.start(copying, Text(text="a"))
    result = engine.host.handle_job(ExecuteJob(run_id=run.id, workflow_id="copying", stage_id="paste"))
    assert (result.error or "").startswith("StageNotFoundError: ")
    engine.drive(run)
    assert run.status is Status.COMPLETED


def test_the_originals_wire_names_are_understood(engine: VirtualEngine) -> None:
    engine.deploy(copying)
    engine.kernel.dispatch(
        {"type": "run.create", "workflowId": "copying", "input": {"text": "a"}, "idempotencyKey": "k"}
    )
    (run_id,) = engine.persistence.list_runs("copying").run_ids
    engine.kernel.dispatch({"type": "run.claimPending", "workerId": "me", "maxClaims": 1})
    engine.kernel.dispatch({"type": "job.execute", "workflowRunId": run_id, "workflowId": "copying", "stageId": "copy"})
    head = engine.persistence.load_head(run_id)
    assert head is not None
    assert head.status is Status.COMPLETED
