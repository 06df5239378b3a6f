"""``ctx.storage``: blobs of one stage, fenced by its epoch.

A worker that lost its lease writes where nobody looks. What an attempt stored before it suspended
is found by the checks that follow, and what its steps stored by the body that goes on behind them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel
from typing_extensions import override

from workflow_engine.authoring.context import StageStorage
from workflow_engine.errors import BlobNotFoundError, InvalidInputError, PayloadTooLargeError, UnstorableValueError
from workflow_engine.kernel.payloads import attempt_prefix
from workflow_engine.model.ids import RunId, StageId
from workflow_engine.model.limits import MAX_PAYLOAD_BYTES
from workflow_engine.model.runs import StageKey
from workflow_engine.model.values import UnfitValueError, dump
from workflow_engine.ports.blobs import BlobStore

MAX_KEY_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStorage(StageStorage):
    """Writes under the attempt's own epoch, reads there first, then under *earlier_epoch*, the one in which the
    stage suspended, and under those of *further*, in which its body took the steps that it has found."""

    blobs: BlobStore
    run_id: RunId
    group: int
    stage_id: StageId
    epoch: int
    earlier_epoch: int | None = None
    further: Callable[[], Sequence[int]] = tuple

    @override
    def save(self, key: str, data: bytes | str | BaseModel) -> None:
        if isinstance(data, BaseModel):
            data = _json_of(data, key)
        raw = data.encode() if isinstance(data, str) else data
        if len(raw) > MAX_PAYLOAD_BYTES:
            raise PayloadTooLargeError(what=f"stored {key!r}", size_bytes=len(raw), limit_bytes=MAX_PAYLOAD_BYTES)
        self.blobs.put(self._place(key, self.epoch), raw)

    @override
    def load(self, key: str) -> bytes:
        for place in self._places(key):
            try:
                return self.blobs.get(place)
            except BlobNotFoundError:
                continue
        raise BlobNotFoundError(key=key)

    @override
    def exists(self, key: str) -> bool:
        return any(self.blobs.has(place) for place in self._places(key))

    @override
    def delete(self, key: str) -> None:
        for place in self._places(key):
            self.blobs.delete(place)

    def _places(self, key: str) -> list[str]:
        epochs = [self.epoch, *([] if self.earlier_epoch is None else [self.earlier_epoch]), *self.further()]
        return [self._place(key, epoch) for epoch in dict.fromkeys(epochs)]

    def _place(self, key: str, epoch: int) -> str:
        if not key or len(key.encode(errors="replace")) > MAX_KEY_BYTES:
            raise InvalidInputError(what="storage key", problems=[f"1 to {MAX_KEY_BYTES} bytes are allowed"])
        stage_key = StageKey(self.group, self.stage_id, epoch)
        return f"{attempt_prefix(self.run_id, stage_key)}storage/{key}"


def _json_of(model: BaseModel, key: str) -> bytes:
    try:
        return dump(type(model), model)[0]
    except UnfitValueError as error:
        raise UnstorableValueError(what=f"stored {key!r}", problems=error.problems) from error
