"""Siblings that wait for signals: at the same time, and for the same name."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import count
from threading import Barrier
from typing import Any

import pytest
from pydantic import BaseModel

from workflow_engine import (
    NotReady,
    RerunFrom,
    RetryPolicy,
    SignalRun,
    StageContext,
    Status,
    Suspended,
    WaitForSignal,
    Workflow,
    WorkflowDefinition,
    stage,
)
from workflow_engine.kernel import KernelSettings
from workflow_engine.model.commands import ExecuteJob, parse_command
from workflow_engine.model.commits import Exclusive, Refused
from workflow_engine.testing.engine import VirtualEngine, VirtualRun

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MANY = 100


class Item(BaseModel):
    name: str = "x"


class Counting:
    """A persistence that counts its commits, and those of them that were exclusive or refused."""

    def __init__(self, persistence: Any) -> None:
        self._persistence, self.counts = persistence, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._persistence, name)

    def commit(self, commit: Any) -> Any:
        outcome = self._persistence.commit(commit)
        self.counts.update(["commits"])
        self.counts["exclusive"] += isinstance(commit, Exclusive)
        self.counts["refused"] += isinstance(outcome, Refused)
        return outcome


class Crowd:
    """An engine whose jobs run in as many threads as there are: each stage's function is called once
    all of them hold their leases, so that all commit at the same time."""

    def __init__(self) -> None:
        self.calls = Counter[str]()
        self._gate, self._begun = Barrier(1), count()
        self.engine = VirtualEngine(settings=KernelSettings(run_stage=self._run_stage, due_shards=1))
        self.persistence = Counting(self.engine.persistence)
        self.engine.persistence = self.persistence

    def _run_stage(self, call: Callable[[], Any], *, stage_id: str, timeout: timedelta, is_async: bool) -> Any:
        self.calls[stage_id] += 1
        if next(self._begun) < self._gate.parties:
            self._gate.wait()
        return call()

    def work(self) -> Counter[str]:
        """Process all messages that are there, at once; answers what that took of the store."""
        queue = self.engine.job_transport
        deliveries = [delivery for _ in range(2 * MANY) if (delivery := queue.dequeue()) is not None]
        self._gate, self._begun = Barrier(len(deliveries)), count()
        self.persistence.counts.clear()
        with ThreadPoolExecutor(max_workers=len(deliveries)) as threads:
            list(threads.map(self.engine.host.process, deliveries))
        return Counter(self.persistence.counts)


def asking(number: int, answer: Callable[[Item], Any], name: str) -> Any:
    @stage(f"ask-{number}", retry=RetryPolicy(max_attempts=3, first_delay=timedelta(seconds=1)))
    def ask(item: Item) -> WaitForSignal[Item]:
        return WaitForSignal(name, Item, timeout=DAY)

    @ask.on_signal
    def answered(item: Item) -> Item | WaitForSignal[Item] | Suspended[Item]:
        return answer(item)  # type: ignore[no-any-return]

    @ask.check_completion
    def look(item: Item) -> Item | NotReady:
        return item

    return ask


def crowd_of(size: int, answer: Callable[[Item], Any], name: str = "line-{}") -> WorkflowDefinition:
    """A group whose *size* stages each wait for a signal, followed by a stage that ends the run."""

    @stage("after")
    def after(ctx: StageContext) -> Item:
        return Item(name="over")

    asks = [asking(number, answer, name.format(number)) for number in range(size)]
    return Workflow("crowd", input=Item).parallel(*asks).pipe(after).build()


def noting(heard: list[str]) -> Callable[[Item], Item]:
    """What notes the signals that it is given, in order."""

    def note(item: Item) -> Item:
        heard.append(item.name)
        return item

    return note


def send(run: VirtualRun, name: str, value: str, key: str | None = None) -> bool:
    command = SignalRun(run_id=run.id, name=name, payload={"name": value}, idempotency_key=key)
    return run.engine.kernel.dispatch(command).delivered


ANSWERS: dict[str, Callable[[Item], Any]] = {
    "an output": lambda item: item,
    "another wait": lambda item: WaitForSignal("more", Item, timeout=DAY),
    "a suspension": lambda item: Suspended(item, poll_every=HOUR),
}


class TestAHundredAtOnce:
    def test_each_is_called_once_and_waits_with_one_commit_that_refuses_nobody(self) -> None:
        crowd = Crowd()
        run = crowd.engine.start(crowd_of(MANY, ANSWERS["an output"]), Item())
        counts = crowd.work()
        assert crowd.calls == {f"ask-{number}": 1 for number in range(MANY)}
        assert len(run.waiting_for) == MANY
        assert counts == {"commits": 2 * MANY, "exclusive": 0, "refused": 0}

    @pytest.mark.parametrize("answer", ANSWERS)
    def test_their_answers_refuse_nobody(self, answer: str) -> None:
        crowd = Crowd()
        run = crowd.engine.start(crowd_of(MANY, ANSWERS[answer]), Item())
        crowd.work()
        crowd.calls.clear()
        for number in range(MANY):
            assert send(run, f"line-{number}", str(number))
        counts = crowd.work()
        assert crowd.calls == {f"ask-{number}": 1 for number in range(MANY)} | (
            {} if answer != "an output" else {"after": 1}
        )
        assert counts["refused"] == 0
        assert counts["commits"] <= 2 * MANY + 3

    def test_a_hundred_answers_to_one_name_go_to_a_hundred_stages(self) -> None:
        crowd = Crowd()
        heard: list[str] = []
        run = crowd.engine.start(crowd_of(MANY, noting(heard), name="line"), Item())
        crowd.work()
        for number in range(MANY):
            assert send(run, "line", str(number))
        crowd.work()
        assert sorted(heard, key=int) == [str(number) for number in range(MANY)]
        assert run.status is Status.COMPLETED


class TestTwoWaitForOneName:
    def test_each_answer_goes_to_one_of_them(self, engine: VirtualEngine) -> None:
        heard: list[str] = []
        run = engine.run(crowd_of(2, noting(heard), name="approval"), Item())
        assert send(run, "approval", "ada")
        engine.drive(run)
        assert (heard, run.waiting_for) == (["ada"], ("approval",))
        assert send(run, "approval", "bob")
        engine.drive(run)
        assert (heard, run.status, run.head.signals) == (["ada", "bob"], Status.COMPLETED, ())

    def test_two_answers_that_come_at_once_are_both_heard(self, engine: VirtualEngine) -> None:
        heard: list[str] = []
        run = engine.run(crowd_of(2, noting(heard), name="approval"), Item())
        assert send(run, "approval", "ada")
        assert send(run, "approval", "bob")
        engine.drive(run)
        assert (sorted(heard), run.status) == (["ada", "bob"], Status.COMPLETED)

    def test_answers_that_come_before_the_waits_are_both_heard(self, engine: VirtualEngine) -> None:
        heard: list[str] = []
        run = engine.start(crowd_of(2, noting(heard), name="approval"), Item())
        assert send(run, "approval", "ada")
        assert send(run, "approval", "bob")
        engine.drive(run)
        assert (sorted(heard), run.status) == (["ada", "bob"], Status.COMPLETED)

    def test_a_third_answer_is_kept_for_a_later_stage(self, engine: VirtualEngine) -> None:
        heard: list[str] = []

        workflow = Workflow("w", input=Item).parallel(
            asking(0, noting(heard), "line"), asking(1, noting(heard), "line")
        )
        run = engine.start(workflow.pipe(later(noting(heard))).build(), Item())
        for name in ("a", "b", "c"):
            assert send(run, "line", name)
        engine.drive(run)
        assert (sorted(heard[:2]), heard[2:]) == (["a", "b"], ["c"])
        assert (run.status, run.head.signals) == (Status.COMPLETED, ())

    def test_a_handler_that_fails_is_tried_again_with_its_own_answer(self, engine: VirtualEngine) -> None:
        heard: list[str] = []

        def flaky(item: Item) -> Item:
            heard.append(item.name)
            if heard.count(item.name) == 1:
                raise ConnectionError("no answer")
            return item

        run = engine.run(crowd_of(2, flaky, name="approval"), Item())
        send(run, "approval", "ada")
        engine.work()
        send(run, "approval", "bob")
        engine.drive(run)
        assert (sorted(heard), run.status) == (["ada", "ada", "bob", "bob"], Status.COMPLETED)

    def test_one_that_waits_again_takes_the_next_answer(self, engine: VirtualEngine) -> None:
        heard: list[str] = []

        def twice(item: Item) -> Item | WaitForSignal[Item]:
            heard.append(item.name)
            return item if len(heard) > 2 else WaitForSignal("line", Item, timeout=DAY)

        run = engine.run(crowd_of(2, twice, name="line"), Item())
        for name in ("a", "b", "c", "d"):
            assert send(run, "line", name)
            engine.drive(run)
        assert (heard, run.status, run.head.signals) == (["a", "b", "c", "d"], Status.COMPLETED, ())

    def test_an_answer_that_fits_no_longer_is_dropped_alone(self, engine: VirtualEngine) -> None:
        heard: list[str] = []
        run = engine.run(crowd_of(2, lambda item: item, name="approval"), Item())
        send(run, "approval", "ada")
        send(run, "approval", "bob")

        def strict(number: int) -> Any:
            @stage(f"ask-{number}")
            def ask(item: Item) -> WaitForSignal[Reasoned]:
                return WaitForSignal("approval", Reasoned, timeout=DAY)

            @ask.on_signal
            def answered(item: Reasoned) -> Item:
                heard.append(item.reason)
                return Item(name=item.reason)

            @ask.check_completion
            def look(item: Item) -> Item | NotReady:
                return item

            return ask

        @stage("after")
        def after(ctx: StageContext) -> Item:
            return Item(name="over")

        engine.deploy(Workflow("crowd", input=Item).parallel(strict(0), strict(1)).pipe(after).build())
        engine.work()
        assert (run.waiting_for, heard) == (("approval", "approval"), [])
        for reason in ("one", "two"):
            engine.signal(run, "approval", {"name": "x", "reason": reason})
        assert (sorted(heard), run.status) == (["one", "two"], Status.COMPLETED)

    def test_the_answer_of_a_dead_worker_goes_to_the_one_that_takes_over(self, engine: VirtualEngine) -> None:
        heard: list[str] = []
        run = engine.run(crowd_of(2, noting(heard), name="approval"), Item())
        send(run, "approval", "ada")
        claim_and_die(engine, run)
        assert [entry.taken for entry in run.head.active if entry.taken] == list(run.head.signals)
        send(run, "approval", "bob")
        engine.drive(run)
        assert (sorted(heard), run.status) == (["ada", "bob"], Status.COMPLETED)

    def test_one_whose_time_is_over_does_not_take_the_others_answer(self, engine: VirtualEngine) -> None:
        heard: list[str] = []
        run = engine.run(crowd_of(2, noting(heard), name="approval"), Item())
        send(run, "approval", "ada")
        claim_and_die(engine, run)
        engine.clock.advance(2 * DAY)
        engine.drive(run)
        assert run.error is not None
        assert (run.error.type, heard) == ("WaitExpiredError", ["ada"])

    def test_an_answer_that_comes_as_the_time_ends_is_taken_by_one(self, engine: VirtualEngine) -> None:
        heard: list[str] = []
        run = engine.run(crowd_of(2, noting(heard), name="approval"), Item())
        engine.clock.advance(DAY)
        # The timers' messages are there before the signals': each claims without a signal.
        engine.scheduler.fire_due()
        send(run, "approval", "ada")
        send(run, "approval", "bob")
        engine.drive(run)
        assert (sorted(heard), run.status) == (["ada", "bob"], Status.COMPLETED)

    def test_a_rerun_asks_both_again(self, engine: VirtualEngine) -> None:
        heard: list[str] = []
        run = engine.run(crowd_of(2, noting(heard), name="approval"), Item())
        for name in ("a", "b"):
            engine.signal(run, "approval", Item(name=name))
        engine.kernel.dispatch(RerunFrom(run_id=run.id, from_stage_id="ask-0"))
        engine.drive(run)
        assert (run.waiting_for, run.head.signals) == (("approval", "approval"), ())
        for name in ("c", "d"):
            engine.signal(run, "approval", Item(name=name))
        assert (heard, run.status) == (["a", "b", "c", "d"], Status.COMPLETED)

    def test_a_message_of_the_version_before_takes_a_free_answer(self, engine: VirtualEngine) -> None:
        heard: list[str] = []
        run = engine.run(crowd_of(2, noting(heard), name="approval"), Item())
        send(run, "approval", "ada")
        send(run, "approval", "bob")
        for body in [delivery.body for delivery in iter(engine.job_transport.dequeue, None)]:
            command = parse_command(body)
            assert isinstance(command, ExecuteJob)
            old = command.model_copy(update={"siblings": None, "signal": run.head.signals[0]})
            engine.kernel.dispatch(old)
        engine.drive(run)
        assert (sorted(heard), run.status) == (["ada", "bob"], Status.COMPLETED)


class Reasoned(BaseModel):
    name: str
    reason: str


def later(listen: Callable[[Item], Item]) -> Any:
    @stage("later")
    def ask(ctx: StageContext) -> WaitForSignal[Item]:
        return WaitForSignal("line", Item, timeout=DAY)

    @ask.on_signal
    def answered(item: Item) -> Item:
        return listen(item)

    return ask


def claim_and_die(engine: VirtualEngine, run: VirtualRun) -> None:
    """A worker takes the next job of *run* and is killed in the middle of its stage."""

    def die(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    settings = engine.settings
    engine.settings = replace(settings, run_stage=die)
    engine.deploy(*engine.kernel.registry)
    delivery = engine.job_transport.dequeue()
    assert delivery is not None
    with pytest.raises(KeyboardInterrupt):
        engine.host.process(delivery)
    engine.settings = settings
    engine.deploy(*engine.kernel.registry)
