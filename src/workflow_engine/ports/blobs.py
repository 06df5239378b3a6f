"""Where payloads live that are too large for an item."""

from collections.abc import Iterator
from typing import Protocol


class BlobStore(Protocol):
    """Stores bytes under keys. Adapters must pass ``testing.contracts.BlobStoreContract``.

    Keys are 1 to 1,024 bytes of UTF-8 and are opaque: ``a/../b`` is a key like any other. All
    methods raise ``ValueError`` for a key that is empty or not UTF-8, and ``PayloadTooLargeError``
    for one that is too long. A read after a write sees it. All methods raise ``TransientError``
    where the store did not answer; a write may have happened then.
    """

    def put(self, key: str, data: bytes) -> None:
        """Store *data* under *key*, replacing what was there.

        Raises:
            PayloadTooLargeError: *data* is above 5 GB (S3, PutObject).
        """
        ...

    def get(self, key: str) -> bytes:
        """The bytes under *key*.

        Raises:
            BlobNotFoundError: there are none.
        """
        ...

    def has(self, key: str) -> bool:
        """Whether anything is stored under *key*."""
        ...

    def renew(self, key: str) -> None:
        """Let the blob under *key* live as long from now on as one that is put now, unchanged.

        Raises:
            BlobNotFoundError: there is none.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove *key*; one that is absent is no error."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that start with *prefix*, in UTF-8 binary order, read in pages as needed."""
        ...
