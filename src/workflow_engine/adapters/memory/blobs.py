"""Blobs in the memory of this process."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

from typing_extensions import override

from workflow_engine.errors import BlobNotFoundError
from workflow_engine.model.blob_keys import check_size, key_bytes
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.clock import Clock


class MemoryBlobStore(BlobStore):
    """Keeps blobs in a dictionary. Threads may share it.

    With *lifetime* a blob is gone so long after it was put or renewed, as *clock* tells it.
    """

    def __init__(self, clock: Clock | None = None, *, lifetime: timedelta | None = None) -> None:
        self._lock = threading.Lock()
        self._blobs: dict[bytes, bytes] = {}
        self._ends: dict[bytes, datetime] = {}
        self._clock, self._lifetime = clock, lifetime

    @override
    def put(self, key: str, data: bytes) -> None:
        name = key_bytes(key)
        check_size(key, data)
        with self._lock:
            self._blobs[name] = bytes(data)
            self._live_on(name)

    @override
    def get(self, key: str) -> bytes:
        name = key_bytes(key)
        with self._lock:
            data = self._blobs[name] if self._is_there(name) else None
        if data is None:
            raise BlobNotFoundError(key=key)
        return data

    @override
    def has(self, key: str) -> bool:
        name = key_bytes(key)
        with self._lock:
            return self._is_there(name)

    @override
    def renew(self, key: str) -> None:
        name = key_bytes(key)
        with self._lock:
            if not self._is_there(name):
                raise BlobNotFoundError(key=key)
            self._live_on(name)

    @override
    def delete(self, key: str) -> None:
        name = key_bytes(key)
        with self._lock:
            self._blobs.pop(name, None)
            self._ends.pop(name, None)

    @override
    def list(self, prefix: str) -> Iterator[str]:
        wanted = prefix.encode()
        with self._lock:
            found = sorted(name for name in self._blobs if name.startswith(wanted) and self._is_there(name))
        return (name.decode() for name in found)

    def _live_on(self, name: bytes) -> None:
        if self._clock is not None and self._lifetime is not None:
            self._ends[name] = self._clock.now() + self._lifetime

    def _is_there(self, name: bytes) -> bool:
        end = self._ends.get(name)
        return name in self._blobs and (end is None or self._clock is None or self._clock.now() < end)
