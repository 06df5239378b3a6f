"""Two processes with different code on one store: in the middle of a deploy, and after a rollback."""

from datetime import timedelta

import pytest
from pydantic import BaseModel

from workflow_engine import (
    CancelRun,
    CreateRun,
    Registry,
    SignalRun,
    Status,
    Suspended,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.errors import DefinitionChangedError, NewerDefinitionError, WorkflowNotFoundError
from workflow_engine.hosts import ServerlessHost
from workflow_engine.kernel import Kernel
from workflow_engine.model.commands import (
    Command,
    PollSuspendedStages,
    ReapStuckRuns,
    RerunFrom,
    TransitionRun,
)
from workflow_engine.model.deliveries import Delivery, body_of
from workflow_engine.model.ids import RunId
from workflow_engine.model.limits import A_DEPLOY
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

MINUTE = timedelta(minutes=1)


class Item(BaseModel):
    number: int = 0


class Other(BaseModel):
    text: str


@stage("work")
def work(item: Item) -> Item:
    return item


@stage("other-work")
def other_work(item: Item) -> Other:
    return Other(text="x")


@stage("end")
def end(other: Other) -> Other:
    return other


@stage("ask")
def ask(item: Item) -> WaitForSignal[Item]:
    return WaitForSignal("go", Item)


@ask.on_signal
def answered(item: Item) -> Item:
    return item


@stage("poll")
def poll(item: Item) -> Suspended[Item]:
    return Suspended(item, poll_every=5 * MINUTE)


@poll.check_completion
def check(item: Item) -> Item:
    return item


known = Workflow("known", input=Item).pipe(work).build()
working = Workflow("brand-new", input=Item).pipe(work).build()
asking = Workflow("brand-new", input=Item).pipe(ask).build()
polling = Workflow("brand-new", input=Item).pipe(poll).build()
changed = Workflow("brand-new", input=Item).pipe(other_work).pipe(end).build()


class Mixed:
    """New code that runs a workflow, and a process of the old code, which has *old* beside ``known``."""

    def __init__(self, new: WorkflowDefinition, *old: WorkflowDefinition) -> None:
        self.engine = VirtualEngine(known, new)
        self.new = new
        engine = self.engine
        self.old = Kernel(
            persistence=engine.persistence,
            blob_store=engine.blob_store,
            job_transport=engine.job_transport,
            event_sink=engine.event_sink,
            scheduler=engine.scheduler,
            clock=engine.clock,
            registry=Registry([known, *old]),
            ids=engine.ids,
        )
        self.old_host = ServerlessHost(self.old, engine.job_transport, "old")

    def start(self) -> VirtualRun:
        return self.engine.start(self.new, {})

    def by_old(self, command: Command) -> bool:
        """Let the old process handle *command*; whether it left it to be delivered again."""
        sent_at = self.engine.clock.now()
        result = self.old_host.handle_job(Delivery("m", body_of(command), "r", sent_at=sent_at))
        return (result.error or "").startswith("NewerDefinitionError") and result.retryable and result.dead is None


@pytest.fixture(params=["unknown to the old", "another to the old"])
def old_code(request: pytest.FixtureRequest) -> tuple[WorkflowDefinition, ...]:
    return () if request.param == "unknown to the old" else (changed,)


Old = tuple[WorkflowDefinition, ...]


def test_the_first_message_of_a_run_is_left_to_the_code_that_started_it(old_code: Old) -> None:
    mixed = Mixed(working, *old_code)
    run = mixed.start()

    delivery = mixed.engine.job_transport.dequeue()
    assert delivery is not None
    result = mixed.old_host.process(delivery)

    assert (result.retryable, result.dead, run.status.is_terminal) == (True, None, False)
    mixed.engine.advance(5 * MINUTE)
    assert (run.status, run.head.failure) == (Status.COMPLETED, None)
    assert [record.attempt for record in run.records] == [1]
    assert list(mixed.engine.job_transport.list_dead()) == []


def test_a_tick_of_the_old_code_leaves_it_alone(old_code: Old) -> None:
    mixed = Mixed(working, *old_code)
    run = mixed.start()
    mixed.engine.clock.advance(mixed.engine.settings.horizon)

    tick = mixed.old_host.run_maintenance_tick()

    assert (tick.looked_at, tick.failed, tick.stuck_reaped) == (1, 0, 0)
    assert not run.status.is_terminal
    assert run.head.due_at is not None
    assert run.head.due_at <= mixed.engine.clock.now() + mixed.engine.settings.horizon
    mixed.engine.advance(timedelta(hours=1))
    assert run.status is Status.COMPLETED


def test_wake_ups_signals_and_sweeps_of_the_old_code_leave_it_alone(old_code: Old) -> None:
    mixed = Mixed(asking, *old_code)
    run = mixed.start()
    mixed.engine.advance(MINUTE)
    version = run.head.version

    assert mixed.by_old(TransitionRun(run_id=run.id))
    assert mixed.by_old(SignalRun(run_id=run.id, name="go", payload={}, idempotency_key="k"))
    assert mixed.old.dispatch(ReapStuckRuns()).failed == 0
    assert mixed.old.dispatch(PollSuspendedStages()).failed == 0

    assert (run.head.version, run.head.signals) == (version, ())
    assert mixed.engine.kernel.dispatch(SignalRun(run_id=run.id, name="go", payload={}, idempotency_key="k")).delivered
    mixed.engine.advance(MINUTE)
    assert run.status is Status.COMPLETED


def test_a_check_that_is_due_is_left_to_the_code_that_knows_it(old_code: Old) -> None:
    mixed = Mixed(polling, *old_code)
    run = mixed.start()
    mixed.engine.work()
    mixed.engine.clock.advance(6 * MINUTE)

    assert mixed.old.dispatch(PollSuspendedStages()).checked == 0

    assert not run.status.is_terminal
    mixed.engine.advance(timedelta(hours=1))
    assert run.status is Status.COMPLETED


def test_a_cancel_takes_effect_whoever_gets_it(old_code: Old) -> None:
    mixed = Mixed(asking, *old_code)
    run = mixed.start()

    assert mixed.old.dispatch(CancelRun(run_id=run.id)).cancelled
    assert run.status is Status.CANCELLED


def test_a_rerun_is_left_to_the_code_that_has_the_stage(old_code: Old) -> None:
    mixed = Mixed(working, *old_code)
    run = mixed.start()
    mixed.engine.advance(MINUTE)

    with pytest.raises(NewerDefinitionError) as caught:
        mixed.old.dispatch(RerunFrom(run_id=run.id, from_stage_id="work"))

    assert caught.value.retryable
    assert mixed.engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="work")).run_id == run.id


