"""Which runs in flight could not go on with the workflows as they are here."""

from datetime import timedelta

from tests.engine.choosing import Order, by_mail, by_truck, gift, gift_first, no, say, say_packed, sending, wrap, yes
from tests.unit.cli.conftest import ASKING, Number, create, double, right, work
from workflow_engine import Registry, Workflow
from workflow_engine.cli.project_check import lifetimes_in, outlived, stranded_runs
from workflow_engine.model.commands import CancelRun
from workflow_engine.testing.engine import VirtualEngine
from workflow_engine.wiring.memory import MemoryEngine

SHORTER = Workflow("asking", input=Number).pipe(double).pipe(right).build()


def test_all_live_runs_are_looked_at_and_no_other(engine: MemoryEngine) -> None:
    live = {create(engine, value) for value in range(30)}
    over = create(engine, -1)
    engine.kernel.dispatch(CancelRun(run_id=over))
    work(engine)

    assert {head.run_id for head in engine.kernel.queries.live()} == live


def test_the_same_workflows_strand_nobody(engine: MemoryEngine) -> None:
    create(engine, 1)
    work(engine)

    assert stranded_runs(engine.kernel, Registry([ASKING])) == (1, [])


def test_runs_at_a_stage_that_is_gone_are_stranded(engine: MemoryEngine) -> None:
    create(engine, 1)
    create(engine, 2)
    work(engine)
    looked, (stranded,) = stranded_runs(engine.kernel, Registry([SHORTER]))

    assert (looked, stranded.runs, stranded.workflow_id, stranded.group) == (2, 2, "asking", 2)
    assert stranded.differences


def test_runs_of_a_workflow_that_is_gone_are_stranded(engine: MemoryEngine) -> None:
    create(engine, 1)
    _, (stranded,) = stranded_runs(engine.kernel, Registry([]))

    assert stranded.differences == ("the workflow is not there any more",)


def test_a_run_that_waits_for_long_is_not_forgotten(engine: MemoryEngine) -> None:
    """Its place in the due index is the end of its wait, a day ahead."""
    run_id = create(engine, 1)
    work(engine)
    due_at = engine.kernel.queries.head(run_id).due_at

    assert due_at is not None
    assert due_at > engine.clock.now() + timedelta(hours=1)
    assert [head.run_id for head in engine.kernel.queries.live()] == [run_id]


def test_a_workflow_that_outlives_its_payloads_is_named() -> None:
    long = Workflow("long", input=Number, max_duration=timedelta(days=365)).pipe(double).build()
    short = Workflow("short", input=Number).pipe(double).build()

    found = outlived([long, short], lifetimes_in({"PAYLOAD_DAYS": "90", "RETENTION_DAYS": "30"}))

    assert found.keys() == {"long"}
    assert "set PayloadDays to 402" in found["long"]
    assert outlived([long], lifetimes_in({"PAYLOAD_DAYS": "402", "RETENTION_DAYS": "30"})) == {}
    assert outlived([long], lifetimes_in({})) == {}


def test_a_run_that_stands_before_a_choice_may_find_anything_there() -> None:
    engine = VirtualEngine()
    engine.start(gift_first(yes), Order())
    other = Workflow("first", input=Order).parallel(wrap, gift.when(no)).pipe(say_packed).build()

    assert stranded_runs(engine.kernel, Registry([other])) == (1, [])


def test_one_behind_a_choice_may_have_it_turned_around_and_not_taken_away() -> None:
    engine = VirtualEngine()
    run = engine.start(sending(lambda order: order.kind), Order())
    # Each invocation has time for one thing: what comes first, the choice, and the stage that it has chosen.
    for _ in range(3):
        message = engine.job_transport.dequeue()
        assert message is not None
        engine.kernel.dispatch(message.body, deadline=engine.clock.now(), delivered=True)
    assert run.head.group == 2
    turned = sending(lambda _: "large", small=by_truck, large=by_mail)
    without = Workflow("sending", input=Order).pipe(wrap).pipe(gift).pipe(say).build()

    assert stranded_runs(engine.kernel, Registry([turned])) == (1, [])
    assert stranded_runs(engine.kernel, Registry([without]))[1][0].group == 2
