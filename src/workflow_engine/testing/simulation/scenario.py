"""What is simulated: which workflows, which runs of them, and what clients do to those runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from workflow_engine.authoring.plugins import Plugin
from workflow_engine.authoring.registry import Registry
from workflow_engine.authoring.workflow_definition import WorkflowDefinition
from workflow_engine.kernel import KernelSettings, published_types
from workflow_engine.model.runs import Head
from workflow_engine.model.status import Status
from workflow_engine.model.steps import StepRecord
from workflow_engine.ports.clock import Clock
from workflow_engine.testing.simulation.allowances import Allowance
from workflow_engine.testing.simulation.faults import FaultRates, Outage
from workflow_engine.testing.simulation.tasks import Stores

# When clients cancel, from the run's creation.
CANCELS = (timedelta(0), timedelta(seconds=1), timedelta(minutes=20))
# When clients rerun: while much still waits, when all is over, and when most timers are.
RERUNS = (timedelta(hours=3), timedelta(hours=8), timedelta(hours=30))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended, and what may explain it.

    *output* is the JSON of the last group's output, *signalled* says when each signal was kept.
    *lost_leases* is the most that one stage lost; *deployed* whether the workflows were replaced; *steps* are all
    that are stored.
    """

    head: Head
    output: bytes | None
    cancelled: bool
    reruns: int
    lost_leases: int
    deployed: bool
    signalled: Mapping[str, datetime]
    suspended_at: datetime | None = None
    steps: Sequence[StepRecord] = ()

    @property
    def error(self) -> str | None:
        """The class of the error that the run failed with."""
        return self.head.failure.error.type if self.head.failure else None


# All event types are published, so that the checks see as many of them as there can be.
_EVERYTHING = published_types(["*"])
Judge: TypeAlias = Callable[[Ended], str | None]


def must_complete(ended: Ended) -> str | None:
    """The usual verdict: COMPLETED, unless it was cancelled or its workers died too often."""
    if ended.head.status is Status.COMPLETED:
        return None
    if ended.head.status is Status.CANCELLED and ended.cancelled:
        return None
    if ended.error == "LeaseLostError" and ended.lost_leases > 5:
        return None
    return f"it is {ended.head.status} ({ended.error}), and should be COMPLETED"


@dataclass(frozen=True, slots=True)
class Signalling:
    """A client sends *name* at one of *after* (from the run's creation), or not at all if there is
    ``None`` among them."""

    name: str
    payload: Any
    after: Sequence[timedelta | None]


@dataclass(frozen=True, slots=True)
class Plot:
    """One kind of run. *judge* says what is wrong with how it ended, ``None`` where nothing is;
    *allowance* is the most that the run may cost.

    A rerun goes from *rerun_from*, at one of *reruns_after* (from the run's creation), with *rerun_input* where there is one, and *keep_steps*; with *signals_again* the
    signals are sent after it once more, under their old keys. A *rival* starts a run with that input
    under the same key: one of the two is refused. One that *undoes* takes something that is given back: clients may
    cancel it without undo, cancel it again, and ask for ``run.undo``. They cancel at one of *cancels_after*.
    """

    workflow_id: str
    input: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    start_after: timedelta | None = None
    signals: Sequence[Signalling] = ()
    cancel: bool = True
    cancels_after: Sequence[timedelta] = CANCELS
    undoes: bool = False
    rerun_from: str | None = None
    reruns_after: Sequence[timedelta] = RERUNS
    rerun_input: Mapping[str, Any] | None = None
    keep_steps: bool = False
    signals_again: bool = False
    rival: Mapping[str, Any] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    judge: Judge = must_complete
    allowance: Allowance = field(default_factory=Allowance)


@dataclass(frozen=True, slots=True)
class Scenario:
    """*runs* runs of *plots* (each drawn by the seed; ``None``: one of each), on *workers* job
    functions at once; more runs follow until a history has *least_steps* port calls and
    *least_faults*. Runs begin at odd moments, or one *every* so often. *deploys* replace the
    workflows one after another, in the middle; with *side_by_side* processes of the workflows before
    are started on as well.

    With a *lease* the workers are long-running processes of two threads each, which renew their
    leases. Clients send commands through the queue if *by_queue*, an invocation gets up to *batch*
    messages, and what has expired may vanish if *expires*. Stages run *in_threads* of their own, where they cannot be
    stopped, as those of workers and of inline groups. *plugins* hear of events, and to
    publish them takes *emit_takes*. A record that rides in a head takes *rider_bytes* of it at least, or two
    or three times as much, so that there is soon no room for it.
    """

    workflows: Sequence[WorkflowDefinition]
    plots: Sequence[Plot]
    runs: int | None = 6
    workers: int = 3
    deploys: Sequence[Sequence[WorkflowDefinition]] = ()
    outages: Sequence[Outage] = ()
    every: timedelta | None = None
    operators: int = 4
    least_steps: int = 200
    least_faults: int = 5
    settings: KernelSettings = field(default_factory=lambda: KernelSettings(due_shards=2, published=_EVERYTHING))
    rates: FaultRates = field(default_factory=FaultRates)
    stores: Callable[[Clock], Stores] | None = None
    lease: timedelta | None = None
    by_queue: bool = False
    batch: int = 1
    expires: bool = False
    side_by_side: bool = False
    in_threads: bool = False
    plugins: Sequence[Plugin] = ()
    emit_takes: timedelta = timedelta(0)
    rider_bytes: int = 120

    def registry(self, deploys: int) -> Registry:
        """The workflows after that many *deploys*."""
        return Registry([self.workflows, *self.deploys][deploys], plugins=self.plugins)