@pytest.mark.parametrize("finds", ["message", "tick"])
def test_after_an_hour_without_the_code_that_knows_it_a_run_fails_with_its_reason(old_code: Old, finds: str) -> None:
    """A rollback that stays: somebody must hear of the runs that cannot go on."""
    mixed = Mixed(working, *old_code)
    run = mixed.start()
    mixed.engine.clock.advance(A_DEPLOY + mixed.engine.settings.horizon)

    if finds == "tick":
        mixed.old_host.run_maintenance_tick()
    else:
        mixed.old_host.process_available_jobs()

    failure = run.head.failure
    assert failure is not None
    expected = DefinitionChangedError if old_code else WorkflowNotFoundError
    assert (run.status, failure.error.type) == (Status.FAILED, expected.__name__)


def test_a_rollback_within_the_hour_finds_the_runs_as_they_were(old_code: Old) -> None:
    mixed = Mixed(asking, *old_code)
    run = mixed.start()
    mixed.engine.advance(timedelta(days=3))
    # The new code is still in use: it started a run a moment ago, in a process that is days old.
    mixed.start()

    assert mixed.by_old(TransitionRun(run_id=run.id))
    assert run.status is Status.SUSPENDED


def test_what_an_older_version_of_the_engine_stored_counts_as_old() -> None:
    mixed = Mixed(working)
    run = mixed.start()
    mixed.engine.persistence.put_definition("brand-new", working.fingerprint, working.structure())

    assert mixed.old_host.process_available_jobs().failed == 1
    assert run.status is Status.FAILED


def test_a_definition_is_kept_once_in_half_an_hour_however_many_runs_are_started() -> None:
    engine = VirtualEngine(known)
    for _ in range(10):
        engine.start(known, {})
    first = engine.persistence.definition_kept_at("known", known.fingerprint)
    engine.clock.advance(29 * MINUTE)
    engine.start(known, {})
    assert engine.persistence.definition_kept_at("known", known.fingerprint) == first
    engine.clock.advance(MINUTE)
    engine.start(known, {})
    assert engine.persistence.definition_kept_at("known", known.fingerprint) == engine.clock.now()


def test_a_create_that_reaches_the_old_code_first_waits_for_the_new(old_code: Old) -> None:
    mixed = Mixed(working)
    mixed.engine.job_transport.enqueue(CreateRun(workflow_id="brand-new", input={}, idempotency_key="k"))
    assert mixed.old_host.process_available_jobs().failed == 1
    assert list(mixed.engine.job_transport.list_dead()) == []
    mixed.engine.advance(MINUTE)
    (run_id,) = mixed.engine.persistence.list_runs("brand-new").run_ids
    assert mixed.engine.persistence.load_heads([RunId(run_id)])[RunId(run_id)].status is Status.COMPLETED


def test_a_run_that_the_code_of_before_has_completed_has_its_output_for_code_that_knows_a_group_more() -> None:
    engine = VirtualEngine()
    longer = Workflow("growing", input=Item).pipe(work).pipe(other_work).build()
    shorter = Workflow("growing", input=Item).pipe(work).build()
    engine.deploy(shorter)
    run = engine.run(shorter, Item(number=7))
    engine.deploy(longer)
    assert (run.status, run.output) == (Status.COMPLETED, {"number": 7})


def test_a_run_that_newer_code_has_completed_has_its_output_for_code_that_knows_a_group_less() -> None:
    longer = Workflow("growing", input=Item).pipe(work).pipe(other_work).build()
    shorter = Workflow("growing", input=Item).pipe(work).build()
    engine = VirtualEngine(longer)
    run = engine.run(longer, Item(number=7))
    engine.deploy(shorter)
    assert (run.status, run.output) == (Status.COMPLETED, {"text": "x"})
