"""A deployed stack as it is used: the real handlers, on the resources of template.yaml, in an embedded AWS."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import pytest
from typing_extensions import override

from tests.bundle.privileged import BIG, GO
from tests.bundle.recording import CrashError, Recorder, recording
from workflow_engine.adapters.system import RandomIds, SystemClock
from workflow_engine.local.embedded_aws import EmbeddedAws
from workflow_engine.local.functions import FunctionLog, FunctionRunner, Invocation
from workflow_engine.local.job_source import JobSource
from workflow_engine.local.template import Function
from workflow_engine.model.ids import run_id_for
from workflow_engine.ports.clock import Clock
from workflow_engine.wiring import aws as wiring

ROOT = Path(__file__).parents[2]
WORKFLOWS = "tests.bundle.privileged"
PARAMETERS = {
    "PublishEvents": "*",
    "DueShards": "2",
    "InvocationSeconds": "30",
}
# Beyond it, everything that is alive and unlooked at is due.
HORIZON = timedelta(seconds=30 + 60 + 1)


class SkippedTime(Clock):
    """The machine's clock, and what was skipped on it."""

    def __init__(self) -> None:
        self.skipped = timedelta(0)

    @override
    def now(self) -> datetime:
        return SystemClock().now() + self.skipped


@dataclass(slots=True)
class RecordedStack:
    """The stack, and who used what of AWS in it."""

    aws: EmbeddedAws
    recorder: Recorder
    clock: SkippedTime
    log: FunctionLog
    runner: FunctionRunner
    patch: pytest.MonkeyPatch
    keys: Iterator[int] = field(default_factory=lambda: iter(range(10_000)))

    def function(self, name: str) -> Function:
        return next(one for one in self.aws.template.functions() if one.logical_id == name)

    def invoke(self, name: str, event: Any) -> Invocation:
        self.recorder.function = name
        try:
            invocation = self.runner.invoke(self.function(name), event)
        finally:
            self.recorder.function = None
        # A planned crash is an error of a record, not of the handler, or of a tick.
        assert invocation.error is None or isinstance(invocation.error, CrashError), invocation.error
        return invocation

    def send(self, **command: Any) -> None:
        """A message of a client's, and all that follows from it at once."""
        self.send_text(json.dumps(command))

    def send_text(self, body: str) -> None:
        """A message that may be no command."""
        wiring.client("sqs").send_message(QueueUrl=self.queue_url, MessageBody=body)
        self.work()

    @property
    def queue_url(self) -> str:
        return self.aws.template.variables()["JOB_QUEUE_URL"]

    def work(self) -> None:
        """Handle messages until there is none that is visible."""
        function = self.function("JobFunction")
        (trigger,) = function.triggers
        source = JobSource.of(wiring.client("sqs"), self._recorded_runner(), function, trigger)
        while source.poll():
            pass

    def _recorded_runner(self) -> Any:
        stack = self

        class Recorded:
            place = stack.runner.place

            def invoke(self, function: Function, event: Any) -> Invocation:
                return stack.invoke(function.logical_id, event)

        return Recorded()

    def tick(self, *, after: timedelta = HORIZON) -> None:
        """Let time pass, and have what is due looked at."""
        self.clock.skipped += after
        event = json.loads((ROOT / "events" / "maintenance-tick.json").read_text())
        self.invoke("TickFunction", event)

    def create(self, workflow_id: str, **fields: Any) -> str:
        key = f"run-{next(self.keys)}"
        self.send(type="run.create", workflow_id=workflow_id, input={"text": "x"}, idempotency_key=key, **fields)
        return run_id_for(workflow_id, key)

    def deploy(self, attribute: str) -> None:
        """Put other code in the functions."""
        self.patch.setenv("WORKFLOWS", f"{WORKFLOWS}:{attribute}")
        wiring.kernel_of_process.cache_clear()


@contextmanager
def recorded_stack(
    workflows: str = f"{WORKFLOWS}:registry", *, copy_to: TextIO | None = None, **parameters: str
) -> Iterator[RecordedStack]:
    """A stack of its own, for as long as it is entered. What the functions print goes to *copy_to*, too; *parameters* are
    the template's."""
    clock, log = SkippedTime(), FunctionLog(copy_to)
    parameters = {**PARAMETERS, **parameters, "Workflows": workflows}
    with EmbeddedAws(ROOT / "template.yaml", overrides=parameters) as aws, pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "SystemClock", lambda: clock)
        place = aws.template.place
        recorder = Recorder(place)
        runner = FunctionRunner(place=place, ids=RandomIds(), clock=clock, log=log)
        for function in aws.template.functions():
            runner.load(function)
        _speak_as_deployed(aws, log, patch)
        with recording(recorder), warnings.catch_warnings():
            # Powertools warns of an invocation that counted nothing, which would be an error here.
            warnings.filterwarnings("ignore", message="No application metrics")
            yield RecordedStack(aws, recorder, clock, log, runner, patch)


