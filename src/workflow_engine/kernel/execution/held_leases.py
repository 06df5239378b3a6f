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
    """Leases by run; thread-safe. One that is lost stays held until its stage is over."""

    _held: dict[LeaseName, "_Held"] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def holding(self, run_id: RunId, lease: Lease) -> Iterator[None]:
        """List *lease* while the block runs."""
        key = LeaseName(run_id, lease.group, lease.ordinal, lease.entry.epoch)
        with self._lock:
            self._held[key] = _Held(lease)
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(key, None)

    def lose(self, name: LeaseName) -> None:
        """The lease is ours no more: its run is over, or another has it."""
        with self._lock:
            held = self._held.get(name)
            if held is not None:
                held.is_lost = True

    def is_lost(self, name: LeaseName) -> bool:
        """Whether that has been heard."""
        held = self._held.get(name)
        return held is not None and held.is_lost

    def all(self) -> list[LeaseName]:
        """The name of each."""
        with self._lock:
            return list(self._held)

    def leases(self) -> list[tuple[RunId, Lease]]:
        """Each, with its run."""
        with self._lock:
            return [(name.run_id, held.lease) for name, held in self._held.items()]


@dataclass(slots=True)
class _Held:
    lease: Lease
    is_lost: bool = False
