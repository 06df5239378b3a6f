"""What may name a blob, and how large one may be."""

from workflow_engine.errors import PayloadTooLargeError

# S3 user guide, "Naming Amazon S3 objects": a key is at most 1,024 bytes of UTF-8.
MAX_KEY_BYTES = 1024
# S3 API reference, PutObject: one request stores at most 5 GB.
MAX_BLOB_BYTES = 5 * 1024**3


def key_bytes(key: str) -> bytes:
    """*key* in UTF-8, by which keys are ordered.

    Raises:
        PayloadTooLargeError: it is above 1,024 bytes.
        ValueError: it is empty, or holds a lone surrogate.
    """
    encoded = key.encode()
    if not encoded:
        raise ValueError("the key of a blob is empty")
    if len(encoded) > MAX_KEY_BYTES:
        raise PayloadTooLargeError(what="the key of a blob", size_bytes=len(encoded), limit_bytes=MAX_KEY_BYTES)
    return encoded


def check_size(key: str, data: bytes) -> None:
    """Refuse *data* that one request cannot store.

    Raises:
        PayloadTooLargeError: it is above 5 GB.
    """
    if len(data) > MAX_BLOB_BYTES:
        raise PayloadTooLargeError(what=f"blob {key!r}", size_bytes=len(data), limit_bytes=MAX_BLOB_BYTES)
