"""Command → handler. No business rules: those are in the handlers and the transitions."""

import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from pydantic import BaseModel

from workflow_engine.authoring.registry import Registry
from workflow_engine.errors import InvalidCommandError
from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.archiving import Archiver
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.execution.held_leases import HeldLeases
from workflow_engine.kernel.execution.keeper import Keeper
from workflow_engine.kernel.execution.recorder import Recorder
from workflow_engine.kernel.handlers.annotate_run import annotate_run
from workflow_engine.kernel.handlers.cancel_run import cancel_run
from workflow_engine.kernel.handlers.claim_pending_runs import claim_pending_runs
from workflow_engine.kernel.handlers.create_run import create_run
from workflow_engine.kernel.handlers.execute_job import execute_job
from workflow_engine.kernel.handlers.flush_outbox import flush_outbox
from workflow_engine.kernel.handlers.poll_suspended_stages import poll_suspended_stages
from workflow_engine.kernel.handlers.reap_stale_leases import reap_stale_leases
from workflow_engine.kernel.handlers.reap_stuck_runs import reap_stuck_runs
from workflow_engine.kernel.handlers.replay_dead_letters import replay_dead_letters
from workflow_engine.kernel.handlers.rerun_from import rerun_from
from workflow_engine.kernel.handlers.signal_run import signal_run
from workflow_engine.kernel.handlers.transition_run import transition_run
from workflow_engine.kernel.invocation import COMMIT_MARGIN, FunctionTime, Invocation
from workflow_engine.kernel.plugin_sink import PluginRunner
from workflow_engine.kernel.relief import Relief
from workflow_engine.kernel.rest import Rest
from workflow_engine.kernel.schedules import Schedules
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.kernel.sweep import SweepCounts, Sweeper
from workflow_engine.kernel.teller import Teller
from workflow_engine.model import commands, results
from workflow_engine.model.commands import Command, parse_command
from workflow_engine.model.commits import Committed, Extend, Shared
from workflow_engine.model.ids import RunId, digest
from workflow_engine.model.results import Result
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.clock import Clock, IdSource
from workflow_engine.ports.events import EventSink
from workflow_engine.ports.identity import RandomIds
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.ports.observer import NoObserver, Observer
from workflow_engine.ports.persistence import Persistence
from workflow_engine.ports.scheduler import Scheduler

# 65 bits: short, since every head carries it, and no two invocations of one run ever agree in it.
INVOCATION_ID_LENGTH = 13
if TYPE_CHECKING:
    from workflow_engine.kernel.queries import Queries

Handler: TypeAlias = Callable[[Any, Invocation], Result]
HANDLERS: Mapping[type[BaseModel], Callable[..., Result]] = {
    commands.CreateRun: create_run,
    commands.ClaimPendingRuns: claim_pending_runs,
    commands.TransitionRun: transition_run,
    commands.CancelRun: cancel_run,
    commands.RerunFrom: rerun_from,
    commands.SignalRun: signal_run,
    commands.AnnotateRun: annotate_run,
    commands.ReapStuckRuns: reap_stuck_runs,
    commands.ExecuteJob: execute_job,
    commands.PollSuspendedStages: poll_suspended_stages,
    commands.ReapStaleLeases: reap_stale_leases,
    commands.FlushOutbox: flush_outbox,
    commands.ReplayDeadLetters: replay_dead_letters,
}


@cache
def _wanted(handler: Callable[..., Result]) -> tuple[str, ...]:
    """The ports and services that *handler* takes. Remembered, since reading a dozen signatures
    takes longer than the rest of what makes a kernel."""
    parameters = inspect.signature(handler).parameters.values()
    return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)


