"""The door to the engine: commands in, results out. No business rules: those are in the handlers."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast, overload

from workflow_engine.authoring.registry import Registry
from workflow_engine.errors import InvalidCommandError
from workflow_engine.kernel.execution.held_leases import LeaseName
from workflow_engine.kernel.handlers.table import handlers_over
from workflow_engine.kernel.invocation import COMMIT_MARGIN, FunctionTime, Invocation
from workflow_engine.kernel.parts import Parts, Ports
from workflow_engine.kernel.schedules import Schedules
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.kernel.submission import submit
from workflow_engine.kernel.sweep import MaintenanceTick
from workflow_engine.kernel.transitions import wakes
from workflow_engine.model.commands import Answered, Command, CommandModel, CreateRun, parse_command
from workflow_engine.model.commits import Committed, Extend, Shared
from workflow_engine.model.ids import RunId, digest
from workflow_engine.model.results import ResultModel, ResultT
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.clock import Clock, IdSource
from workflow_engine.ports.events import EventSink
from workflow_engine.ports.identity import RandomIds
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.ports.observer import NoObserver, Observer
from workflow_engine.ports.persistence import Persistence
from workflow_engine.ports.scheduler import Scheduler

if TYPE_CHECKING:
    from workflow_engine.kernel.queries.runs import Queries

# 65 bits: short, since every head carries it, and no two invocations of one run ever agree in it.
INVOCATION_ID_LENGTH = 13


class Kernel:
    """Executes commands over its ports. Keeps nothing of a run between two of them; thread-safe.

    ``dispatch`` and ``tick`` change runs, ``queries`` reads them, ``schedules`` keeps recurring starts.
    ``parts`` is what it is made of.
    """

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
        ports = Ports(
            persistence=persistence,
            blob_store=blob_store,
            job_transport=job_transport,
            event_sink=event_sink,
            scheduler=scheduler,
            clock=clock,
            ids=ids or RandomIds(),
            observer=observer or NoObserver(),
        )
        self.parts = Parts.of(ports, registry, settings or KernelSettings())
        self.clock = clock
        self.schedules = Schedules(scheduler, registry, persistence)
        self._handlers = handlers_over(self.parts)

    @property
    def registry(self) -> Registry:
        """The workflows and plugins that it knows."""
        return self.parts.registry

    @property
    def settings(self) -> KernelSettings:
        """As given, and with the events that plugins hear of published."""
        return self.parts.settings

    @cached_property
    def queries(self) -> "Queries":
        """What can be asked of runs. Loaded on demand: a function that runs jobs asks nothing."""
        from workflow_engine.kernel.queries.runs import Queries

        return Queries(
            persistence=self.parts.persistence,
            blobs=self.parts.blob_store,
            definitions=self.parts.definitions,
            due_shards=self.settings.due_shards,
        )

    @overload
    def dispatch(
        self,
        command: Answered[ResultT],
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
        delivered: bool = ...,
    ) -> ResultT: ...
    @overload
    def dispatch(
        self,
        command: Command | Mapping[str, Any] | str | bytes,
        *,
        deadline: datetime | None = ...,
        lease: timedelta | None = ...,
        time: FunctionTime | None = ...,
        delivered: bool = ...,
    ) -> ResultModel: ...
    def dispatch(
        self,
        command: Answered[Any] | Command | Mapping[str, Any] | str | bytes,
        *,
        deadline: datetime | None = None,
        lease: timedelta | None = None,
        time: FunctionTime | None = None,
        delivered: bool = False,
    ) -> ResultModel:
        """Execute *command* (a model, or the message that says it) and answer its result.

        Everything must be done by *deadline* (default: the settings' invocation from now on);
        leases end then, or after *lease* where the caller renews them (``heartbeats``). *time* is
        shared by the commands of one invocation of a function (default: this command has its own). A
        command that was *delivered* by the queue may take as long as stages do: a run that it creates is
        begun at once.

        Raises:
            InvalidCommandError: it is no command of the contract.
            WorkflowEngineError: as the handler says; ``retryable`` tells whether to come again.
        """
        if isinstance(command, Mapping | str | bytes):
            command = parse_command(command)
        handler = self._handlers.get(cast(type[CommandModel], type(command)))
        if handler is None:
            raise InvalidCommandError(problems=[f"{type(command).__name__} is no command"])
        invocation = self.invocation(deadline, lease, time)
        invocation.performs = delivered
        return handler(command, invocation)

    def submit(self, command: CreateRun | Mapping[str, Any] | str | bytes) -> RunId:
        """Send the queue a command that starts a run: one request, and the run's id is known at once.

        The command is validated here, and sized: what is above the queue's 1 MiB is dispatched instead.
        Without an idempotency key it gets one, which is in the message: delivered twice, it starts one
        run. The run is there once the message was handled: until then, reading it says that there is none.

        Raises:
            WorkflowNotFoundError, InvalidInputError, InvalidConfigError, PayloadTooLargeError: as
                ``dispatch`` says; nothing was sent.
            SubmissionError: the queue did not answer. It names the run and the key: with that key the same
                again starts the run once.
        """
        return submit(command, parts=self.parts, dispatch=self.dispatch)

    def tick(self, *, deadline: datetime | None = None) -> MaintenanceTick:
        """Look at every run that is due: the maintenance tick."""
        return self.parts.sweeper.tick(self.invocation(deadline))

    def hurry(self, *, on: bool) -> None:
        """Its host is to end: nothing waits for an answer any longer, until it is turned off again."""
        if on:
            self.parts.hurried.set()
        else:
            self.parts.hurried.clear()

    def heartbeats(self, until: datetime) -> list[Callable[[], bool]]:
        """One call for each lease held in this process: it moves the lease's end to *until*, and
        answers whether it still was ours. Each is for itself: one that raises says nothing of the others."""

        def renewed(lease: LeaseName) -> bool:
            commit = Shared(lease.run_id, lease.group, Extend(lease.ordinal, lease.epoch, until))
            outcome = self.parts.persistence.commit(commit)
            ours = isinstance(outcome, Committed)
            if not ours or (outcome.head is not None and wakes.awaits_its_end(outcome.head)):
                # Its stage hears of it at its next step, or when it asks.
                self.parts.held.lose(lease)
            return ours

        return [partial(renewed, lease) for lease in self.parts.held.all()]

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

    def give_back_leases(self) -> int:
        """Give back every lease held in this process, for a host that ends and cannot wait for their stages: others
        begin them again within about a minute, and no lost lease is counted. Answers how many.

        Raises:
            Exception: one could not be given back; all were tried, and this is the first one's error.
        """
        given, errors = 0, []
        for run_id, lease in self.parts.held.leases():
            try:
                head = self.parts.persistence.load_head(run_id)
                if head is not None:
                    self.parts.advancer.give_back(head, lease, self.invocation(), at_work=True)
                    given += 1
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return given

    def invocation(
        self, deadline: datetime | None = None, lease: timedelta | None = None, time: FunctionTime | None = None
    ) -> Invocation:
        """One more dispatch, under an id of its own."""
        now = self.clock.now()
        until = deadline or now + self.parts.settings.invocation
        # A digest of the whole id, since only as a whole is it another than all others.
        name = digest("invocation", self.parts.ids.new_id(), length=INVOCATION_ID_LENGTH)
        shared = time or FunctionTime(max(until - now, timedelta(0)))
        had_time = now + COMMIT_MARGIN < until
        settings, hurried = self.parts.settings, self.parts.hurried
        return Invocation(
            name,
            until,
            self.clock,
            settings,
            lease,
            had_time=had_time,
            time=shared,
            hurried=hurried,
            held=self.parts.held,
            ask=self.dispatch,
        )
