"""The leases that this process holds right now, for the heartbeat of a worker host."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from workflow_engine.kernel.transitions import Lease
from workflow_engine.model.ids import RunId


class LeaseName(NamedTuple):
    """Which lease it is: no two are called the same."""

    run_id: RunId
    group: int
    ordinal: int
    epoch: int


@dataclass(frozen=True, slots=True)
class HeldLeases:
    """Leases by run; thread-safe."""

    _held: dict[LeaseName, None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def holding(self, run_id: RunId, lease: Lease) -> Iterator[None]:
        """List *lease* while the block runs."""
        key = LeaseName(run_id, lease.group, lease.ordinal, lease.entry.epoch)
        with self._lock:
            self._held[key] = None
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(key, None)

    def all(self) -> list[LeaseName]:
        """The name of each."""
        with self._lock:
            return list(self._held)
