"""Reads and writes what stages take and give: inline where small, else as a blob (I7)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from workflow_engine.errors import CorruptItemError, PayloadTooLargeError
from workflow_engine.model.ids import RunId, StageId, digest
from workflow_engine.model.json_values import to_json
from workflow_engine.model.limits import (
    MAX_ATTRIBUTES_BYTES,
    MAX_HEAD_INPUT_BYTES,
    MAX_INLINE_BYTES,
    MAX_PAYLOAD_BYTES,
)
from workflow_engine.model.payloads import Payload
from workflow_engine.model.runs import Head, RunInput, StageKey
from workflow_engine.ports.blobs import BlobStore
from workflow_engine.ports.persistence import Persistence


def blob_prefix(run_id: str) -> str:
    """Where all blobs of a run lie."""
    return f"runs/{run_id}/"


def attempt_prefix(run_id: str, key: StageKey) -> str:
    """Where the blobs of one attempt lie: under the same triple as its record, so that a ghost's
    land where nobody looks."""
    part = f"+{key.part}" if key.part else ""
    return f"{blob_prefix(run_id)}{key.group}/{key.stage_id}/{key.epoch}{part}/"


def attempt_of(run_id: str, blob_key: str) -> StageKey | None:
    """Whose blob it is; ``None`` where it is no attempt's."""
    place = blob_key.removeprefix(blob_prefix(run_id)).split("/", 3)
    if len(place) < 4:
        return None
    epoch, _, part = place[2].partition("+")
    if not place[0].isdigit() or not epoch.isdigit():
        return None
    return StageKey(int(place[0]), StageId(place[1]), int(epoch), part)


def keep(data: bytes, *, what: str, blob_key: str, blobs: BlobStore) -> Payload:
    """Store *data* inline or as a blob.

    Raises:
        PayloadTooLargeError: it is above 16 MiB; nothing was stored.
    """
    size = len(data)
    if size > MAX_PAYLOAD_BYTES:
        raise PayloadTooLargeError(what=what, size_bytes=size, limit_bytes=MAX_PAYLOAD_BYTES)
    if size <= MAX_INLINE_BYTES:
        return Payload.of(data)
    blobs.put(blob_key, data)
    return Payload(size_bytes=size, blob_key=blob_key)


def fetch(payload: Payload, blobs: BlobStore) -> bytes:
    """The bytes of a payload."""
    if payload.inline is not None:
        return payload.inline
    if payload.blob_key is None:
        raise CorruptItemError(what="payload", problem="neither inline nor a blob key")
    return blobs.get(payload.blob_key)


def check_attributes(attributes: Mapping[str, Any]) -> None:
    """Refuse attributes that are no few facts to find a run by.

    Raises:
        PayloadTooLargeError: they are above 16 KB.
    """
    size = len(to_json(attributes))
    if size > MAX_ATTRIBUTES_BYTES:
        raise PayloadTooLargeError(what="attributes", size_bytes=size, limit_bytes=MAX_ATTRIBUTES_BYTES)


def keep_input(
    run_id: RunId,
    *,
    input: bytes,
    config: Mapping[str, Any],
    attributes: Mapping[str, Any],
    expires_at: datetime,
    persistence: Persistence,
    blobs: BlobStore,
) -> tuple[bytes | None, str | None]:
    """Store what a run is started with, its *input* as JSON; answers (inline bytes, hash): exactly one
    is set."""
    check_attributes(attributes)
    rest = {"config": config, "attributes": attributes}
    parts = [b',"%s":%s' % (name.encode(), to_json(value)) for name, value in rest.items() if value]
    data = b'{"input":' + input + b"".join(parts) + b"}"
    if len(data) <= MAX_HEAD_INPUT_BYTES:
        return data, None
    content = digest("input", data.decode())
    blob_key = f"{blob_prefix(run_id)}input/{content}"
    payload = keep(data, what="input", blob_key=blob_key, blobs=blobs)
    persistence.put_input(RunInput(run_id, content, payload, expires_at))
    return None, content


def load_input(head: Head, *, persistence: Persistence, blobs: BlobStore) -> dict[str, Any]:
    """What the run was started with: ``input``, ``config`` and ``attributes``.

    Raises:
        CorruptItemError: it is not there any more.
    """
    data = head.input_inline
    if data is None:
        item = persistence.load_input(head.run_id, head.input_hash or "")
        if item is None:
            raise CorruptItemError(what=f"input of run {head.run_id}", problem="it is gone")
        data = fetch(item.payload, blobs)
    loaded = from_json(data)
    return {"input": None, "config": {}, "attributes": {}, **loaded}
