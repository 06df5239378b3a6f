"""What the engine needs from the outside: one Protocol each, whose docstring is the contract."""

from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.clock import Clock, IdSource
from workflow_engine.ports.events import EventSink, Refusal
from workflow_engine.ports.jobs import JobTransport
from workflow_engine.ports.observer import NoObserver, Observer
from workflow_engine.ports.persistence import DuePage, DueRun, Persistence, Rearm, RunPage
from workflow_engine.ports.scheduler import Scheduler

__all__ = [
    "BlobStore",
    "Clock",
    "DuePage",
    "DueRun",
    "EventSink",
    "IdSource",
    "JobTransport",
    "NoObserver",
    "Observer",
    "Persistence",
    "Rearm",
    "Refusal",
    "RunPage",
    "Scheduler",
]
