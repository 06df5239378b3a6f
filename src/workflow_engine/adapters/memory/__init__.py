"""Every port in the memory of one process."""

from workflow_engine.adapters.memory.blobs import MemoryBlobStore
from workflow_engine.adapters.memory.events import MemoryEventSink
from workflow_engine.adapters.memory.jobs import MemoryJobTransport
from workflow_engine.adapters.memory.persistence import MemoryPersistence
from workflow_engine.adapters.memory.scheduler import MemoryScheduler

__all__ = [
    "MemoryBlobStore",
    "MemoryEventSink",
    "MemoryJobTransport",
    "MemoryPersistence",
    "MemoryScheduler",
]
