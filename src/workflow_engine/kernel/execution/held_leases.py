"""The leases that this process holds right now, for the heartbeat of a worker host."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from workflow_engine.kernel.transitions import Lease
from workflow_engine.model.ids import RunId


@dataclass(frozen=True, slots=True)
class HeldLeases:
    """Leases by run; thread-safe."""

    _held: dict[tuple[RunId, int, int, int], None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def holding(self, run_id: RunId, lease: Lease) -> Iterator[None]:
        """List *lease* while the block runs."""
        key = (run_id, lease.group, lease.ordinal, lease.entry.epoch)
        with self._lock:
            self._held[key] = None
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(key, None)

    def all(self) -> list[tuple[RunId, int, int, int]]:
        """(run, group, ordinal, epoch) of each."""
        with self._lock:
            return list(self._held)