class Kernel:
    """Executes commands over its ports. Keeps nothing of a run between two of them; thread-safe."""

    def __init__(
        self,
        *,
        persistence: Persistence,
        blob_store: BlobStore,
        job_transport: JobTransport,
        event_sink: EventSink,
        scheduler: Scheduler,
        clock: Clock,
        registry: Registry,
        ids: IdSource | None = None,
        settings: KernelSettings | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.persistence, self.blob_store = persistence, blob_store
        if registry.plugins:
            run = (settings or KernelSettings()).run_stage
            event_sink = PluginRunner(registry.plugins, event_sink, run)
        self.job_transport, self.event_sink = job_transport, event_sink
        self.scheduler, self.clock, self.registry = scheduler, clock, registry
        self.ids = ids or RandomIds()
        self.settings = _heard(settings or KernelSettings(), registry)
        self.observer = observer or NoObserver()
        self.held = HeldLeases()
        # Set by a host that is to end: nothing waits for an answer any longer.
        self.hurried = threading.Event()
        self.teller = Teller(persistence, event_sink, scheduler, job_transport, clock, self.observer)
        self.definitions = Definitions(registry, persistence, blob_store, clock)
        recorder = Recorder(persistence, blob_store, self.settings.retention)
        relief = Relief(persistence, self.teller)
        keeper = Keeper(persistence, self.teller, recorder, self.definitions, relief)
        archiver = Archiver(persistence, blob_store, self.definitions) if self.settings.archive else None
        self.rest = Rest(persistence=persistence, teller=self.teller, observer=self.observer, archiver=archiver)
        self.advancer = Advancer(
            persistence=persistence,
            blobs=blob_store,
            teller=self.teller,
            definitions=self.definitions,
            held=self.held,
            observer=self.observer,
            keeper=keeper,
            relief=relief,
            rest=self.rest,
        )
        self.sweeper = Sweeper(persistence, job_transport, self.advancer, self.settings)
        self.schedules = Schedules(scheduler, registry, persistence)
        self._handlers = {kind: self._bound(handler) for kind, handler in HANDLERS.items()}

    @cached_property
    def queries(self) -> "Queries":
        """What can be asked of runs. Loaded on demand: a function that runs jobs asks nothing."""
        from workflow_engine.kernel.queries import Queries

        return Queries(self.persistence, self.blob_store, self.definitions)

    def _bound(self, handler: Callable[..., Result]) -> Handler:
        """*handler* with the ports and services that its keyword parameters name."""
        return partial(handler, **{name: getattr(self, name) for name in _wanted(handler)})

    @overload
    def dispatch(
        self,
        command: commands.CreateRun,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
    ) -> results.RunCreated: ...
    @overload
    def dispatch(
        self,
        command: commands.ClaimPendingRuns,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
    ) -> results.PendingRunsClaimed: ...
    @overload
    def dispatch(
        self,
        command: commands.TransitionRun,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
    ) -> results.RunTransitioned: ...
    @overload
    def dispatch(
        self,
        command: commands.CancelRun,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
    ) -> results.RunCancelled: ...
    @overload
    def dispatch(
        self,
        command: commands.RerunFrom,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
    ) -> results.RunRerun: ...
    @overload
    def dispatch(
        self,
        command: commands.SignalRun,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
    ) -> results.RunSignalled: ...
    @overload
    def dispatch(
        self,
        command: commands.AnnotateRun,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
    ) -> results.RunAnnotated: ...
    @overload
    def dispatch(
        self,
        command: commands.ReapStuckRuns,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
    ) -> results.StuckRunsReaped: ...
    @overload
    def dispatch(
        self,
        command: commands.ExecuteJob,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
    ) -> results.JobExecuted: ...
    @overload
    def dispatch(
        self,
        command: commands.PollSuspendedStages,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
    ) -> results.SuspendedStagesPolled: ...
    @overload
    def dispatch(
        self,
        command: commands.ReapStaleLeases,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
    ) -> results.StaleLeasesReaped: ...
    @overload
    def dispatch(
        self,
        command: commands.FlushOutbox,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
    ) -> results.OutboxFlushed: ...
    @overload
    def dispatch(
        self,
        command: commands.ReplayDeadLetters,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
    ) -> results.DeadLettersReplayed: ...
    @overload
    def dispatch(
        self,
        command: Command | Mapping[str, Any] | str | bytes,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
    ) -> Result: ...
    def dispatch(
        self,
        command: Command | Mapping[str, Any] | str | bytes,
        *,
        deadline: datetime | None = None,
        lease: timedelta | None = None,
        time: FunctionTime | None = None,
    ) -> Result:
        """Execute *command* (a model, or the message that says it) and answer its result.

        Everything must be done by *deadline* (default: the settings' invocation from now on);
        leases end then, or after *lease* where the caller renews them (``heartbeats``). *time* is
        shared by the commands of one invocation of a function (default: this command has its own).

        Raises:
            InvalidCommandError: it is no command of the contract.
            WorkflowEngineError: as the handler says; ``retryable`` tells whether to come again.
        """
        if isinstance(command, Mapping | str | bytes):
            command = parse_command(command)
        handler = self._handlers.get(type(command))
        if handler is None:
            raise InvalidCommandError(problems=[f"{type(command).__name__} is no command"])
        return handler(command, self.invocation(deadline, lease, time))

    def tick(self, *, deadline: datetime | None = None) -> SweepCounts:
        """Look at every run that is due: the maintenance tick."""
        return self.sweeper.tick(self.invocation(deadline))

    def heartbeats(self, until: datetime) -> list[Callable[[], bool]]:
        """One call for each lease held in this process: it moves the lease's end to *until*, and
        answers whether it still was ours. Each is for itself: one that raises says nothing of the others."""

        def renewed(run_id: RunId, group: int, ordinal: int, epoch: int) -> bool:
            commit = Shared(run_id, group, Extend(ordinal, epoch, until))
            return isinstance(self.persistence.commit(commit), Committed)

        return [partial(renewed, *lease) for lease in self.held.all()]

    def extend_leases(self, until: datetime) -> int:
        """Move the end of every lease held in this process to *until*, one after the other. Answers
        how many still were ours.

        Raises:
            Exception: one did not answer; all were tried, and this is the first one's error.
        """
        renewed, errors = 0, []
        for heartbeat in self.heartbeats(until):
            try:
                renewed += heartbeat()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return renewed

    def invocation(
        self, deadline: datetime | None = None, lease: timedelta | None = None, time: FunctionTime | None = None
    ) -> Invocation:
        """One more dispatch, under an id of its own."""
        now = self.clock.now()
        until = deadline or now + self.settings.invocation
        # A digest of the whole id, since only as a whole is it another than all others.
        name = digest("invocation", self.ids.new_id(), length=INVOCATION_ID_LENGTH)
        shared = time or FunctionTime(max(until - now, timedelta(0)))
        had_time = now + COMMIT_MARGIN < until
        return Invocation(
            name, until, self.clock, self.settings, lease, had_time=had_time, time=shared, hurried=self.hurried
        )


def _heard(settings: KernelSettings, registry: Registry) -> KernelSettings:
    """The settings, with the events that plugins hear of published: one sequence serves all."""
    heard = {type_ for plugin in registry.plugins for type_ in plugin.event_types}
    return replace(settings, published=settings.published | heard) if heard else settings
