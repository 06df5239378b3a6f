"""One invocation goes on with the stages that follow, as long as its time allows."""

from datetime import timedelta

from pydantic import BaseModel

from workflow_engine import JobExecuted, Stage, Status, Workflow, WorkflowDefinition, stage
from workflow_engine.model.commands import ExecuteJob, parse_command
from workflow_engine.model.deliveries import Delivery
from workflow_engine.testing.engine import VirtualEngine

MINUTE = timedelta(minutes=1)


class Number(BaseModel):
    value: int = 0


def _stage(name: str, took: timedelta, engine: VirtualEngine) -> "Stage[..., Number]":
    @stage(name, timeout=MINUTE)
    def add_one(number: Number) -> Number:
        engine.clock.advance(took)
        return Number(value=number.value + 1)

    return add_one


def chain(engine: VirtualEngine, length: int, *, took: timedelta = timedelta(0)) -> WorkflowDefinition:
    workflow = Workflow("chain", input=Number)
    for number in range(length):
        workflow.pipe(_stage(f"add-{number}", took, engine))
    return workflow.build()


def take(engine: VirtualEngine) -> Delivery:
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    return delivery


def test_one_message_carries_a_whole_chain(engine: VirtualEngine) -> None:
    run = engine.start(chain(engine, 10), Number())
    result = engine.host.process(take(engine))
    assert result.outcome == "completed"
    assert (run.status, run.output) == (Status.COMPLETED, {"value": 10})
    assert engine.job_transport.pending() == 0


def test_a_chain_of_a_hundred_is_carried_too(engine: VirtualEngine) -> None:
    run = engine.start(chain(engine, 100), Number())
    engine.host.process(take(engine))
    assert run.output == {"value": 100}


def test_it_hands_over_by_a_message_when_the_next_stage_does_not_fit(engine: VirtualEngine) -> None:
    run = engine.start(chain(engine, 3, took=MINUTE / 2), Number())
    # After the first stage 95 s are left, enough for the second; after it 65 s, enough for its
    # minute and the commit; a second less would not be.
    deadline = engine.clock.now() + MINUTE * 2
    result = engine.kernel.dispatch(take(engine).body, deadline=deadline)
    assert isinstance(result, JobExecuted)
    assert run.status is Status.RUNNING
    assert run.head.group == 2
    command = parse_command(take(engine).body)
    assert isinstance(command, ExecuteJob)
    assert (command.stage_id, command.epoch, command.claim) == ("add-2", 0, "first")
    engine.kernel.dispatch(command)
    assert run.output == {"value": 3}


def test_the_first_stage_always_runs_within_what_is_left(engine: VirtualEngine) -> None:
    run = engine.start(chain(engine, 2), Number())
    engine.kernel.dispatch(take(engine).body, deadline=engine.clock.now() + timedelta(seconds=5))
    assert run.head.group == 1
    engine.kernel.dispatch(take(engine).body, deadline=engine.clock.now() + timedelta(seconds=5))
    assert run.status is Status.COMPLETED


def test_a_lease_ends_with_its_invocation(engine: VirtualEngine) -> None:
    seen = []

    @stage("look", timeout=MINUTE)
    def look(number: Number) -> Number:
        seen.append(run.head.active[0].until)
        return number

    run = engine.start(Workflow("w", input=Number).pipe(look).build(), Number())
    deadline = engine.clock.now() + 3 * MINUTE
    engine.kernel.dispatch(take(engine).body, deadline=deadline)
    assert seen == [deadline]


def test_a_group_is_a_message_a_stage_and_the_last_to_finish_goes_on(engine: VirtualEngine) -> None:
    class Pair(BaseModel):
        left: Number
        right: Number

    @stage("add")
    def add(pair: Pair) -> Number:
        return Number(value=pair.left.value + pair.right.value)

    nothing = timedelta(0)
    workflow = (
        Workflow("w", input=Number)
        .parallel(_stage("left", nothing, engine), _stage("right", nothing, engine))
        .pipe(add)
        .build()
    )
    run = engine.start(workflow, Number(value=1))
    assert engine.job_transport.pending() == 2
    engine.host.process(take(engine))
    assert run.head.group == 0
    engine.host.process(take(engine))
    assert (run.output, engine.job_transport.pending()) == ({"value": 4}, 0)


def test_a_second_delivery_of_a_message_runs_nothing_again(engine: VirtualEngine) -> None:
    run = engine.start(chain(engine, 2), Number())
    body = take(engine).body
    engine.kernel.dispatch(body)
    version = run.head.version
    again = engine.kernel.dispatch(body)
    assert again == JobExecuted(outcome="completed", ghost=True)
    assert (run.head.version, len(run.records), engine.job_transport.pending()) == (version, 2, 1)
