"""A whole engine in virtual time, for tests of workflows: nothing waits, and every wait is kept.

When there is nothing to do at this moment, the clock moves to the next thing that is due. The
workflows, the kernel and the adapters are the real ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json
from typing_extensions import override

from workflow_engine.adapters.memory import (
    MemoryBlobStore,
    MemoryEventSink,
    MemoryJobTransport,
    MemoryPersistence,
    MemoryScheduler,
)
from workflow_engine.authoring import Plugin, Registry, WorkflowDefinition
from workflow_engine.errors import PermanentError, RunNotFoundError
from workflow_engine.hosts import RunOutcome, ServerlessHost
from workflow_engine.kernel import Kernel, KernelSettings, records
from workflow_engine.kernel.patience import pause_for_real
from workflow_engine.kernel.transitions.wakes import awaited_signals
from workflow_engine.model.commands import CreateRun, SignalRun
from workflow_engine.model.events import RunEvent
from workflow_engine.model.ids import RunId
from workflow_engine.model.payloads import ErrorInfo
from workflow_engine.model.results import RunSignalled
from workflow_engine.model.runs import Entry, EntryState, Head, StageRecord, WaitKind
from workflow_engine.model.status import Status
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.clock import IdSource
from workflow_engine.ports.events import EventSink, Refusal
from workflow_engine.ports.observer import Observer
from workflow_engine.ports.persistence import Persistence
from workflow_engine.testing.clock import FakeClock, SequentialIds

# A workflow of any use comes to rest long before; one that polls for ever must not hang its test.
MAX_MOVES = 10_000
A_LONG_TIME = timedelta(days=36_500)
# The tick comes once a minute; messages and timers come before it.
TICK_EVERY = timedelta(minutes=1)


class KeptEvents(EventSink):
    """Publishes through *sink* and keeps what it accepted, in order, repeats included."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self.accepted: list[RunEvent] = []

    @override
    def emit(self, events: Sequence[RunEvent]) -> Sequence[Refusal | None]:
        answers = self._sink.emit(events)
        self.accepted += [event for event, answer in zip(events, answers, strict=True) if answer is None]
        return answers


