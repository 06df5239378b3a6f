"""What is stored of a value: its JSON bytes, or where they lie in the blob store."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Payload:
    """JSON bytes kept inline, or the key of the blob that holds them.

    Exactly one of *inline* and *blob_key* is set; *size_bytes* is the size of the JSON.
    """

    size_bytes: int
    inline: bytes | None = None
    blob_key: str | None = None

    @classmethod
    def of(cls, data: bytes) -> "Payload":
        """The payload that keeps *data* inline."""
        return cls(size_bytes=len(data), inline=data)


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error as it is stored: class name, message and the end of its traceback, all cut to size."""

    type: str
    message: str
    retryable: bool = False
    trace: str | None = None
