"""Races that hurt other engines, each as a test. The numbers are those of their public issues."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from pydantic import BaseModel, field_serializer
from typing_extensions import override

from tests.simulation.reference import PLOTS, REFERENCE
from tests.simulation.reference_workflows import Number, chain, fan
from workflow_engine.adapters.memory import MemoryJobTransport
from workflow_engine.authoring import RetryPolicy, StageContext, Workflow, WorkflowDefinition, stage
from workflow_engine.errors import TransientError
from workflow_engine.model.commands import Command, ExecuteJob, RerunFrom
from workflow_engine.model.limits import MAX_PAYLOAD_BYTES
from workflow_engine.model.status import Status
from workflow_engine.testing.engine import VirtualEngine
from workflow_engine.testing.simulation import History, Scenario, simulate
from workflow_engine.testing.simulation.choices import Script
from workflow_engine.testing.simulation.faults import Crash, Fault

TEN_MINUTES = timedelta(minutes=10)


def only(workflow_id: str) -> Scenario:
    plot = next(plot for plot in PLOTS if plot.workflow_id == workflow_id)
    return replace(REFERENCE, plots=(plot,), runs=None)


def survived(workflow_id: str, script: Script) -> History:
    """The history that *script* tells: all of it must have happened, and nothing broken."""
    history = simulate(only(workflow_id), 0, script)
    assert set(script) <= set(history.taken)
    if history.violation is not None:
        raise history.violation
    return history


def calls(history: History, call: str) -> list[str]:
    return [str(line) for line in history.lines if line.call == call]


class FragileTransport(MemoryJobTransport):
    """Kills its process, or does not answer, when the next command is sent."""

    failure: type[BaseException] | TransientError | None = None

    @override
    def enqueue(self, command: Command, *, delay: timedelta = timedelta(0)) -> None:
        self._fail()
        super().enqueue(command, delay=delay)

    @override
    def enqueue_parallel(self, commands: Sequence[Command]) -> Sequence[Command]:
        self._fail()
        return super().enqueue_parallel(commands)

    def _fail(self) -> None:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure


def fragile_engine(*workflows: WorkflowDefinition) -> tuple[VirtualEngine, FragileTransport]:
    engine = VirtualEngine()
    transport = FragileTransport(engine.clock)
    engine.job_transport = transport
    engine.deploy(*workflows)
    return engine, transport


def test_dbos_546_a_run_that_cannot_be_dispatched_holds_up_no_other() -> None:
    """Several workflows were taken from the queue in one go and marked as taken; the first whose
    dispatch raised ended the loop, and those behind it stayed PENDING, taken by nobody.

    Here several runs are due in one tick, and the workflow of one of them is not there any more.
    """
    engine, transport = fragile_engine(chain, fan)
    for workflow in (fan, chain, chain, chain):
        transport.failure = Crash
        with pytest.raises(Crash):
            engine.start(workflow, {"value": 1})
    chains = engine.persistence.list_runs("chain").run_ids
    engine.deploy(chain)
    engine.advance(timedelta(minutes=20))

    statuses = [head.status for head in engine.persistence.load_heads(chains).values()]
    assert statuses == [Status.COMPLETED] * 3


def test_dbos_716_an_outage_during_recovery_drops_nothing() -> None:
    """Recovery looked at each run of a dead process once; where the database failed at that moment
    the error was logged, and the run was never looked at again.

    Here a worker dies, its message is lost with it, and the tick that finds its run cannot send.
    """
    history = survived(
        "fan",
        {
            ("job-1/persistence.put_record", 0): Fault.CRASH_BEFORE,
            ("delivery", 2): 1,
            ("tick-1/jobs.enqueue_parallel", 0): Fault.FAIL_BEFORE,
            ("tick-2/jobs.enqueue_parallel", 0): Fault.CRASH_BEFORE,
        },
    )

    assert any("COMPLETED" in line for line in calls(history, "persistence.commit"))


def test_dbos_742_who_did_not_win_a_run_sends_nothing() -> None:
    """Two processes read the same list of runs to recover; the second one acted on what it had read
    although its claim had changed nothing, and ran what was not its own.

    Here two ticks read the same page, and the slower one writes last.
    """
    history = survived(
        "fan",
        {
            ("job-1/persistence.put_record", 0): Fault.CRASH_BEFORE,
            ("tick", 0): 2,
            ("tick-1/persistence.rearm", 0): Fault.STALL_BEFORE,
        },
    )
    tick_1, tick_2 = (
        [line for line in history.lines if line.task == name and line.call.startswith(("persistence.rearm", "jobs."))]
        for name in ("tick-1", "tick-2")
    )

    assert [line.call for line in tick_2] == ["persistence.rearm", "jobs.waiting", "jobs.enqueue_parallel"]
    assert [line.call for line in tick_1] == ["persistence.rearm"]


def test_dbos_804_a_worker_that_is_given_up_cannot_take_its_run_back() -> None:
    """While a process drained, another one recovered its workflow; the draining one took it back,
    recorded a step more and exited, and nobody looked at the workflow again.

    Here a worker hangs for two hours, another one finishes the run, and the first one wakes up.
    """
    outcome = "job-1/persistence.commit"
    history = survived(
        "chain",
        {(outcome, 1): Fault.STALL_BEFORE, (f"{outcome}/stall", 0): 3, ("job-1/outlives", 0): 1},
    )
    late = [line for line in history.lines if line.task == "job-1" and line.call == "persistence.commit"]

    assert "COMPLETED" in str(late[-1])
    assert "refused" in str(late[-1])


@pytest.mark.parametrize("commit", [1, 2])
@pytest.mark.parametrize("crash", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_dbos_805_a_run_does_not_stay_between_two_stages(commit: int, crash: Fault) -> None:
    """A recovered workflow stayed PENDING for ever after its second step was recorded and before
    the third one began, and held up the queue behind it.

    Here a worker dies right before or after the write that says both; the finished stage is not run
    again where it counted, and the run goes on.
    """
    history = survived("chain", {("job-1/persistence.commit", commit): crash})

    assert any("COMPLETED" in line for line in calls(history, "persistence.commit"))


@stage("overflow", retry=RetryPolicy(max_attempts=5))
def overflow(_number: Number) -> Number:
    return Number(value=0, padding="x" * MAX_PAYLOAD_BYTES)


def test_durable_sdk_342_an_output_that_is_too_large_is_not_tried_again() -> None:
    """A payload above the limit was taken for a failure of the service, so that Lambda repeated the
    whole invocation, with the same result, as often as it would.

    Here the output is measured before anything is sent, and the error says that it is final.
    """
    run = VirtualEngine().run(Workflow("overflow", input=Number).pipe(overflow).build(), {"value": 1})

    assert run.error is not None
    assert (run.status, run.error.type, run.error.retryable) == (Status.FAILED, "PayloadTooLargeError", False)
    assert [record.attempt for record in run.records] == [1]


class Shouted(BaseModel):
    """A value that does not read back as it was written."""

    text: str

    @field_serializer("text")
    def upper(self, text: str) -> str:
        return text.upper()


@stage("shout")
def shout(_number: Number) -> Shouted:
    return Shouted(text="quiet")


@stage("hear", retry=RetryPolicy(first_delay=TEN_MINUTES, max_delay=TEN_MINUTES))
def hear(shouted: Shouted, ctx: StageContext) -> Shouted:
    ctx.annotate(f"heard-{ctx.attempt}", shouted.text)
    if ctx.attempt == 1:
        raise ConnectionError
    return shouted


def test_durable_sdk_407_no_run_sees_what_a_later_one_would_not() -> None:
    """A step's result was handed on as it was, but a replay got what had been stored of it: with a
    serialiser that changes its value, the two differed.

    Here a value that would come back as another one is refused where it is made, with the field's
    name, and no next stage sees either of the two.
    """
    run = VirtualEngine().run(Workflow("shouting", input=Number).pipe(shout).pipe(hear).build(), {"value": 1})

    assert run.error is not None
    assert (run.status, run.error.type) == (Status.FAILED, "InvalidOutputError")
    assert "text: would come back as another value" in run.error.message
    assert run.engine.persistence.list_annotations(run.id) == []


def test_prefect_20485_a_crash_between_the_state_and_the_submission_loses_no_run() -> None:
    """A worker marked a run as PENDING and died before it submitted it: the run stayed PENDING.

    Here whoever creates a run dies before its job is sent; the due index has it.
    """
    engine, transport = fragile_engine(chain)
    transport.failure = Crash
    with pytest.raises(Crash):
        engine.start(chain, {"value": 1})
    (run_id,) = engine.persistence.list_runs("chain").run_ids
    engine.advance(engine.settings.horizon)

    assert engine.persistence.load_heads([run_id])[run_id].status is Status.COMPLETED


_source = {"value": 1}


@stage("parent")
def parent(_number: Number) -> Number:
    return Number(value=_source["value"])


@stage("child")
def child(number: Number) -> Number:
    if number.value < 0:
        raise ValueError(number.value)
    return Number(value=number.value * 2)


def test_hatchet_596_after_a_rerun_of_its_parent_a_stage_gets_the_new_output() -> None:
    """A step failed for what its parent had answered; the parent was replayed and answered better,
    and the step failed again: it was given the old answer.

    Here outputs at or beyond the stage that is run again are not seen any more.
    """
    family = Workflow("family", input=Number).pipe(parent).pipe(child).build()
    _source["value"] = -1
    run = VirtualEngine().run(family, {"value": 0})
    assert run.status is Status.FAILED
    _source["value"] = 21
    run.engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="parent"))
    run.engine.drive(run)

    assert run.output == {"value": 42, "padding": ""}


@stage("thrice", retry=RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=30), jitter=False))
def thrice(_number: Number, ctx: StageContext) -> Number:
    if ctx.attempt < 3:
        raise ConnectionError
    return Number(value=ctx.attempt)


def test_taskiq_aio_sqs_6_retries_are_the_engines_and_not_the_queues() -> None:
    """Retries that rest on the queue's receive count and visibility count deliveries as attempts: a
    duplicate, or a crash, uses one up, and the pauses are the queue's.

    Here a message that is delivered twelve times is no attempt, and attempts have their own pauses.
    """
    engine = VirtualEngine()
    run = engine.start(Workflow("thrice", input=Number).pipe(thrice).build(), {"value": 1})
    job = ExecuteJob(run_id=run.id, workflow_id="thrice", stage_id="thrice")
    for _ in range(12):
        engine.kernel.dispatch(job)
    assert [record.attempt for record in run.records] == [1]
    engine.drive(run)

    assert (run.status, run.output["value"]) == (Status.COMPLETED, 3)
    assert [record.attempt for record in run.records] == [1, 2, 3]
    begun = [record.started_at for record in run.records]
    assert [(later - earlier).total_seconds() for earlier, later in pairwise(begun)] == [30, 60]
