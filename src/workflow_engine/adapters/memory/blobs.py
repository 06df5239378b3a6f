"""Blobs in the memory of this process."""

import threading
from collections.abc import Iterator

from typing_extensions import override

from workflow_engine.errors import BlobNotFoundError
from workflow_engine.model.blob_keys import check_size, key_bytes
from workflow_engine.ports.blobs import BlobStore


class MemoryBlobStore(BlobStore):
    """Keeps blobs in a dictionary. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blobs: dict[bytes, bytes] = {}

    @override
    def put(self, key: str, data: bytes) -> None:
        name = key_bytes(key)
        check_size(key, data)
        with self._lock:
            self._blobs[name] = bytes(data)

    @override
    def get(self, key: str) -> bytes:
        name = key_bytes(key)
        with self._lock:
            data = self._blobs.get(name)
        if data is None:
            raise BlobNotFoundError(key=key)
        return data

    @override
    def has(self, key: str) -> bool:
        name = key_bytes(key)
        with self._lock:
            return name in self._blobs

    @override
    def delete(self, key: str) -> None:
        name = key_bytes(key)
        with self._lock:
            self._blobs.pop(name, None)

    @override
    def list(self, prefix: str) -> Iterator[str]:
        wanted = prefix.encode()
        with self._lock:
            found = sorted(name for name in self._blobs if name.startswith(wanted))
        return (name.decode() for name in found)