class VirtualEngine:
    """Runs workflows in the time of *clock*, as fast as they go.

    Queue and timers are in memory, since their time is virtual. Everything else may be another
    adapter; by default it is in memory, too. What is public may be replaced; the next ``deploy``
    takes it into the kernel.
    """

    def __init__(
        self,
        *workflows: WorkflowDefinition,
        clock: FakeClock | None = None,
        persistence: Persistence | None = None,
        blob_store: BlobStore | None = None,
        event_sink: EventSink | None = None,
        ids: IdSource | None = None,
        settings: KernelSettings | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.clock = clock or FakeClock()
        self.ids = ids or SequentialIds()
        self.persistence = persistence or MemoryPersistence(self.clock)
        self.blob_store = blob_store or MemoryBlobStore()
        self.job_transport = MemoryJobTransport(self.clock)
        self.scheduler = MemoryScheduler(self.clock, self.job_transport)
        self.event_sink = KeptEvents(event_sink or MemoryEventSink())
        self.settings = settings or KernelSettings()
        self.observer = observer
        self._workflows: dict[tuple[str, int], WorkflowDefinition] = {}
        self._plugins: tuple[Plugin, ...] = ()
        self._runs: list[VirtualRun] = []
        self._steps: dict[str, _Steps] = {}
        self.deploy(*workflows)

    @property
    def events(self) -> list[RunEvent]:
        """All events that were accepted, in order, repeats included."""
        return list(self.event_sink.accepted)

    def deploy(self, *workflows: WorkflowDefinition, plugins: Sequence[Plugin] | None = None) -> None:
        """Put *workflows* in the place of all that are there, as a deploy does: runs in flight
        go on with them, or fail with ``DefinitionChangedError``. *plugins* stay unless given."""
        self._plugins = self._plugins if plugins is None else tuple(plugins)
        registry = Registry(workflows, plugins=self._plugins)
        self._workflows = {(workflow.id, workflow.version): workflow for workflow in workflows}
        self.kernel = Kernel(
            persistence=self.persistence,
            blob_store=self.blob_store,
            job_transport=self.job_transport,
            event_sink=self.event_sink,
            scheduler=self.scheduler,
            clock=self.clock,
            registry=registry,
            ids=self.ids,
            settings=self._in_virtual_time(),
            observer=self.observer,
        )
        self.host = ServerlessHost(self.kernel, self.job_transport, "virtual")

    def _in_virtual_time(self) -> KernelSettings:
        settings = replace(self.settings, run_step=self._run_step)
        return replace(settings, pause=self.clock.advance) if settings.pause is pause_for_real else settings

    def _run_step(self, call: Callable[[], Any], run_id: str, stage_id: str, name: str, /) -> Any:
        known = self._steps.get(run_id)
        if known is None:
            return self.settings.run_step(call, run_id, stage_id, name)
        if name == known.fails:
            raise PermanentError(f"step {name!r} was to fail")
        return known.results[name] if name in known.results else self.settings.run_step(call, run_id, stage_id, name)

    def start(
        self,
        workflow: WorkflowDefinition,
        input: BaseModel | Mapping[str, Any],
        *,
        steps: Mapping[str, Any] | None = None,
        fail_step: str | None = None,
        **options: Any,
    ) -> "VirtualRun":
        """Create a run and do nothing more. *options* are fields of ``CreateRun``. A workflow that
        is not there yet is deployed beside the others. *steps* has what steps of that name answer, in the place
        of their functions, and the step *fail_step* fails for good.

        Raises:
            WorkflowEngineError: as ``run.create`` says.
        """
        if self._workflows.get((workflow.id, workflow.version)) is not workflow:
            others = {**self._workflows, (workflow.id, workflow.version): workflow}
            self.deploy(*others.values())
        given: Any = input
        command = CreateRun(workflow_id=workflow.id, input=given, **options)
        run = VirtualRun(self, RunId(self.kernel.dispatch(command).run_id))
        if steps or fail_step:
            self._steps[run.id] = _Steps(dict(steps or {}), fail_step)
        self._runs.append(run)
        return run

    def run(self, workflow: WorkflowDefinition, input: BaseModel | Mapping[str, Any], **options: Any) -> "VirtualRun":
        """Create a run as ``start`` does, with its options, and go on until it is over or waits for a signal."""
        run = self.start(workflow, input, **options)
        self.drive(run)
        return run

    def signal(
        self,
        run: "VirtualRun",
        name: str,
        payload: BaseModel | Any = None,
        *,
        idempotency_key: str | None = None,
    ) -> RunSignalled:
        """Send *run* a signal, and go on until it is over or waits for another.

        Raises:
            WorkflowEngineError: as ``run.signal`` says.
        """
        given: Any = payload
        command = SignalRun(run_id=run.id, name=name, payload=given, idempotency_key=idempotency_key)
        result = self.kernel.dispatch(command)
        self.drive(run)
        return result

    def drive(self, *runs: "VirtualRun") -> None:
        """Go on, moving the clock, until *runs* (default: all that were started) are over or wait
        for nothing but a signal.

        Raises:
            RuntimeError: they did not come to rest.
        """
        wanted = runs or tuple(self._runs)
        for _ in range(MAX_MOVES):
            self.work()
            restless = [run for run in wanted if not run.is_at_rest]
            if not restless:
                return
            if not self._move(self.clock.now() + A_LONG_TIME):
                raise RuntimeError(f"nothing is due, and {restless} are not at rest")
        raise RuntimeError(f"after {MAX_MOVES} moves of the clock these are not at rest: {restless}")

    def advance(self, duration: timedelta) -> None:
        """Let *duration* pass, and do what becomes due on the way, each thing at its time."""
        end = self.clock.now() + duration
        self.work()
        for _ in range(MAX_MOVES):
            if not self._move(end):
                self.clock.set(max(end, self.clock.now()))
                self.work()
                return
            self.work()
        raise RuntimeError(f"{MAX_MOVES} things became due, and {end} is not there yet")

    def work(self) -> None:
        """Do all there is to do now: timers, jobs, and what a maintenance tick finds. The clock
        stands still."""
        while True:
            fired = self.scheduler.fire_due()
            processed = self.host.process_available_jobs(max_jobs=MAX_MOVES).processed
            looked_at = self.host.run_maintenance_tick().looked_at
            if not (fired or processed or looked_at):
                return

    def _move(self, latest: datetime) -> bool:
        """Move the clock to what is due next; ``False`` if that is nothing, or after *latest*."""
        now, next_at = self.clock.now(), self._next_due()
        if next_at is None or next_at > latest:
            return False
        # What is overdue and could not be done needs another moment.
        self.clock.set(next_at if next_at > now else now + timedelta(seconds=1))
        return True

    def _next_due(self) -> datetime | None:
        times = [self.job_transport.next_visible_at(), self.scheduler.next_fire_at()]
        until = self.clock.now() + A_LONG_TIME
        for shard in range(self.settings.due_shards):
            page = self.persistence.list_due(shard, until=until, limit=1)
            times += [run.due_at + TICK_EVERY for run in page.runs]
        return min((at for at in times if at is not None), default=None)


@dataclass(frozen=True, slots=True)
class _Steps:
    results: Mapping[str, Any]
    fails: str | None


@dataclass(frozen=True, slots=True, repr=False)
class VirtualRun:
    """A run in a virtual engine. Everything is read when it is asked for."""

    engine: VirtualEngine
    id: RunId

    @override
    def __repr__(self) -> str:
        return f"<run {self.id}: {self.status}>"

    @property
    def head(self) -> Head:
        """Where the run stands, as it is stored."""
        head = self.engine.persistence.load_head(self.id)
        if head is None:
            raise RunNotFoundError(run_id=self.id)
        return head

    @property
    def status(self) -> Status:
        """The status of the run."""
        return self.head.status

    @property
    def outcome(self) -> RunOutcome:
        """Status, output and error together."""
        return self.engine.kernel.queries.outcome(self.head)

    @property
    def output(self) -> Any:
        """What the last stage (or group) answered, as JSON values; ``None`` before the end."""
        output = self.outcome.output
        return None if output is None else from_json(output)

    @property
    def error(self) -> ErrorInfo | None:
        """Why the run failed, if it did."""
        return self.outcome.error

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """The names of the signals that the run waits for."""
        head = self.head
        if head.status.is_terminal or head.is_closing:
            return ()
        return tuple(entry.signal for entry in _awaiting(head) if entry.signal)

    @property
    def is_at_rest(self) -> bool:
        """Whether the run is over, or goes on by a signal only."""
        head = self.head
        open_entries = [entry for entry in head.active if entry.state not in (EntryState.DONE, EntryState.SKIPPED)]
        waits = bool(open_entries) and len(_awaiting(head)) == len(open_entries)
        return head.status.is_terminal or (waits and not head.is_closing)

    @property
    def events(self) -> list[RunEvent]:
        """The run's events that were accepted, in order, repeats included."""
        return [event for event in self.engine.events if event.run_id == self.id]

    @property
    def records(self) -> Sequence[StageRecord]:
        """The attempts that ended, by group, stage and lease, those of ghosts included."""
        return records.listed(self.head, self.engine.persistence)


def _awaiting(head: Head) -> list[Entry]:
    """The stages that wait for a signal that has not come."""
    come = awaited_signals(head)
    return [
        entry
        for ordinal, entry in enumerate(head.active)
        if entry.state is EntryState.WAITING and entry.wait is WaitKind.SIGNAL and ordinal not in come
    ]
