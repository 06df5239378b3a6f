"""Keeps a stack going: jobs from the queue, the tick, schedules. What Lambda, EventBridge and
EventBridge Scheduler do on AWS without being asked."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from workflow_engine.adapters.aws.errors import translating
from workflow_engine.errors import TransientError
from workflow_engine.local.functions import FunctionRunner
from workflow_engine.local.job_source import JobSource
from workflow_engine.local.template import Template
from workflow_engine.local.timers import SCHEDULE_TYPES, Rule, ScheduleFirer, soonest, until
from workflow_engine.ports.clock import Clock
from workflow_engine.wiring.aws import client

ASK_EVERY = timedelta(milliseconds=250)
# How long a stack may answer nothing at all.
PATIENCE = timedelta(minutes=1)
# Between two looks at an empty queue: more and more, since each costs a request.
SHORTEST_PAUSE, LONGEST_PAUSE = timedelta(milliseconds=20), timedelta(milliseconds=250)
# Asking for schedules costs a request; they are exact to a minute on AWS.
LOOK_AT_SCHEDULES_EVERY = timedelta(milliseconds=500)


class Driver:
    """Runs the functions of *template* whenever there is a reason to.

    With one worker, jobs run on the thread that drives (stage timeouts use the alarm signal, which
    only the main thread hears); with more, each has a thread of its own.
    """

    def __init__(self, template: Template, runner: FunctionRunner, clock: Clock, *, workers: int = 1) -> None:
        self.runner = runner
        self._clock, self._workers = clock, workers
        now = clock.now()
        self._sources: list[JobSource] = []
        self._rules: list[Rule] = []
        for function in template.functions():
            runner.load(function)
            for trigger in function.triggers:
                if str(trigger.properties.get("Enabled", True)).lower() == "false":
                    continue
                if trigger.type == "SQS":
                    self._sources.append(JobSource.of(client("sqs"), runner, function, trigger))
                elif trigger.type in SCHEDULE_TYPES:
                    self._rules.append(Rule(runner, function, trigger, created_at=now, last=now))
        self._firer = ScheduleFirer(
            scheduler=client("scheduler"),
            sqs=client("sqs"),
            place=runner.place,
            group_name=template.variables().get("SCHEDULE_GROUP_NAME", "default"),
            clock=clock,
            started_at=now,
        )
        self._look_at = now

    def drive(self, done: Callable[[], bool], stop: threading.Event | None = None) -> None:
        """Work until *done* or *stop* says so. *done* is asked whenever there is nothing to do, and
        every ``ASK_EVERY`` while there is: a question may cost a request.

        Raises:
            TransientError: nothing was answered for longer than ``PATIENCE``.
        """
        stop = stop or threading.Event()
        with self.runner.captured(), self._threads():
            asked_at, pause, answered_at = self._clock.now(), SHORTEST_PAUSE, self._clock.now()
            while not stop.is_set():
                try:
                    with translating("the local stack", "request"):
                        worked = self.step()
                        if worked and self._clock.now() < asked_at + ASK_EVERY:
                            continue
                        if done():
                            return
                except TransientError:
                    # A machine that is busy answers later than a client waits: no reason to leave a run alone.
                    if self._clock.now() > answered_at + PATIENCE:
                        raise
                    stop.wait(LONGEST_PAUSE.total_seconds())
                    continue
                asked_at = answered_at = self._clock.now()
                pause = SHORTEST_PAUSE if worked else min(pause * 2, LONGEST_PAUSE)
                if not worked:
                    stop.wait(self._until_rule(pause).total_seconds())

    def step(self) -> bool:
        """Do what is due now; whether there was anything."""
        now = self._clock.now()
        worked = sum(rule.fire_if_due(now) for rule in self._rules)
        if now >= self._look_at:
            self._look_at = now + LOOK_AT_SCHEDULES_EVERY
            worked += self._firer.fire_due(now)
        if self._workers == 1:
            worked += sum(source.poll() for source in self._sources)
        return worked > 0

    def tick(self) -> None:
        """Invoke what rules invoke, now."""
        for rule in self._rules:
            rule.fire(self._clock.now())

    def _until_rule(self, pause: timedelta) -> timedelta:
        return until(soonest(*(rule.next_at() for rule in self._rules)), self._clock.now(), at_most=pause)

    @contextmanager
    def _threads(self) -> Iterator[None]:
        if self._workers == 1:
            yield
            return
        over = threading.Event()
        threads = [
            threading.Thread(target=self._work, args=(source, over), name=f"worker-{number}", daemon=True)
            for source in self._sources
            for number in range(self._workers)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _work(self, source: JobSource, over: threading.Event) -> None:
        while not over.is_set():
            polled = 0
            with suppress(TransientError), translating("SQS", "ReceiveMessage"):
                polled = source.poll()
            if not polled:
                over.wait(LONGEST_PAUSE.total_seconds())
