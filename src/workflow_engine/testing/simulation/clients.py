"""The clients of a simulated deployment: they start runs, signal, cancel and rerun them, and try
again with the same key where they got no answer. Operators look after everything at odd moments."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from workflow_engine.errors import WorkflowEngineError
from workflow_engine.model.commands import (
    AnnotateRun,
    CancelRun,
    ClaimPendingRuns,
    Command,
    CreateRun,
    ExecuteJob,
    FlushOutbox,
    PollSuspendedStages,
    ReapStaleLeases,
    ReapStuckRuns,
    ReplayDeadLetters,
    RerunFrom,
    SignalRun,
    TransitionRun,
    UndoRun,
)
from workflow_engine.model.ids import RunId, run_id_for
from workflow_engine.model.results import RunCancelled, RunCreated, RunSignalled
from workflow_engine.testing.simulation.observer import Violation
from workflow_engine.testing.simulation.processes import Deployment, Process
from workflow_engine.testing.simulation.scenario import Plot, Signalling

# Each try waits twice as long as the one before, so that a client outlasts an outage of an hour.
MOST_TRIES = 13
MOST_REFILLS = 30
CRASHED_CLIENT_RETURNS_AFTER = timedelta(seconds=15)
# When a client cancels once more, after its first cancel, and when it asks for undo, from the run's creation.
CANCELS_AGAIN = (timedelta(seconds=5), timedelta(minutes=10), timedelta(hours=1))
UNDOES_AFTER = (timedelta(seconds=1), timedelta(minutes=1), timedelta(minutes=10))
UNDOES = (timedelta(minutes=1), timedelta(minutes=50), timedelta(hours=5), timedelta(hours=40))
SIGNALLED_AGAIN_AFTER = timedelta(minutes=5)


@dataclass(slots=True)
class Story:
    """What became of one drawn plot. *run_id* is known once a client got an answer."""

    plot: Plot
    number: int
    run_id: RunId | None = None
    cancelled: bool = False
    without_undo: bool = False


@dataclass(slots=True)
class Clients:
    """Everybody who sends commands to a deployment from outside."""

    deployment: Deployment
    stories: list[Story] = field(default_factory=list)
    commands: int = 0
    _drawn: int = 0
    _first_answers: dict[str, tuple[Command, object]] = field(default_factory=dict)

    def begin(self) -> None:
        """Draw the stories of this history, and the operators' moments."""
        world, scenario = self.deployment.world, self.deployment.scenario
        if scenario.runs is None:
            chosen = list(range(1, len(scenario.plots) + 1))
        else:
            weights = (0, *(1,) * len(scenario.plots))
            chosen = [world.choices.pick("plot", weights) for _ in range(scenario.runs)]
        for place in chosen:
            self._draw(place)
        world.refill = self._refill
        if world.rates.most_faults and scenario.runs is not None:
            for _ in range(scenario.operators):
                when = (1, 20, 400, 1500, 4000)[world.choices.pick("operator-at", (1,) * 5)]
                world.at(world.now + timedelta(seconds=when), self._operate)

    def _draw(self, place: int) -> None:
        """The story of the plot at *place*, from 1; 0 is none."""
        world = self.deployment.world
        self._drawn += 1
        if place:
            story = Story(self.deployment.scenario.plots[place - 1], self._drawn)
            self.stories.append(story)
            world.at(world.now + self._begin(), lambda: self._start(story))

    def _begin(self) -> timedelta:
        world, every = self.deployment.world, self.deployment.scenario.every
        if every is not None:
            return every * self._drawn
        return timedelta(seconds=(0, 1, 30, 400)[world.choices.pick("begin", (3, 3, 1, 1))])

    def _refill(self) -> bool:
        """One more story for a history that would end before it has seen enough."""
        world, scenario = self.deployment.world, self.deployment.scenario
        enough = world.steps >= scenario.least_steps and world.faults >= scenario.least_faults
        if enough or scenario.runs is None or self._drawn >= scenario.runs + MOST_REFILLS:
            return False
        self._draw(world.choices.pick("plot", (0, *(1,) * len(scenario.plots))))
        return True

    def _start(self, story: Story) -> None:
        world, plot = self.deployment.world, story.plot
        start_at = None if plot.start_after is None else world.now + plot.start_after
        command = CreateRun(
            workflow_id=plot.workflow_id,
            input=dict(plot.input),
            config=dict(plot.config),
            priority=story.number % 11,
            start_at=start_at,
            idempotency_key=f"story-{story.number}",
            attributes={"story": story.number, **plot.attributes},
        )

        world.ledger.allowances[run_id_for(plot.workflow_id, f"story-{story.number}")] = plot.allowance

        def created(result: Any) -> None:
            if story.run_id is None:
                story.run_id = RunId(result.run_id)
                self._follow(story)

        if plot.rival is not None and world.odd("rival", 500):
            self._send(command.model_copy(update={"input": dict(plot.rival)}), created)
        self._send(command, created)
        if world.odd("create-again", 200):
            self._send(command, created)

    def _follow(self, story: Story) -> None:
        world, plot = self.deployment.world, story.plot
        for signalling in plot.signals:
            self._plan_signal(story, signalling)
        if plot.cancel and (how := world.odd("cancel", 200, len(plot.cancels_after))):
            world.at(world.now + plot.cancels_after[how - 1], lambda: self._cancel(story))
        if plot.undoes:
            self._plan_undo(story)
        if plot.rerun_from is not None and (how := world.odd("rerun", 400, len(plot.reruns_after))):
            world.at(world.now + plot.reruns_after[how - 1], lambda: self._rerun(story))

    def _plan_signal(self, story: Story, signalling: Signalling) -> None:
        world = self.deployment.world
        after = signalling.after[world.choices.pick(f"signal-{signalling.name}", (1,) * len(signalling.after))]
        if after is None:
            return
        command = self._signal(story, signalling)
        world.at(world.now + after, lambda: self._send(command))
        if world.odd("signal-again", 200):
            world.at(world.now + after, lambda: self._send(command))

    @staticmethod
    def _signal(story: Story, signalling: Signalling) -> SignalRun:
        place = story.plot.signals.index(signalling)
        return SignalRun(
            run_id=str(story.run_id),
            name=signalling.name,
            payload=signalling.payload,
            idempotency_key=f"signal-{story.number}-{signalling.name}-{place}",
        )

    def _plan_undo(self, story: Story) -> None:
        world = self.deployment.world
        for again in range(2):
            if how := world.odd("undo", 300, len(UNDOES)):
                command = UndoRun(run_id=str(story.run_id), idempotency_key=f"undo-{story.number}-{again}")
                world.at(world.now + UNDOES[how - 1], partial(self._send, command))

    def _cancel(self, story: Story) -> None:
        world, plot, run_id = self.deployment.world, story.plot, str(story.run_id)
        story.cancelled = True
        undo = not (plot.undoes and world.odd("without-undo", 400))
        story.without_undo = story.without_undo or not undo
        self._send(CancelRun(run_id=run_id, reason="simulated", undo=undo, idempotency_key=f"cancel-{story.number}"))
        if not undo and (how := world.odd("undo-after", 500, len(UNDOES_AFTER))):
            # Somebody thinks better of it, maybe while what was cancelled is still at work.
            undoing = UndoRun(run_id=run_id, idempotency_key=f"undo-{story.number}-after")
            world.at(world.now + UNDOES_AFTER[how - 1], partial(self._send, undoing))
        if plot.undoes and (how := world.odd("cancel-again", 300, len(CANCELS_AGAIN))):
            undo = not world.odd("without-undo", 400)
            story.without_undo = story.without_undo or not undo
            again = CancelRun(run_id=run_id, undo=undo, idempotency_key=f"cancel-again-{story.number}")
            world.at(world.now + CANCELS_AGAIN[how - 1], partial(self._send, again))

    def _rerun(self, story: Story) -> None:
        world, given = self.deployment.world, story.plot.rerun_input
        command = RerunFrom(
            run_id=str(story.run_id),
            from_stage_id=str(story.plot.rerun_from),
            idempotency_key=f"rerun-{story.number}",
            input=None if given is None else dict(given),
            keep_steps=story.plot.keep_steps,
        )

        def then(_result: Any) -> None:
            for signalling in story.plot.signals if story.plot.signals_again else ():
                world.at(world.now + SIGNALLED_AGAIN_AFTER, partial(self._send, self._signal(story, signalling)))
            if story.plot.cancel and not story.cancelled and world.odd("cancel-rerun", 200):
                story.cancelled = True
                cancel = CancelRun(run_id=str(story.run_id), idempotency_key=f"cancel-rerun-{story.number}")
                world.at(world.now + timedelta(seconds=1), lambda: self._send(cancel))

        self._send(command, then)
        if world.odd("rerun-again", 200):
            world.at(world.now + timedelta(minutes=10), lambda: self._send(command))

    def _operate(self) -> None:
        world = self.deployment.world
        runs = [story for story in self.stories if story.run_id]
        commands: list[Command] = [
            ClaimPendingRuns(worker_id="operator"),
            PollSuspendedStages(),
            ReapStaleLeases(),
            ReapStuckRuns(),
            FlushOutbox(),
            ReplayDeadLetters(),
        ]
        if runs:
            plot, run_id = runs[-1].plot, str(runs[-1].run_id)
            commands += [
                TransitionRun(run_id=run_id),
                AnnotateRun(run_id=run_id, key="looked-at", value=True, actor="operator"),
                ExecuteJob(run_id=run_id, workflow_id=plot.workflow_id, stage_id=self._first_stage(plot)),
            ]
        self._send(commands[world.choices.pick("operator", (1,) * len(commands))])

    def _first_stage(self, plot: Plot) -> str:
        deployment = self.deployment
        return deployment.scenario.registry(deployment.deploys).get(plot.workflow_id).plan.first[0]

    def _send(self, command: Command, then: Callable[[Any], None] | None = None) -> None:
        """A client's process sends *command* until it has an answer; one that dies comes back."""
        self.commands += 1
        self.deployment.world.ledger.measures.commanded(command)
        name, world = f"client-{self.commands}", self.deployment.world
        if self.deployment.scenario.by_queue:
            self._enqueue(command, then)
            return
        process = self.deployment.start()

        def come_back() -> None:
            world.at(world.now + CRASHED_CLIENT_RETURNS_AFTER, lambda: self._send(command, then))

        def work() -> None:
            self._try(process, command, then)

        world.spawn(name, work, process.clock, on_crash=come_back, shared=_looks_after_many(command))

    def _enqueue(self, command: Command, then: Callable[[Any], None] | None) -> None:
        """Leave it to the queue. Nobody answers, but the run's id follows from its key."""
        self.deployment.world.jobs.enqueue(command)
        if then is not None and isinstance(command, CreateRun):
            then(RunCreated(run_id=run_id_for(command.workflow_id, str(command.idempotency_key))))
        elif then is not None:
            then(None)

    def _try(self, process: Process, command: Command, then: Callable[[Any], None] | None) -> None:
        world = self.deployment.world
        for tries in range(MOST_TRIES):
            try:
                result = process.kernel.dispatch(command)
            except WorkflowEngineError as error:
                if not error.retryable:
                    return
                world.sleep(timedelta(seconds=2**tries))
            except UnicodeError:
                return
            else:
                self._check_same(command, result)
                self._check_cancelled(command, result)
                if then is not None:
                    then(result)
                return

    def _check_cancelled(self, command: Command, result: object) -> None:
        """I8: what was too late for a cancel is over, or its end is decided."""
        world = self.deployment.world
        if isinstance(command, CancelRun) and isinstance(result, RunCancelled) and not result.cancelled:
            head = world.observer.heads[RunId(command.run_id)]
            # A cancel that was too late for the run before its rerun says so after it, too.
            newest = "rerun" in str(command.idempotency_key) or not world.observer.reruns[head.run_id]
            if newest and not head.status.is_terminal and not head.is_closing:
                world.fail(Violation(f"I8: run {head.run_id} is {head.status}, and was not cancelled"))

    def _check_same(self, command: Command, result: object) -> None:
        """I6: the same key and content get the first result again, and other content an error."""
        key = getattr(command, "idempotency_key", None)
        if key is None or isinstance(result, RunSignalled):
            return
        first_command, first = self._first_answers.setdefault(key, (command, result))
        said = f"I6: {command.type} answered {result} after it had answered {first}"
        if first_command != command:
            self.deployment.world.fail(Violation(f"{said} to other content under the same key"))
        elif first != result:
            self.deployment.world.fail(Violation(said))


def _looks_after_many(command: Command) -> bool:
    return not hasattr(command, "run_id") and not isinstance(command, CreateRun)
