"""What a kernel is made of: the ports it was given, and what works over them."""

import threading
from dataclasses import dataclass, field, fields, replace

from workflow_engine.authoring.registry import Registry
from workflow_engine.kernel.advance import Advancer
from workflow_engine.kernel.definitions import Definitions
from workflow_engine.kernel.execution.held_leases import HeldLeases
from workflow_engine.kernel.execution.keeper import Keeper
from workflow_engine.kernel.execution.recorder import Recorder
from workflow_engine.kernel.execution.together import Together
from workflow_engine.kernel.plugin_sink import PluginRunner
from workflow_engine.kernel.queries.archiver import Archiver
from workflow_engine.kernel.relief import Relief
from workflow_engine.kernel.rest import Rest
from workflow_engine.kernel.settings import KernelSettings
from workflow_engine.kernel.siblings import Siblings
from workflow_engine.kernel.sweep import Sweeper
from workflow_engine.kernel.teller import Teller
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.clock import Clock, IdSource
from workflow_engine.ports.events import EventSink
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.ports.observer import Observer
from workflow_engine.ports.persistence import Persistence
from workflow_engine.ports.scheduler import Scheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a kernel needs from outside."""

    persistence: Persistence
    blob_store: BlobStore
    job_transport: JobTransport
    event_sink: EventSink
    scheduler: Scheduler
    clock: Clock
    ids: IdSource
    observer: Observer


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Ports):
    """The ports, and what works over them. Of use to hosts and to tests of the engine; whoever has a
    kernel dispatches commands and asks ``queries``. *hurried* is set by a host that is to end: nothing
    waits for an answer any longer."""

    registry: Registry
    settings: KernelSettings
    held: HeldLeases
    teller: Teller
    definitions: Definitions
    rest: Rest
    advancer: Advancer
    sweeper: Sweeper
    hurried: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, ports: Ports, registry: Registry, settings: KernelSettings) -> "Parts":
        """What works over *ports* for the workflows and plugins of *registry*."""
        settings, held = _heard(settings, registry), HeldLeases()
        sink = PluginRunner.before(ports.event_sink, registry.plugins, settings.run_stage)
        ports = replace(ports, event_sink=sink)
        teller = Teller(
            persistence=ports.persistence,
            event_sink=sink,
            scheduler=ports.scheduler,
            job_transport=ports.job_transport,
            clock=ports.clock,
            observer=ports.observer,
        )
        definitions = Definitions(
            registry=registry, persistence=ports.persistence, blobs=ports.blob_store, clock=ports.clock
        )
        rest = _rest(ports, teller, definitions, settings)
        advancer = _advancer(ports, teller, definitions, rest, held=held, settings=settings)
        sweeper = Sweeper(
            persistence=ports.persistence, job_transport=ports.job_transport, advancer=advancer, settings=settings
        )
        return cls(
            **{one.name: getattr(ports, one.name) for one in fields(Ports)},
            registry=registry,
            settings=settings,
            held=held,
            teller=teller,
            definitions=definitions,
            rest=rest,
            advancer=advancer,
            sweeper=sweeper,
        )


def _rest(ports: Ports, teller: Teller, definitions: Definitions, settings: KernelSettings) -> Rest:
    archiver = None
    if settings.archive:
        archiver = Archiver(persistence=ports.persistence, blobs=ports.blob_store, definitions=definitions)
    return Rest(persistence=ports.persistence, teller=teller, observer=ports.observer, archiver=archiver)


def _advancer(
    ports: Ports, teller: Teller, definitions: Definitions, rest: Rest, *, held: HeldLeases, settings: KernelSettings
) -> Advancer:
    persistence, blobs, relief = ports.persistence, ports.blob_store, Relief(ports.persistence, teller)
    keeper = Keeper(
        persistence=persistence,
        teller=teller,
        recorder=Recorder(persistence, blobs, settings.retention, may_ride=settings.records_in_head),
        definitions=definitions,
        relief=relief,
    )
    together = Together(persistence=persistence, recorder=keeper.recorder, definitions=definitions, teller=teller)
    return Advancer(
        persistence=persistence,
        blobs=blobs,
        teller=teller,
        definitions=definitions,
        held=held,
        observer=ports.observer,
        keeper=keeper,
        relief=relief,
        rest=rest,
        siblings=Siblings(together=together, held=held, observer=ports.observer),
    )


def _heard(settings: KernelSettings, registry: Registry) -> KernelSettings:
    """The settings, with the events that plugins hear of published: one sequence serves all."""
    heard = {type_ for plugin in registry.plugins for type_ in plugin.event_types}
    return replace(settings, published=settings.published | heard) if heard else settings