def _speak_as_deployed(aws: EmbeddedAws, log: FunctionLog, patch: pytest.MonkeyPatch) -> None:
    """Powertools keeps the stream and the names that it found when its module was imported, maybe by another test,
    and what another test counted without writing it."""
    from workflow_engine.adapters.aws.powertools import logger, metrics

    metrics.clear_metrics()
    patch.setattr(logger.registered_handler, "stream", log)
    variables = aws.template.variables()
    patch.setattr(metrics.provider, "namespace", variables["POWERTOOLS_METRICS_NAMESPACE"])
    patch.setattr(metrics.provider, "service", variables["POWERTOOLS_SERVICE_NAME"])


def use_everything(stack: RecordedStack) -> None:
    """Everything that users, schedules and accidents make the functions do."""
    _runs(stack)
    _waits(stack)
    _refused_events(stack)
    _ticks(stack)
    _sweeps(stack)


def _runs(stack: RecordedStack) -> None:
    run_id = stack.create("chain", attributes={"long": BIG[:10_000]})
    stack.send(type="run.rerun_from", run_id=run_id, from_stage_id="store", idempotency_key="again")
    stack.create("fan")
    stack.send(type="run.annotate", run_id=run_id, key="seen", value=True)
    # A message that cannot work is a dead letter; one that may work later comes again after seconds.
    stack.send(type="run.transition", run_id="nobody")
    stack.send(type="run.cancel", run_id="nobody")
    stack.send(type="run.nonsense")


def _waits(stack: RecordedStack) -> None:
    signalled = stack.create("approval")
    stack.send(type="run.signal", run_id=signalled, name=GO, payload={}, idempotency_key="once")
    stack.send(type="run.cancel", run_id=stack.create("approval"), idempotency_key="cancelled")
    # A deploy while a run waits: what it was started with is read back and compared.
    waiting = stack.create("approval")
    stack.deploy("after_a_deploy")
    stack.tick(after=timedelta(hours=2))
    stack.send(type="run.transition", run_id=waiting)
    stack.deploy("registry")


def _refused_events(stack: RecordedStack) -> None:
    """Five refusals make a dead letter; what is more than the head should hold lies beside it meanwhile."""
    chatty = stack.create("chatty")
    stack.recorder.refuse_events = True
    refused = [chatty, stack.create("chatty"), stack.create("chatty")]
    for _ in range(7):
        for run_id in refused:
            stack.send(type="run.transition", run_id=run_id)
    stack.recorder.refuse_events = False
    for run_id in refused:
        stack.send(type="run.transition", run_id=run_id)
    stack.send(type="plugin.replay_dlq")


def _ticks(stack: RecordedStack) -> None:
    # The bus refuses while nobody but the tick looks.
    stack.recorder.refuse_events = True
    stack.create("chatty")
    for _ in range(8):
        stack.tick()
    stack.recorder.refuse_events = False
    stack.tick()
    # A worker dies right after it has ended a run that has a timer.
    cancelled = stack.create("approval")
    stack.recorder.crash_at = "PutEvents"
    stack.send(type="run.cancel", run_id=cancelled)
    stack.tick()
    # One dies before it has archived a run, if runs are archived: the tick does it.
    stack.recorder.crash_at = "PutObject archive/"
    stack.create("chain")
    stack.recorder.crash_at = None
    stack.tick()
    # Jobs that were lost: one, and several at once.
    stack.recorder.crash_at = "SendMessage"
    stack.create("chain")
    stack.tick()
    stack.recorder.crash_at = "SendMessageBatch"
    stack.create("fan")
    stack.tick()
    stack.work()


def _sweeps(stack: RecordedStack) -> None:
    stack.send(type="run.claim_pending", worker_id="somebody")
    stack.send(type="stage.poll_suspended")
    stack.send(type="lease.reap_stale")
    stack.send(type="run.reap_stuck")
    stack.send(type="outbox.flush")
